"""Random forest on Magpie features and the volume per atom: the classical baseline.

The volume of a layer is that without its vacuum, which says nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.magpie import magpie_features
from matwheel.core.archives import write_arrays
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Count, PositiveShare, Trees, settings
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import filled_volume_angstrom3
from matwheel.predictors.fitted_trees import stored_trees, trees_of
from matwheel.predictors.interface import changed_settings, checked_rows, fitted
from matwheel.training.label_scale import signed_exp, signed_log

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

    from matwheel.training.checkpoints import TrainingCheckpoint


@settings
class ForestSettings:
    """Settings of the forest."""

    trees: Trees = 300
    """Number of trees."""
    features_per_split: PositiveShare = 0.33
    """Share of the features tried at each split."""
    smallest_leaf: Count = 1
    """Training rows in a leaf, at least."""
    target: Literal["log1p", "raw"] = "log1p"
    """`log1p` to learn log(1 + y), see `matwheel.training.label_scale`."""


class ForestPredictor:
    """Random forest behind the interface of predictors; the validation rows are not used."""

    name = "forest"

    def __init__(self, settings: ForestSettings | None = None) -> None:
        self.settings = settings or ForestSettings()
        self._forest: RandomForestRegressor | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], prepared: Any = None) -> ForestPredictor:
        """Return an unfitted predictor with single settings changed; nothing prepared is used.

        Raises:
            InputError: unknown setting, or a value that is not allowed.
        """
        return cls(changed_settings(ForestSettings, settings))

    def fit(
        self,
        train: Sequence[Crystal],
        train_target: NDArray[np.float64],
        validation: Sequence[Crystal],
        validation_target: NDArray[np.float64],
        *,
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Grow the trees; see `interface.Predictor.fit`."""
        labels, _ = checked_rows(train, train_target, validation, validation_target)
        self._grow(_features(train), labels, seed)
        return {"settings": asdict(self.settings), "training_rows": len(labels), "seed": seed}

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return one prediction per crystal, shape (n,)."""
        forest = fitted(self._forest)
        if not len(crystals):
            return np.zeros(0)
        predicted = forest.predict(_features(crystals))
        return signed_exp(predicted) if self.settings.target == "log1p" else predicted

    def save(self, path: str | Path) -> None:
        """Write the trees as they were grown."""
        settings = json.dumps(asdict(self.settings))
        write_arrays(path, settings=settings, **stored_trees(fitted(self._forest)))

    @classmethod
    def load(cls, path: str | Path, prepared: Any = None) -> ForestPredictor:
        """Read a model written by `save`.

        Raises:
            InputError: the trees are of another version of scikit-learn or numpy.
        """
        with np.load(path, allow_pickle=False) as saved:
            predictor = cls(ForestSettings(**json.loads(str(saved["settings"]))))
            predictor._forest = trees_of(saved, path)
        return predictor

    def _grow(self, features: NDArray[np.float64], labels: NDArray[np.float64], seed: int) -> None:
        from sklearn.ensemble import RandomForestRegressor

        settings = self.settings
        self._forest = RandomForestRegressor(
            settings.trees,
            max_features=settings.features_per_split,
            min_samples_leaf=settings.smallest_leaf,
            random_state=derive_seed(seed, "forest"),
            n_jobs=1,
        ).fit(features, signed_log(labels) if settings.target == "log1p" else labels)


def _features(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return Magpie features and the volume per atom in Å³, of a layer without its vacuum, shape (n, 133)."""
    volume = [_volume_angstrom3(crystal) / max(1, len(crystal.species)) for crystal in crystals]
    return np.column_stack([magpie_features(crystals), volume])


def _volume_angstrom3(crystal: Crystal) -> float:
    try:
        return filled_volume_angstrom3(crystal)
    except ValueError:  # a generated crystal without atoms or volume: a prediction all the same
        return crystal.volume_angstrom3
