"""Wyckoff genes: a crystal as its space group and, for each element, the Wyckoff positions that it occupies.

The representation of WyCryst (Zhu et al., Matter 7, 3469, 2024) without its limits: all space groups, all 27
letters, up to `MOST_ELEMENTS` elements. Elements stand in one order, from the least to the most
electronegative, so that one description of a crystal is one gene; `wyckoff_permutations.canonical_gene` is
the same for all descriptions. A gene reads '225 Na:a Cl:b'; a position
that several orbits of an element occupy carries their number: in '62 Ca:c Ti:b O:cd' each has one, in
'62 Si:c Ni:c2' nickel has two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset
from matwheel.wyckoff.wyckoff_positions import LETTERS, SPACE_GROUPS, wyckoff_positions

MOST_ELEMENTS = 4
MOST_TAKERS = 99
SYMPREC_ANGSTROM = 0.1
_SITES = re.compile(r"([a-zA])(\d*)")


class NoGene(ValueError):
    """A crystal that has no gene; the message says why."""


@dataclass(frozen=True, order=True)
class WyckoffGene:
    """Space group and occupied Wyckoff positions of a crystal.

    Attributes:
        space_group: 1 … 230.
        sites: (element, letter, how many atoms of the asymmetric unit), elements in `element_order`, letters
            in the order of `LETTERS`; an element and letter occur together once.
    """

    space_group: int
    sites: tuple[tuple[str, str, int], ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements in the order of the gene."""
        return tuple(dict.fromkeys(element for element, _, _ in self.sites))

    @property
    def atoms(self) -> dict[str, int]:
        """Atoms of each element in the conventional cell."""
        row = wyckoff_positions().multiplicity[self.space_group]
        counts: Counter[str] = Counter()
        for element, letter, number in self.sites:
            counts[element] += number * int(row[LETTERS.index(letter)])
        return dict(counts)

    @property
    def atoms_in_primitive_cell(self) -> int:
        """Atoms of the primitive cell."""
        return sum(self.atoms.values()) // int(wyckoff_positions().centring[self.space_group])

    @property
    def formula(self) -> str:
        """Reduced formula in pymatgen's spelling."""
        from pymatgen.core import Composition

        return Composition(self.atoms).reduced_formula

    @property
    def free_coordinates(self) -> int:
        """Free fractional coordinates of all its sites."""
        row = wyckoff_positions().free_coordinates[self.space_group]
        return sum(number * int(row[LETTERS.index(letter)]) for _, letter, number in self.sites)

    def __str__(self) -> str:
        parts: dict[str, str] = {}
        for element, letter, number in self.sites:
            parts[element] = parts.get(element, "") + letter + (str(number) if number > 1 else "")
        return " ".join([str(self.space_group), *(f"{element}:{sites}" for element, sites in parts.items())])


@cache
def element_order() -> tuple[str, ...]:
    """Return the 103 elements from the least to the most electronegative (Pauling), then by symbol.

    Elements without a Pauling electronegativity stand first.
    """
    from matwheel.compositions.oxidation_states import pauling_electronegativities

    values = pauling_electronegativities()
    return tuple(sorted(ELEMENTS, key=lambda symbol: (values.get(symbol, 0.0), symbol)))


@cache
def _place_of_element() -> dict[str, int]:
    return {symbol: place for place, symbol in enumerate(element_order())}


def make_gene(space_group: int, sites: Iterable[tuple[str, str, int]]) -> WyckoffGene:
    """Return a gene with its sites added up and put in order.

    Raises:
        InputError: no such space group, element or letter, or a number that is not positive.
    """
    if space_group not in range(1, SPACE_GROUPS + 1):
        raise InputError(f"gene: no space group {space_group!r}; give one of 1 … {SPACE_GROUPS}")
    letters = wyckoff_positions().exists[space_group]
    total: Counter[tuple[str, str]] = Counter()
    for element, letter, number in sites:
        if element not in _place_of_element():
            raise InputError(f"gene: {element!r} is not one of the 103 elements H to Lr")
        if len(letter) != 1 or letter not in LETTERS or not letters[LETTERS.index(letter)]:
            last = LETTERS[int(letters.sum()) - 1]
            raise InputError(
                f"gene: space group {space_group} has no Wyckoff letter {letter!r}, only a to {last}"
            )
        if not 1 <= number <= MOST_TAKERS:
            raise InputError(
                f"gene: {element} takes position {letter} {number} times, not 1 to {MOST_TAKERS}"
            )
        total[element, letter] += int(number)
    if not total:
        raise InputError("gene: no site")
    order = sorted(total, key=lambda site: (_place_of_element()[site[0]], LETTERS.index(site[1])))
    return WyckoffGene(int(space_group), tuple((*site, total[site]) for site in order))


def parse_gene(text: str) -> WyckoffGene:
    """Return the gene that reads `text`, e.g. '225 Na:a Cl:b'.

    Raises:
        InputError: text that is no gene, an impossible letter; the message quotes the text.
    """
    gene = read_gene(text)
    try:
        return make_gene(gene.space_group, gene.sites)
    except InputError as error:
        raise InputError(f"gene {text!r}: {error}; a gene reads like '225 Na:a Cl:b'") from None


def read_gene(text: str) -> WyckoffGene:
    """Return the gene that `str` wrote, possible or not, sites as they stand.

    Raises:
        InputError: text that is no gene; the message quotes it.
    """
    sites = []
    try:
        number, *parts = text.split()
        for part in parts:
            element, _, letters = part.partition(":")
            if not letters or "".join(match.group() for match in _SITES.finditer(letters)) != letters:
                raise ValueError(f"{part!r} is no element with its letters")
            sites += [(element, letter, int(count or 1)) for letter, count in _SITES.findall(letters)]
        return WyckoffGene(int(number), tuple(sites))
    except ValueError as error:
        raise InputError(f"gene {text!r}: {error}; a gene reads like '225 Na:a Cl:b'") from None


