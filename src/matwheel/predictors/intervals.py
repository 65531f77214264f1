"""Intervals that hold the label with a given probability, and whether a crystal is like the training rows.

Normalised conformal prediction (Papadopoulos et al., Journal of Artificial Intelligence Research 40, 815,
2011) by crepes: the quantile of the held-out errors, each divided by how difficult its crystal is. Difficult
is what lies far from the training rows. Errors are those of the cross-validation that also chose the machine,
so the coverage is measured (tests, docs/results), not guaranteed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Neighbours whose mean distance says how far a crystal lies from the training rows.
NEIGHBOURS = 5
_LIKE_PERCENT = 99.0


@dataclass(frozen=True, eq=False)
class Intervals:
    """Predictions with intervals, each of shape (n,), in units of the labels.

    Attributes:
        predicted: the predictions.
        lowest, highest: ends of the intervals; infinite where there were too few training rows to tell.
        unlike_training: whether the crystal lies farther from its nearest training row than 99 in 100
            training rows lie from theirs, or cannot be described at all.
        nearest_distance: root of the squared distance to that row; NaN without a description.
    """

    predicted: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    unlike_training: NDArray[np.bool_]
    nearest_distance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What intervals are made of.

    Attributes:
        errors: held-out errors, label − prediction, one per real training row, on the scale of the target.
        difficulties: of those rows, as they lay from the rows that were kept.
        offset: typical distance, added to each so that twins of training rows get no vanishing interval.
        farthest: the 99th percentile of the distances from training rows to their nearest ones.
    """

    errors: NDArray[np.float64]
    difficulties: NDArray[np.float64]
    offset: float
    farthest: float

    def interval(
        self, predicted: NDArray[np.float64], squared_distances: NDArray[np.float64], coverage: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return lower and upper ends on the scale of the target.

        Args:
            predicted: on that scale, shape (m,).
            squared_distances: to all training rows, shape (m, n).
            coverage: share of intervals that are to hold the label.
        """
        from crepes import ConformalRegressor

        difficulty = difficulty_of(squared_distances) + self.offset
        regressor = ConformalRegressor().fit(self.errors, sigmas=self.difficulties + self.offset)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that few rows give infinite intervals is said where they are
            ends = regressor.predict_int(predicted, sigmas=difficulty, confidence=coverage)
        return ends[:, 0], ends[:, 1]


def difficulty_of(squared_distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean distance to the nearest few rows, shape (m,), of squared distances (m, n)."""
    count = min(NEIGHBOURS, squared_distances.shape[1])
    nearest = np.sort(np.partition(squared_distances, count - 1, axis=1)[:, :count], axis=1)
    return np.sqrt(nearest).mean(axis=1)


def farthest_of(squared_distances: NDArray[np.float64]) -> float:
    """Return the 99th percentile of the distances of rows to their nearest other one, of all pairs (n, n)."""
    if len(squared_distances) < 2:
        return float("inf")
    others = squared_distances + np.diag(np.full(len(squared_distances), np.inf))
    return float(np.percentile(np.sqrt(others.min(axis=1)), _LIKE_PERCENT))
