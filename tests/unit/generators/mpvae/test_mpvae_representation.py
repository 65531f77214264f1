"""Genes as sequences of sites: round trips, what does not fit, and the tables of positions and elements."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from matwheel.compositions.element_features import element_features
from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.generators.mpvae.representation import (
    ELEMENT_TOKENS,
    MOST_SITES,
    MOST_TAKERS,
    SiteSequences,
    arrays_of_sequences,
    can_be_represented,
    element_table,
    genes_of_sequences,
    position_tables,
    site_sequences,
)
from matwheel.wyckoff.wyckoff_genes import (
    GeneArrays,
    WyckoffGene,
    element_order,
    gene_arrays,
    genes_of_arrays,
    parse_gene,
)
from matwheel.wyckoff.wyckoff_positions import LETTERS, wyckoff_positions

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
SPECIAL = [
    "1 Na:a16",
    "1 K:a2 Mg:a Zn:a3 O:a4",
    "47 Na:abcdefgh Cl:A",
    "47 Na:ijkA2 Cl:A3",
    "2 Al:abcdefghi3 O:i16",
    "225 U:a",
]
GENES = [parse_gene(text) for text in [*TABLE["gene"], *SPECIAL]]
TOO_LARGE = {
    "thirteen sites": "47 Na:abcdefgh Cl:ijklm",
    "five elements": "1 Li:a Na:a K:a Cl:a O:a",
    "seventeen orbits on a letter": "1 Na:a17 Cl:a",
}


def assert_same_arrays(ours: GeneArrays, theirs: GeneArrays) -> None:
    for name in ("space_group", "elements", "letters"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == other.dtype and np.array_equal(mine, other), name


def test_genes_come_back_from_sequences():
    sequences = site_sequences(GENES)
    assert len(sequences) == len(GENES) and sequences.element.shape == (len(GENES), MOST_SITES)
    assert genes_of_sequences(sequences) == GENES
    assert [str(gene) for gene in genes_of_sequences(sequences.rows(slice(60, None)))] == SPECIAL


def test_sequences_as_arrays_are_those_of_the_genes():
    arrays = arrays_of_sequences(site_sequences(GENES))
    assert_same_arrays(arrays, gene_arrays(GENES))
    assert genes_of_arrays(arrays) == GENES


def test_a_sequence_reads_as_its_gene():
    sequences = site_sequences([parse_gene("64 Ca:f Si:f N:ef2")])
    place = {symbol: position + 1 for position, symbol in enumerate(element_order())}
    wanted = [place["Ca"], place["Si"], place["N"], place["N"]]
    assert sequences.space_group.tolist() == [64]
    assert sequences.element[0].tolist() == wanted + [0] * 8 and wanted == sorted(wanted)
    assert sequences.letter[0].tolist() == [LETTERS.index(letter) for letter in "ffef"] + [0] * 8
    assert sequences.takers[0].tolist() == [1, 1, 1, 2] + [0] * 8


def test_elements_ascend_and_nothing_stands_behind_the_end():
    sequences = site_sequences(GENES)
    present = sequences.element > 0
    assert (present.long().diff(dim=1) <= 0).all()
    assert ((sequences.element.diff(dim=1) >= 0) | ~present[:, 1:]).all()
    assert (sequences.element < ELEMENT_TOKENS).all() and (sequences.takers[present] >= 1).all()
    for name in ("letter", "takers"):
        assert (getattr(sequences, name)[~present] == 0).all()


@pytest.mark.parametrize("text", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_gene_that_does_not_fit_is_named(text):
    gene = parse_gene(text)
    assert not can_be_represented(gene)
    with pytest.raises(InputError, match=f"gene {gene} has more than .* leave the row out"):
        site_sequences([*GENES[:3], gene])


def test_the_largest_genes_that_fit():
    assert MOST_SITES == 12 and MOST_TAKERS == 16
    for text in ("47 Na:abcdefgh Cl:ijkl", "1 Na:a16 Cl:a16", "1 Li:a Na:a Cl:a O:a"):
        gene = parse_gene(text)
        assert can_be_represented(gene) and genes_of_sequences(site_sequences([gene])) == [gene]


def test_rows_are_cut_to_their_longest_sequence():
    sequences = site_sequences(GENES)
    lengths = np.array([len(gene.sites) for gene in GENES])
    for rows in (np.array([5, 3, 3]), torch.tensor([0, 60]), slice(10, 20)):
        chosen = sequences.rows(rows)
        indices = np.arange(len(GENES))[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        assert chosen.element.shape == (len(indices), lengths[indices].max())
        assert genes_of_sequences(chosen) == [GENES[row] for row in indices]
        assert_same_arrays(arrays_of_sequences(chosen), gene_arrays([GENES[row] for row in indices]))
    assert len(sequences.rows(slice(0, 0))) == 0 and len(site_sequences([])) == 0


def test_a_row_without_sites_is_a_gene_without_sites():
    empty = torch.zeros(3, 2, dtype=torch.long)
    element = torch.tensor([[0, 0], [50, 0], [0, 0]])
    takers = (element > 0).long()
    sequences = SiteSequences(torch.tensor([5, 225, 1]), element, empty, takers)
    genes = genes_of_sequences(sequences)
    assert genes[0] == WyckoffGene(5, ()) and genes[2] == WyckoffGene(1, ())
    assert genes[1].sites == ((element_order()[49], "a", 1),)
    arrays = arrays_of_sequences(sequences)
    assert arrays.letters.sum(axis=(1, 2)).tolist() == [0, 1, 0]
    assert (arrays.elements > 0).sum(axis=1).tolist() == [0, 1, 0]


def test_a_site_that_is_written_twice_is_added_up():
    twice = SiteSequences(
        torch.tensor([1]), torch.tensor([[7, 7]]), torch.tensor([[0, 0]]), torch.tensor([[2, 3]])
    )
    assert genes_of_sequences(twice) == [WyckoffGene(1, ((element_order()[6], "a", 5),))]
    assert arrays_of_sequences(twice).letters[0, 0, 0] == 5


def test_position_tables_are_those_of_the_space_groups():
    tables, positions = position_tables(), wyckoff_positions()
    assert np.array_equal(tables["exists"].numpy(), positions.exists)
    assert np.array_equal(tables["multiplicity"].numpy(), positions.multiplicity)
    assert tables["exists"][47].all() and tables["exists"][1].sum() == 1
    assert tables["multiplicity"][225, 0] == 4 and tables["primitive_atoms"][225, 0] == 1
    assert tables["primitive_atoms"][166, 0] == 1  # hexagonal axes: a third of 3a
    assert tables["fixed"][225, :2].all() and not tables["fixed"][1, 0]
    assert (tables["features"][~tables["exists"]] == 0).all()
    # m-3m on position a of 225: 48 operations.
    assert tables["features"][225, 0, 0].item() == pytest.approx(np.log(48))
    assert (tables["groups"][1:, :7].sum(dim=1) == 1).all() and tables["groups"][225, 6] == 1
    for name in ("features", "groups"):
        assert tables[name].isfinite().all()


def test_the_element_table_is_in_the_order_of_genes():
    table = element_table()
    assert table.shape == (ELEMENT_TOKENS, element_features().shape[1]) and (table[0] == 0).all()
    for symbol in ("Na", "O", "U"):
        own = table[element_order().index(symbol) + 1].numpy()
        assert np.array_equal(own, element_features()[ELEMENTS.index(symbol) + 1].astype(np.float32))
