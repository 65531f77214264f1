"""Properties of compositions by boosted trees on Magpie features.

'gbdt' has the settings of Dan et al. (npj Comput. Mater. 6, 84, 2020, section 4.3): learning rate 0.06, depth
20, subsample 0.4, 100 trees. 'hist' bins the features and is many times faster. No file of a fitted model is
written: the job that fits the trees also predicts with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.compositions.composition_features import checked_targets, magpie_features_of_counts
from matwheel.compositions.formulas import MATGAN_ELEMENTS
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Count, NotNegative, PositiveShare, Rate, Trees, settings

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor

_PREDICTION_ROWS = 65_536


@settings
class BoostingSettings:
    """Settings of the trees."""

    kind: Literal["hist", "gbdt"] = "hist"
    """`hist` for scikit-learn's HistGradientBoostingRegressor, gbdt for GradientBoostingRegressor."""
    trees: Trees = 1000
    """Number of trees; with 'hist' at most, since the validation rows stop the growth."""
    learning_rate: Rate = 0.1
    """Share of each tree that is added."""
    largest_depth: Annotated[int, Field(ge=0, le=1000)] = 0
    """Levels of a tree; 0 for no limit."""
    largest_leaves: Annotated[int, Field(ge=2, le=1_000_000)] = 63
    """Leaves of a tree, 'hist' only."""
    smallest_leaf: Count = 20
    """Training rows in a leaf, at least."""
    l2: NotNegative = 1.0
    """Penalty on the values of the leaves, 'hist' only."""
    features_per_split: PositiveShare = 0.5
    """Share of the features tried at each split."""
    subsample: PositiveShare = 1.0
    """Share of the rows that each tree sees, 'gbdt' only."""
    patience_trees: Count = 30
    """Trees without a better validation after which growth ends, 'hist' only."""


PRESETS: dict[str, BoostingSettings] = {
    "hist": BoostingSettings(),
    "gbdt": BoostingSettings(
        kind="gbdt",
        trees=100,
        learning_rate=0.06,
        largest_depth=20,
        smallest_leaf=1,
        features_per_split=1.0,
        subsample=0.4,
    ),
}


