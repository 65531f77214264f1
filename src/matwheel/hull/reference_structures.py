"""Structures of reference phases, for the hull that a potential draws for itself.

They are Materials Project's relaxed crystals: the mirror's tables, the tables of matminer's archive on PyPI,
and of elements the measured structures, which are relaxed before they count. On Materials Project's a single
point is within 0.5 meV/atom of the potential's own minimum.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.compositions.formulas import element_counts
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.table_rows import named_rows
from matwheel.crystals.crystal import Crystal, UnreadableCrystal
from matwheel.crystals.reader import read_crystal
from matwheel.crystals.table import crystal_table
from matwheel.datasets.registry import Source
from matwheel.datasets.sources import (
    DatasetError,
    SourceBytes,
    SourceUnavailable,
    find_mirror_file,
    read_file,
    read_pypi_archive,
)
from matwheel.hull.reference_phases import MOST_SUBSET_ELEMENTS, mirror_frame, subsystems
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.computing_time import computing_clock
from matwheel.potentials.elemental_structures import elemental_prototypes

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

_ARCHIVE = "matminer==0.3.9"
_ARCHIVE_SHA256 = "3faf9e83464f3d48f68a759bf476ad24da4c8c3e950c8f340cb917d3bb906400"
_MEMBERS = ("elastic_tensor", "dielectric_constant", "piezoelectric_tensor", "flla_2015")

LARGEST_E_ABOVE_HULL_EV_PER_ATOM = 0.1
LARGEST_REFERENCE_ATOMS = 60
PROTOTYPE = "prototype"
"""What `reference_source` says of a structure that has to be relaxed before its energy counts."""

GROUND_STATE_EV_PER_ATOM = 0.01
"""An element's structure this close to the hull counts as its ground state."""

_NAMED = 10
_RELAXATION_STEPS = 100
_RELAXATION_FMAX_EV_PER_ANGSTROM = 0.01


@dataclass(frozen=True)
class _Row:
    """One material of a table; `parse` makes its crystal when it is wanted.

    `e_above_hull` is NaN where the table does not say.
    """

    id: str
    elements: frozenset[str]
    atoms: int
    e_above_hull: float
    parse: Callable[[], Crystal]


def reference_structures(
    systems: Collection[str],
    known: Sequence[pd.DataFrame] = (),
    reads: Sequence[SourceBytes] = (),
    *,
    largest_atoms: int = LARGEST_REFERENCE_ATOMS,
    log: Log = log_to_stderr,
) -> pd.DataFrame:
    """Return the structures of reference phases in chemical systems and all their subsystems.

    Structures far above the hull compete with nothing and are left out. Of an element all are taken, and its
    prototype beside them. Structures that cannot be read are left out and named in the log.

    Args:
        systems: names of chemical systems ('Ag-Br-S') whose phases are wanted; one of more than 12 elements
            is taken by its elements only.
        known: crystal tables of relaxed known crystals; the column e_above_hull_ev_per_atom is used if there.
        reads: tables of the mirror (`read_mirror_tables`) or of matminer's archive
            (`read_structure_archive`). Of a material that occurs twice the first is taken, `known` before
            `reads`.

    Returns:
        A crystal table sorted by id, with the columns reference_source ('known', name of the table,
        'prototype') and ground_state (an element's structure that is known to be its ground state).

    Raises:
        DatasetError: a table lacks a column.
    """
    wanted = {frozenset(part.split("-")) for system in systems for part in _parts(system)}
    found: dict[str, tuple[Crystal, str, bool]] = {}
    unread: dict[str, str] = {}
    for source, row in _materials(known, reads):
        if row.elements not in wanted or row.id in found or row.atoms > largest_atoms:
            continue
        if len(row.elements) > 1 and row.e_above_hull > LARGEST_E_ABOVE_HULL_EV_PER_ATOM:
            continue
        try:
            crystal = row.parse()
        except (UnreadableCrystal, ValueError, SyntaxError) as error:
            unread[row.id] = " ".join(str(error).split())
            continue
        ground_state = len(row.elements) == 1 and row.e_above_hull <= GROUND_STATE_EV_PER_ATOM
        found[row.id] = crystal, source, ground_state
    if unread:
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(unread.items())[:_NAMED])
        log(f"{len(unread)} reference structures cannot be read and are left out: {shown}")
    elements = sorted({symbol for system in wanted for symbol in system})
    found |= {crystal.id: (crystal, PROTOTYPE, True) for crystal in elemental_prototypes(elements)}
    ids = sorted(found)
    columns: dict[str, Sequence[str | bool]] = {
        "reference_source": [found[name][1] for name in ids],
        "ground_state": [found[name][2] for name in ids],
    }
    return crystal_table([found[name][0] for name in ids], columns)


