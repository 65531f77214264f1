"""Crystals of the mirror written as CIF by several programs and in several settings, and read back.

    OMP_NUM_THREADS=1 python benchmarks/round_trip.py --mirror FOLDER [--every 10] [--output rows.csv]

Takes every tenth crystal of mp20_*.csv.gz, mpts52_*.csv.gz and jarvis2d_exfoliation.json.gz (27,990 in all;
`--every 1` takes all), and writes each one

- with pymatgen, in P 1 and with the symmetry that it finds within 0.01 and 0.1 Å, and with ASE;
- in other settings of its space group (`--settings` of them, drawn by lot from spglib's 530), as asymmetric
  unit with name and operations, with the name only, and with the Hall symbol only; formula and Z are stated.
  A name that stands for several settings is not written without operations.

What is read back must have the same atoms: in the same axes, atom by atom within 0.01 Å, or else by
pymatgen's StructureMatcher. Prints outcomes by writer, the reasons of refusals, and the CPU time of the
reader against pymatgen's CifParser on the same texts.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import io
import json
import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matwheel.crystals.crystal import to_structure
from matwheel.crystals.reader import UnreadableCrystal, read_crystal

SYMPREC_ANGSTROM = 0.01
SAME_PLACE_ANGSTROM = 0.01
SETTINGS = range(1, 531)
OUTCOMES = ("equal", "equal by StructureMatcher", "refused", "different", "failed", "not written")


class Row(NamedTuple):
    """One text: its crystal, its writer, what came of it, and the CPU seconds of both readers."""

    crystal: str
    writer: str
    outcome: str
    reason: str
    reader_seconds: float
    pymatgen_seconds: float


def mirror_crystals(folder: Path, every: int) -> Iterator[tuple[str, str | Structure]]:
    """Yield (file:row, CIF text or Structure) of every n-th crystal."""
    number = 0
    for path in sorted([*folder.glob("mp20_*.csv.gz"), *folder.glob("mpts52_*.csv.gz")]):
        for row, text in enumerate(pd.read_csv(path, usecols=["cif"])["cif"], 1):
            if number % every == 0:
                yield f"{path.name}:{row}", text
            number += 1
    path = folder / "jarvis2d_exfoliation.json.gz"
    for row, entry in enumerate(json.loads(gzip.decompress(path.read_bytes())), 1):
        if number % every == 0:
            structure = Structure(Lattice(entry["lattice"]), entry["species"], entry["frac_coords"])
            yield f"{path.name}:{row}", structure
        number += 1


@cache
def settings_of(number: int) -> tuple[int, ...]:
    """Hall numbers of all settings of a space group."""
    return tuple(hall for hall in SETTINGS if spglib.get_spacegroup_type(hall).number == number)


@cache
def setting_name(hall: int) -> str:
    """The Hermann-Mauguin symbol with the suffix of origin or axes."""
    kind = spglib.get_spacegroup_type(hall)
    # A short monoclinic symbol does not say which axis is the unique one.
    symbol = kind.international_short if kind.number > 15 else kind.international_full.replace("_", "")
    return symbol + (f":{kind.choice[0]}" if kind.choice[:1] in tuple("12HR") else "")


@cache
def ambiguous_names() -> frozenset[str]:
    """Names that stand for two settings."""
    counts = Counter(setting_name(hall) for hall in SETTINGS)
    return frozenset(name for name, count in counts.items() if count > 1)


def in_setting(structure: Structure, hall: int) -> tuple[Structure, list[int]] | None:
    """The idealised crystal and one atom of each orbit, or None where spglib's table does not map it."""
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC_ANGSTROM, hall_number=hall)
    if found is None:
        return None
    elements = [Element.from_Z(number) for number in found.std_types]
    ideal = Structure(Lattice(found.std_lattice), elements, found.std_positions)
    operations = spglib.get_symmetry_from_database(hall)
    representatives, covered = [], np.zeros(len(ideal), dtype=bool)
    for atom, position in enumerate(ideal.frac_coords):
        if covered[atom]:
            continue
        images = operations["rotations"] @ position + operations["translations"]
        same = [i for i, element in enumerate(elements) if element == elements[atom]]
        distances = ideal.lattice.get_all_distances(images, ideal.frac_coords[same])
        if distances.min(axis=1).max() > SAME_PLACE_ANGSTROM:
            return None
        covered[[same[i] for i in distances.argmin(axis=1)]] = True
        representatives.append(atom)
    return ideal, representatives