class CompositionBoosting:
    """Boosted trees on Magpie features of compositions, in the unit of the labels they were fitted to."""

    name = "composition_boosting"

    def __init__(self, settings: BoostingSettings | None = None) -> None:
        self.settings = settings or PRESETS["hist"]
        self._trees: HistGradientBoostingRegressor | GradientBoostingRegressor | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> CompositionBoosting:
        """Return an unfitted model: `settings["preset"]`, 'hist' (default) or 'gbdt', with values changed.

        Raises:
            InputError: unknown preset or setting, or a value that is not allowed.
        """
        preset = settings.get("preset", "hist")
        if preset not in PRESETS:
            raise InputError(f"unknown boosting preset {preset!r}; choose one of {', '.join(PRESETS)}")
        changes = {name: value for name, value in settings.items() if name != "preset"}
        return cls(BoostingSettings(**(asdict(PRESETS[preset]) | changes)))

    def fit(
        self,
        counts: NDArray[np.integer],
        target: NDArray[np.float64],
        *,
        validation_counts: NDArray[np.integer],
        validation_target: NDArray[np.float64],
        elements: Sequence[str] = MATGAN_ELEMENTS,
        seed: int,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Grow the trees; the validation rows end the growth of 'hist' and only score 'gbdt'.

        Args:
            counts: atoms of each element, shape (n, k).
            target: labels, shape (n,).
            validation_counts: other compositions, shape (m, k), m ≥ 1.
            validation_target: their labels.
            elements: the k symbols of the columns.
            seed: of the features and rows that trees see.
            log: gets one line.

        Returns:
            A report that JSON can hold: settings, training_rows, trees, validation_mae, seed.

        Raises:
            InputError: wrong compositions or labels.
        """
        labels = checked_targets(counts, target, "training rows", smallest=2)
        wanted = checked_targets(validation_counts, validation_target, "validation rows")
        features = magpie_features_of_counts(counts, elements)
        validation_features = magpie_features_of_counts(validation_counts, elements)
        if self.settings.kind == "hist":
            self._trees = self._unfitted_hist(seed).fit(
                features, labels, X_val=validation_features, y_val=wanted
            )
            trees = int(self._trees.n_iter_)
        else:
            self._trees = self._unfitted_gbdt(seed).fit(features.astype(np.float32), labels)
            trees = self.settings.trees
        error = float(np.abs(self._trees.predict(validation_features) - wanted).mean())
        log(f"{self.settings.kind}: {trees} trees, mean absolute error of the validation rows {error:.4g}")
        return {
            "settings": asdict(self.settings),
            "training_rows": len(labels),
            "trees": trees,
            "validation_mae": error,
            "seed": seed,
        }

    def predict(
        self, counts: NDArray[np.integer], elements: Sequence[str] = MATGAN_ELEMENTS
    ) -> NDArray[np.float64]:
        """Return one prediction per composition, shape (n,).

        Raises:
            RuntimeError: the model was not fitted.
            InputError: wrong compositions.
        """
        if self._trees is None:
            raise RuntimeError("fit the model first")
        predictions = [np.zeros(0)]
        for first in range(0, len(counts), _PREDICTION_ROWS):
            features = magpie_features_of_counts(counts[first : first + _PREDICTION_ROWS], elements)
            predictions.append(self._trees.predict(features))
        return np.concatenate(predictions)

    def _unfitted_hist(self, seed: int) -> HistGradientBoostingRegressor:
        from sklearn.ensemble import HistGradientBoostingRegressor

        settings = self.settings
        return HistGradientBoostingRegressor(
            max_iter=settings.trees,
            learning_rate=settings.learning_rate,
            max_depth=settings.largest_depth or None,
            max_leaf_nodes=settings.largest_leaves,
            min_samples_leaf=settings.smallest_leaf,
            l2_regularization=settings.l2,
            max_features=settings.features_per_split,
            early_stopping=True,
            n_iter_no_change=settings.patience_trees,
            tol=0.0,
            random_state=derive_seed(seed, "hist"),
        )

    def _unfitted_gbdt(self, seed: int) -> GradientBoostingRegressor:
        from sklearn.ensemble import GradientBoostingRegressor

        settings = self.settings
        return GradientBoostingRegressor(
            n_estimators=settings.trees,
            learning_rate=settings.learning_rate,
            max_depth=settings.largest_depth or None,
            min_samples_leaf=settings.smallest_leaf,
            max_features=settings.features_per_split,
            subsample=settings.subsample,
            random_state=derive_seed(seed, "gbdt"),
        )


def held_out_errors(
    predictions: Mapping[str, NDArray[np.float64]],
    target: NDArray[np.float64],
    training_target: NDArray[np.float64],
) -> pd.DataFrame:
    """Score models and the constant predictor (the median of the training labels) on the same rows.

    Args:
        predictions: name of the model → predictions, shape (n,).
        target: labels of the rows, shape (n,).
        training_target: labels of the training rows.

    Returns:
        One row per model, in the order given, 'constant' last: model, rows, mae with its 95 % interval
        mae_low, mae_high (normal, over rows), rmse, in the unit of the labels, and skill = 1 − mae / mae of
        the constant.

    Raises:
        InputError: no rows, or shapes that differ.
    """
    import pandas as pd

    target = np.asarray(target, dtype=np.float64)
    if not len(target) or not len(training_target):
        raise InputError("no labels to score; give held-out and training rows")
    constant = np.full(len(target), np.median(training_target))
    rows = []
    for model, values in {**predictions, "constant": constant}.items():
        if np.shape(values) != target.shape:
            raise InputError(f"{model}: predictions of shape {np.shape(values)} for {len(target)} labels")
        absolute = np.abs(values - target)
        margin = 1.96 * absolute.std() / np.sqrt(len(target))
        rows.append(
            {
                "model": model,
                "rows": len(target),
                "mae": absolute.mean(),
                "mae_low": absolute.mean() - margin,
                "mae_high": absolute.mean() + margin,
                "rmse": np.sqrt((absolute**2).mean()),
            }
        )
    table = pd.DataFrame(rows)
    reference = table["mae"].iloc[-1]
    table["skill"] = 1 - table["mae"] / reference if reference > 0 else np.nan
    return table
