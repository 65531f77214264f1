"""Features of Wyckoff genes."""

import numpy as np
import pytest

from matwheel.compositions.composition_features import magpie_features_of_counts
from matwheel.compositions.formulas import ELEMENTS, formula_counts
from matwheel.core.errors import InputError
from matwheel.wyckoff.gene_features import GENE_FEATURE_NAMES, SYMMETRY_FEATURE_NAMES, gene_features
from matwheel.wyckoff.wyckoff_genes import GeneArrays, gene_arrays, parse_gene

TEXTS = ["225 Na:a Cl:b", "221 Sr:b Ti:a O:c", "62 Si:c Ni:c2", "1 Li:a2", "47 Li:A O:a", "227 Sc:c Zn:b S:e"]


def arrays(*texts: str) -> GeneArrays:
    return gene_arrays([parse_gene(text) for text in texts])


def described(text: str) -> dict[str, float]:
    return dict(zip(GENE_FEATURE_NAMES, gene_features(arrays(text))[0].tolist(), strict=True))


def test_rock_salt():
    found = described("225 Na:a Cl:b")
    assert found["space group"] == 225 and found["is cubic"] == 1 and found["is hexagonal"] == 0
    assert found["lattice points per conventional cell"] == 4 and found["order of the point group"] == 48
    assert found["atoms per primitive cell"] == 2 and found["formula units per primitive cell"] == 1
    assert found["orbits"] == 2 and found["free coordinates"] == 0
    assert found["share of atoms on fixed positions"] == 1
    assert found["share of atoms on the general position"] == 0
    assert found["site-symmetry order mean over atoms"] == 48


def test_means_over_atoms_and_elements():
    """Group 227: 16c has symmetry -3m (order 12), 8b -43m (24), 32e 3m (6); 4, 2 and 8 primitive atoms."""
    found = described("227 Sc:c Zn:b S:e")
    assert found["atoms per primitive cell"] == 14
    assert found["site-symmetry order mean over atoms"] == pytest.approx((4 * 12 + 2 * 24 + 8 * 6) / 14)
    assert found["site-symmetry order of the least electronegative element"] == 12
    assert found["site-symmetry order of the most electronegative element"] == 6
    assert found["site-symmetry order maximum over elements"] == 24
    assert found["share of atoms on fixed positions"] == pytest.approx(6 / 14)
    assert found["atoms per orbit mean"] == pytest.approx(14 / 3)
    assert (found["atoms per orbit minimum"], found["atoms per orbit maximum"]) == (2, 8)
    triclinic = described("1 Li:a2")
    assert triclinic["share of atoms on the general position"] == 1 and triclinic["free coordinates"] == 6
    assert triclinic["formula units per primitive cell"] == 2 and triclinic["is triclinic"] == 1


def test_rows_do_not_depend_on_each_other_and_hold_magpie_features():
    genes = arrays(*TEXTS)
    features = gene_features(genes)
    assert features.shape == (len(TEXTS), len(GENE_FEATURE_NAMES)) and features.dtype == np.float32
    assert np.isfinite(features).all() and len(set(GENE_FEATURE_NAMES)) == len(GENE_FEATURE_NAMES)
    assert np.array_equal(features[::-1], gene_features(genes[::-1]))
    assert np.array_equal(features[2:3], gene_features(genes[2:3]))
    magpie = magpie_features_of_counts(formula_counts(["SrTiO3"]), ELEMENTS)
    assert np.array_equal(features[1, : -len(SYMMETRY_FEATURE_NAMES)], magpie[0].astype(np.float32))
    assert gene_features(genes[:0]).shape == (0, len(GENE_FEATURE_NAMES))


def test_many_genes_cross_pieces_of_work():
    genes = arrays(*TEXTS)
    many = genes[np.arange(20_000) % len(TEXTS)]
    assert np.array_equal(gene_features(many), gene_features(genes)[np.arange(20_000) % len(TEXTS)])


def test_impossible_genes_are_named():
    genes = arrays("225 Na:a Cl:b", "1 Li:a")
    wrong_group = GeneArrays(np.array([225, 231], dtype=np.int16), genes.elements, genes.letters)
    with pytest.raises(InputError, match="gene 2: there is no space group 231"):
        gene_features(wrong_group)
    lacking = GeneArrays(np.array([1, 1], dtype=np.int16), genes.elements, genes.letters)
    with pytest.raises(InputError, match="gene 1: takes a Wyckoff letter that space group 1 lacks"):
        gene_features(lacking)
    with pytest.raises(InputError, match="gene 2 has no atoms"):
        gene_features(
            GeneArrays(genes.space_group, genes.elements, genes.letters * np.array([1, 0])[:, None, None])
        )
    with pytest.raises(InputError, match="gene 1 has atoms of no element"):
        gene_features(GeneArrays(genes.space_group, genes.elements * 0, genes.letters))
