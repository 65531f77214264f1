"""Magpie features and element fractions from counts of atoms."""

import time

import numpy as np
import pytest

from matwheel.compositions.composition_features import (
    ELEMNET_ELEMENTS,
    element_fractions,
    magpie_features_of_counts,
)
from matwheel.compositions.formulas import ELEMENTS, MATGAN_ELEMENTS, formula_counts
from matwheel.compositions.magpie import FEATURE_NAMES
from matwheel.core.errors import InputError

# Ties of the most frequent element, elements without some Magpie values, one element, many elements.
FORMULAS = (
    "Mg2SiO4", "NaCl", "LiFePO4", "BaTiO3", "KBrAg", "Si", "UNpO2", "PaAc3", "XeF2", "Pu2Th", "HgPb2(ClO)2",
    "YBa2Cu3O7", "Pm2Tm", "Cs2LiInCl6", "Ca5(PO4)3OH", "LaCePrNdSmEuGdTb", "H2O", "Tc7C3",
)  # fmt: skip


def random_counts(rows: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    counts = np.zeros((rows, 85), dtype=np.uint8)
    for _ in range(4):
        counts[np.arange(rows), generator.integers(85, size=rows)] = generator.integers(1, 9, size=rows)
    return counts


def test_features_equal_matminer():
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    reference = ElementProperty.from_preset("magpie")
    counts = random_counts(60)
    formulas = [
        *FORMULAS,
        *("".join(f"{MATGAN_ELEMENTS[c]}{row[c]}" for c in row.nonzero()[0]) for row in counts),
    ]
    counts = formula_counts(formulas, MATGAN_ELEMENTS).astype(np.uint8)
    expected = np.array([reference.featurize(Composition(formula)) for formula in formulas])
    names = [label.removeprefix("MagpieData ").split(" ", 1) for label in reference.feature_labels()]
    assert tuple(f"{name} {statistic}" for statistic, name in names) == FEATURE_NAMES
    np.testing.assert_allclose(magpie_features_of_counts(counts), expected, rtol=0, atol=1e-10)


def test_features_do_not_depend_on_columns_pieces_or_multiples():
    counts = random_counts(5000)
    whole = magpie_features_of_counts(counts)
    parts = [magpie_features_of_counts(counts[i : i + 700]) for i in range(0, 5000, 700)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert np.allclose(magpie_features_of_counts(counts * np.uint8(3)), whole, rtol=1e-12, atol=1e-10)
    wide = np.zeros((100, len(ELEMENTS)), dtype=np.int64)
    wide[:, [ELEMENTS.index(symbol) for symbol in MATGAN_ELEMENTS]] = counts[:100]
    assert np.array_equal(magpie_features_of_counts(wide, ELEMENTS), whole[:100])
    assert magpie_features_of_counts(counts[:0]).shape == (0, 132)


def test_features_are_fast():
    counts = random_counts(50_000)
    magpie_features_of_counts(counts[:1])
    started = time.process_time()
    magpie_features_of_counts(counts)
    assert time.process_time() - started < 5, "half a second; a loop over the formulas takes far longer"


def test_element_fractions():
    counts = formula_counts(["Mg2SiO4", "NaCl"], MATGAN_ELEMENTS).astype(np.uint8)
    fractions = element_fractions(counts)
    assert fractions.shape == (2, 86) and fractions.dtype == np.float32
    assert "Kr" in ELEMNET_ELEMENTS and len(set(ELEMNET_ELEMENTS)) == 86
    shares = {ELEMNET_ELEMENTS[column]: fractions[0, column] for column in fractions[0].nonzero()[0]}
    assert shares == pytest.approx({"Mg": 2 / 7, "Si": 1 / 7, "O": 4 / 7})
    assert np.allclose(fractions.sum(axis=1), 1)
    large = np.zeros((1, 85), dtype=np.uint8)
    large[0, :2] = 200  # a sum beyond uint8
    assert sorted(element_fractions(large)[0])[-2:] == [0.5, 0.5]


def test_wrong_counts_are_refused():
    good = random_counts(4)
    empty = good.copy()
    empty[2] = 0
    with pytest.raises(InputError, match="composition 3 has no atoms"):
        magpie_features_of_counts(empty)
    with pytest.raises(InputError, match="shape"):
        magpie_features_of_counts(good[:, :80])
    with pytest.raises(InputError, match="whole numbers"):
        magpie_features_of_counts(good.astype(float))
    negative = good.astype(np.int64)
    negative[1, 0] = -1
    with pytest.raises(InputError, match="composition 2 has a negative amount"):
        element_fractions(negative)
    noble = np.zeros((2, 2), dtype=np.int64)
    noble[:] = [[1, 0], [1, 1]]
    with pytest.raises(InputError, match="composition 2 holds He"):
        element_fractions(noble, ("O", "He"))