def asymmetric_unit(ideal: Structure, representatives: list[int], symmetry: str) -> str:
    """The CIF of a setting; symmetry holds whole lines."""
    composition = ideal.composition
    formula, units = composition.get_reduced_composition_and_factor()
    lines = ["data_crystal"]
    for tag, value in zip(("a", "b", "c"), ideal.lattice.abc, strict=True):
        lines.append(f"_cell_length_{tag} {value:.8f}")
    for tag, value in zip(("alpha", "beta", "gamma"), ideal.lattice.angles, strict=True):
        lines.append(f"_cell_angle_{tag} {value:.8f}")
    lines += [
        f"_chemical_formula_sum '{formula.formula}'",
        f"_cell_formula_units_Z {units:.0f}",
        symmetry,
        "loop_",
    ]
    lines += [f"_atom_site_{column}" for column in ("type_symbol", "label", "fract_x", "fract_y", "fract_z")]
    for number, atom in enumerate(representatives, 1):
        symbol = ideal[atom].specie.symbol
        lines.append(f"{symbol} {symbol}{number} " + " ".join(f"{x:.8f}" for x in ideal.frac_coords[atom]))
    return "\n".join(lines) + "\n"


def operation_loop(hall: int) -> str:
    from pymatgen.core.operations import SymmOp

    found = spglib.get_symmetry_from_database(hall)
    rows = [
        f"'{SymmOp.from_rotation_and_translation(rotation, translation).as_xyz_str()}'"
        for rotation, translation in zip(found["rotations"], found["translations"], strict=True)
    ]
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *rows])


def setting_texts(structure: Structure, hall: int) -> Iterator[tuple[str, str | None, Structure]]:
    """Yield (writer, text or None, what was written) of one setting."""
    written = in_setting(structure, hall)
    if written is None:
        yield "setting, not made by spglib", None, structure
        return
    ideal, representatives = written
    name, symbol = setting_name(hall), spglib.get_spacegroup_type(hall).hall_symbol
    quote = "'" if '"' in symbol else '"'
    named = f"_space_group_name_H-M_alt '{name}'"
    symmetries = {
        "setting, name and operations": f"{named}\n{operation_loop(hall)}",
        "setting, name only": None if name in ambiguous_names() else named,
        "setting, Hall symbol only": f"_space_group_name_Hall {quote}{symbol}{quote}",
    }
    for writer, symmetry in symmetries.items():
        yield writer, symmetry and asymmetric_unit(ideal, representatives, symmetry), ideal


def ase_text(structure: Structure) -> str:
    from ase import Atoms
    from ase.io.cif import write_cif

    atoms = Atoms(structure.atomic_numbers, cell=structure.lattice.matrix, pbc=True)
    atoms.set_scaled_positions(structure.frac_coords)
    buffer = io.BytesIO()
    write_cif(buffer, atoms)
    return buffer.getvalue().decode()


def texts_of(structure: Structure, rng: np.random.Generator, settings: int):
    """Yield (writer, text or None, what was written) of all writers."""
    yield "pymatgen, P 1", str(CifWriter(structure)), structure
    yield "ASE", ase_text(structure), structure
    if settings < 0:
        return
    for symprec in (0.01, 0.1):
        refined = SpacegroupAnalyzer(structure, symprec=symprec).get_refined_structure()
        yield f"pymatgen, symprec {symprec}", str(CifWriter(structure, symprec=symprec)), refined
    found = spglib.get_symmetry_dataset(
        (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers), symprec=SYMPREC_ANGSTROM
    )
    choices = settings_of(found.number)
    for hall in rng.choice(choices, size=min(settings, len(choices)), replace=False):
        yield from setting_texts(structure, int(hall))


def same_atoms(written: Structure, read: Structure) -> bool:
    """Whether both have the same axes and, atom by atom, the same places."""
    if written.composition != read.composition:
        return False
    if not np.allclose(written.lattice.parameters, read.lattice.parameters, rtol=1e-4, atol=1e-3):
        return False
    distances = written.lattice.get_all_distances(written.frac_coords, read.frac_coords)
    differ = np.not_equal.outer(np.array(written.atomic_numbers), np.array(read.atomic_numbers))
    nearest = np.where(differ, np.inf, distances).argmin(axis=1)
    close = distances[np.arange(len(nearest)), nearest] < SAME_PLACE_ANGSTROM
    return bool(close.all()) and len(set(nearest)) == len(nearest)


def compared(written: Structure, text: str) -> tuple[str, str, float]:
    """Outcome, reason of a refusal, and CPU seconds of the reader."""
    started = time.process_time()
    try:
        crystal = read_crystal(text, "cif", "round-trip").crystal
    except UnreadableCrystal as refusal:
        return "refused", str(refusal), time.process_time() - started
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}", time.process_time() - started
    seconds = time.process_time() - started
    read = to_structure(crystal)
    if same_atoms(written, read):
        return "equal", "", seconds
    if written.composition == read.composition and StructureMatcher(primitive_cell=False, scale=False).fit(
        written, read
    ):
        return "equal by StructureMatcher", "", seconds
    return "different", f"written {written.formula}, read {read.formula}", seconds


