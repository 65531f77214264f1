"""Pseudo-labels: own labels where they may be used, the teacher's elsewhere."""

import numpy as np
import pytest

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table
from matwheel.predictors.pseudo_labels import pseudo_labels


def table(target):
    crystals = [
        Crystal(f"c{number}", ("Na",), np.eye(3) * (3 + number), np.zeros((1, 3)))
        for number in range(len(target))
    ]
    return crystal_table(crystals, {"target": target}).set_index("id", drop=False)


def by_lattice(crystals):
    """Answer each crystal by its own lattice, so that a mix-up shows."""
    return np.array([crystal.lattice[0, 0] - 4.5 for crystal in crystals])


def test_own_labels_stay_and_the_others_are_predicted():
    labels = pseudo_labels(table([7.0, -5.0, -6.0, 9.0]), ["c3", "c1"], by_lattice)
    assert labels["id"].tolist() == ["c0", "c1", "c2", "c3"]
    assert labels["source"].tolist() == ["pseudo", "real", "pseudo", "real"]
    assert labels["target"].tolist() == [-1.5, -5.0, 0.5, 9.0]


@pytest.mark.parametrize(("smallest", "predicted"), [(0.0, 0.0), (-0.1, -1.5)])
def test_a_property_that_is_never_negative_stays_so(smallest, predicted):
    # The label of c0 is negative, but it may not be looked at.
    labels = pseudo_labels(table([-8.0, smallest, 2.0]), ["c1", "c2"], by_lattice)
    assert labels["target"].tolist() == [predicted, smallest, 2.0]


def test_the_teacher_never_sees_a_label_and_the_table_is_left_as_it_was():
    train = table([1.0, np.nan, 3.0])
    seen = []

    def predict(crystals):
        seen.extend(crystal.id for crystal in crystals)
        return np.full(len(crystals), 2.0)

    labels = pseudo_labels(train, ["c0", "c2"], predict)
    assert seen == ["c1"] and labels["target"].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(train["target"].iloc[1])
    assert pseudo_labels(train, ["c0", "c1", "c2"], predict)["source"].tolist() == ["real"] * 3
