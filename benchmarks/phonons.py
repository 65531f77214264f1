"""Phonons of crystals whose stability is known, with two potentials: verdicts, frequencies, CPU time.

    OMP_NUM_THREADS=1 python benchmarks/phonons.py [--potentials 7net-0 7net-l3i5] [--table TABLE.parquet]

Silicon, rock salt and magnesia are stable; cubic SrTiO3 (by PBE at rest; heat holds the real one up) and the
cubic silver chalcohalides Ag3SBr and Ag3SI are not. With `--table` the phonons of a crystal table are added.
Exit status 1 when a verdict of the known set is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.potentials.potentials import POTENTIALS, make_calculator
from matwheel.vibrations.phonon_results import PhononResult
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonon_stability

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
PEROVSKITE = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
KNOWN = {
    "Si": (("Si", "Si"), FCC * 5.43, [[0, 0, 0], [0.25, 0.25, 0.25]], "stable"),
    "NaCl": (("Na", "Cl"), FCC * 5.64, [[0, 0, 0], [0.5, 0.5, 0.5]], "stable"),
    "MgO": (("Mg", "O"), FCC * 4.21, [[0, 0, 0], [0.5, 0.5, 0.5]], "stable"),
    "SrTiO3": (("Sr", "Ti", "O", "O", "O"), np.eye(3) * 3.905, PEROVSKITE, "unstable"),
    "Ag3SBr": (("Br", "S", "Ag", "Ag", "Ag"), np.eye(3) * 4.79, PEROVSKITE, "unstable"),
    "Ag3SI": (("I", "S", "Ag", "Ag", "Ag"), np.eye(3) * 4.87, PEROVSKITE, "unstable"),
}


def report(crystal: Crystal, calculator, settings: PhononSettings, expected: str = "") -> PhononResult:
    started = time.process_time()
    result = phonon_stability(crystal, calculator, settings, lambda _: None)
    cpu = time.process_time() - started
    gamma = []
    if result.gamma_frequencies_thz is not None:
        values, counts = np.unique(np.round(result.gamma_frequencies_thz, 1) + 0.0, return_counts=True)
        gamma = [f"{value:.1f}×{count}" for value, count in zip(values, counts, strict=True)]
    daughter = result.daughter.reason if result.daughter else ""
    figures = (
        crystal.id,
        expected,
        result.verdict,
        f"{result.lowest_frequency_thz:.2f}",
        " ".join(gamma) if len(gamma) < 8 else f"{gamma[0]} … {gamma[-1]}",
        str(result.supercell_atoms),
        str(result.force_evaluations),
        f"{cpu:.1f}",
        daughter or result.reason,
    )
    print(f"| {' | '.join(figures)} |", flush=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potentials", nargs="+", default=["7net-0", "7net-l3i5"], choices=list(POTENTIALS))
    parser.add_argument("--table", help="Parquet file of crystals")
    arguments = parser.parse_args()
    settings, wrong = PhononSettings(), 0
    for name in arguments.potentials:
        calculator = make_calculator(name)
        print(f"\n{name}\n")
        print("| crystal | known | verdict | lowest, THz | Γ, THz | atoms | evaluations | CPU s | |")
        print("|---|---|---|---|---|---|---|---|---|")
        for crystal_id, (species, lattice, positions, expected) in KNOWN.items():
            crystal = Crystal(crystal_id, species, lattice, np.array(positions))
            wrong += report(crystal, calculator, settings, expected).verdict != expected
        for crystal in crystals_of_table(read_table(arguments.table)) if arguments.table else []:
            report(crystal, calculator, settings)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
