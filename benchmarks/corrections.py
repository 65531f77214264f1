"""MP2020 corrections of Materials Project's crystals by several ways to find oxidation states.

    OMP_NUM_THREADS=1 python benchmarks/corrections.py --mirror FOLDER [--every N] [--out docs/results]

FOLDER has the tables of Materials Project crystals. For every crystal the correction is computed with the
states of several ways to find them, the first as it was done before. Where a way differs from it, and for
some crystals where none does (`--control`), a potential's single point, the correction and the elemental
energies make a formation energy; its distance to Materials Project's own says by which way their data were
corrected.
Published energies go by the published anion rule, so the comparison does too.

Writes corrections.csv (one row per way and anion rule) and corrections_examples.csv (the largest changes).
A quarter of an hour on one core for all of them.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matwheel.compositions.average_oxidation_states import Composition, bond_valence_states, states_of_formula
from matwheel.core.files import write_csv
from matwheel.core.progress import Progress, log_to_stderr
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.reader import read_crystal
from matwheel.datasets.sources import read_wheel_member
from matwheel.hull.elemental_references import (
    ELEMENTAL_ARCHIVE,
    elemental_energies,
    elemental_references_of_archive,
    formation_energy,
)
from matwheel.hull.energy_corrections import (
    ANION_RULE,
    CORRECTED_ANIONS,
    composition_of,
    mp2020_correction,
)
from matwheel.hull.reference_phases import (
    carried_anion_rule,
    mirror_frame,
    read_mirror_tables,
)
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.potentials import make_calculator

PUBLISHED = "as published"
BEFORE = "formula up to 20 atoms, common states"
FORMULA = "formula of any size"
NOW = "structure, then formula"
EVERYTHING = "structure, then formula, then all states"
COUNTS = (
    "rows", "need_states", "without_states", "differ", "differ_by_over_50_mev", "raised", "lowered",
    "compared", "nearer",
)  # fmt: skip
_LARGE_EV_PER_ATOM = 0.05
_SMALLEST_EV_PER_ATOM = 1e-9
_EXAMPLES = 40


@cache
def states_before(composition: Composition) -> Mapping[str, float]:
    """Return pymatgen's own guess for a formula, as its scheme makes it."""
    from pymatgen.core import Composition as PymatgenComposition

    try:
        guesses = PymatgenComposition(dict(composition)).oxi_state_guesses(max_sites=-20)
    except ValueError:  # too many sites
        guesses = ()
    return guesses[0] if guesses else {}


def needs_states(crystal: Crystal) -> bool:
    return len(set(crystal.species)) > 1 and bool(CORRECTED_ANIONS & set(crystal.species))


