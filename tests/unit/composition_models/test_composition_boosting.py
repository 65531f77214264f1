"""Boosted trees on Magpie features of compositions, and the table of held-out errors."""

import numpy as np
import pytest

from matwheel.composition_models.composition_boosting import (
    PRESETS,
    BoostingSettings,
    CompositionBoosting,
    held_out_errors,
)
from matwheel.compositions.composition_features import magpie_features_of_counts
from matwheel.compositions.magpie import FEATURE_NAMES
from matwheel.core.errors import InputError


def silent(message: str) -> None:
    pass


def data(rows: int = 700) -> tuple[np.ndarray, np.ndarray]:
    """Compositions labelled with the spread of their electronegativities."""
    generator = np.random.default_rng(0)
    counts = np.zeros((rows, 85), dtype=np.uint8)
    for row in counts:
        row[generator.choice(85, size=3, replace=False)] = generator.integers(1, 6, size=3)
    return counts, magpie_features_of_counts(counts)[:, FEATURE_NAMES.index("Electronegativity avg_dev")]


def fitted(seed=1, **changes):
    counts, target = data()
    model = CompositionBoosting.from_settings(changes)
    report = model.fit(
        counts[:500],
        target[:500],
        validation_counts=counts[500:600],
        validation_target=target[500:600],
        seed=seed,
        log=silent,
    )
    return model, report


@pytest.mark.parametrize("settings", [{"trees": 60}, {"preset": "gbdt", "trees": 20, "largest_depth": 5}])
def test_learns_and_repeats_itself(settings):
    counts, target = data()
    model, report = fitted(**settings)
    predicted = model.predict(counts[600:])
    table = held_out_errors({"boosting": predicted}, target[600:], target[:500])
    assert table["model"].tolist() == ["boosting", "constant"]
    # Twenty small steps of 0.06 leave a good part of the way.
    assert table["skill"][0] > 0.5 and table["skill"][1] == 0
    assert report["validation_mae"] < 2 * table["mae"][0]
    assert np.array_equal(predicted, fitted(**settings)[0].predict(counts[600:]))
    assert np.array_equal(predicted[:5], model.predict(counts[600:605]))
    assert not np.array_equal(predicted, fitted(seed=2, **settings)[0].predict(counts[600:]))


def test_validation_rows_end_the_growth():
    _, report = fitted(trees=500, patience_trees=3, learning_rate=0.5)
    assert report["trees"] < 500


def test_published_settings():
    gbdt = PRESETS["gbdt"]
    assert (gbdt.learning_rate, gbdt.largest_depth, gbdt.subsample, gbdt.trees) == (0.06, 20, 0.4, 100)
    assert CompositionBoosting.from_settings({"preset": "gbdt", "trees": 7}).settings.trees == 7


def test_error_table_by_hand():
    table = held_out_errors({"model": np.array([1.0, 2.0, 4.0])}, np.array([1.0, 3.0, 2.0]), np.array([2.0]))
    assert table["mae"].tolist() == [1.0, pytest.approx(2 / 3)]
    assert table["rmse"][0] == pytest.approx(np.sqrt(5 / 3))
    assert table["skill"][0] == pytest.approx(-0.5)
    assert (table["mae_low"] < table["mae"]).all() and table["rows"].tolist() == [3, 3]
    with pytest.raises(InputError, match="predictions of shape"):
        held_out_errors({"model": np.zeros(2)}, np.zeros(3), np.zeros(1))
    with pytest.raises(InputError, match="no labels"):
        held_out_errors({}, np.zeros(0), np.zeros(1))


def test_wrong_input_is_refused():
    counts, target = data(30)
    with pytest.raises(RuntimeError, match="fit the model first"):
        CompositionBoosting().predict(counts)
    with pytest.raises(InputError, match="unknown boosting preset"):
        CompositionBoosting.from_settings({"preset": "xgboost"})
    with pytest.raises(InputError, match="depth is 3; there is no such setting"):
        CompositionBoosting.from_settings({"depth": 3})
    with pytest.raises(InputError, match="validation rows: 0 rows"):
        CompositionBoosting().fit(
            counts, target, validation_counts=counts[:0], validation_target=target[:0], seed=0, log=silent
        )
    for wrong in ({"kind": "forest"}, {"trees": 0}, {"subsample": 0}, {"learning_rate": 2}, {"l2": -1}):
        with pytest.raises(InputError):
            BoostingSettings(**wrong)
