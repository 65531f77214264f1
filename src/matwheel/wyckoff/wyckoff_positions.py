"""Wyckoff positions of the 230 space groups in their standard settings, as arrays (tables of pyxtal).

Letters are counted from 0: 'a' is 0, 'z' is 25, and 'A' (the 27th, of space group 47 only) is 26.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

SPACE_GROUPS = 230
LETTERS = "abcdefghijklmnopqrstuvwxyzA"
CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
_LAST_GROUP_OF_SYSTEM = (2, 15, 74, 142, 167, 194, 230)
_CENTRED = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}


@dataclass(frozen=True, eq=False)
class WyckoffPositions:
    """All Wyckoff positions; row g of an array belongs to space group g, row 0 to none.

    Attributes:
        multiplicity: atoms of a position in the conventional cell, shape (231, 27); 0 where there is none.
        free_coordinates: number of free fractional coordinates of a position, shape (231, 27).
        centring: lattice points per conventional cell, shape (231,).
    """

    multiplicity: NDArray[np.int64]
    free_coordinates: NDArray[np.int64]
    centring: NDArray[np.int64]

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Which positions there are, shape (231, 27)."""
        return self.multiplicity > 0

    @property
    def is_fixed(self) -> NDArray[np.bool_]:
        """Positions without a free coordinate, which only one atom can take, shape (231, 27)."""
        return self.exists & (self.free_coordinates == 0)

    @cached_property
    def site_symmetry(self) -> tuple[tuple[str, ...], ...]:
        """Oriented site-symmetry symbol of each position, by space group; index 0 is empty (seconds)."""
        from pyxtal.symmetry import Group

        symmetries: list[tuple[str, ...]] = [()]
        for number in range(1, SPACE_GROUPS + 1):
            by_letter = {position.letter: position for position in Group(number)}
            for position in by_letter.values():
                position.get_site_symmetry()
            symmetries.append(tuple(by_letter[letter].site_symm for letter in LETTERS[: len(by_letter)]))
        return tuple(symmetries)


@cache
def wyckoff_positions() -> WyckoffPositions:
    """Return the Wyckoff positions of all space groups (half a second, once per process)."""
    from pyxtal.symmetry import Group

    multiplicity = np.zeros((SPACE_GROUPS + 1, len(LETTERS)), dtype=np.int64)
    free = np.zeros_like(multiplicity)
    centring = np.ones(SPACE_GROUPS + 1, dtype=np.int64)
    for number in range(1, SPACE_GROUPS + 1):
        group = Group(number)
        centring[number] = _CENTRED[group.symbol[0]]
        by_letter = {position.letter: position for position in group}
        for place, letter in enumerate(LETTERS[: len(by_letter)]):
            position = by_letter[letter]
            multiplicity[number, place] = position.multiplicity
            free[number, place] = position.get_dof()
    for array in (multiplicity, free, centring):
        array.flags.writeable = False
    return WyckoffPositions(multiplicity, free, centring)


def crystal_system(space_group: int) -> int:
    """Return the place of a space group's system in `CRYSTAL_SYSTEMS`.

    Raises:
        ValueError: no space group has this number.
    """
    if space_group not in range(1, SPACE_GROUPS + 1):
        raise ValueError(f"no space group {space_group!r}; give one of 1 … {SPACE_GROUPS}")
    return int(np.searchsorted(_LAST_GROUP_OF_SYSTEM, space_group))


def pyxtal_version() -> str:
    """Return the version of the installed pyxtal."""
    return version("pyxtal")
