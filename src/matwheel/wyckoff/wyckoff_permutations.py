"""Equivalent descriptions of one crystal: which Wyckoff letters may be exchanged for which.

A crystal can be described from several origins and with several choices of axes that leave the operations of
its space group as they are; each such choice renames Wyckoff positions (Koch & Fischer, Acta Cryst. A 31, 88,
1975). The choices are the cosets of the space group in its Euclidean normaliser. They are found here from the
operations alone: every integral linear part that keeps the metric of the crystal system (for orthorhombic
groups the metric a = b = c, so that axes may be exchanged, as in the table of pyxtal), with every translation
on a grid of 1/24, that turns each operation of the group into one of the group. Where a position goes is read
off a generic point of it. Origins that may float (polar groups) are not moved.

The permutations are those of pyxtal and pymatgen but for space group 15, C2/c: there pymatgen has four more,
which also exchange the positions a, b with c, d. These need a shear of the cell, such as
(x, y, z) → (x + z + 1/4, y + 1/4, z), which is another choice of a cell, not a motion that keeps the lattice:
they belong to the affine normaliser. Groups 2, 3, 10, 12 and 14, for instance, have such shears as well,
listed by neither; in triclinic and monoclinic groups two genes of one crystal may therefore differ in their
`canonical_gene`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matwheel.wyckoff.wyckoff_genes import MOST_ELEMENTS, GeneArrays, WyckoffGene
from matwheel.wyckoff.wyckoff_positions import LETTERS, crystal_system

_GRID = 24  # translations of the groups and of their normalisers are multiples of 1/24
_GENERIC_PRIME = 1_000_003  # generic points have coordinates in units of 1/(24 · this)


class CosetRepresentative(NamedTuple):
    """One choice of axes and origin: a point at x is described as at W x + w.

    Attributes:
        linear: W, integers, shape (3, 3); lattice vectors (rows) become those of inverse(W).T @ lattice.
        translation: w, fractions of the new axes from 0 to below 1, shape (3,).
        permutation: place of the letter that each letter becomes, shape (27,).
    """

    linear: NDArray[np.int64]
    translation: NDArray[np.float64]
    permutation: NDArray[np.intp]


@cache
def letter_permutations(space_group: int) -> NDArray[np.intp]:
    """Return the distinct permutations of the Wyckoff letters of a space group.

    Returns:
        Shape (k, 27), read-only, sorted, the identity first; entry [p, i] is the place of the letter that
        letter i becomes. Places beyond the letters of the group stay.

    Raises:
        ValueError: no space group has this number.
    """
    permutations = np.array([own.permutation for own in coset_representatives(space_group)], dtype=np.intp)
    distinct = np.unique(permutations, axis=0)
    distinct.flags.writeable = False
    return distinct


@cache
def coset_representatives(space_group: int) -> tuple[CosetRepresentative, ...]:
    """Return one operation of each coset of a space group in its Euclidean normaliser, the identity first.

    Several cosets may give one permutation. Translations along floating origins are left out.

    Raises:
        ValueError: no space group has this number.
    """
    linear, shifts = _affine_maps(space_group)[-1]  # of the general position: the operations of the group
    lattice = _is_lattice_vector(linear, shifts)
    floating = np.all(linear.mean(axis=0)[:, None] == np.eye(3)[:, None], axis=(1, 2))
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    covered: set[bytes] = set()
    tried: set[bytes] = set()
    for matrix in _isometries(crystal_system(space_group)):
        if matrix.tobytes() in tried:  # it differs from an earlier one by an operation of the group
            continue
        tried.update(own.tobytes() for own in matrix @ linear)
        for translation in _translations(matrix, linear, shifts, lattice, floating):
            if _signature(matrix, translation) in covered:
                continue
            found.append((matrix, translation))
            moved = np.where(floating, 0, (shifts @ matrix.T + translation) % _GRID)
            covered.update(map(_signature, matrix @ linear, moved))
    return tuple(
        CosetRepresentative(matrix, translation / _GRID, _permutation(space_group, matrix, translation))
        for matrix, translation in found
    )


def _signature(matrix: NDArray[np.int64], translation: NDArray[np.int64]) -> bytes:
    return matrix.tobytes() + translation.tobytes()


@cache
def _affine_maps(space_group: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """Return for each letter the maps of (x, y, z) to the points of the position, translations in 1/24."""
    from pyxtal.symmetry import Group

    crystal_system(space_group)  # refuses numbers that are none
    positions = {position.letter: position for position in Group(space_group)}
    maps = []
    for letter in LETTERS[: len(positions)]:
        affine = np.array([operation.affine_matrix for operation in positions[letter].ops])
        linear, shifts = affine[:, :3, :3], affine[:, :3, 3] * _GRID
        maps.append((np.rint(linear).astype(np.int64), np.rint(shifts).astype(np.int64) % _GRID))
    return tuple(maps)


@cache
def _isometries(system: int) -> NDArray[np.int64]:
    """Return the integral matrices that keep the metric of a crystal system, the identity first."""
    metric = np.eye(3)  # orthorhombic and cubic
    if system == 0:
        metric = np.array([[1.0, 0.11, 0.13], [0.11, 1.7, 0.17], [0.13, 0.17, 2.9]])
    elif system == 1:
        metric = np.array([[1.0, 0.0, 0.13], [0.0, 1.7, 0.0], [0.13, 0.0, 2.9]])
    elif system == 3:
        metric = np.diag([1.0, 1.0, 2.9])
    elif system in (4, 5):
        metric = np.array([[1.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 2.9]])
    matrices = np.array(list(product((1, 0, -1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    kept = np.abs(matrices.transpose(0, 2, 1) @ metric @ matrices - metric).max(axis=(1, 2)) < 1e-9
    # Fewest changed entries first: representatives then read as simply as they can.
    return np.array(sorted(matrices[kept], key=lambda own: int(np.abs(own - np.eye(3)).sum())))


def _is_lattice_vector(linear: NDArray[np.int64], shifts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which translations of the grid, shape (24, 24, 24), are lattice vectors (centring)."""
    table = np.zeros((_GRID,) * 3, dtype=bool)
    pure = np.all(linear == np.eye(3, dtype=np.int64), axis=(1, 2))
    table[tuple(shifts[pure].T)] = True
    return table


