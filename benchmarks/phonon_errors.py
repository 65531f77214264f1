"""How far a potential's lowest and highest frequencies are off those of DFT, and whether signs agree.

    pip download phonopy==4.8.6 --no-binary phonopy --no-deps && tar xf phonopy-4.8.6.tar.gz
    OMP_NUM_THREADS=1 python benchmarks/phonon_errors.py --source phonopy-4.8.6 [--potential 7net-0]

The archive of phonopy's source holds forces by DFT (mostly PBEsol) in displaced supercells of some thirty
crystals. Frequencies are compared at the q-points that fit into the same supercell, where both are exact,
each at its own minimum; translations at Γ do not count. The last lines are the confusion of the verdicts and
the errors, from which the thresholds of `matwheel.vibrations.phonon_settings` come.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import phonopy
from phonopy import Phonopy

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.potentials.potentials import POTENTIALS, make_calculator
from matwheel.potentials.symmetric_relaxation import relax_to_minimum
from matwheel.vibrations.force_constants import Modes, commensurate_points, force_constants, modes_at
from matwheel.vibrations.phonon_judgement import judge_modes, without_translations
from matwheel.vibrations.phonon_settings import PhononSettings

EXAMPLES = ("Al2O3", "CaTiO3", "Cr", "MgB2", "MgO", "NaCl", "SiO2-HP", "SnO2", "TiO2-anatase", "ZnO")
PARAMETERS = ("SrTiO3", "params_TiPN3", "params_Zr3N4", "params_Si")
# Supercells of test/phonon, as phonopy's tests have them.
SUPERCELLS = {
    "P2": (3, 2, 2), "Pc": (2, 2, 2), "P222_1": (2, 2, 1), "Amm2": (3, 2, 2), "P4_1": (2, 2, 1),
    "P-4": (1, 1, 2), "I4_1a": (2, 2, 1), "P4mm": (3, 3, 2), "P-42_1m": (2, 2, 3), "P3m1": (4, 4, 2),
    "P31m": (1, 1, 3), "P-3m1": (3, 3, 2), "P6": (2, 2, 1), "P-6": (1, 1, 3), "P6_222": (2, 2, 2),
    "P-6m2": (2, 2, 3), "P-62m": (1, 1, 2), "P2_13": (2, 2, 2), "Pa-3": (2, 2, 2), "P4_332": (1, 1, 1),
    "P-43m": (2, 2, 2),
}  # fmt: skip


def load(source: Path, name: str) -> Phonopy:
    """Return the crystal with its forces; the correction by Born charges is left out on both sides."""
    options = {"is_nac": False, "symmetrize_fc": True, "log_level": 0}
    if name in SUPERCELLS:
        folder = source / "test" / "phonon"
        return phonopy.load(
            unitcell_filename=str(folder / f"POSCAR_{name}"), supercell_matrix=np.diag(SUPERCELLS[name]),
            primitive_matrix="auto", force_sets_filename=str(folder / f"FORCE_SETS_{name}"), **options,
        )  # fmt: skip
    if name in PARAMETERS:
        (path,) = (source / "test").glob(f"phonopy_{name}.yaml*")
        return phonopy.load(str(path), **options)
    folder = source / "example" / name
    return phonopy.load(
        str(folder / "phonopy_disp.yaml"), force_sets_filename=str(folder / "FORCE_SETS"), **options
    )


def dft_modes(reference: Phonopy, points: np.ndarray) -> Modes:
    found = reference.run_qpoints(points, with_eigenvectors=True)
    frequencies = np.array(found.frequencies)
    atoms = len(reference.primitive)
    vectors = np.swapaxes(np.array(found.eigenvectors), 1, 2).reshape(len(points), 3 * atoms, atoms, 3)
    weights = np.sqrt(reference.primitive.masses / reference.primitive.masses.sum())
    overlap = (np.abs(np.einsum("a,qbai->qbi", weights, vectors)) ** 2).sum(axis=2)
    acoustic = np.zeros(frequencies.shape, dtype=bool)
    np.put_along_axis(acoustic, np.argsort(-overlap, axis=1, kind="stable")[:, :3], True, axis=1)
    return Modes(points, frequencies, vectors, acoustic)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder of phonopy's unpacked source")
    parser.add_argument("--potential", default="7net-0", choices=list(POTENTIALS))
    parser.add_argument("--largest", type=int, default=200, help="atoms of the supercells")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # that phonopy finds primitive cells itself is meant so
    calculator, settings = make_calculator(arguments.potential, double_precision=True), PhononSettings()
    columns = ("crystal", "formula", "atoms", "lowest, THz: DFT", "potential", "highest, THz: DFT",
               "potential", "DFT", "potential", "CPU s")  # fmt: skip
    print(f"{arguments.potential}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    lowest, highest, verdicts = [], [], Counter()
    for name in (*EXAMPLES, *PARAMETERS, *SUPERCELLS):
        started = time.process_time()
        reference = load(arguments.source, name)
        matrix = (
            np.round(np.linalg.inv(reference.primitive_matrix) @ reference.supercell_matrix).astype(int).T
        )
        if len(reference.supercell) > arguments.largest:
            print(f"| {name} | | {len(reference.supercell)} |{' |' * 7}", flush=True)
            continue
        cell = reference.primitive
        crystal = Crystal(name, tuple(cell.symbols), cell.cell, cell.scaled_positions)
        minimum = relax_to_minimum(
            crystal, calculator, fmax_ev_per_angstrom=settings.fmax_ev_per_angstrom,
            max_steps=settings.max_relaxation_steps, keep_symmetry=True,
        )  # fmt: skip
        points = commensurate_points(matrix)
        both = (
            dft_modes(reference, points),
            modes_at(force_constants(minimum.crystal, calculator, matrix), points),
        )
        low = [float(without_translations(modes).min()) for modes in both]
        high = [float(modes.frequencies_thz.max()) for modes in both]
        said = [judge_modes(modes, settings).verdict for modes in both]
        lowest.append(low)
        highest.append(high)
        verdicts[tuple(said)] += 1
        figures = (name, reduced_formula(crystal), str(len(reference.supercell)),
                   *(f"{value:.2f}" for value in (*low, *high)), *said,
                   f"{time.process_time() - started:.1f}")  # fmt: skip
        print(f"| {' | '.join(figures)} |", flush=True)
    low, high = np.array(lowest), np.array(highest)
    print(f"\nDFT, potential: {dict(verdicts)}")
    ratio = high[:, 1] / high[:, 0]
    print(f"highest, potential / DFT: mean {ratio.mean():.3f}, {ratio.min():.3f} to {ratio.max():.3f}")
    positive = (low > 0).all(axis=1)
    ratio = low[positive, 1] / low[positive, 0]
    print(f"lowest of those positive by both: median ratio {np.median(ratio):.3f}, "
          f"{ratio.min():.3f} to {ratio.max():.3f}")  # fmt: skip
    difference = low[:, 1] - low[:, 0]
    print(f"lowest, potential - DFT: mean {difference.mean():.2f}, root mean square "
          f"{np.sqrt((difference**2).mean()):.2f}, largest {np.abs(difference).max():.2f} THz")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
