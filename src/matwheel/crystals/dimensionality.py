"""Crystals, layers, wires and molecules, told by the empty space between their periodic images.

Between two families of planes without an atom for longer than the range of a potential nothing acts, so what
lies on either side is apart: a crystal with one such family is a layer, with two a wire, with three a
molecule. The planes are looked for in the Niggli cell, since the cell that comes in may be skewed at will.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from math import gcd
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.crystals.crystal import Crystal

VACUUM_ANGSTROM = 5.0  # range of the edges of 7net-0 and 7net-l3i5
VacuumGap = Annotated[
    float,
    Field(
        gt=0,
        description="A gap between atoms along a lattice direction above which nothing holds the two sides "
        "together, the range of the potential. What has one such direction is a layer, with two a wire, with "
        "three a molecule.",
    ),
]
"""Of settings: what counts as vacuum."""
NAMES = ("molecule", "wire", "layer", "crystal")
LAYER_PERIODICITY = (True, True, False)
# Space that an atom takes beyond its centre, both sides together; so a flat layer has a volume.
ATOM_SIZE_ANGSTROM = 3.0
# Miller indices in the Niggli cell; a layer in a long plane cell may lie in (0 1 -1) of it, or (0 1 -2).
_MILLER = np.array(
    [
        indices
        for indices in product(range(-2, 3), repeat=3)
        if gcd(*indices) == 1 and next(index for index in indices if index) > 0
    ]
)
# Steps from one lattice point to others near by, the shortest first.
_VECTORS = np.array(
    sorted((v for v in product(range(-2, 3), repeat=3) if any(v)), key=lambda v: sum(map(abs, v)))
)


@dataclass(frozen=True, eq=False)
class Vacuum:
    """The empty space in a crystal.

    Attributes:
        dimensionality: 3 for a crystal, 2 for a layer, 1 for a wire, 0 for a molecule.
        miller: Miller indices of families of planes with empty space between, independent ones, those with
            most of it first, shape (3 - dimensionality, 3); in the cell of the crystal as it is.
        gap_angstrom: the widest empty space; of a crystal the widest distance between planes of atoms.
    """

    dimensionality: int
    miller: NDArray[np.int64]
    gap_angstrom: float

    @property
    def name(self) -> str:
        """In a word: 'crystal', 'layer', 'wire' or 'molecule'."""
        return NAMES[self.dimensionality]


@dataclass(frozen=True)
class LayerGeometry:
    """Size of a layer.

    Attributes:
        area_angstrom2: of the cell in the plane.
        thickness_angstrom: between the centres of the outermost atoms.
    """

    area_angstrom2: float
    thickness_angstrom: float

    @property
    def filled_volume_angstrom3(self) -> float:
        """Volume that the atoms take, without vacuum."""
        return self.area_angstrom2 * (self.thickness_angstrom + ATOM_SIZE_ANGSTROM)


def vacuum(crystal: Crystal, gap_angstrom: float = VACUUM_ANGSTROM) -> Vacuum:
    """Return the empty space of a crystal; directions that are not periodic (`pbc`) count as empty.

    Args:
        gap_angstrom: distance between the centres of atoms above which there is vacuum.

    Raises:
        ValueError: no atoms, a cell without a volume, or numbers that are not finite.
    """
    if not (
        crystal.species
        and np.isfinite(crystal.lattice).all()
        and np.isfinite(crystal.frac_coords).all()
        and crystal.volume_angstrom3 > 1e-6
    ):
        raise ValueError(
            f"crystal {crystal.id}: no atoms, or a cell or positions that are not finite or flat"
        )
    miller = _MILLER @ _inverse(_niggli(crystal.lattice)).T
    gaps = _gaps(crystal, miller)
    open_axes = np.eye(3, dtype=np.int64)[~np.array(crystal.pbc)]
    widest_first = np.argsort(-np.round(gaps, 6), kind="stable")
    found = np.concatenate([open_axes, miller[widest_first][gaps[widest_first] > gap_angstrom]])
    independent: list[NDArray[np.int64]] = []
    for indices in found:
        if np.linalg.matrix_rank(np.array([*independent, indices])) > len(independent):
            independent.append(indices)
    planes = np.array(independent, dtype=np.int64).reshape(-1, 3)
    widest = float(_gaps(crystal, open_axes).max()) if len(open_axes) else float(gaps.max())
    return Vacuum(3 - len(planes), planes, widest)


def plane_normal(crystal: Crystal, miller: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the unit vector upright on a family of planes, shape (3,)."""
    normal = np.linalg.inv(crystal.lattice) @ miller
    return normal / np.linalg.norm(normal)


def layer_geometry(crystal: Crystal, gap_angstrom: float = VACUUM_ANGSTROM) -> LayerGeometry | None:
    """Return the size of a layer, or None for what is no layer.

    Raises:
        ValueError: see `vacuum`.
    """
    found = vacuum(crystal, gap_angstrom)
    if found.dimensionality != 2:
        return None
    height = 1 / float(np.linalg.norm(np.linalg.inv(crystal.lattice) @ found.miller[0]))
    thickness = float(np.ptp(_heights(crystal, found.miller[0]))) * height
    return LayerGeometry(crystal.volume_angstrom3 / height, thickness)


def filled_volume_angstrom3(crystal: Crystal, gap_angstrom: float = VACUUM_ANGSTROM) -> float:
    """Return the volume of the cell, of a layer without its vacuum.

    Raises:
        ValueError: see `vacuum`.
    """
    layer = layer_geometry(crystal, gap_angstrom)
    return layer.filled_volume_angstrom3 if layer else crystal.volume_angstrom3


