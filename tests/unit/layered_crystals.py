"""Layers that tests stack and pull apart."""

from __future__ import annotations

import numpy as np

from matwheel.crystals.crystal import Crystal


def hexagonal(
    name: str, species: tuple[str, ...], a: float, height: float, sites: list[list[float]]
) -> Crystal:
    """Return a layer in a hexagonal cell; the third coordinate of sites is in Å."""
    lattice = np.array([[a, 0, 0], [-a / 2, 3**0.5 / 2 * a, 0], [0, 0, height]])
    positions = np.array(sites, dtype=float)
    positions[:, 2] /= height
    return Crystal(name, species, lattice, positions)


def graphene(height: float = 20.0) -> Crystal:
    """Return graphene under vacuum."""
    return hexagonal("graphene", ("C", "C"), 2.46, height, [[0, 0, 0], [1 / 3, 2 / 3, 0]])


def molybdenum_disulfide(height: float = 20.0) -> Crystal:
    """Return one layer of 2H-MoS2 under vacuum."""
    sites = [[1 / 3, 2 / 3, 5.0], [2 / 3, 1 / 3, 6.56], [2 / 3, 1 / 3, 3.44]]
    return hexagonal("MoS2", ("Mo", "S", "S"), 3.18, height, sites)
