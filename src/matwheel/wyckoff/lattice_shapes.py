"""Shapes of the cells of training crystals, and lattices drawn from them for Wyckoff genes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset
from matwheel.wyckoff.space_group_operations import pyxtal_group
from matwheel.wyckoff.wyckoff_genes import SYMPREC_ANGSTROM, WyckoffGene
from matwheel.wyckoff.wyckoff_positions import SPACE_GROUPS, crystal_system, wyckoff_positions

_NEAREST_SHAPES = 20  # shapes to draw from: those of the nearest numbers of atoms
_FEWEST_SHAPES = 5  # below, shapes of all groups of the same crystal system and centring are drawn from


class NotBuilt(ValueError):
    """Why a gene has no lattice, or no crystal, in one realisation."""


@dataclass(frozen=True, eq=False)
class LatticeShapes:
    """Shapes of the conventional cells of training crystals.

    Attributes:
        space_group: shape (n,).
        atoms: atoms in the conventional cell, shape (n,).
        parameters: a, b, c of a cell of volume 1, and the angles in degrees, shape (n, 6).
    """

    space_group: NDArray[np.int16]
    atoms: NDArray[np.int32]
    parameters: NDArray[np.float64]

    def save(self, path: str | Path) -> None:
        """Write the shapes as an npz archive."""
        write_arrays(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    def like(self, gene: WyckoffGene) -> NDArray[np.float64]:
        """Return the shapes to draw from for a gene, shape (k, 6), k ≥ 0.

        Those of its space group with the nearest numbers of atoms, at most 20; where the group has fewer
        than 5, those of all groups with its crystal system and centring.
        """
        groups = np.arange(SPACE_GROUPS + 1)
        rows = np.flatnonzero(self.space_group == gene.space_group)
        if len(rows) < _FEWEST_SHAPES:
            rows = np.flatnonzero(np.isin(self.space_group, groups[_same_lattice(gene.space_group)]))
        away = np.abs(np.log(self.atoms[rows] / sum(gene.atoms.values())))
        return self.parameters[rows[np.argsort(away, kind="stable")[:_NEAREST_SHAPES]]]


def lattice_shapes(crystals: Iterable[Crystal]) -> LatticeShapes:
    """Return the shapes of crystals in the standard setting of spglib (280 per second).

    Crystals in which spglib finds no symmetry are left out.
    """
    groups, atoms, parameters = [], [], []
    for crystal in crystals:
        dataset = symmetry_dataset(crystal, SYMPREC_ANGSTROM)
        if dataset is not None:
            groups.append(int(dataset.number))
            atoms.append(len(dataset.std_types))
            parameters.append(_parameters(dataset.std_lattice))
    return LatticeShapes(
        np.array(groups, dtype=np.int16),
        np.array(atoms, dtype=np.int32),
        np.array(parameters, dtype=np.float64).reshape(-1, 6),
    )


def load_lattice_shapes(path: str | Path) -> LatticeShapes:
    """Read shapes that `LatticeShapes.save` wrote.

    Raises:
        InputError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return LatticeShapes(**{name: arrays[name] for name in LatticeShapes.__dataclass_fields__})
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not lattice shapes ({error}); collect them anew") from None


def draw_lattice(
    gene: WyckoffGene,
    volume_angstrom3: float,
    known_shapes: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return lattice vectors of the conventional cell as rows, shape (3, 3), Å.

    Args:
        gene: its space group constrains the lattice.
        volume_angstrom3: of the conventional cell.
        known_shapes: of `LatticeShapes.like`, shape (k, 6); where there is none, PyXtal draws a shape.

    Raises:
        NotBuilt: the cell drawn has no volume.
    """
    if len(known_shapes):
        shape = known_shapes[generator.integers(len(known_shapes))]
        return _lattice_of_shape(shape, gene.space_group, volume_angstrom3)
    from pyxtal.lattice import Lattice

    drawn = Lattice(pyxtal_group(gene.space_group).lattice_type, volume_angstrom3, random_state=generator)
    return _lattice_of_shape(_parameters(drawn.matrix), gene.space_group, volume_angstrom3)


def _same_lattice(space_group: int) -> NDArray[np.bool_]:
    """Return which space groups share crystal system and centring with one, shape (231,)."""
    centring = wyckoff_positions().centring
    systems = np.array([-1] + [crystal_system(group) for group in range(1, SPACE_GROUPS + 1)])
    return (systems == systems[space_group]) & (centring == centring[space_group])


def _parameters(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lengths at volume 1 and angles (degrees) of a lattice, shape (6,)."""
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    volume = abs(np.linalg.det(lattice))
    return np.concatenate([lengths / np.cbrt(volume), np.degrees(np.arccos(np.clip(cosines, -1, 1)))])


def _lattice_of_shape(
    parameters: ArrayLike, space_group: int, volume_angstrom3: float
) -> NDArray[np.float64]:
    """Return lattice vectors as rows, with the constraints of the crystal system exactly fulfilled."""
    a, b, c, alpha, beta, gamma = np.asarray(parameters, dtype=np.float64)
    system = crystal_system(space_group)
    if system >= 1:
        alpha = gamma = 90.0
    if system >= 2:
        beta = 90.0
    if system in (4, 5):
        gamma = 120.0
    if system in (3, 4, 5):
        a = b = np.sqrt(a * b)
    if system == 6:
        a = b = c = 1.0
    cos_a, cos_b, cos_g = (
        0.0 if x == 90 else -0.5 if x == 120 else np.cos(np.radians(x)) for x in (alpha, beta, gamma)
    )
    sin_g = np.sqrt(1 - cos_g**2)
    third = (cos_a - cos_b * cos_g) / sin_g
    lattice = np.array(
        [
            [a, 0, 0],
            [b * cos_g, b * sin_g, 0],
            [c * cos_b, c * third, c * np.sqrt(max(0.0, 1 - cos_b**2 - third**2))],
        ]
    )
    own = np.linalg.det(lattice)
    if not own > 0:
        raise NotBuilt("a cell without volume was drawn")
    return lattice * np.cbrt(volume_angstrom3 / own)
