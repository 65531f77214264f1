"""Pairs of atoms within a radius, all periodic images included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal

_PERIODIC = np.ones(3, dtype=np.int64)
_SAME_POSITION_ANGSTROM = 1e-8
_SMALLEST_VOLUME_ANGSTROM3 = 1e-3


class Pairs(NamedTuple):
    """Pairs of atoms, each in both directions; the images of an atom are neighbours of it.

    Attributes:
        target, source: atoms, shape (pairs,).
        image: lattice vector added to the source, positions wrapped into the cell, shape (pairs, 3).
        distance: Å, shape (pairs,).
    """

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    image: NDArray[np.int64]
    distance: NDArray[np.float64]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Pairs:
        """Return chosen pairs."""
        return Pairs(self.target[which], self.source[which], self.image[which], self.distance[which])


def pairs_within(crystal: Crystal, radius_angstrom: float, targets: NDArray[np.int64] | None = None) -> Pairs:
    """Return the pairs within a radius, of all atoms or of some as targets, in no order of note."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = np.ascontiguousarray((crystal.frac_coords % 1.0) @ crystal.lattice)
    target, source, image, distance = find_points_in_spheres(
        positions,
        positions if targets is None else np.ascontiguousarray(positions[targets]),
        r=float(radius_angstrom),
        pbc=_PERIODIC,
        lattice=np.ascontiguousarray(crystal.lattice),
        tol=_SAME_POSITION_ANGSTROM,
    )
    if targets is not None:
        target = targets[target]
    pairs = Pairs(target, source, np.round(image).astype(np.int64), distance)
    return pairs.take((target != source) | (distance > _SAME_POSITION_ANGSTROM))


def refuse_without_cell(crystal: Crystal) -> None:
    """Refuse a crystal in which no neighbours can be looked for.

    Raises:
        InputError: no atoms, no volume, or numbers that are not finite.
    """
    fault = ""
    if not crystal.species:
        fault = "no atoms"
    elif not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        fault = "lattice or positions are not finite"
    elif crystal.volume_angstrom3 < _SMALLEST_VOLUME_ANGSTROM3:
        fault = "the cell has no volume"
    if fault:
        raise InputError(f"crystal {crystal.id}: {fault}; remove it from the set")


def numbers_of_elements(crystals: Sequence[Crystal]) -> dict[str, int]:
    """Return the atomic number of every element that occurs.

    Raises:
        InputError: a symbol is no element.
    """
    from pymatgen.core import Element

    numbers = {symbol: 0 for crystal in crystals for symbol in crystal.species}
    for symbol in numbers:
        try:
            numbers[symbol] = Element(symbol).Z
        except ValueError:
            owner = next(crystal.id for crystal in crystals if symbol in crystal.species)
            raise InputError(f"crystal {owner}: unknown element {symbol!r}") from None
    return numbers
