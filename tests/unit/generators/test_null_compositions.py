"""Null generators of compositions: what they keep of the training rows, their distributions, enumeration."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations, product
from math import gcd

import numpy as np
import pytest

from matwheel.compositions.formulas import MATGAN_ELEMENTS, formula_counts
from matwheel.core.errors import InputError
from matwheel.generators.compositions import load_composition_generator, make_composition_generator
from matwheel.generators.null_compositions import (
    EnumeratedCompositions,
    EnumerationSettings,
    count_compositions,
    distinct_columns,
    shuffled,
)

NULLS = ("uniform", "stoichiometry", "substitution", "enumeration")
ROWS = formula_counts(["NaCl", "KCl", "Li2O", "Al2O3", "LiFePO4", "SrTiO3"], MATGAN_ELEMENTS).astype(np.uint8)
NO_ROWS = ROWS[:0]


def fitted(name, settings=None, counts=ROWS, elements=MATGAN_ELEMENTS):
    generator = make_composition_generator(name, settings)
    generator.fit(counts, elements, validation_counts=counts[:0], seed=0)
    return generator


def amounts(row):
    return tuple(sorted(row[row > 0].tolist()))


@pytest.mark.parametrize("name", NULLS)
def test_draws_follow_the_seed_and_survive_saving(name, tmp_path):
    generator = fitted(name)
    drawn = generator.sample(500, seed=3)
    assert drawn.dtype == np.uint8 and drawn.shape == (500, 85)
    assert np.array_equal(drawn, fitted(name).sample(500, seed=3))
    assert not np.array_equal(drawn, generator.sample(500, seed=4))
    assert (drawn > 0).sum(axis=1).min() >= 2 and drawn.max() <= 8
    for file in ("a.npz", "b.npz"):
        generator.save(tmp_path / file)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_composition_generator(name, tmp_path / "a.npz")
    assert loaded.settings == generator.settings
    assert np.array_equal(loaded.sample(500, seed=3), drawn)
    assert generator.sample(0, seed=0).shape == (0, 85)
    other = next(other for other in NULLS if other != name)
    with pytest.raises(InputError, match=f"holds the generator {name}"):
        load_composition_generator(other, tmp_path / "a.npz")


def test_uniform_draws_are_uniform():
    drawn = fitted("uniform").sample(60_000, seed=0)
    sizes = (drawn > 0).sum(axis=1)
    assert set(sizes) == {2, 3, 4, 5}
    assert np.abs(np.bincount(sizes)[2:] / 60_000 - 0.25).max() < 0.01
    per_element = (drawn > 0).sum(axis=0)
    assert np.abs(per_element / per_element.mean() - 1).max() < 0.1
    assert np.abs(np.bincount(drawn[drawn > 0])[1:] / (drawn > 0).sum() - 1 / 8).max() < 0.005
    assert (fitted("uniform", {"fewest_elements": 3, "most_elements": 3}).sample(50, seed=0) > 0).sum() == 150


def test_stoichiometries_are_those_of_training_rows_with_elements_by_frequency():
    drawn = fitted("stoichiometry").sample(40_000, seed=0)
    allowed = Counter(amounts(row) for row in ROWS)
    seen = Counter(amounts(row) for row in drawn)
    assert set(seen) == set(allowed)
    for key, number in allowed.items():
        assert seen[key] / 40_000 == pytest.approx(number / len(ROWS), abs=0.015)
    assert not drawn[:, (ROWS > 0).sum(axis=0) == 0].any()
    # In SrTiO3-like rows the three atoms belong to any element, not to the most frequent one only.
    oxygen = MATGAN_ELEMENTS.index("O")
    rows = [row for row in drawn if amounts(row) == (1, 1, 3) and row[oxygen]]
    assert np.mean([row[oxygen] == 3 for row in rows]) == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize("weights", ["uniform", "frequency"])
def test_substitution_changes_one_element_to_one_not_in_the_row(weights):
    drawn = fitted("substitution", {"element_weights": weights}).sample(20_000, seed=0)
    known = {tuple(row) for row in ROWS}
    for row in drawn[:2_000]:
        sources = [
            source
            for source in ROWS
            if amounts(source) == amounts(row)
            and ((source > 0) & (row == 0)).sum() == 1
            and ((source > 0) & (row > 0) & (source != row)).sum() == 0
        ]
        assert sources, row
    # A changed row may happen to be another training row (NaCl and KCl), never its own.
    assert sum(tuple(row) in known for row in drawn) < 0.2 * len(drawn)
    outside = drawn[:, (ROWS > 0).sum(axis=0) == 0].any()
    assert outside == (weights == "uniform")


def test_draws_without_repetition_have_the_probabilities_of_draws_one_after_another():
    weights = np.array([0.0, 1.0, 2.0, 5.0])
    drawn = distinct_columns(np.full(60_000, 2), weights, np.random.default_rng(0))
    total = weights.sum()
    for pair in permutations((1, 2, 3), 2):
        expected = weights[pair[0]] / total * weights[pair[1]] / (total - weights[pair[0]])
        assert np.mean((drawn == pair).all(axis=1)) == pytest.approx(expected, abs=0.01)
    with pytest.raises(InputError, match="needs 4 different elements and 3 are there"):
        distinct_columns(np.array([4]), weights, np.random.default_rng(0))


@pytest.mark.parametrize("total", [1, 2, 5, 64, 65, 1000])
def test_shuffled_numbers_are_a_permutation(total):
    sent = shuffled(np.arange(total), total, seed=1)
    assert sorted(sent.tolist()) == list(range(total))
    assert np.array_equal(shuffled(np.arange(total)[total // 2 :], total, seed=1), sent[total // 2 :])


def test_shuffled_numbers_have_no_order_to_speak_of():
    sent = shuffled(np.arange(20_000), 43_513_540, seed=0)
    assert abs(np.corrcoef(sent[:-1], sent[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(sent, np.arange(20_000))[0, 1]) < 0.03
    assert np.abs(np.histogram(sent, bins=10, range=(0, 43_513_540))[0] / 2000 - 1).max() < 0.1


def brute_force(elements, size, most):
    found = set()
    for chosen in combinations(range(elements), size):
        for numbers in product(range(1, most + 1), repeat=size):
            if gcd(*numbers) == 1:
                row = [0] * elements
                for column, number in zip(chosen, numbers, strict=True):
                    row[column] = number
                found.add(tuple(row))
    return found


def test_enumeration_is_complete_without_repetition_and_pieces_do_not_overlap():
    elements = ("Na", "Cl", "O", "Fe")
    settings = EnumerationSettings(2, 3, 4)
    generator = EnumeratedCompositions(settings)
    generator.fit(NO_ROWS[:, :4], elements, validation_counts=NO_ROWS, seed=0)
    expected = brute_force(4, 2, 4) | brute_force(4, 3, 4)
    total = len(expected)
    assert total == count_compositions(4, 2, 4) + count_compositions(4, 3, 4)
    drawn = generator.sample(total, seed=7)
    assert {tuple(row) for row in drawn.tolist()} == expected
    assert [tuple(row) for row in drawn.tolist()] != sorted(tuple(row) for row in drawn.tolist())
    pieces = [generator.sample(10, seed=7, first=first) for first in (0, 10)]
    assert np.array_equal(np.concatenate(pieces), drawn[:20])
    in_order = [row for _, counts in generator.pieces(rows=7) for row in counts.tolist()]
    assert len(in_order) == total and {tuple(row) for row in in_order} == expected
    with pytest.raises(InputError, match=f"there are {total} of 2 to 3 of 4 elements"):
        generator.sample(total, seed=0, first=1)


def test_counts_of_the_85_elements():
    assert [count_compositions(85, size) for size in (2, 3, 4)] == [153_510, 43_360_030, 7_740_753_055]


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("uniform", {"fewest_elements": 0}, "fewest_elements is 0; give a whole number from 1 to 20"),
        ("uniform", {"most_atoms": 0}, "most_atoms is 0"),
        ("uniform", {"colour": 1}, "colour is 1; there is no such setting"),
        (
            "stoichiometry",
            {"element_weights": "mass"},
            "element_weights is 'mass'; give one of uniform, frequency",
        ),
        ("enumeration", {"most_elements": 4}, "most_elements is 4; give a whole number from 1 to 3"),
        ("novel", {}, "unknown generator of compositions 'novel'"),
    ],
)
def test_wrong_settings_are_refused(name, settings, complaint):
    with pytest.raises(InputError, match=complaint):
        make_composition_generator(name, settings)


def test_wrong_rows_are_refused():
    with pytest.raises(InputError, match="no training compositions"):
        fitted("substitution", counts=NO_ROWS)
    empty = ROWS.copy()
    empty[2] = 0
    with pytest.raises(InputError, match="training composition 3 holds 0 of 85"):
        fitted("stoichiometry", counts=empty)
    with pytest.raises(InputError, match=r"counts have shape \(6, 85\)"):
        fitted("uniform", elements=("Na", "Cl"))
    with pytest.raises(InputError, match="not fitted"):
        make_composition_generator("uniform").sample(1, seed=0)
    with pytest.raises(InputError, match="at least 0"):
        fitted("uniform").sample(-1, seed=0)
    with pytest.raises(InputError, match="needs 5 different elements and 2 are there"):
        fitted("uniform", {"most_elements": 5, "fewest_elements": 5}, NO_ROWS[:, :2], ("Na", "Cl")).sample(
            3, seed=0
        )