def pymatgen_seconds(text: str) -> float:
    started = time.process_time()
    with contextlib.suppress(Exception):  # what it refuses took its time too
        CifParser(io.StringIO(text)).parse_structures(primitive=False)
    return time.process_time() - started


def warm_up() -> None:
    """Both readers once, so that no time holds an import."""
    warnings.simplefilter("ignore")
    text = str(CifWriter(Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])))
    read_crystal(text, "cif", "warm-up")
    pymatgen_seconds(text)


def round_trip(task: tuple[int, str, str | Structure, int, bool]) -> list[Row]:
    number, name, source, settings, timed = task
    rng = np.random.default_rng(number)
    rows = []

    def add(writer: str, text: str | None, written: Structure) -> None:
        if text is None:
            rows.append(Row(name, writer, "not written", "", np.nan, np.nan))
            return
        outcome, reason, seconds = compared(written, text)
        other = pymatgen_seconds(text) if timed else np.nan
        rows.append(Row(name, writer, outcome, reason, seconds, other))

    if isinstance(source, str):
        (structure,) = CifParser(io.StringIO(source)).parse_structures(primitive=False)
        add("as in the mirror", source, structure)
    else:
        structure = source
    for writer, text, written in texts_of(structure, rng, settings):
        add(writer, text, written)
    return rows


def reason_class(reason: str) -> str:
    """The reason without what belongs to one crystal: names in quotes, formulas and numbers."""
    reason = re.sub(r"'[^']*'", "'…'", reason)
    reason = re.sub(r"\b(?:[A-Z][a-z]?\d*(?:\.\d+)?(?: |\b))+", "… ", reason)
    return re.sub(r"\d+(?:\.\d+)?", "#", reason)[:110]


def summary_of(rows: list[Row]) -> pd.DataFrame:
    """One row per writer: texts, outcomes, and median CPU ms of the reader and of pymatgen's."""
    table = pd.DataFrame(rows, columns=Row._fields)
    counts = pd.crosstab(table["writer"], table["outcome"]).reindex(columns=OUTCOMES, fill_value=0)
    written = table[table["outcome"] != "not written"].groupby("writer", sort=False)
    seconds = written[["reader_seconds", "pymatgen_seconds"]]
    medians = (1000 * seconds.median()).round(2).set_axis(["reader_ms", "pymatgen_ms"], axis=1)
    sums = seconds.sum()
    summary = counts.assign(texts=counts.sum(axis=1)).join(medians)
    # Without pymatgen's times there is no ratio.
    summary["ratio"] = (sums["reader_seconds"] / sums["pymatgen_seconds"].replace(0, np.nan)).round(2)
    order = list(dict.fromkeys(table["writer"]))
    columns = ["texts", *OUTCOMES, "reader_ms", "pymatgen_ms", "ratio"]
    return summary.loc[order, columns].reset_index().rename(columns=lambda name: name.replace(" ", "_"))


def print_report(rows: list[Row]) -> None:
    print(summary_of(rows).to_string(index=False))
    for outcome in ("refused", "different", "failed"):
        classes = defaultdict(list)
        for row in rows:
            if row.outcome == outcome:
                classes[row.writer, reason_class(row.reason)].append(row)
        for (writer, reason), found in sorted(classes.items(), key=lambda item: -len(item[1])):
            print(
                f"{outcome}, {writer}, {len(found)}: {reason} (first: {found[0].crystal}: {found[0].reason})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", type=Path, required=True, help="folder of the mirror's files")
    parser.add_argument("--every", type=int, default=10, help="take every n-th crystal")
    parser.add_argument(
        "--settings", type=int, default=2, help="settings per crystal; -1: no symmetry at all"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--untimed", action="store_true", help="leave out pymatgen's reader, which takes longest"
    )
    parser.add_argument("--output", type=Path, help="one row per text, as CSV")
    parser.add_argument("--summary", type=Path, help="the table that is printed, as CSV")
    options = parser.parse_args()
    crystals = mirror_crystals(options.mirror, options.every)
    tasks = [
        (number, name, source, options.settings, not options.untimed)
        for number, (name, source) in enumerate(crystals)
    ]
    started = time.perf_counter()
    with Pool(options.processes, warm_up) as pool:
        rows = [row for found in pool.imap(round_trip, tasks, chunksize=8) for row in found]
    seconds = time.perf_counter() - started
    print(f"{len(tasks)} crystals (1 of {options.every}), {len(rows)} texts, {seconds:.0f} s")
    print_report(rows)
    if options.summary:
        summary_of(rows).to_csv(options.summary, index=False)
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(rows)


if __name__ == "__main__":
    main()
