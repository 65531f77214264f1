"""Rotational sum rules for the bands of layers in pictures; they decide nothing.

A layer bends at no cost in the limit of long waves: ω ∝ q² at Γ. That needs an energy that no rotation
changes. Force constants from a supercell, cut off at its surface and fitted to forces with errors, break the
sum rules that say so, and the bending band comes out as ω ∝ q, or imaginary. With Φ(i, j) between atoms i of
the primitive cell and j of the supercell and r the vector from i to the nearest image of j (of several equal
ones the mean of r, and of the products r r, as the interpolation shares them):

    translations   Σ_j Φ_ab(i, j) = 0
    Born–Huang     Σ_j Φ_ab(i, j) r_c = Σ_j Φ_ac(i, j) r_b              forces are zero
    Huang          Σ_ij Φ_ab(i, j) r_c r_d = Σ_ij Φ_cd(i, j) r_a r_b    stress is zero
    indices        Φ_ab(i, j) = Φ_ba(j, i)

All are linear, so that the nearest force constants that obey them (least squares over all elements) are
unique. The rules and the norm have the symmetry of the crystal, so the change has it too.
M. Born, K. Huang, Dynamical Theory of Crystal Lattices (1954); C. Lin, S. Poncé, N. Marzari, npj Comput.
Mater. 8, 236 (2022), for layers; F. Eriksson, E. Fransson, P. Erhart, Adv. Theory Simul. 2, 1800184 (2019),
imposes them on models with a cutoff (hiPhive).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import lsqr

from matwheel.vibrations.force_constants import (
    ForceConstants,
    commensurate_points,
    is_layer,
    modes_at,
    phonopy_of,
)

_LARGEST_VIOLATION = 1e-8  # eV/Å² times Å to the power of 0, 1 or 2
_MOST_ITERATIONS = 1000  # layers take 5 to 50
_LEVI_CIVITA = np.array(
    [[[(a - b) * (b - c) * (c - a) / 2 for c in range(3)] for b in range(3)] for a in range(3)]
)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of an atom of the primitive cell with one of the supercell.

    Attributes:
        rows: the atoms of the supercell that stand for those of the primitive cell, shape (atoms,).
        vectors, products: means over nearest images, shape (atoms, supercell atoms, 3) and (…, 3, 3), Å, Å².
        same: for any two atoms of the supercell the number of the pair (row by row) that a lattice
            translation takes there, shape (supercell atoms, supercell atoms).
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float64]
    products: NDArray[np.float64]
    same: NDArray[np.int64]


def constants_to_draw(constants: ForceConstants, largest_shift_thz: float) -> tuple[ForceConstants, float]:
    """Return the force constants whose bands are drawn, and how far the sum rules move frequencies, THz.

    Those of a layer get the sum rules, and the shift is the largest at the q-points that fit into the
    supercell, where frequencies are not interpolated. Where it is larger than `largest_shift_thz` the
    supercell is too short for the rules, and bands with them could contradict the verdict: the force
    constants are returned as they are. So are those of a crystal, and those whose rules cannot be met, both
    with NaN.
    """
    if not is_layer(constants.crystal):
        return constants, nan
    try:
        ruled = with_rotational_sum_rules(constants)
    except ArithmeticError:
        return constants, nan
    points = commensurate_points(constants.supercell_matrix)
    before, after = (modes_at(one, points).frequencies_thz for one in (constants, ruled))
    shift = float(np.abs(after - before).max())
    return (constants if shift > largest_shift_thz else ruled), shift


def with_rotational_sum_rules(constants: ForceConstants) -> ForceConstants:
    """Return the nearest force constants that obey the sum rules for translations and rotations.

    The crystal must be at rest (no forces, no stress, of a layer in its plane), and its forces short-ranged:
    rules for dipoles are others.

    Raises:
        ArithmeticError: the rules are not met, e.g. because force constants are not finite.
    """
    pairs = _pairs(constants)
    rules = _rules(pairs)
    reversed_pairs = pairs.same[:, pairs.rows].T.reshape(-1, 1)
    swap = (9 * reversed_pairs + np.arange(9).reshape(3, 3).T.ravel()).ravel()
    symmetric = (rules + rules[:, swap]) / 2
    # Rules are in different units; rows of equal length make them equally hard to meet.
    lengths = np.sqrt(symmetric.multiply(symmetric).sum(axis=1))
    symmetric = sparse.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ symmetric
    found = constants.matrix_ev_per_angstrom2[pairs.rows].ravel()
    found = (found + found[swap]) / 2
    if np.isfinite(found).all():
        # Started from zero, it gives the solution of least norm, whether or not rules depend on each other.
        unmet = symmetric @ found
        found = found - lsqr(symmetric, unmet, atol=1e-14, btol=1e-14, conlim=0, iter_lim=_MOST_ITERATIONS)[0]
    if not np.abs(rules @ found).max() < _LARGEST_VIOLATION:
        raise ArithmeticError(f"{constants.crystal.id}: rotational sum rules are not met")
    return replace(constants, matrix_ev_per_angstrom2=found.reshape(-1, 3, 3)[pairs.same])


def _rules(pairs: _Pairs) -> sparse.csr_array:
    """Return the sum rules as rows of coefficients of Φ_ab(i, j), in the order i, j, a, b."""
    atoms, supercell_atoms = pairs.vectors.shape[:2]
    number = np.arange(atoms * supercell_atoms)

    def sum_over_pairs(weights: NDArray[np.float64]) -> sparse.csr_array:
        return sparse.csr_array((weights, (number // supercell_atoms, number)), shape=(atoms, len(number)))

    translations = sparse.kron(sum_over_pairs(np.ones(len(number))), sparse.eye_array(9))
    along = pairs.vectors.reshape(-1, 3).T
    born_huang = [
        sparse.kron(sum_over_pairs(along[c]), np.kron(np.eye(3), _LEVI_CIVITA[c])) for c in range(3)
    ]
    huang = []
    products = pairs.products.reshape(-1, 3, 3)
    for (a, b), (c, d) in combinations(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)), 2):
        row = np.zeros_like(products)
        row[:, a, b] = products[:, c, d]
        row[:, c, d] = -products[:, a, b]
        huang.append(sparse.csr_array(row.reshape(1, -1)))
    return sparse.csr_array(
        sparse.vstack([translations, born_huang[0] + born_huang[1] + born_huang[2], *huang])
    )


def _pairs(constants: ForceConstants) -> _Pairs:
    """Return the pairs of atoms with the nearest images that phonopy interpolates with."""
    phonopy = phonopy_of(constants)
    primitive, supercell = phonopy.primitive, phonopy.supercell
    rows = np.asarray(primitive.p2s_map)
    images, found = primitive.get_smallest_vectors()
    numbers, starts = found[..., 0], found[..., 1]
    vectors = images @ primitive.cell
    if is_layer(constants.crystal):
        # Along the vacuum there are no images: a vector that leads through it is turned round.
        height = constants.crystal.lattice[2]
        heights = _heights_in_one_piece(supercell.scaled_positions[:, 2])
        steps = np.repeat((heights[:, None] - heights[rows]).ravel(), numbers.ravel())
        vectors += np.outer(steps - vectors @ height / (height @ height), height)
    products = vectors[:, :, None] * vectors[:, None, :]
    means = [np.add.reduceat(values, starts.ravel()) for values in (vectors, products)]
    same = np.empty((len(supercell), len(supercell)), dtype=np.int64)
    pair = np.arange(len(rows) * len(supercell)).reshape(len(rows), len(supercell))
    for moved in primitive.atomic_permutations:
        same[np.ix_(moved[rows], moved)] = pair
    return _Pairs(
        rows,
        (means[0].reshape(*numbers.shape, 3) / numbers[..., None]).swapaxes(0, 1),
        (means[1].reshape(*numbers.shape, 3, 3) / numbers[..., None, None]).swapaxes(0, 1),
        same,
    )


def _heights_in_one_piece(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return heights, in units of the cell's, cut where the gap is widest."""
    ordered = np.sort(heights % 1.0)
    gaps = np.diff(ordered, append=ordered[0] + 1.0)
    widest = int(gaps.argmax())
    return (heights - ordered[widest] - gaps[widest] / 2) % 1.0
