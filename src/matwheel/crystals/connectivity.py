"""Which atoms of a crystal hang together by bonds, judged by covalent radii."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal

BOND_TOLERANCE = 1.3
"""Atoms up to this multiple of the sum of their covalent radii apart are bonded."""


@cache
def covalent_radii_angstrom() -> NDArray[np.float64]:
    """Return covalent radii by atomic number (Cordero et al., Dalton Trans. 2832, 2008; by ASE)."""
    from ase.data import covalent_radii

    return np.array(covalent_radii)


@cache
def van_der_waals_radii_angstrom() -> NDArray[np.float64]:
    """Return van der Waals radii by atomic number (Alvarez, Dalton Trans. 42, 8617, 2013; by ASE); NaN where
    none is known.
    """
    from ase.data.vdw_alvarez import vdw_radii

    return np.array(vdw_radii)


def atomic_numbers_of(species: Sequence[str]) -> NDArray[np.int64]:
    """Return the atomic number of each symbol, shape (atoms,).

    Raises:
        KeyError: a species is not the symbol of an element.
    """
    from ase.data import atomic_numbers

    return np.array([atomic_numbers[symbol] for symbol in species], dtype=np.int64)


def connected_pieces(crystal: Crystal, tolerance: float = BOND_TOLERANCE) -> int:
    """Return how many pieces without a bond between them one cell holds; of layers, the number of sheets.

    Atoms and their images count as one, so a crystal of two nets that go through each other has two pieces,
    and one whose only atom touches no image has one.

    Args:
        tolerance: multiple of the sum of covalent radii up to which atoms are bonded.

    Raises:
        KeyError: a species is not the symbol of an element.
    """
    from matscipy.neighbours import neighbour_list
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    radii = covalent_radii_angstrom()[atomic_numbers_of(crystal.species)]
    first, second, distance = neighbour_list(
        "ijd", cell=crystal.lattice, positions=crystal.frac_coords @ crystal.lattice,
        pbc=np.array(crystal.pbc), cutoff=float(2 * tolerance * radii.max()),
    )  # fmt: skip
    bonded = distance <= tolerance * (radii[first] + radii[second])
    atoms = len(radii)
    graph = coo_array((np.ones(int(bonded.sum())), (first[bonded], second[bonded])), shape=(atoms, atoms))
    pieces, _ = connected_components(graph, directed=False)
    return int(pieces)
