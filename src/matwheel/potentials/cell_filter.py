"""ASE's FrechetCellFilter with the same figures at a fraction of the cost, for crystals and for layers.

ASE takes the matrix logarithm of the deformation and nine derivatives of the matrix exponential each time
the forces are asked for, four times a step. For small cells that costs more than the potential. Here the
logarithm is remembered, one adjoint derivative stands for the nine, and the forces of one geometry are
computed once.

Of a layer under vacuum only the plane is strained: a stress along the vacuum is none of the layer, and the
height of the cell is the user's.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from scipy.linalg import expm


class CellFilter(FrechetCellFilter):
    """Positions in the undeformed cell and the logarithm of the deformation.

    All six strains are free, or the three in the plane of a layer.

    While it is in use, the atoms must be moved through it only.
    """

    def __init__(self, atoms: Atoms, normal: NDArray[np.float64] | None = None) -> None:
        """Wrap atoms.

        Args:
            normal: unit vector upright on the plane of a layer, shape (3,); None for a crystal.
        """
        super().__init__(atoms)
        self._in_plane = None if normal is None else np.eye(3) - np.outer(normal, normal)
        self._coordinates: NDArray[np.float64] | None = None
        self._forces: NDArray[np.float64] | None = None

    def get_positions(self) -> NDArray[np.float64]:
        """Return the coordinates, shape (atoms + 3, 3)."""
        if self._coordinates is None:
            self._coordinates = super().get_positions()
        return self._coordinates.copy()

    def set_positions(self, new: NDArray[np.float64], **options: bool) -> None:  # type: ignore[override]  # ASE's own filters differ in the name
        """Move atoms and cell to the coordinates `new`, shape (atoms + 3, 3)."""
        super().set_positions(new, **options)
        self._coordinates, self._forces = np.array(new), None

    def get_forces(self, **_: bool) -> NDArray[np.float64]:
        """Return minus the gradient of the energy by the coordinates, shape (atoms + 3, 3)."""
        if self._forces is None:
            atoms, count = self.atoms, len(self.atoms)
            virial = -atoms.get_volume() * voigt_6_to_full_3x3_stress(atoms.get_stress())
            if self._in_plane is not None:
                virial = self._in_plane @ virial @ self._in_plane
            deformation = self.deform_grad()
            forces = np.empty((count + 3, 3))
            forces[:count] = atoms.get_forces() @ deformation
            # ASE's coordinate is count · log(count · deformation).
            logarithm = self.get_positions()[count:] / count - np.log(count) * np.eye(3)
            by_deformation = virial @ np.linalg.inv(deformation.T)
            # <A, dexp(U)[E]> = <dexp(Uᵀ)[A], E> for every direction E: one derivative, the corner of a
            # block matrix's exponential (Higham, Functions of Matrices, eq. 3.16).
            block = np.zeros((6, 6))
            block[:3, :3] = block[3:, 3:] = logarithm.T
            block[:3, 3:] = by_deformation
            forces[count:] = expm(block)[:3, 3:] / count
            if self._in_plane is not None:
                forces[count:] = self._in_plane @ forces[count:] @ self._in_plane
            self._forces = forces
        return self._forces.copy()
