"""CPU time of relaxing generated crystals, and whether the energies are those of a plain ASE loop.

OMP_NUM_THREADS=1 python benchmarks/relaxation.py TABLE [--crystals 1000] [--sample 20] [--potential 7net-0]
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.potentials import has_double_precision, make_calculator, weights_path
from matwheel.potentials.relaxation import RelaxationSettings, relax

SETTINGS = RelaxationSettings()


def plain_loop(crystal: Crystal, calculator: Calculator, displacement_angstrom: float = 0.0) -> float:
    """Relax as a user of ASE would; returns the energy per atom."""
    atoms = to_atoms(crystal)
    atoms.positions[0, 0] += displacement_angstrom
    atoms.calc = calculator
    BFGS(FrechetCellFilter(atoms), logfile=None).run(
        fmax=SETTINGS.fmax_ev_per_angstrom, steps=SETTINGS.max_steps
    )
    return atoms.get_potential_energy() / len(atoms)


def report(name: str, energies: list[float], references: list[float], cpu_seconds: float) -> None:
    difference = 1000 * np.abs(np.subtract(energies, references))
    above, count = (difference > 1).sum(), len(difference)
    print(
        f"{name}: |ΔE| median {np.median(difference):.2g}, largest {difference.max():.3g} meV/atom, "
        f"{above} of {count} above 1; {cpu_seconds / count:.2f} CPU-s each",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--potential", default="7net-0")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    crystals = crystals_of_table(read_table(arguments.table))
    crystals = [crystals[k] for k in np.linspace(0, len(crystals) - 1, arguments.crystals).astype(int)]

    double_precision = has_double_precision(arguments.potential)
    calculator = make_calculator(arguments.potential, double_precision=double_precision)
    relax(crystals[:1], calculator, SETTINGS, lambda _: None)
    print(f"imports, model and compiled code: {time.process_time():.1f} CPU-s", flush=True)
    cpu, wall = time.process_time(), time.monotonic()
    table = relax(crystals, calculator, SETTINGS, lambda _: None)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    steps, atoms = table["steps"].clip(lower=0).sum(), table["species"].map(len)
    print(
        f"{len(table)} crystals, {atoms.mean():.1f} atoms on average, {steps} steps: {cpu:.0f} CPU-s ", end=""
    )
    print(f"({wall:.0f} s of wall time here), {1000 * cpu / max(1, steps):.1f} CPU-ms per step")
    print(table["status"].value_counts().to_dict(), flush=True)

    relaxed = table[table["status"].isin(["converged", "not_converged"])]
    chosen = relaxed.iloc[np.linspace(0, len(relaxed) - 1, min(arguments.sample, len(relaxed))).astype(int)]
    sample = [crystals[place] for place in chosen.index]
    ours = chosen["energy_ev_per_atom"].tolist()
    cpu = time.process_time()
    plain = [plain_loop(crystal, calculator) for crystal in sample]
    report("plain ASE loop, same calculator", ours, plain, time.process_time() - cpu)
    if not arguments.potential.startswith("7net"):
        return

    from sevenn.calculator import SevenNetCalculator

    package = SevenNetCalculator(str(weights_path(arguments.potential)), device="cpu")
    first, last = [], []
    for crystal, after in zip(sample, crystals_of_table(chosen), strict=True):
        for energies, geometry in ((first, crystal), (last, after)):
            atoms = to_atoms(geometry)
            energies.append(package.get_potential_energy(atoms) / len(atoms))
    report("package's energy of the crystals", chosen["energy_initial_ev_per_atom"].tolist(), first, 0)
    report("package's energy of our relaxed crystals", ours, last, 0)
    cpu = time.process_time()
    theirs = [plain_loop(crystal, package) for crystal in sample]
    report("plain ASE loop, package's calculator", ours, theirs, time.process_time() - cpu)
    for crystal, our, their in zip(sample, ours, theirs, strict=True):
        if 1000 * abs(our - their) > 1:
            shifted = [plain_loop(crystal, package, shift) for shift in (1e-6, -1e-6)]
            moved = ", ".join(f"{1000 * (energy - their):+.3g}" for energy in shifted)
            print(
                f"  {crystal.id}: ours − package {1000 * (our - their):+.3g} meV/atom; the package against "
                f"itself, one atom moved by ±1e-6 Å: {moved}",
                flush=True,
            )


if __name__ == "__main__":
    main()
