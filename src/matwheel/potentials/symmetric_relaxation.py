"""Relaxation for phonons: a primitive standardised cell, its symmetry kept, and very small forces.

Layers come in the cell of `crystals.dimensionality.layer_cell`, and stay in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, layer_cell, plane_normal, vacuum
from matwheel.crystals.symmetry.standard_cells import standard_cell
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset
from matwheel.potentials.atoms import from_atoms, to_atoms

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

# An idealised cell is exact to rounding; operations are looked up in it with this tolerance.
IDEAL_SYMPREC_ANGSTROM = 1e-3
_TIGHTER = 5.0


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a relaxation ended.

    Attributes:
        crystal: the last geometry.
        energy_ev_per_atom: its energy.
        converged: whether the largest force is below the limit.
        largest_force_ev_per_angstrom: largest force on an atom (eV/Å) or row of the virial per atom (eV).
        steps: optimiser steps.
    """

    crystal: Crystal
    energy_ev_per_atom: float
    converged: bool
    largest_force_ev_per_angstrom: float
    steps: int


def standard_primitive(crystal: Crystal, symprec_angstrom: float) -> tuple[Crystal, int] | None:
    """Return the primitive cell in spglib's standard setting, idealised, and its space-group number.

    The lattice may be turned in space and atoms come in another order. A layer that is named so by its `pbc`
    keeps its vacuum along the third vector. None where spglib finds no symmetry.
    """
    standard = standard_cell(crystal, symprec_angstrom, primitive=True)
    if standard is None:
        return None
    if not all(crystal.pbc):
        # Idealised positions are this close to where they were, so no gap is narrower by more.
        standard = layer_cell(standard, vacuum(crystal).gap_angstrom - 2 * symprec_angstrom)
    dataset = symmetry_dataset(standard, IDEAL_SYMPREC_ANGSTROM)
    return None if dataset is None else (standard, int(dataset.number))


def symmetrise(
    crystal: Crystal,
    energy_ev_per_atom: Callable[[Crystal], float],
    symprec_angstrom: float,
    largest_cost_mev_per_atom: float,
) -> tuple[Crystal, int] | None:
    """Return the standard primitive cell at the loosest tolerance that does not undo a real distortion.

    Symmetry found with a loose tolerance may be that of the undistorted parent of a crystal. So the tolerance
    starts at `symprec_angstrom` and is divided by five as long as idealising the crystal raises its energy by
    more than `largest_cost_mev_per_atom`, down to 0.001 Å.

    Returns:
        The cell and its space-group number; None where spglib finds none at any tolerance.
    """
    reference = energy_ev_per_atom(crystal)
    symprec, found = symprec_angstrom, None
    while symprec >= IDEAL_SYMPREC_ANGSTROM:
        standard = standard_primitive(crystal, symprec)
        if standard is not None:
            found = standard
            if 1000 * (energy_ev_per_atom(standard[0]) - reference) <= largest_cost_mev_per_atom:
                return found
        symprec /= _TIGHTER
    return found


def relax_to_minimum(
    crystal: Crystal,
    calculator: Calculator,
    *,
    fmax_ev_per_angstrom: float,
    max_steps: int,
    keep_symmetry: bool,
    after_evaluation: Callable[[int], None] = lambda atoms: None,
    largest_volume_ratio: float = 4.0,
    vacuum_angstrom: float = VACUUM_ANGSTROM,
) -> Minimum:
    """Relax positions and cell with BFGS, with the symmetry of `crystal` kept or not.

    Of a layer positions and plane are relaxed, and the height of its cell stays.

    Args:
        crystal: for `keep_symmetry`, an idealised cell as from `standard_primitive`.
        after_evaluation: called after each evaluation with the number of its atoms; what it raises ends the
            relaxation.
        vacuum_angstrom: gap between atoms above which there is vacuum.

    Raises:
        ArithmeticError: energy or forces are not finite, or the volume left the sane range.
    """
    from ase.constraints import FixSymmetry
    from ase.optimize import BFGS

    from matwheel.potentials.cell_filter import CellFilter

    found = vacuum(crystal, vacuum_angstrom)
    normal = plane_normal(crystal, found.miller[0]) if found.dimensionality == 2 else None
    atoms = to_atoms(crystal)
    if keep_symmetry:
        atoms.set_constraint(FixSymmetry(atoms, symprec=IDEAL_SYMPREC_ANGSTROM))
    atoms.calc = calculator
    cell = CellFilter(atoms, normal)
    optimizer = BFGS(cell, logfile=None)  # type: ignore[arg-type]  # ASE moves filters of atoms too
    steps, force = 0, float("inf")
    for _ in optimizer.irun(fmax=fmax_ev_per_angstrom, steps=max_steps):
        steps = optimizer.nsteps
        force = float(np.linalg.norm(cell.get_forces(), axis=1).max())
        if not (isfinite(force) and isfinite(float(atoms.get_potential_energy()))):
            raise ArithmeticError(f"energy or forces are not finite at step {steps}")
        ratio = atoms.get_volume() / crystal.volume_angstrom3
        if not 1 / largest_volume_ratio <= ratio <= largest_volume_ratio:
            raise ArithmeticError(f"volume is {ratio:.3g} times the initial one at step {steps}")
        after_evaluation(len(atoms))
    energy = float(atoms.get_potential_energy()) / len(atoms)
    atoms.set_constraint()
    converged = force < fmax_ev_per_angstrom
    relaxed = replace(from_atoms(crystal.id, atoms), pbc=crystal.pbc)
    return Minimum(relaxed, energy, converged, force, steps)