def layer_cell(crystal: Crystal, gap_angstrom: float = VACUUM_ANGSTROM) -> Crystal:
    """Return a layer in a cell with the vacuum along its third vector, upright on the plane.

    The first two vectors are the shortest of the plane. Layers under vacuum do not feel each other, so that a
    sideways shift from one image to the next, which would hide symmetry, is left out. The atoms come in the
    same order, in one piece about the middle of the cell.

    Raises:
        ValueError: it is no layer, or see `vacuum`.
    """
    found = vacuum(crystal, gap_angstrom)
    if found.dimensionality != 2:
        raise ValueError(f"crystal {crystal.id}: a {found.name}, no layer")
    miller = found.miller[0]
    basis = _basis_of_plane(crystal.lattice, miller)
    plane = shortest_plane_vectors(basis[:2] @ crystal.lattice)
    normal = np.cross(plane[0], plane[1])
    height = 1 / float(np.linalg.norm(np.linalg.inv(crystal.lattice) @ miller))
    lattice = np.array([*plane, height * normal / np.linalg.norm(normal)])
    # Whole lattice vectors bring each atom to its height in the unbroken layer.
    heights = _heights(crystal, miller)
    steps = np.round(heights - crystal.frac_coords @ miller)
    cartesian = (crystal.frac_coords + steps[:, None] * basis[2]) @ crystal.lattice
    frac_coords = cartesian @ np.linalg.inv(lattice)
    frac_coords[:, :2] %= 1.0
    frac_coords[:, 2] += 0.5 - (frac_coords[:, 2].min() + frac_coords[:, 2].max()) / 2
    return Crystal(crystal.id, crystal.species, lattice, frac_coords, pbc=LAYER_PERIODICITY)


def with_vacuum(crystal: Crystal, gap_angstrom: float = VACUUM_ANGSTROM) -> Crystal:
    """Return a crystal that is not periodic along one axis in a cell with room enough along it.

    The atoms stay where they are; a crystal with enough room, or periodic in all directions, is returned as
    it is.

    Raises:
        ValueError: see `vacuum`.
    """
    if sum(crystal.pbc) != 2:
        return crystal
    axis = crystal.pbc.index(False)
    miller = np.eye(3, dtype=np.int64)[axis]
    height = 1 / float(np.linalg.norm(np.linalg.inv(crystal.lattice) @ miller))
    thickness = float(np.ptp(crystal.frac_coords[:, axis])) * height
    if height - thickness > gap_angstrom:
        return crystal
    lattice = crystal.lattice.copy()
    lattice[axis] *= (thickness + 2 * gap_angstrom) / height
    frac_coords = crystal.frac_coords @ crystal.lattice @ np.linalg.inv(lattice)
    return replace(crystal, lattice=lattice, frac_coords=frac_coords)


def _niggli(lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the vectors of the Niggli cell in those of the cell, as rows, shape (3, 3)."""
    import spglib

    try:
        niggli = spglib.niggli_reduce(lattice)
    except Exception:  # depending on its version, spglib raises or returns None
        niggli = None
    if niggli is None:
        return np.eye(3, dtype=np.int64)
    return np.round(np.asarray(niggli) @ np.linalg.inv(lattice)).astype(np.int64)


def _inverse(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the inverse of a matrix of integers with determinant ±1."""
    return np.round(np.linalg.inv(matrix)).astype(np.int64)


def _gaps(crystal: Crystal, miller: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the widest space without an atom between the planes of each family, Å, shape (families,)."""
    spacing = 1 / np.linalg.norm(miller @ np.linalg.inv(crystal.lattice).T, axis=1)
    heights = np.sort((crystal.frac_coords @ miller.T) % 1.0, axis=0)
    steps = np.diff(heights, axis=0, append=heights[:1] + 1.0)
    return steps.max(axis=0) * spacing


def _heights(crystal: Crystal, miller: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the height of each atom in units of the spacing, the layer in one piece, shape (atoms,)."""
    raw = crystal.frac_coords @ miller
    if not all(crystal.pbc) and np.count_nonzero(miller) == 1 and not crystal.pbc[int(np.argmax(miller))]:
        return raw  # not periodic along it: atoms are where they are said to be
    heights = raw % 1.0
    ordered = np.sort(heights)
    steps = np.diff(ordered, append=ordered[0] + 1.0)
    # The widest gap is between this atom and the next, so the layer begins with the next.
    last = ordered[int(np.argmax(steps))]
    return np.where(heights <= last, heights + 1.0, heights)


def _basis_of_plane(lattice: NDArray[np.float64], miller: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return lattice vectors as rows: two that span the plane, and one that leads to the next plane."""
    niggli = _niggli(lattice)
    steps = _VECTORS @ (niggli @ miller)
    up, within = _VECTORS[steps == 1], _VECTORS[steps == 0]
    for third, (first, second) in product(up, combinations(within, 2)):
        matrix = np.array([first, second, third])
        if abs(round(float(np.linalg.det(matrix)))) == 1:
            return matrix @ niggli
    raise ValueError(f"no lattice vectors found in the plane {tuple(miller.tolist())}")


def shortest_plane_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shortest two vectors that span a plane lattice (Gauss), at 90° to 120°, shape (2, 3)."""
    first, second = vectors
    while True:
        if np.linalg.norm(first) > np.linalg.norm(second) + 1e-9:
            first, second = second, first
        turns = round(float(first @ second) / float(first @ first) - 1e-6)
        if not turns:
            return np.array([first, -second if first @ second > 0 else second])
        second = second - turns * first
