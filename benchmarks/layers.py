"""Dynamical stability of crystals and layers: a known set with expected verdicts, and random layers.

    OMP_NUM_THREADS=1 python benchmarks/layers.py [--mirror FOLDER] [--potential NAME] [--sample N] [--seed N]

The known set has 15 crystals and 12 layers, stable ones and unstable ones of both kinds, by experiment or by
PBE. Those that the default potential is known to get wrong stand apart and are not counted. With `--mirror`,
the folder with jarvis2d_exfoliation.json.gz, a random sample of its layers is judged, and beside it the rows
ZrN, TaP and Se, which are unstable. All rows are layers that PBE calls exfoliable, real ones or proposed;
some are unstable by PBE too (charge density waves), so not all should pass.
Exit status 1 when a verdict of the known set is wrong or fewer than 28 of 40 layers are stable.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from matwheel.crystals.crystal import Crystal, from_structure
from matwheel.crystals.table import reduced_formula
from matwheel.potentials.potentials import POTENTIALS, make_calculator
from matwheel.vibrations.phonon_judgement import PASSING, UNSTABLE
from matwheel.vibrations.phonon_results import PhononResult
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonon_stability

FILE = "jarvis2d_exfoliation.json.gz"
FEWEST_STABLE_OF_40 = 28
STABLE = "stable"
UNSTABLE_ROWS = ("ZrN", "TaP", "Se")
HEIGHT_ANGSTROM = 22.0

# name: space group, a, c (None: cubic), sites, expected. Lattice constants in Å.
BULK = {
    "Si": (227, 5.43, None, {"Si": [[0, 0, 0]]}, STABLE),
    "C (diamond)": (227, 3.57, None, {"C": [[0, 0, 0]]}, STABLE),
    "GaAs": (216, 5.65, None, {"Ga": [[0, 0, 0]], "As": [[0.25, 0.25, 0.25]]}, STABLE),
    "NaCl": (225, 5.64, None, {"Na": [[0, 0, 0]], "Cl": [[0.5, 0.5, 0.5]]}, STABLE),
    "MgO": (225, 4.21, None, {"Mg": [[0, 0, 0]], "O": [[0.5, 0.5, 0.5]]}, STABLE),
    "CaF2": (225, 5.46, None, {"Ca": [[0, 0, 0]], "F": [[0.25, 0.25, 0.25]]}, STABLE),
    "Al": (225, 4.05, None, {"Al": [[0, 0, 0]]}, STABLE),
    "Pb": (225, 4.95, None, {"Pb": [[0, 0, 0]]}, STABLE),
    "MoS2 (2H)": (194, 3.16, 12.30, {"Mo": [[1 / 3, 2 / 3, 0.25]], "S": [[1 / 3, 2 / 3, 0.621]]}, STABLE),
    "Bi2Te3": (166, 4.39, 30.49, {"Te": [[0, 0, 0], [0, 0, 0.2095]], "Bi": [[0, 0, 0.4]]}, STABLE),
    "SrTiO3 (cubic)": (
        221, 3.905, None, {"Sr": [[0, 0, 0]], "Ti": [[0.5, 0.5, 0.5]], "O": [[0.5, 0.5, 0]]}, UNSTABLE,
    ),
    "BaTiO3 (cubic)": (
        221, 4.01, None, {"Ba": [[0, 0, 0]], "Ti": [[0.5, 0.5, 0.5]], "O": [[0.5, 0.5, 0]]}, UNSTABLE,
    ),
    "Ag3SBr (cubic)": (
        221, 4.79, None, {"Br": [[0, 0, 0]], "S": [[0.5, 0.5, 0.5]], "Ag": [[0.5, 0.5, 0]]}, UNSTABLE,
    ),
    "ZrO2 (cubic)": (225, 5.09, None, {"Zr": [[0, 0, 0]], "O": [[0.25, 0.25, 0.25]]}, UNSTABLE),
    "PbTiO3 (cubic)": (
        221, 3.96, None, {"Pb": [[0, 0, 0]], "Ti": [[0.5, 0.5, 0.5]], "O": [[0.5, 0.5, 0]]}, UNSTABLE,
    ),
}  # fmt: skip

# name: species, a, b (None: hexagonal), sites (fraction of a, of b, height in Å), expected.
LAYERS = {
    "graphene": (("C", "C"), 2.46, None, [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0)], STABLE),
    "BN": (("B", "N"), 2.51, None, [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0)], STABLE),
    "arsenene": (("As", "As"), 3.61, None, [(1 / 3, 2 / 3, 0.70), (2 / 3, 1 / 3, -0.70)], STABLE),
    "phosphorene": (
        ("P",) * 4, 3.30, 4.62,
        [(0, 0.087, 1.06), (0.5, 0.413, 1.06), (0.5, 0.587, -1.06), (0, 0.913, -1.06)], STABLE,
    ),
    "MoS2 (1H)": (
        ("Mo", "S", "S"), 3.18, None,
        [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 1.56), (2 / 3, 1 / 3, -1.56)], STABLE,
    ),
    "WSe2 (1H)": (
        ("W", "Se", "Se"), 3.32, None,
        [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 1.68), (2 / 3, 1 / 3, -1.68)], STABLE,
    ),
    "SnS2 (1T)": (
        ("Sn", "S", "S"), 3.70, None, [(0, 0, 0), (1 / 3, 2 / 3, 1.47), (2 / 3, 1 / 3, -1.47)], STABLE,
    ),
    "GaSe": (
        ("Ga", "Ga", "Se", "Se"), 3.82, None,
        [(1 / 3, 2 / 3, 1.23), (1 / 3, 2 / 3, -1.23), (2 / 3, 1 / 3, 2.41), (2 / 3, 1 / 3, -2.41)], STABLE,
    ),
    "Bi2Se3": (
        ("Se", "Bi", "Bi", "Se", "Se"), 4.14, None,
        [(0, 0, 0), (1 / 3, 2 / 3, 1.9), (2 / 3, 1 / 3, -1.9), (2 / 3, 1 / 3, 3.45), (1 / 3, 2 / 3, -3.45)],
        STABLE,
    ),
    "silicene (flat)": (("Si", "Si"), 3.90, None, [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0)], UNSTABLE),
    "germanene (flat)": (("Ge", "Ge"), 4.10, None, [(1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0)], UNSTABLE),
    "TaS2 (1T)": (
        ("Ta", "S", "S"), 3.38, None, [(0, 0, 0), (1 / 3, 2 / 3, 1.53), (2 / 3, 1 / 3, -1.53)], UNSTABLE,
    ),
}  # fmt: skip


# By experiment or PBE otherwise than 7net-0 says.
WEAK_BULK = {
    "Zr (bcc)": (229, 3.57, None, {"Zr": [[0, 0, 0]]}, UNSTABLE),
    "TiO2 (rutile)": (136, 4.65, 2.97, {"Ti": [[0, 0, 0]], "O": [[0.305, 0.305, 0]]}, STABLE),
}
WEAK_LAYERS = {
    "silicene": (("Si", "Si"), 3.87, None, [(1 / 3, 2 / 3, 0.23), (2 / 3, 1 / 3, -0.23)], STABLE),
    "MoS2 (1T)": (
        ("Mo", "S", "S"), 3.18, None, [(0, 0, 0), (1 / 3, 2 / 3, 1.58), (2 / 3, 1 / 3, -1.58)], UNSTABLE,
    ),
}  # fmt: skip


def bulk(name: str) -> Crystal:
    group, a, c, sites, _ = (BULK | WEAK_BULK)[name]
    if c is None:
        lattice = Lattice.cubic(a)
    else:
        lattice = Lattice.hexagonal(a, c) if group >= 143 else Lattice.tetragonal(a, c)
    species = [symbol for symbol, positions in sites.items() for _ in positions]
    positions = [position for one in sites.values() for position in one]
    return from_structure(name, Structure.from_spacegroup(group, lattice, species, positions))


def layer(name: str) -> Crystal:
    species, a, b, sites, _ = (LAYERS | WEAK_LAYERS)[name]
    plane = [[a, 0, 0], [-a / 2, a * np.sqrt(0.75), 0]] if b is None else [[a, 0, 0], [0, b, 0]]
    lattice = np.array([*plane, [0, 0, HEIGHT_ANGSTROM]])
    return Crystal(name, species, lattice, [(x, y, 0.5 + z / HEIGHT_ANGSTROM) for x, y, z in sites])


def dataset_layers(folder: Path) -> list[Crystal]:
    with gzip.open(folder / FILE) as file:
        rows = json.load(file)
    return [
        Crystal(row["material_id"], tuple(row["species"]), np.array(row["lattice"]), row["frac_coords"])
        for row in rows
    ]


def judged(crystal: Crystal, calculator, settings: PhononSettings, expected: str = "") -> PhononResult:
    started = time.process_time()
    result = phonon_stability(crystal, calculator, settings, lambda _: None)
    figures = (
        crystal.id,
        reduced_formula(crystal),
        *([expected] if expected else []),
        result.verdict,
        f"{result.lowest_frequency_thz:.2f}",
        f"{result.lowest_stiffness_n_per_m:.1f}" if np.isfinite(result.lowest_stiffness_n_per_m) else "",
        str(result.supercell_atoms),
        str(result.force_evaluations),
        f"{time.process_time() - started:.1f}",
        result.reason.splitlines()[0] if result.reason else "",
    )
    print(f"| {' | '.join(figures)} |", flush=True)
    return result


def is_right(result: PhononResult, expected: str) -> bool:
    return result.verdict in PASSING if expected == STABLE else result.verdict == expected


def heading(*columns: str) -> None:
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", type=Path, help=f"folder with {FILE}")
    parser.add_argument("--potential", default="7net-0", choices=list(POTENTIALS))
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int, default=2025)
    arguments = parser.parse_args()
    calculator = make_calculator(arguments.potential, double_precision=True)
    settings = PhononSettings(follow_unstable=False)
    figures = ("lowest, THz", "stiffness, N/m", "atoms", "evaluations", "CPU s", "")
    heading("known", "formula", "expected", "verdict", *figures)
    wrong = [
        name
        for build, known in ((bulk, BULK), (layer, LAYERS))
        for name, (*_, expected) in known.items()
        if not is_right(judged(build(name), calculator, settings, expected), expected)
    ]
    number = len(BULK) + len(LAYERS)
    print(f"\n{number - len(wrong)} of {number} as expected; not so: {wrong}")
    heading("weakness", "formula", "expected", "verdict", *figures)
    for build, weak in ((bulk, WEAK_BULK), (layer, WEAK_LAYERS)):
        for name, (*_, expected) in weak.items():
            judged(build(name), calculator, settings, expected)
    too_few = False
    if arguments.mirror:
        layers = dataset_layers(arguments.mirror)
        heading("unstable row", "formula", "expected", "verdict", *figures)
        for crystal in layers:
            if reduced_formula(crystal) in UNSTABLE_ROWS:
                result = judged(crystal, calculator, settings, UNSTABLE)
                wrong += [] if is_right(result, UNSTABLE) else [crystal.id]
        drawn = np.random.default_rng(arguments.seed).permutation(len(layers))[: arguments.sample]
        heading("random row", "formula", "verdict", *figures)
        verdicts = Counter(judged(layers[place], calculator, settings).verdict for place in sorted(drawn))
        stable = sum(verdicts[name] for name in PASSING)
        too_few = stable * 40 < FEWEST_STABLE_OF_40 * len(drawn)
        print(f"\n{stable} of {len(drawn)} layers are stable: {dict(verdicts)}")
    return 1 if wrong or too_few else 0


if __name__ == "__main__":
    sys.exit(main())
