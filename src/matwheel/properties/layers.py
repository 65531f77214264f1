"""The layer that a cell holds, in its own frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, layer_cell, vacuum, with_vacuum
from matwheel.properties.interface import Refusal

_WIDER = 1.25  # step of the search for the gap that leaves one direction of vacuum
_WIDEST_ANGSTROM = 1000.0


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with its plane in x and y.

    Attributes:
        species: element symbol of each atom.
        plane_angstrom: the two shortest vectors of its plane, the first along x, shape (2, 2).
        positions_angstrom: in one piece, the lowest atom at z = 0, shape (atoms, 3).
        vacuum_angstrom: empty space in the cell that it came in.
    """

    species: tuple[str, ...]
    plane_angstrom: NDArray[np.float64]
    positions_angstrom: NDArray[np.float64]
    vacuum_angstrom: float

    @property
    def area_angstrom2(self) -> float:
        """Area of the cell in the plane."""
        return float(abs(np.linalg.det(self.plane_angstrom)))

    @property
    def thickness_angstrom(self) -> float:
        """Distance of the outermost atoms' centres along z."""
        return float(self.positions_angstrom[:, 2].max())

    def stacked(self, x: float, y: float, height: float) -> Crystal:
        """Return the crystal of this layer repeated along (x, y, height), Å."""
        lattice = np.zeros((3, 3))
        lattice[:2, :2] = self.plane_angstrom
        lattice[2] = x, y, height
        return Crystal("", self.species, lattice, self.positions_angstrom @ np.linalg.inv(lattice))


def layer_of(crystal: Crystal, vacuum_angstrom: float = VACUUM_ANGSTROM) -> Layer:
    """Return the layer that a cell holds.

    Of a wire, whose cell has vacuum in two directions, the wider one counts: it is taken for a layer of
    wires side by side.

    Args:
        vacuum_angstrom: gap between atoms above which there is vacuum.

    Raises:
        Refusal: there is no vacuum, or as much of it in two directions.
    """
    crystal = with_vacuum(crystal, vacuum_angstrom)
    gap = vacuum_angstrom
    found = vacuum(crystal, gap)
    if found.dimensionality == 3:
        raise Refusal(
            f"no layer: the widest gap between atoms is {found.gap_angstrom:.2f} Å, not above "
            f"{vacuum_angstrom:g} Å"
        )
    name = found.name
    while found.dimensionality < 2 and gap < _WIDEST_ANGSTROM:
        gap *= _WIDER
        found = vacuum(crystal, gap)
    if found.dimensionality != 2:
        raise Refusal(f"no layer but a {name}, with as much vacuum in two directions")
    upright = layer_cell(crystal, gap)
    frame = _frame(upright.lattice)
    positions = upright.frac_coords @ upright.lattice @ frame.T
    positions[:, 2] -= positions[:, 2].min()
    height = float(np.linalg.norm(upright.lattice[2]))
    return Layer(
        upright.species,
        (upright.lattice[:2] @ frame.T)[:, :2],
        positions,
        height - float(positions[:, 2].max()),
    )


def _frame(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors as rows: along the first lattice vector, across it in the plane, and upright."""
    first = lattice[0] / np.linalg.norm(lattice[0])
    normal = np.cross(lattice[0], lattice[1])
    normal /= np.linalg.norm(normal)
    return np.array([first, np.cross(normal, first), normal])