def _translations(
    matrix: NDArray[np.int64],
    linear: NDArray[np.int64],
    shifts: NDArray[np.int64],
    lattice: NDArray[np.bool_],
    floating: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return all w, shape (n, 3), for which x → W x + w turns the group into itself; the smallest first."""
    inverse = np.rint(np.linalg.inv(matrix)).astype(np.int64)
    centring = np.argwhere(lattice)
    if not lattice[tuple((centring @ matrix.T % _GRID).T)].all():
        return np.zeros((0, 3), dtype=np.int64)
    of_linear = {own.tobytes(): shift for own, shift in zip(linear, shifts, strict=True)}
    axes = [np.arange(1 if floats else _GRID) for floats in floating]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    for rotation, shift in zip(linear, shifts, strict=True):
        conjugate = matrix @ rotation @ inverse
        target = of_linear.get(conjugate.tobytes())
        if target is None:
            return np.zeros((0, 3), dtype=np.int64)
        # (W,w)(R,r)(W,w)⁻¹ has the translation w + W r − R' w; it must be that of R' up to a lattice vector.
        difference = grid - grid @ conjugate.T + matrix @ shift - target
        grid = grid[lattice[tuple((difference % _GRID).T)]]
    return grid[np.lexsort((*grid.T[::-1], grid.sum(axis=1)))]


def _permutation(
    space_group: int, matrix: NDArray[np.int64], translation: NDArray[np.int64]
) -> NDArray[np.intp]:
    maps = _affine_maps(space_group)
    fine = _GRID * _GENERIC_PRIME
    parameters = np.array([271_828, 314_159, 577_215]) * _GRID + 1
    permutation = np.arange(len(LETTERS), dtype=np.intp)
    for place, (linear, shifts) in enumerate(maps):
        generic = linear[0] @ parameters + shifts[0] * _GENERIC_PRIME
        moved = (matrix @ generic + translation * _GENERIC_PRIME) % fine
        permutation[place] = _place_of_point(space_group, moved)
    return permutation


def _place_of_point(space_group: int, point: NDArray[np.int64]) -> int:
    """Return the place of the first, that is the most special, position on which a point lies.

    A point p lies on M q + v for some q and up to whole cells when u·(p − v) is whole for all integral u with
    u M = 0; small u suffice, as the directions of the positions have entries up to 2. `point` is in units of
    1/(24 · prime).
    """
    fine = _GRID * _GENERIC_PRIME
    for place, (characters, values) in enumerate(_characters(space_group)):
        phases = (characters @ point - values * _GENERIC_PRIME) % fine
        if (phases == 0).all(axis=-1).any():
            return place
    raise RuntimeError(f"space group {space_group}: a point lies on none of its Wyckoff positions")


@cache
def _characters(space_group: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """Return for each position the u of `_place_of_point`, (n, 125, 3), and u·v in 1/24, (n, 125).

    Rows u that do not vanish on the position are replaced by zeros, which ask for nothing.
    """
    small = np.array(list(product(range(-2, 3), repeat=3)), dtype=np.int64)
    rows = []
    for linear, shifts in _affine_maps(space_group):
        vanishing = np.all(small @ linear == 0, axis=2)
        characters = np.where(vanishing[:, :, None], small, 0)
        rows.append((characters, np.einsum("nuc,nc->nu", characters, shifts)))
    return tuple(rows)


def equivalent_genes(gene: WyckoffGene) -> list[WyckoffGene]:
    """Return the distinct genes that describe the same crystals: the gene itself first, the others sorted."""
    others = {_relabelled(gene, row) for row in letter_permutations(gene.space_group).tolist()} - {gene}
    return [gene, *sorted(others)]


def canonical_gene(gene: WyckoffGene) -> WyckoffGene:
    """Return the smallest of the equivalent genes, the same for each of them."""
    return min(equivalent_genes(gene))


def _relabelled(gene: WyckoffGene, permutation: Sequence[int]) -> WyckoffGene:
    """Return the gene with its letters renamed; the order of its elements stays."""
    slots = {element: slot for slot, element in enumerate(gene.elements)}
    sites = sorted(
        (slots[element], permutation[LETTERS.index(letter)], element, number)
        for element, letter, number in gene.sites
    )
    return WyckoffGene(gene.space_group, tuple((site[2], LETTERS[site[1]], site[3]) for site in sites))


def augmented(genes: Sequence[WyckoffGene]) -> list[tuple[int, WyckoffGene]]:
    """Return (row, equivalent gene) of all genes, row after row, each gene itself before its equivalents.

    No gene occurs twice for a row; rows that are equivalent to one another all keep theirs, because they may
    carry different properties.
    """
    return [(row, equivalent) for row, gene in enumerate(genes) for equivalent in equivalent_genes(gene)]


def canonical_keys(arrays: GeneArrays) -> NDArray[np.uint64]:
    """Return a key per gene, shape (n,), that equivalent genes share and others do not.

    The key is the smallest hash of the equivalent genes. The hash is the sum of the numbers of a gene times
    fixed 64-bit coefficients, so that two different genes share one with a probability of about 2⁻⁶⁰. Keys
    are the same on every machine.
    """
    slots = MOST_ELEMENTS
    coefficients = _coefficients(1 + slots + slots * len(LETTERS))
    of_letters = coefficients[1 + slots :].reshape(slots, len(LETTERS))
    keys = np.zeros(len(arrays), dtype=np.uint64)
    for space_group in np.unique(arrays.space_group).tolist():
        rows = np.flatnonzero(arrays.space_group == space_group)
        letters = arrays.letters[rows].reshape(len(rows), -1).astype(np.uint64)
        hashes = np.stack(
            [letters @ of_letters[:, row].ravel() for row in letter_permutations(space_group)], axis=1
        )
        keys[rows] = hashes.min(axis=1)
    of_elements = arrays.elements.astype(np.uint64) @ coefficients[1 : 1 + slots]
    return keys + of_elements + arrays.space_group.astype(np.uint64) * coefficients[0]


def _coefficients(number: int) -> NDArray[np.uint64]:
    """Return odd 64-bit numbers without pattern, by the generator SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        value = np.arange(1, number + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))) | np.uint64(1)
