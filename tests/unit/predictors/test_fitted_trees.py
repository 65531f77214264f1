"""Fitted trees in a file: the same predictions, not grown again, the same bytes, no other version."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)

from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.predictors.fitted_trees import stored_trees, trees_of

FEATURES = np.random.default_rng(0).normal(size=(300, 8))
TARGET = FEATURES[:, 0] + FEATURES[:, 1] ** 2
MODELS = {
    "regressor": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(FEATURES, TARGET),
    "classifier": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(
        FEATURES, TARGET > 1
    ),
    "forest": lambda: RandomForestRegressor(20, random_state=0).fit(FEATURES, TARGET),
}


@pytest.mark.parametrize("kind", MODELS)
def test_stored_trees_predict_the_same_and_are_not_grown_again(kind, tmp_path, monkeypatch):
    model = MODELS[kind]()
    write_arrays(tmp_path / "model.npz", **stored_trees(model), other=1)
    monkeypatch.setattr(type(model), "fit", None)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as saved:
        again = trees_of(saved, tmp_path / "model.npz")
    assert np.array_equal(again.predict(FEATURES), model.predict(FEATURES))


@pytest.mark.parametrize("kind", MODELS)
def test_the_same_trees_have_the_same_bytes(kind, tmp_path):
    first, second = MODELS[kind](), MODELS[kind]()
    # The nodes of a forest have gaps between their fields, which hold what was there before.
    write_arrays(tmp_path / "first.npz", **stored_trees(first))
    write_arrays(tmp_path / "second.npz", **stored_trees(second))
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.mark.parametrize("library", ["scikit-learn", "numpy"])
def test_trees_of_another_version_are_refused_by_name(library, tmp_path):
    arrays = stored_trees(MODELS["regressor"]())
    versions = json.loads(arrays["tree_versions"]) | {library: "0.0.1"}
    write_arrays(tmp_path / "model.npz", **arrays | {"tree_versions": json.dumps(versions)})
    with (
        np.load(tmp_path / "model.npz", allow_pickle=False) as saved,
        pytest.raises(
            InputError, match=rf"model\.npz.*{library} 0\.0\.1, installed is .*fit the model again"
        ),
    ):
        trees_of(saved, tmp_path / "model.npz")