def fault_of_gene(gene: WyckoffGene) -> str:
    """Say what is impossible about a gene: a position without free coordinates taken twice; else ''."""
    fixed = wyckoff_positions().is_fixed[gene.space_group]
    taken: Counter[str] = Counter()
    for _, letter, number in gene.sites:
        taken[letter] += number
    for letter, number in sorted(taken.items()):
        if number > 1 and fixed[LETTERS.index(letter)]:
            return f"position {letter} of space group {gene.space_group} is fixed, but taken {number} times"
    return ""


def gene_of_crystal(crystal: Crystal, symprec_angstrom: float = SYMPREC_ANGSTROM) -> WyckoffGene:
    """Return the gene of a crystal by spglib, which takes the standard setting of the space group.

    Raises:
        NoGene: spglib finds no symmetry, an element is none of the 103, or there are more than
            `MOST_ELEMENTS` elements.
    """
    elements = sorted(set(crystal.species))
    if not 1 <= len(elements) <= MOST_ELEMENTS:
        raise NoGene(f"{len(elements)} elements; a gene has 1 to {MOST_ELEMENTS}")
    unknown = [element for element in elements if element not in _place_of_element()]
    if unknown:
        raise NoGene(f"{unknown[0]} is not one of the 103 elements H to Lr")
    dataset = symmetry_dataset(crystal, symprec_angstrom)
    if dataset is None:
        raise NoGene(
            f"spglib finds no space group at {symprec_angstrom:g} Å: broken cell, or atoms too close"
        )
    # Atoms of one orbit are one site, however many cells the crystal was given with.
    first_atoms = sorted(set(map(int, dataset.crystallographic_orbits)))
    sites = [(crystal.species[atom], dataset.wyckoffs[atom], 1) for atom in first_atoms]
    return make_gene(int(dataset.number), sites)


@dataclass(frozen=True, eq=False)
class GeneArrays:
    """Many genes as arrays, for what is done to 100,000 of them at once.

    Attributes:
        space_group: shape (n,).
        elements: atomic numbers in the order of the gene, 0 behind the last, shape (n, MOST_ELEMENTS).
        letters: how often each element takes each letter, shape (n, MOST_ELEMENTS, 27).
    """

    space_group: NDArray[np.int16]
    elements: NDArray[np.int16]
    letters: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.space_group)

    def __getitem__(self, rows: slice | NDArray[np.bool_] | NDArray[np.integer]) -> GeneArrays:
        return GeneArrays(self.space_group[rows], self.elements[rows], self.letters[rows])

    @property
    def atoms(self) -> NDArray[np.int64]:
        """Atoms of each element in the conventional cell, shape (n, MOST_ELEMENTS)."""
        multiplicity = wyckoff_positions().multiplicity[self.space_group]
        return np.einsum("nel,nl->ne", self.letters.astype(np.int64), multiplicity)

    @property
    def atoms_in_primitive_cell(self) -> NDArray[np.int64]:
        """Atoms of the primitive cell, shape (n,)."""
        return self.atoms.sum(axis=1) // wyckoff_positions().centring[self.space_group]

    def counts(self) -> NDArray[np.int64]:
        """Return the reduced compositions, shape (n, 103), columns by atomic number from H on."""
        counts = np.zeros((len(self), len(ELEMENTS) + 1), dtype=np.int64)
        np.put_along_axis(counts, self.elements.astype(np.int64), self.atoms, axis=1)
        counts = counts[:, 1:]
        divisor = np.gcd.reduce(counts, axis=1)
        return counts // np.maximum(divisor, 1)[:, None]


def gene_arrays(genes: Sequence[WyckoffGene]) -> GeneArrays:
    """Return genes as arrays, in the given order.

    Raises:
        InputError: a gene of more than `MOST_ELEMENTS` elements, by its text.
    """
    space_group = np.array([gene.space_group for gene in genes], dtype=np.int16)
    elements = np.zeros((len(genes), MOST_ELEMENTS), dtype=np.int16)
    letters = np.zeros((len(genes), MOST_ELEMENTS, len(LETTERS)), dtype=np.uint8)
    for row, gene in enumerate(genes):
        slots = {element: slot for slot, element in enumerate(gene.elements)}
        if len(slots) > MOST_ELEMENTS:
            raise InputError(f"gene {gene}: {len(slots)} elements, at most {MOST_ELEMENTS} are handled")
        for element, letter, number in gene.sites:
            elements[row, slots[element]] = ELEMENTS.index(element) + 1
            letters[row, slots[element], LETTERS.index(letter)] = number
    return GeneArrays(space_group, elements, letters)


def genes_of_arrays(arrays: GeneArrays) -> list[WyckoffGene]:
    """Return the genes of arrays, in order; elements must stand in the order of a gene."""
    rows, slots, letters = np.nonzero(arrays.letters)
    numbers = arrays.letters[rows, slots, letters].tolist()
    symbols = [ELEMENTS[number - 1] for number in arrays.elements[rows, slots].tolist()]
    sites: list[list[tuple[str, str, int]]] = [[] for _ in range(len(arrays))]
    for row, symbol, letter, number in zip(rows.tolist(), symbols, letters.tolist(), numbers, strict=True):
        sites[row].append((symbol, LETTERS[letter], number))
    groups = arrays.space_group.tolist()
    return [WyckoffGene(group, tuple(own)) for group, own in zip(groups, sites, strict=True)]
