"""Null generators of genes: what they keep of the reference genes, what they draw, and how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.core.errors import InputError
from matwheel.generators.null_genes import in_element_order, random_genes, substituted_genes
from matwheel.wyckoff.wyckoff_genes import (
    fault_of_gene,
    gene_arrays,
    genes_of_arrays,
    make_gene,
    parse_gene,
)

TABLE = pd.read_csv(Path(__file__).resolve().parents[2] / "data" / "genes60.csv")
GENES = [parse_gene(text) for text in TABLE["gene"]]
REFERENCE = gene_arrays(GENES)


def orbits(gene):
    return sum(number for _, _, number in gene.sites)


def shape_of(gene):
    """Which letters go together on one element, whatever the element."""
    sites = {}
    for element, letter, number in gene.sites:
        sites.setdefault(element, []).append((letter, number))
    return gene.space_group, tuple(sorted(map(tuple, sites.values())))


def test_random_genes_can_be_crystals_and_are_written_as_genes_are():
    made = genes_of_arrays(random_genes(REFERENCE, 3000, seed=1, largest_atoms=24))
    kinds = {(gene.space_group, orbits(gene), len(gene.elements)) for gene in GENES}
    elements = {element for gene in GENES for element in gene.elements}
    for gene in made:
        assert fault_of_gene(gene) == "" and gene.atoms_in_primitive_cell <= 24
        assert parse_gene(str(gene)) == gene  # elements and letters in order, each once
        assert (gene.space_group, orbits(gene), len(gene.elements)) in kinds
        assert elements.issuperset(gene.elements)
    assert len({shape_of(gene) for gene in made} - {shape_of(gene) for gene in GENES}) > 500


def test_groups_and_elements_follow_their_frequency_in_the_reference():
    made = random_genes(REFERENCE, 20_000, seed=2)
    groups = np.unique(REFERENCE.space_group)
    expected = np.array([(REFERENCE.space_group == group).mean() for group in groups])
    drawn = np.array([(made.space_group == group).mean() for group in groups])
    assert np.abs(drawn - expected).max() < 0.01
    before = Counter(element for gene in GENES for element in gene.elements)
    after = Counter(element for gene in genes_of_arrays(made) for element in gene.elements)
    names = sorted(before)
    assert np.corrcoef([before[name] for name in names], [after[name] for name in names])[0, 1] > 0.97


def test_letters_are_drawn_evenly_and_fall_to_all_elements_alike():
    # Group 38 has letters a b (m m 2), c, d, e and f, none of them fixed: one orbit each for two elements.
    reference = gene_arrays(
        [parse_gene("38 Na:a Cl:b"), parse_gene("38 Ga:c As:d"), parse_gene("38 Na:a O:b")]
    )
    made = random_genes(reference, 12_000, seed=0, largest_atoms=100)
    letters = made.letters.sum(axis=(0, 1))
    assert np.abs(letters[:6] / letters.sum() - 1 / 6).max() < 0.01 and not letters[6:].any()
    by_slot = made.letters.sum(axis=0)[:2] / 12_000
    assert np.abs(by_slot[0] - by_slot[1]).max() < 0.02


def test_the_limits_of_a_group_are_kept_even_when_letters_are_few():
    # P-1 has eight fixed positions (a to h) of one atom and i of two: nine orbits in ten atoms use all.
    reference = gene_arrays([parse_gene("2 Ba:abcd O:efghi")])
    for gene in genes_of_arrays(random_genes(reference, 200, seed=3, largest_atoms=10)):
        assert sorted(letter for _, letter, _ in gene.sites) == list("abcdefghi")
        assert fault_of_gene(gene) == "" and gene.atoms_in_primitive_cell == 10


def test_numbers_of_elements_and_size_choose_the_reference_genes():
    made = random_genes(REFERENCE, 500, seed=4, numbers_of_elements=[3])
    assert set((made.elements > 0).sum(axis=1)) == {3}
    with pytest.raises(InputError, match="no reference gene has 4 of elements"):
        random_genes(REFERENCE, 5, seed=0, numbers_of_elements=[4])
    with pytest.raises(InputError, match="at most 0 atoms"):
        random_genes(REFERENCE, 5, seed=0, largest_atoms=0)


def test_substitution_changes_one_element_and_nothing_else():
    made = genes_of_arrays(substituted_genes(REFERENCE, 2000, seed=5))
    sources = {}
    for gene in GENES:
        sources.setdefault(shape_of(gene), []).append(gene)
    for gene in made:
        assert parse_gene(str(gene)) == gene
        candidates = []
        for source in sources[shape_of(gene)]:
            new, old = set(gene.elements) - set(source.elements), set(source.elements) - set(gene.elements)
            if len(new) == len(old) == 1:
                place = {old.pop(): new.pop()}
                sites = [(place.get(element, element), *rest) for element, *rest in source.sites]
                candidates.append(make_gene(source.space_group, sites))
        assert gene in candidates


def test_substitutes_follow_their_frequency():
    # Every gene holds Na; the other element is replaced or Na is, by Cl or Br or O, 3 : 2 : 1 in frequency.
    texts = ["225 Na:a Cl:b"] * 3 + ["225 Na:a Br:b"] * 2 + ["225 Na:a O:b"]
    made = genes_of_arrays(substituted_genes(gene_arrays([parse_gene(t) for t in texts]), 30_000, seed=6))
    from_chloride = Counter(
        element
        for gene in made
        if "Cl" in gene.elements and "Na" not in gene.elements
        for element in gene.elements
    )
    # BrCl: Na of NaCl became Br (3/6 × 1/2 × 2/3), or Na of NaBr became Cl (2/6 × 1/2 × 3/4).
    assert from_chloride["Br"] / 30_000 == pytest.approx(1 / 6 + 1 / 8, abs=0.01)


@pytest.mark.parametrize("make", [random_genes, substituted_genes])
def test_seeded_and_exactly_n(make):
    first, again, other = (make(REFERENCE, 50, seed=seed) for seed in (1, 1, 2))
    for name in ("space_group", "elements", "letters"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert getattr(first, name).dtype == getattr(REFERENCE, name).dtype
    assert genes_of_arrays(first) != genes_of_arrays(other) and len(first) == 50
    assert len(make(REFERENCE, 0, seed=1)) == 0
    with pytest.raises(InputError, match="no reference genes"):
        make(REFERENCE[:0], 5, seed=0)
    with pytest.raises(InputError, match="-1 genes"):
        make(REFERENCE, -1, seed=0)


def test_nothing_left_to_substitute_is_said():
    with pytest.raises(InputError, match="none is left"):
        substituted_genes(gene_arrays([parse_gene("225 Na:a Cl:b")]), 3, seed=0)


def test_order_moves_letters_with_their_elements():
    shuffled = REFERENCE[:]
    order = np.array([3, 1, 0, 2])
    shuffled = type(REFERENCE)(
        REFERENCE.space_group, REFERENCE.elements[:, order], REFERENCE.letters[:, order]
    )
    assert genes_of_arrays(in_element_order(shuffled)) == GENES
