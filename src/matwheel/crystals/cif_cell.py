"""Cell parameters and the order of atoms of a CIF: what both of its readers make alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import UnreadableCrystal

CELL_TAGS = tuple(f"_cell_{name}" for name in (
    "length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma",
))  # fmt: skip
SAME_PLACE_ANGSTROM = 0.01
"""Two sites of a file closer than this stand at one place."""

LARGEST_COORDINATE = 1e4
"""No fractional coordinate is as large."""

_LONGEST_CELL_ANGSTROM = 1e4


def check_cell_parameter(tag: str, value: float) -> None:
    """Refuse a length (Å) or an angle (degrees) that is in no cell.

    Raises:
        UnreadableCrystal: it is not positive, or too large.
    """
    if value <= 0 or value >= (180 if "angle" in tag else _LONGEST_CELL_ANGSTROM):
        raise UnreadableCrystal(f"{tag} is {value:g}: that is no cell, and so no structure")


def lattice_of_parameters(parameters: Sequence[float]) -> NDArray[np.float64]:
    """Return the lattice vectors as rows, shape (3, 3), Å, of a cell.

    Args:
        parameters: three lengths in Å and three angles in degrees, each as `check_cell_parameter` lets pass.

    Raises:
        UnreadableCrystal: the angles make no cell.
    """
    from pymatgen.core import Lattice

    alpha, beta, gamma = np.cos(np.radians(parameters[3:]))
    if not 1 - alpha**2 - beta**2 - gamma**2 + 2 * alpha * beta * gamma > 1e-9:
        raise UnreadableCrystal(f"the angles {list(parameters[3:])} make no cell, and so no structure")
    return np.asarray(Lattice.from_parameters(*parameters).matrix, dtype=np.float64)


def order_of_atoms(species: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of atoms by electronegativity, then symbol, then as listed, shape (atoms,)."""
    keys = {symbol: (_electronegativity(symbol), symbol) for symbol in set(species)}
    return np.array(sorted(range(len(species)), key=lambda place: keys[species[place]]), dtype=np.int64)


@cache
def _electronegativity(symbol: str) -> float:
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noble gases have none, which matters for the order of atoms only
        value = float(Element(symbol).X)
    return value if np.isfinite(value) else np.inf
