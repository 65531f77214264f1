"""The predictor that every other must beat: the median of the training labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.files import read_json, write_json
from matwheel.core.progress import Log, log_to_stderr
from matwheel.crystals.crystal import Crystal
from matwheel.predictors.interface import checked_rows, fitted

if TYPE_CHECKING:
    from matwheel.training.checkpoints import TrainingCheckpoint


class ConstantPredictor:
    """Predicts the training median, the constant of the smallest mean absolute error, for every crystal."""

    name = "constant"

    def __init__(self) -> None:
        self._median: float | None = None

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], prepared: Any = None) -> ConstantPredictor:
        """Return an unfitted predictor; there is nothing to set.

        Raises:
            InputError: any setting.
        """
        unknown = set(settings) - {"device"}
        if unknown:
            raise InputError(f"unknown setting {min(unknown)!r}: the constant predictor has none")
        return cls()

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
        """Take the median of the training labels; see `interface.Predictor.fit`."""
        labels, _ = checked_rows(train, train_target, validation, validation_target)
        self._median = float(np.median(labels))
        return {"median": self._median, "training_rows": len(labels), "seed": seed}

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return the median once per crystal, shape (n,)."""
        return np.full(len(crystals), fitted(self._median))

    def save(self, path: str | Path) -> None:
        """Write the median as JSON."""
        write_json({"predictor": self.name, "median": fitted(self._median)}, path)

    @classmethod
    def load(cls, path: str | Path, prepared: Any = None) -> ConstantPredictor:
        """Read a model written by `save`."""
        predictor = cls()
        predictor._median = float(read_json(path)["median"])
        return predictor