def read_structure_archive(
    mirror_folders: Sequence[str | Path] = (), log: Log = log_to_stderr
) -> list[SourceBytes]:
    """Return the tables of Materials Project crystals in matminer's archive: of a mirror folder, or of PyPI.

    Without network and mirror the log says so and the list is empty; the potential's own hull then has
    prototypes of elements only.

    Raises:
        DatasetError: the mirror's archive is damaged.
    """
    path = find_mirror_file(f"{_ARCHIVE.replace('==', '-')}.tar.gz", mirror_folders)
    reads = []
    for name in _MEMBERS:
        member = f"{_ARCHIVE.replace('==', '-')}/matminer/datasets/{name}.csv"
        if path is not None:
            reads.append(read_file(path, expected_sha256=_ARCHIVE_SHA256, member=member))
            continue
        source = Source("pypi", _ARCHIVE, _ARCHIVE_SHA256, member, None, "poscar", "poscar", "", "#")
        try:
            reads.append(read_pypi_archive(source))
        except SourceUnavailable as error:
            log(f"no structures from PyPI archive {_ARCHIVE}: {error}")
            break
    return reads


def reference_energies(
    structures: pd.DataFrame, calculator: Calculator, log: Log = log_to_stderr
) -> pd.DataFrame:
    """Return the energy of each reference structure by a potential.

    A single point for relaxed structures, the energy after relaxation (cell and positions) for prototypes. A
    structure that fails has NaN and its reason.

    Args:
        structures: what `reference_structures` returned, or some of its rows (a shard).

    Returns:
        Columns id, energy_ev_per_atom, reason, seconds, in the given order.
    """
    from matwheel.crystals.table import crystals_of_table

    progress = Progress("energies of reference structures", len(structures), log)
    rows = []
    crystals = crystals_of_table(structures)
    for number, (crystal, source) in enumerate(zip(crystals, structures["reference_source"], strict=True), 1):
        started = computing_clock(calculator)
        try:
            energy, reason = _energy(crystal, calculator, relax=source == PROTOTYPE), ""
            if not np.isfinite(energy):
                energy, reason = nan, "the energy is not finite"
        except Exception as error:  # one structure never ends the batch
            energy, reason = nan, f"{type(error).__name__}: {error}"
        rows.append((crystal.id, energy, reason, computing_clock(calculator) - started))
        progress.report(number)
    frame = pd.DataFrame(rows, columns=["id", "energy_ev_per_atom", "reason", "seconds"])
    return frame.astype({"energy_ev_per_atom": float, "seconds": float})


def _energy(crystal: Crystal, calculator: Calculator, *, relax: bool) -> float:
    atoms = to_atoms(crystal)
    atoms.calc = calculator
    if relax:
        from ase.filters import FrechetCellFilter
        from ase.optimize import BFGS

        with BFGS(FrechetCellFilter(atoms), logfile=None) as optimizer:  # type: ignore[arg-type]  # ASE moves filters of atoms too
            optimizer.run(fmax=_RELAXATION_FMAX_EV_PER_ANGSTROM, steps=_RELAXATION_STEPS)
    return float(atoms.get_potential_energy()) / len(atoms)


def _parts(system: str) -> list[str]:
    elements = [symbol for symbol in system.split("-") if symbol]
    return subsystems(elements) if len(elements) <= MOST_SUBSET_ELEMENTS else elements


def _materials(known: Sequence[pd.DataFrame], reads: Sequence[SourceBytes]) -> Iterator[tuple[str, _Row]]:
    for table in known:
        for row in _known_rows(table):
            yield "known", row
    for read in reads:
        for row in _rows(read):
            yield Path(read.file_name).name, row


def _known_rows(table: pd.DataFrame) -> Iterator[_Row]:
    above = table.get("e_above_hull_ev_per_atom", pd.Series(nan, table.index))
    columns = (table[name] for name in ("id", "species", "lattice", "frac_coords"))
    for name, species, lattice, positions, distance in zip(*columns, above, strict=True):
        crystal = partial(Crystal, name, tuple(species), np.array(lattice), np.array(positions))
        yield _Row(name, frozenset(species), len(species), float(distance), crystal)


def _rows(read: SourceBytes) -> Iterator[_Row]:
    """Yield the materials of any of the known tables."""
    header = read.content.removeprefix(b"\xef\xbb\xbf").lstrip(b"\n")
    if not header.startswith(b"#"):
        yield from _mirror_rows(read)
        return
    text = "".join(
        line for line in read.content.decode("utf-8-sig").splitlines(keepends=True) if line[:1] != "#"
    )
    frame = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str)
    structure = "structure" if "poscar" not in frame else "poscar"
    for column in ("material_id", "formula", "nsites", structure):
        if column not in frame:
            raise DatasetError(f"{read.origin}: column {column!r} is missing; fetch it again")
    above = pd.to_numeric(frame["e_above_hull"]) if "e_above_hull" in frame else pd.Series(nan, frame.index)
    table = zip(frame["material_id"], frame["formula"], frame["nsites"], above, frame[structure], strict=True)
    for name, formula, sites, distance, content in table:
        elements = frozenset(re.findall("[A-Z][a-z]?", formula))
        yield _Row(
            name, elements, int(float(sites)), float(distance), partial(_read, structure, name, content)
        )


def _mirror_rows(read: SourceBytes) -> Iterator[_Row]:
    for row in named_rows(mirror_frame(read)):
        counts = element_counts(row.cell_formula)
        name = str(row.material_id)
        yield _Row(
            name,
            frozenset(counts),
            sum(counts.values()),
            float(row.e_above_hull),
            partial(_read, "cif", name, row.cif),
        )


def _read(form: str, name: str, content: str) -> Crystal:
    written = ast.literal_eval(content) if form == "structure" else content
    return read_crystal(written, form, name).crystal
