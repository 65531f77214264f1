"""In-plane stiffness of a layer: does it hold against long waves, which no small supercell contains?

A layer holds against every in-plane wave longer than its cells if its stiffness tensor, 3 × 3 for the strains
xx, yy and xy, is positive definite. What counts is the tensor with relaxed ions: atoms in the cell follow a
slow strain, and they only make the layer softer, so a clamped one would pass what is unstable. Ions are
relaxed to first order with the force constants at Γ, which are there already:

    C = (d²E/dε² - Λ Φ⁺ Λᵀ) / A,   Λ = dF/dε at clamped ions,   Φ⁺ without translations,

which is exact in the limit of small strains and costs six evaluations of the primitive cell, two per strain.
Strains are in Mandel's notation (xx, yy, √2 xy), so that the eigenvalues do not depend on the axes.
Bending is not asked for: a flat layer without tension resists it with the curvature of its flexural modes,
which are among the phonons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal

N_PER_M_OF_EV_PER_ANGSTROM2 = 16.02176634
_SMALLEST_FORCE_CONSTANT_EV_PER_ANGSTROM2 = 1e-3  # below it a mode at Γ is a translation, or as free as one
_SHEAR = np.sqrt(2.0)

# Forces (atoms, 3; eV/Å) and stress (3, 3; eV/Å³, positive when the cell wants to shrink) of a crystal.
ForcesAndStress = Callable[[Crystal], tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class LayerStiffness:
    """Stiffness tensors of a layer, Mandel's notation, N/m.

    Attributes:
        relaxed: with relaxed ions, shape (3, 3).
        clamped: with the ions clamped to the strained cell, shape (3, 3).
    """

    relaxed: NDArray[np.float64]
    clamped: NDArray[np.float64]

    @property
    def lowest_n_per_m(self) -> float:
        """Lowest eigenvalue with relaxed ions; negative where a strain lowers the energy."""
        return float(np.linalg.eigvalsh(self.relaxed)[0])


def layer_stiffness(
    crystal: Crystal,
    forces_and_stress: ForcesAndStress,
    gamma_ev_per_angstrom2: NDArray[np.float64],
    strain: float,
) -> LayerStiffness:
    """Return the in-plane stiffness of a layer at a minimum of its energy.

    Args:
        crystal: in the cell of `layer_cell`, relaxed.
        forces_and_stress: of a crystal by the potential; called six times.
        gamma_ev_per_angstrom2: force constants of the cell itself, all images moving together, shape
            (atoms, atoms, 3, 3), with the acoustic sum rule.
        strain: length of each strain, forwards and backwards.

    Raises:
        ArithmeticError: forces or stress are not finite.
    """
    x = crystal.lattice[0] / np.linalg.norm(crystal.lattice[0])
    y = crystal.lattice[1] - (crystal.lattice[1] @ x) * x
    y /= np.linalg.norm(y)
    directions = [np.outer(x, x), np.outer(y, y), (np.outer(x, y) + np.outer(y, x)) / _SHEAR]
    area = float(np.linalg.norm(np.cross(crystal.lattice[0], crystal.lattice[1])))
    clamped, response = np.empty((3, 3)), np.empty((3, 3 * len(crystal.species)))
    for row, direction in enumerate(directions):
        ends = []
        for sign in (1.0, -1.0):
            strained = replace(crystal, lattice=crystal.lattice @ (np.eye(3) + sign * strain * direction))
            forces, stress = forces_and_stress(strained)
            virial = strained.volume_angstrom3 * stress
            ends.append((forces.ravel(), np.array([np.sum(virial * other) for other in directions])))
        response[row] = (ends[0][0] - ends[1][0]) / (2 * strain)
        clamped[row] = (ends[0][1] - ends[1][1]) / (2 * strain)
    if not (np.isfinite(response).all() and np.isfinite(clamped).all()):
        raise ArithmeticError("forces or stress of a strained layer are not finite")
    clamped = (clamped + clamped.T) / 2
    size = response.shape[1]
    values, vectors = np.linalg.eigh(gamma_ev_per_angstrom2.transpose(0, 2, 1, 3).reshape(size, size))
    held = np.abs(values) > _SMALLEST_FORCE_CONSTANT_EV_PER_ANGSTROM2
    along = response @ vectors[:, held]
    relaxed = clamped - (along / values[held]) @ along.T
    units = N_PER_M_OF_EV_PER_ANGSTROM2 / area
    return LayerStiffness(relaxed * units, clamped * units)
