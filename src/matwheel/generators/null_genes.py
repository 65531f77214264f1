"""Null generators of genes: what chance, or a change of one element, gives with no learning at all."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.generators.null_compositions import distinct_columns
from matwheel.wyckoff.wyckoff_genes import MOST_ELEMENTS, GeneArrays, element_order
from matwheel.wyckoff.wyckoff_positions import LETTERS, wyckoff_positions

LARGEST_ATOMS = 40
# A row whose letters run into a dead end is begun again; none but an impossible one goes on so long.
_MOST_ROUNDS = 1000


def random_genes(
    reference: GeneArrays,
    n: int,
    *,
    seed: int,
    numbers_of_elements: Collection[int] | None = None,
    largest_atoms: int = LARGEST_ATOMS,
) -> GeneArrays:
    """Return genes with random sites and elements in the space groups of the reference genes.

    Each takes the space group, the number of orbits and the number of elements of a reference gene drawn at
    random. Its elements are drawn without repetition by the number of reference genes that hold them. Its
    letters are drawn one after another, each evenly among the letters of the group that are still possible: a
    fixed position is taken at most once, and the atoms stay within the limit. Every element gets one orbit,
    the others fall to any element alike.

    Args:
        reference: genes, e.g. those of the training rows.
        n: number of genes.
        seed: of the draws.
        numbers_of_elements: numbers of elements that a gene may have; those of the reference genes if None.
        largest_atoms: most atoms in the primitive cell. Larger reference genes are not drawn.

    Raises:
        InputError: no reference gene has such a number of elements and so few atoms, or n below 0.
    """
    _check(reference, n)
    sizes = (reference.elements > 0).sum(axis=1)
    allowed = reference.atoms_in_primitive_cell <= largest_atoms
    if numbers_of_elements is not None:
        allowed &= np.isin(sizes, sorted(numbers_of_elements))
    rows = np.flatnonzero(allowed)
    if not len(rows):
        wanted = "any number" if numbers_of_elements is None else " or ".join(map(str, numbers_of_elements))
        raise InputError(
            f"no reference gene has {wanted} of elements and at most {largest_atoms} atoms in its primitive "
            "cell; give other numbers_of_elements or more largest_atoms"
        )
    generator = np.random.default_rng(seed)
    drawn = rows[generator.integers(len(rows), size=n)]
    space_group, sizes = reference.space_group[drawn], sizes[drawn]
    orbits = reference.letters[drawn].sum(axis=(1, 2), dtype=np.int64)
    columns = distinct_columns(sizes, _element_frequency(reference[rows]), generator)
    elements = np.zeros((n, MOST_ELEMENTS), dtype=np.int16)
    elements[:, : columns.shape[1]] = columns + 1
    sites = _random_letters(space_group.astype(np.int64), orbits, largest_atoms, generator)
    # Frequent elements and large orbits tend to be drawn first, so one of them has to be shuffled.
    order = np.where(np.arange(sites.shape[1]) < orbits[:, None], generator.random(sites.shape), 2.0)
    sites = np.take_along_axis(sites, np.argsort(order, axis=1), axis=1)
    letters = np.zeros((n, MOST_ELEMENTS, len(LETTERS)), dtype=np.uint8)
    for place in range(sites.shape[1]):
        here = np.flatnonzero(orbits > place)
        slot = np.where(
            place < sizes[here], place, (generator.random(len(here)) * sizes[here]).astype(np.int64)
        )
        letters[here, slot, sites[here, place]] += 1
    return in_element_order(GeneArrays(space_group.copy(), elements, letters))


def substituted_genes(reference: GeneArrays, n: int, *, seed: int) -> GeneArrays:
    """Return reference genes, drawn with replacement, with one of their elements replaced by another.

    Each element of a gene is as likely to be replaced. The new one is drawn by the number of reference genes
    that hold it, among those that the gene does not hold; it takes the sites of the old one.

    Args:
        reference: genes, e.g. those of the training rows.
        n: number of genes.
        seed: of the draws.

    Raises:
        InputError: no reference genes, too few elements among them, or n below 0.
    """
    _check(reference, n)
    sizes = (reference.elements > 0).sum(axis=1)
    frequency = _element_frequency(reference)
    if np.count_nonzero(frequency) <= sizes.max():
        raise InputError(
            f"the reference genes hold {np.count_nonzero(frequency)} elements and one of them holds "
            f"{sizes.max()}: none is left to replace another; give more reference genes"
        )
    generator = np.random.default_rng(seed)
    rows = generator.integers(len(reference), size=n)
    replaced = (generator.random(n) * sizes[rows]).astype(np.int64)
    elements = reference.elements[rows]
    new = np.zeros(n, dtype=np.int16)
    waiting = np.arange(n)
    while len(waiting):  # a draw that the gene holds already is made again
        new[waiting] = generator.choice(len(frequency), size=len(waiting), p=frequency / frequency.sum()) + 1
        waiting = waiting[(elements[waiting] == new[waiting, None]).any(axis=1)]
    elements[np.arange(n), replaced] = new
    return in_element_order(GeneArrays(reference.space_group[rows], elements, reference.letters[rows]))


def in_element_order(arrays: GeneArrays) -> GeneArrays:
    """Return genes with their elements, and letters with them, in the order of a gene; empty slots last."""
    order = np.argsort(_rank_of_element()[arrays.elements], axis=1, kind="stable")
    return GeneArrays(
        arrays.space_group,
        np.take_along_axis(arrays.elements, order, axis=1),
        np.take_along_axis(arrays.letters, order[:, :, None], axis=1),
    )


@cache
def _rank_of_element() -> NDArray[np.int64]:
    """Return the place of each atomic number in the order of a gene; that of 0, an empty slot, is last."""
    rank = np.full(len(ELEMENTS) + 1, len(ELEMENTS), dtype=np.int64)
    for place, symbol in enumerate(element_order()):
        rank[ELEMENTS.index(symbol) + 1] = place
    return rank


def _element_frequency(genes: GeneArrays) -> NDArray[np.float64]:
    """Return how many genes hold each of the 103 elements."""
    numbers = genes.elements[genes.elements > 0]
    return np.bincount(numbers, minlength=len(ELEMENTS) + 1)[1:].astype(np.float64)


def _random_letters(
    space_group: NDArray[np.int64],
    orbits: NDArray[np.int64],
    largest_atoms: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return letters of each row, shape (rows, most orbits); -1 beyond the orbits of a row."""
    positions = wyckoff_positions()
    atoms = positions.multiplicity // positions.centring[:, None]
    smallest = np.where(positions.exists, atoms, np.iinfo(np.int64).max).min(axis=1)
    sites = np.full((len(orbits), int(orbits.max(initial=0))), -1, dtype=np.int64)
    waiting = np.arange(len(orbits))
    for _ in range(_MOST_ROUNDS):
        if not len(waiting):
            return sites
        groups, wanted = space_group[waiting], orbits[waiting]
        drawn = np.full((len(waiting), sites.shape[1]), -1, dtype=np.int64)
        room = np.full(len(waiting), largest_atoms, dtype=np.int64)
        open_letters = positions.exists[groups]
        dead = np.zeros(len(waiting), dtype=bool)
        for place in range(int(wanted.max())):
            here = np.flatnonzero((wanted > place) & ~dead)
            # What the orbits after this one need at the very least is kept free.
            left = room[here] - (wanted[here] - place - 1) * smallest[groups[here]]
            possible = open_letters[here] & (atoms[groups[here]] <= left[:, None])
            number = possible.sum(axis=1)
            dead[here[number == 0]] = True
            here, possible, number = here[number > 0], possible[number > 0], number[number > 0]
            which = (generator.random(len(here)) * number).astype(np.int64)
            letter = (np.cumsum(possible, axis=1) == which[:, None] + 1).argmax(axis=1)
            drawn[here, place] = letter
            room[here] -= atoms[groups[here], letter]
            taken = positions.is_fixed[groups[here], letter]
            open_letters[here[taken], letter[taken]] = False
        sites[waiting[~dead]] = drawn[~dead]
        waiting = waiting[dead]
    raise InputError(
        f"space group {space_group[waiting[0]]}: {orbits[waiting[0]]} orbits and at most {largest_atoms} "
        "atoms do not go together; give more largest_atoms"
    )


def _check(reference: GeneArrays, n: int) -> None:
    if not len(reference):
        raise InputError("no reference genes to draw from; the training part is empty")
    if n < 0:
        raise InputError(f"{n} genes asked for; give a number of at least 0")
