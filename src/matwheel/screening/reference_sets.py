"""Reference sets of known materials: named, hashed, of structures or of formulas only."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import gcd
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.compositions.formulas import ELEMENTS, parse_formulas, reduce_counts
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.table_rows import named_rows
from matwheel.crystals.cif_cell import order_of_atoms
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.reader import read_crystal
from matwheel.crystals.table import COLUMNS, crystals_of_table, table_without_space_groups
from matwheel.crystals.text_tables import column_named, named_faults, read_text_table

STRUCTURES, FORMULAS = "structures", "formulas"
MP_MIRROR_FILES = (
    "mp20_biternary_val.csv.gz",
    "mp20_biternary_test.csv.gz",
    "mpts52_val.csv.gz",
    "mpts52_test.csv.gz",
)
"""Files with Materials Project crystals that a mirror folder may hold."""

# What the files call the properties kept, and their names here.
_MP_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "formation_energy_ev_per_atom": ("formation_energy_per_atom",),
    "e_above_hull_ev_per_atom": ("e_above_hull", "energy_above_hull"),
    "band_gap_ev": ("band_gap",),
}


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """Known materials to compare with.

    Attributes:
        name: short name; the screen is `novel_<name>`.
        kind: 'structures' or 'formulas'.
        sha256: of the content, whatever its order.
        source: where it comes from, in words.
        table: the columns of a crystal table that hold the crystals; None for formulas only.
    """

    name: str
    kind: str
    sha256: str
    source: str
    formulas: frozenset[str] = field(repr=False)
    table: pd.DataFrame | None = field(repr=False, default=None)

    def __len__(self) -> int:
        return len(self.formulas) if self.table is None else len(self.table)

    def crystals_of(self, formulas: Collection[str]) -> list[Crystal]:
        """Return the crystals of the given reduced formulas, in the order of the set; none of formulas."""
        if self.table is None:
            return []
        return crystals_of_table(self.table[self.table["formula"].isin(set(formulas))])


def reference_of_table(
    name: str, table: pd.DataFrame, source: str, ids: Sequence[str] | None = None
) -> ReferenceSet:
    """Return a set of structures from a crystal table.

    Args:
        name: name of the set, e.g. 'training'.
        source: where it comes from, in words.
        ids: the rows to take, e.g. the training part of a split; None takes all.

    Raises:
        InputError: an id that the table does not hold.
    """
    if ids is not None:
        missing = sorted(set(ids) - set(table["id"]))
        if missing:
            raise InputError(
                f"reference set {name}: {len(missing)} of {len(ids)} ids are not in the table, first "
                f"{missing[0]!r}; make the split again from this table"
            )
        table = table[table["id"].isin(set(ids))]
    table = table[[*COLUMNS[:4], "formula"]].reset_index(drop=True)
    digest = sha256()
    for row in named_rows(table.sort_values("id", kind="stable")):
        digest.update("\x1f".join([str(row.id), *row.species]).encode())
        for numbers in (row.lattice, row.frac_coords):
            digest.update(np.asarray(numbers, dtype="<f8").tobytes())
    return ReferenceSet(name, STRUCTURES, digest.hexdigest(), source, frozenset(table["formula"]), table)


def reference_of_formulas(name: str, formulas: Iterable[str], source: str) -> ReferenceSet:
    """Return a set of formulas, as `parse_formulas` reads them, e.g. 'Ca1 Ti1 O3'.

    Raises:
        InputError: texts that are no formulas, each with its number (from 1), or none at all was given.
    """
    texts = list(formulas)
    parsed = parse_formulas(texts)
    if parsed.errors:
        raise InputError(named_faults(f"reference set {name} ({source})", parsed.errors))
    counts = reduce_counts(parsed.counts)
    distinct = {row.tobytes(): place for place, row in enumerate(counts)}
    reduced = set(spelled_formulas(counts[list(distinct.values())]))
    if not reduced:
        raise InputError(f"reference set {name} ({source}): no formulas; give another file")
    digest = sha256("\n".join(sorted(reduced)).encode()).hexdigest()
    return ReferenceSet(name, FORMULAS, digest, source, frozenset(reduced))


def spelled_formulas(counts: NDArray[np.integer]) -> list[str]:
    """Return the reduced formula of each row of counts as pymatgen spells it, as for crystals.

    Elements stand by electronegativity. Where pymatgen may part off a polyanion, 'Ca(NO3)2', or keeps a
    formula unreduced, 'H2O2', it is asked itself; the others take a sixth of the time.

    Args:
        counts: reduced compositions over `ELEMENTS`, shape (n, 103).
    """
    from pymatgen.core import Composition

    order = order_of_atoms(ELEMENTS)
    symbols = [ELEMENTS[place] for place in order]
    formulas = []
    for row in counts[:, order]:
        present = np.flatnonzero(row).tolist()
        amounts = row[present].tolist()
        pairs = zip(present, amounts, strict=True)
        formula = "".join(f"{symbols[place]}{amount if amount > 1 else ''}" for place, amount in pairs)
        grouped = len(present) > 2 and gcd(*amounts[-2:]) > 1
        if grouped or formula in Composition.special_formulas:
            named = {symbols[place]: amount for place, amount in zip(present, amounts, strict=True)}
            formula = Composition(named).reduced_formula
        formulas.append(formula)
    return formulas


def formulas_of_csv(content: bytes, origin: str) -> list[str]:
    """Return the formulas in the column `formula` of a CSV file, compressed by gzip or not.

    Cells stay text: 'NaN' is sodium nitride, not a missing number.

    Raises:
        InputError: no such column, or rows without a formula, which are named together.
    """
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{origin}: damaged gzip file ({error}); copy or make it again") from error
    table = read_text_table(content, origin, names=["formula"])
    found = column_named(table.columns, ["formula"], asked=None, origin=origin, what="formulas")
    if found is None:
        raise InputError(f"{origin}: no column 'formula'; it has {', '.join(table.columns)}")
    formulas = [row.get(found, "").strip() for row in table.rows]
    faults = {place: "has no formula" for place, formula in enumerate(formulas) if not formula}
    if faults | table.faults:
        raise InputError(named_faults(origin, faults | table.faults, table.lines))
    return formulas


def mp_mirror_table(paths: Sequence[str | Path], log: Log = log_to_stderr) -> pd.DataFrame:
    """Return the Materials Project crystals of mirror files as one crystal table without space groups.

    A material in several files is taken from the first. Space groups would take four fifths of the time, and
    nothing that compares crystals asks for them.

    Args:
        paths: files of `MP_MIRROR_FILES`: CSV (.gz or not) with columns material_id and cif.
        log: receives progress.

    Returns:
        Crystal table (without space_group) with the further columns formation_energy_ev_per_atom,
        e_above_hull_ev_per_atom, band_gap_ev (NaN where a file has none) and source_file, sorted by id.

    Raises:
        InputError: a file lacks a column or holds a crystal that cannot be read; the message names file, row
            and remedy.
    """
    crystals: dict[str, Crystal] = {}
    properties: dict[str, tuple] = {}
    for path in map(Path, paths):
        rows = _mirror_rows(path)
        progress = Progress(f"crystals of {path.name}", len(rows), log)
        for number, (line, row) in enumerate(rows, start=1):
            material = row["material_id"]
            if material not in crystals:
                crystals[material] = _mirror_crystal(path, line, row)
                properties[material] = (
                    *(_first_number(row, names) for names in _MP_PROPERTIES.values()),
                    path.name,
                )
            progress.report(number)
    ids = sorted(crystals)
    columns = zip(*(properties[material] for material in ids), strict=True) if ids else [()] * 4
    table = table_without_space_groups([crystals[material] for material in ids])
    for name, values in zip((*_MP_PROPERTIES, "source_file"), columns, strict=True):
        table[name] = list(values)
    return table


def _mirror_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a mirror file by column, each with the line of the file that it ends in."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch or copy it again") from error
    reader = csv.DictReader(io.StringIO(text))
    for column in ("material_id", "cif"):
        if column not in (reader.fieldnames or ()):
            raise InputError(f"{path}: no column {column!r}; is it one of {', '.join(MP_MIRROR_FILES)}?")
    return [(reader.line_num, row) for row in reader]


def _mirror_crystal(path: Path, line: int, row: Mapping[str, str]) -> Crystal:
    try:
        return read_crystal(row["cif"], "cif", row["material_id"]).crystal
    except Exception as error:
        raise InputError(
            f"{path}: {row['material_id']} (up to line {line}) cannot be read as a crystal "
            f"({error}); fetch or copy the file again"
        ) from error


def _first_number(row: Mapping[str, str], names: Sequence[str]) -> float:
    """Return the first of the named columns that holds a number; NaN where none does."""
    for name in names:
        if row.get(name):
            return float(row[name])
    return float("nan")
