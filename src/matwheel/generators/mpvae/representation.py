"""Genes as tensors: a sequence of sites for the default network, a matrix for the published one.

Elements are numbered by their place in `element_order`, from 1 on, so that the elements of a gene ascend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from matwheel.compositions.element_features import element_features
from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.wyckoff.wyckoff_genes import (
    MOST_ELEMENTS,
    GeneArrays,
    WyckoffGene,
    element_order,
    make_gene,
)
from matwheel.wyckoff.wyckoff_positions import LETTERS, SPACE_GROUPS, crystal_system, wyckoff_positions

MOST_SITES = 12
MOST_TAKERS = 16
"""Most orbits of one element on one Wyckoff letter."""
END = 0
ELEMENT_TOKENS = len(ELEMENTS) + 1


@dataclass(frozen=True, eq=False)
class SiteSequences:
    """Genes as sequences of (element, letter, number of orbits).

    Attributes:
        space_group: shape (n,).
        element: places from 1 on, 0 behind the end, shape (n, sites).
        letter: places in `LETTERS`, 0 behind the end, shape (n, sites).
        takers: orbits of that element on that letter, 0 behind the end, shape (n, sites).
    """

    space_group: Tensor
    element: Tensor
    letter: Tensor
    takers: Tensor

    def __len__(self) -> int:
        return len(self.space_group)

    def rows(self, rows: NDArray[np.integer] | Tensor | slice) -> SiteSequences:
        """Return some rows, cut to their longest sequence."""
        chosen = torch.as_tensor(rows) if isinstance(rows, np.ndarray) else rows
        element = self.element[chosen]
        longest = int((element > 0).sum(dim=1).max()) if len(element) else 0
        return SiteSequences(
            self.space_group[chosen],
            element[:, :longest],
            self.letter[chosen][:, :longest],
            self.takers[chosen][:, :longest],
        )

    def to(self, device: torch.device) -> SiteSequences:
        """Return the same on a device."""
        return SiteSequences(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def can_be_represented(gene: WyckoffGene) -> bool:
    """Return whether a gene fits the sequences and the matrix."""
    return (
        len(gene.sites) <= MOST_SITES
        and len(gene.elements) <= MOST_ELEMENTS
        and all(number <= MOST_TAKERS for _, _, number in gene.sites)
    )


def site_sequences(genes: Sequence[WyckoffGene]) -> SiteSequences:
    """Return genes as sequences, in the given order.

    Raises:
        InputError: a gene with too many sites, elements or orbits on a letter, by its text.
    """
    place = {symbol: position + 1 for position, symbol in enumerate(element_order())}
    arrays = [np.zeros((len(genes), MOST_SITES), dtype=np.int64) for _ in range(3)]
    for row, gene in enumerate(genes):
        if not can_be_represented(gene):
            raise InputError(
                f"gene {gene} has more than {MOST_SITES} sites, {MOST_ELEMENTS} elements or {MOST_TAKERS} "
                "orbits on a letter; leave the row out"
            )
        for step, (element, letter, number) in enumerate(gene.sites):
            for array, value in zip(arrays, (place[element], LETTERS.index(letter), number), strict=True):
                array[row, step] = value
    groups = torch.tensor([gene.space_group for gene in genes], dtype=torch.long)
    return SiteSequences(groups, *(torch.from_numpy(array) for array in arrays))


def genes_of_sequences(sequences: SiteSequences) -> list[WyckoffGene]:
    """Return the genes of sequences, in order; a row without sites is a gene without sites."""
    order = element_order()
    genes = []
    for group, elements, letters, takers in zip(
        *(getattr(sequences, name).tolist() for name in SiteSequences.__dataclass_fields__), strict=True
    ):
        sites = [
            (order[element - 1], LETTERS[letter], number)
            for element, letter, number in zip(elements, letters, takers, strict=True)
            if element
        ]
        genes.append(make_gene(group, sites) if sites else WyckoffGene(group, ()))
    return genes


@cache
def position_tables() -> dict[str, Tensor]:
    """Return what networks know of Wyckoff positions.

    Returns:
        exists, fixed: bool, shape (231, 27); primitive_atoms: atoms of a position in the primitive cell,
        shape (231, 27); multiplicity: in the conventional cell; features: shape (231, 27, f): logarithm of
        the order of the site symmetry, free coordinates, one-hot letter; groups: shape (231, g): crystal
        system, centring and the logarithm of the general multiplicity.
    """
    positions = wyckoff_positions()
    multiplicity = torch.from_numpy(positions.multiplicity.copy())
    centring = torch.from_numpy(positions.centring.copy())
    exists = multiplicity > 0
    general = multiplicity.max(dim=1).values.clamp(min=1)
    site_order = general[:, None] / multiplicity.clamp(min=1)
    letters = torch.eye(len(LETTERS)).expand(SPACE_GROUPS + 1, -1, -1)
    features = torch.cat(
        [
            site_order.log()[..., None],
            torch.nn.functional.one_hot(torch.from_numpy(positions.free_coordinates.copy()), 4).float(),
            letters,
        ],
        dim=-1,
    )
    systems = torch.zeros(SPACE_GROUPS + 1, 7)
    for number in range(1, SPACE_GROUPS + 1):
        systems[number, crystal_system(number)] = 1.0
    centrings = torch.nn.functional.one_hot(centring, 5).float()
    return {
        "exists": exists,
        "fixed": torch.from_numpy(positions.is_fixed.copy()),
        "primitive_atoms": multiplicity // centring[:, None],
        "multiplicity": multiplicity,
        "features": features * exists[..., None],
        "groups": torch.cat([systems, centrings, general.float().log()[:, None]], dim=1),
    }


@cache
def element_table() -> Tensor:
    """Return the 92 features of the elements by their place, shape (104, 92); row 0 is zero."""
    table = np.zeros((ELEMENT_TOKENS, element_features().shape[1]), dtype=np.float32)
    for place, symbol in enumerate(element_order(), start=1):
        table[place] = element_features()[ELEMENTS.index(symbol) + 1]
    return torch.from_numpy(table)


def arrays_of_sequences(sequences: SiteSequences) -> GeneArrays:
    """Return sequences as gene arrays: one slot per element, in the order of the gene."""
    rows, steps = np.nonzero(sequences.element.numpy() > 0)
    element, letter, takers = (
        getattr(sequences, name).numpy()[rows, steps] for name in ("element", "letter", "takers")
    )
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (rows[1:] != rows[:-1]) | (element[1:] != element[:-1])
    first_of_row = np.ones(len(rows), dtype=bool)
    first_of_row[1:] = rows[1:] != rows[:-1]
    running = np.cumsum(starts)
    slot = running - np.maximum.accumulate(np.where(first_of_row, running, 0))
    numbers = np.array([0] + [ELEMENTS.index(symbol) + 1 for symbol in element_order()], dtype=np.int16)
    n = len(sequences)
    elements = np.zeros((n, MOST_ELEMENTS), dtype=np.int16)
    letters = np.zeros((n, MOST_ELEMENTS, len(LETTERS)), dtype=np.uint8)
    elements[rows, slot] = numbers[element]
    np.add.at(letters, (rows, slot, letter), takers.astype(np.uint8))
    return GeneArrays(sequences.space_group.numpy().astype(np.int16), elements, letters)