def ways(crystal: Crystal) -> dict[str, Mapping[str, float]]:
    """Return the states of a crystal by each way; none where no correction depends on them."""
    if not needs_states(crystal):
        return {name: {} for name in (BEFORE, FORMULA, NOW, EVERYTHING)}
    composition = composition_of(crystal.element_counts)
    bonds = bond_valence_states(crystal)
    by_formula = states_of_formula(composition)
    return {
        BEFORE: states_before(composition),
        FORMULA: by_formula,
        NOW: bonds or by_formula,
        EVERYTHING: bonds or by_formula or states_of_formula(composition, all_states=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th crystal only")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--potential", default="7net-0")
    parser.add_argument("--largest-atoms", type=int, default=40, help="that get a single point")
    parser.add_argument("--control", type=int, default=200)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    crystals, rows = corrections(arguments.mirror, arguments.every)
    table = pd.DataFrame(rows)
    names = [BEFORE, FORMULA, NOW, EVERYTHING]
    rules = (PUBLISHED, ANION_RULE)
    changed = [differs(table, name, rule) for name in names[1:] for rule in rules]
    affected = pd.concat(changed, axis=1).any(axis=1)
    small = table["atoms"] <= arguments.largest_atoms
    control = table[~affected & small & table["needs_states"]]
    control = control.sample(min(arguments.control, len(control)), random_state=0)
    chosen = pd.concat([table[affected & small], control])
    energies = single_points([crystals[name] for name in chosen["id"]], arguments.potential, arguments.mirror)
    table["uncorrected"] = table["id"].map(energies)
    summary = [summarised(table, name, rule) for name in names for rule in rules]
    summary.append(summary_of_control(table[table["id"].isin(control["id"])]))
    figures = pd.DataFrame(summary).astype(dict.fromkeys(COUNTS, "Int64"))
    print(figures.T.to_string())
    write_csv(figures, arguments.out / "corrections.csv")
    write_csv(examples(table), arguments.out / "corrections_examples.csv")


def corrections(mirror: Path, every: int) -> tuple[dict[str, Crystal], list[dict[str, Any]]]:
    """Return the mirror's crystals by id, and each one's correction by every way and rule, eV/atom."""
    reads = read_mirror_tables([mirror])
    frame = pd.concat([mirror_frame(read).assign(rule=carried_anion_rule(read)) for read in reads])
    frame = frame.drop_duplicates("material_id").iloc[::every]
    progress = Progress("corrections", len(frame), log_to_stderr, every_seconds=30.0)
    crystals, rows = {}, []
    for number, row in enumerate(frame.itertuples(index=False), 1):
        crystal = read_crystal(row.cif, "cif", str(row.material_id)).crystal
        crystals[crystal.id] = crystal
        found: dict[str, Any] = {
            "id": crystal.id,
            "formula": _formula(crystal),
            "atoms": len(crystal.species),
            "formation_energy": float(row.formation_energy_per_atom),
            "needs_states": needs_states(crystal),
        }
        for name, states in ways(crystal).items():
            found[f"states, {name}"] = " ".join(f"{symbol}{value:+.2g}" for symbol, value in states.items())
            for rule in (PUBLISHED, ANION_RULE):
                key = row.rule if rule == PUBLISHED else rule
                found[f"{name}, {rule}"] = mp2020_correction(crystal, key, states=states)
        rows.append(found)
        progress.report(number)
    return crystals, rows


def _formula(crystal: Crystal) -> str:
    from pymatgen.core import Composition as PymatgenComposition

    return PymatgenComposition(crystal.element_counts).reduced_formula


def differs(table: pd.DataFrame, name: str, rule: str) -> pd.Series:
    return (table[f"{name}, {rule}"] - table[f"{BEFORE}, {rule}"]).abs() > _SMALLEST_EV_PER_ATOM


def single_points(crystals: Sequence[Crystal], potential: str, mirror: Path) -> dict[str, float]:
    """Return formation energies without correction by a potential, eV/atom; what fails is left out."""
    archive = read_wheel_member(ELEMENTAL_ARCHIVE, [mirror])
    references = elemental_energies(elemental_references_of_archive(archive))
    calculator = make_calculator(potential)
    progress = Progress("single points", len(crystals), log_to_stderr, every_seconds=30.0)
    found = {}
    for number, crystal in enumerate(crystals, 1):
        if set(crystal.species) <= set(references):
            atoms = to_atoms(crystal)
            atoms.calc = calculator
            energy = atoms.get_potential_energy() / len(atoms)
            found[crystal.id] = formation_energy(crystal.element_counts, energy, references)
        progress.report(number)
    return found


def summarised(table: pd.DataFrame, name: str, rule: str) -> dict[str, Any]:
    """Return how one way differs from the way before, and how near each comes to the published energies."""
    other = differs(table, name, rule)
    shift = (table[f"{name}, {rule}"] - table[f"{BEFORE}, {rule}"])[other]
    before, after = (residuals(table[other], way) if rule == PUBLISHED else pd.Series(dtype=float)
                     for way in (BEFORE, name))  # fmt: skip
    return {
        "way": name,
        "anion_rule": rule,
        "rows": len(table),
        "need_states": int(table["needs_states"].sum()),
        "without_states": int((table["needs_states"] & (table[f"states, {name}"] == "")).sum()),
        "differ": len(shift),
        "differ_share": len(shift) / len(table),
        "differ_by_over_50_mev": int((shift.abs() > _LARGE_EV_PER_ATOM).sum()),
        "raised": int((shift > 0).sum()),
        "lowered": int((shift < 0).sum()),
        "median_mev": _mev(shift.abs(), np.median),
        "90_percent_below_mev": _mev(shift.abs(), lambda values: np.quantile(values, 0.9)),
        "largest_mev": _mev(shift.abs(), np.max),
        "compared": len(before),
        "mean_residual_before_mev": _mev(before.abs(), np.mean),
        "mean_residual_mev": _mev(after.abs(), np.mean),
        "median_residual_before_mev": _mev(before.abs(), np.median),
        "median_residual_mev": _mev(after.abs(), np.median),
        "nearer": int((after.abs() < before.abs()).sum()),
    }


def summary_of_control(table: pd.DataFrame) -> dict[str, Any]:
    rest = residuals(table, NOW).abs()
    return {
        "way": "control: all ways agree", "anion_rule": PUBLISHED, "rows": len(table), "compared": len(rest),
        "mean_residual_mev": _mev(rest, np.mean), "median_residual_mev": _mev(rest, np.median),
    }  # fmt: skip


def residuals(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the potential's corrected formation energy less Materials Project's, eV/atom."""
    return (table["uncorrected"] + table[f"{name}, {PUBLISHED}"] - table["formation_energy"]).dropna()


def _mev(values: pd.Series, figure: Callable[[Any], float]) -> float:
    return round(1000 * float(figure(values)), 1) if len(values) else nan


def examples(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose correction changed most, with their states before and now."""
    shift = table[f"{NOW}, {ANION_RULE}"] - table[f"{BEFORE}, {ANION_RULE}"]
    changed = pd.DataFrame(
        {
            "id": table["id"],
            "formula": table["formula"],
            "states_before": table[f"states, {BEFORE}"],
            "states_now": table[f"states, {NOW}"],
            "shift_ev_per_atom": shift.round(4),
            "residual_before_mev": (1000 * residuals(table, BEFORE)).round(1),
            "residual_now_mev": (1000 * residuals(table, NOW)).round(1),
        }
    )[shift.abs() > _SMALLEST_EV_PER_ATOM]
    largest = changed["shift_ev_per_atom"].abs().sort_values(ascending=False, kind="stable").index
    return changed.loc[largest].head(_EXAMPLES)


if __name__ == "__main__":
    main()
