"""Do crystals with large first forces relax, and to what? The figures behind the limit on the first force.

OMP_NUM_THREADS=1 python benchmarks/initial_forces.py TABLE ... --references FOLDER [--crystals 30]

Of each table of generated crystals a seeded sample, structure-valid, half of it with first forces below the
lowest edge, is relaxed without limits on the first force and energy; energies above the DFT reference hull
(FOLDER is results/references) say what they became.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.datasets.sources import read_file
from matwheel.hull.elemental_references import elemental_energies
from matwheel.hull.hull import ReferenceHull, e_above_hull_table
from matwheel.hull.reference_phases import phases_of_archive, system_of
from matwheel.potentials.potentials import make_calculator, potential_card
from matwheel.potentials.relaxation import RelaxationSettings, relax
from matwheel.screening.structure_validity import structure_verdicts

EDGES = (0, 20, 50, 100, 200, 500, 1000, np.inf)
FORCE = "largest_force_initial_ev_per_angstrom"
POTENTIAL = "7net-0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--crystals", type=int, default=30, help="of each table, above and below")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    calculator = make_calculator(POTENTIAL, double_precision=True)
    settings = RelaxationSettings(largest_initial_force_ev_per_angstrom=1e12, highest_energy_ev_per_atom=1e12)
    only_first = replace(settings, largest_initial_force_ev_per_angstrom=1e-12)
    elements = elemental_energies(pd.read_csv(arguments.references / "elements.csv"))

    results = []
    for table in arguments.tables:
        crystals = crystals_of_table(read_table(table))
        crystals = [
            c for c, v in zip(crystals, structure_verdicts(crystals), strict=True) if v.verdict == "pass"
        ]
        order = np.random.default_rng(0).permutation(len(crystals))
        chosen: dict[bool, list[int]] = {False: [], True: []}
        asked = 0
        for i in order:
            if min(map(len, chosen.values())) >= arguments.crystals:
                break
            asked += 1
            force = relax([crystals[i]], calculator, only_first, lambda _: None)[FORCE].iloc[0]
            if len(chosen[force > EDGES[1]]) < arguments.crystals:
                chosen[force > EDGES[1]].append(i)
        relaxed = relax(
            [crystals[i] for i in [*chosen[False], *chosen[True]]], calculator, settings, lambda _: None
        )
        systems = {system_of(species) for species in relaxed["species"]}
        archive = read_file(arguments.references / "archive_phases.csv")
        hull = ReferenceHull(phases_of_archive(archive, elements, systems=systems))
        card, energies = potential_card(POTENTIAL), relaxed["energy_ev_per_atom"].to_numpy()
        above = e_above_hull_table(crystals_of_table(relaxed), energies, card, elements, hull, None)
        relaxed["e_above_hull"] = above["e_above_hull_dft_ev_per_atom"].to_numpy()
        print(f"{table}: {len(crystals)} structure-valid, {asked} asked for their first force", flush=True)
        results.append(relaxed)

    joined = pd.concat(results, ignore_index=True)
    joined["force"] = pd.cut(joined[FORCE], EDGES)
    for force, group in joined.groupby("force", observed=True):
        done, statuses = group[group["status"] == "converged"], group["status"].value_counts().to_dict()
        steps, height = done["steps"], done["e_above_hull"]
        print(
            f"{force} eV/Å: {len(group)}, {statuses}; converged: steps median "
            f"{steps.median():.0f}, largest {steps.max():.0f}; above the hull median {height.median():.2f}, "
            f"lowest {height.min():.2f} eV/atom, {(height <= 0.1).sum()} within 0.1; volume change median "
            f"{100 * done['volume_change'].median():+.0f} %"
        )
    shown = ["id", "formula", FORCE, "energy_initial_ev_per_atom", "energy_ev_per_atom", "status", "steps"]
    print(
        joined.sort_values(FORCE)[[*shown, "volume_change", "e_above_hull", "reason"]].to_string(index=False)
    )


if __name__ == "__main__":
    main()
