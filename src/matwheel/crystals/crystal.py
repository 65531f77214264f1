"""One crystal: species, lattice and fractional coordinates, as plain arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Structure


FULL_OCCUPANCY = 0.999
"""Below this the occupancy of a site is partial; above it, the rest is rounding."""


class UnreadableCrystal(ValueError):
    """A text or an object that gives no crystal; the message says in one line what is wrong."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """An ordered crystal, or a layer, wire or molecule in a cell with empty space.

    Attributes:
        id: name, unique within a dataset or a generated set.
        species: element symbol of each atom, shape (atoms,).
        lattice: lattice vectors as rows, shape (3, 3), Å.
        frac_coords: fractional coordinates, shape (atoms, 3).
        pbc: whether it repeats along each lattice vector; a layer as its file or a stage names it does not
            along one. What is under vacuum but not named so is found by `crystals.dimensionality`.
    """

    id: str
    species: tuple[str, ...]
    lattice: NDArray[np.float64] = field(repr=False)
    frac_coords: NDArray[np.float64] = field(repr=False)
    pbc: tuple[bool, bool, bool] = (True, True, True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(self.species))
        object.__setattr__(self, "lattice", np.asarray(self.lattice, dtype=np.float64).reshape(3, 3))
        frac_coords = np.asarray(self.frac_coords, dtype=np.float64).reshape(-1, 3)
        object.__setattr__(self, "frac_coords", frac_coords)
        first, second, third = (bool(periodic) for periodic in self.pbc)
        object.__setattr__(self, "pbc", (first, second, third))
        if len(self.species) != len(frac_coords):
            raise ValueError(f"crystal {self.id}: {len(self.species)} species, {len(frac_coords)} positions")

    @property
    def volume_angstrom3(self) -> float:
        """Cell volume in Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def element_counts(self) -> dict[str, int]:
        """Number of atoms of each element in the cell, sorted by symbol."""
        return counts_of(self.species)


def counts_of(species: Sequence[str]) -> dict[str, int]:
    """Return the number of atoms of each element, sorted by symbol."""
    return dict(sorted(Counter(species).items()))


def to_structure(crystal: Crystal) -> Structure:
    """Return the crystal as a pymatgen Structure."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(crystal.lattice), list(crystal.species), crystal.frac_coords)


def from_structure(crystal_id: str, structure: Structure) -> Crystal:
    """Return a pymatgen Structure as a Crystal; oxidation states are dropped.

    Raises:
        ValueError: the structure has partial occupancies.
    """
    if not structure.is_ordered:
        raise ValueError(f"crystal {crystal_id}: partial occupancy; order the structure first")
    species = tuple(site.specie.symbol for site in structure)
    return Crystal(crystal_id, species, structure.lattice.matrix, structure.frac_coords)
