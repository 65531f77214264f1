"""Probabilities from trees: calibration on rows outside the training, and how good they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed


def probability_report(
    probability: NDArray[np.float64], label: NDArray[np.bool_], *, bins: int = 10
) -> dict[str, Any]:
    """Score probabilities of a yes.

    Args:
        probability: shape (n,), within 0 … 1.
        label: shape (n,).
        bins: equal intervals of the calibration table.

    Returns:
        rows, share (of yes), auc, brier, brier_of_constant (the share for every row: what is known without a
        model), and calibration: of each interval that has rows its low and high end, rows, mean predicted
        probability and observed share.

    Raises:
        InputError: labels of one kind only, so that nothing can be told apart.
    """
    from sklearn.metrics import roc_auc_score

    probability, label = np.asarray(probability, dtype=np.float64), np.asarray(label, dtype=bool)
    if not len(label) or label.all() or not label.any():
        raise InputError(f"{len(label)} rows with {int(label.sum())} yes; give rows of both kinds")
    share = float(label.mean())
    interval = np.minimum((probability * bins).astype(np.int64), bins - 1)
    table = [
        {
            "low": number / bins,
            "high": (number + 1) / bins,
            "rows": int((interval == number).sum()),
            "predicted": float(probability[interval == number].mean()),
            "observed": float(label[interval == number].mean()),
        }
        for number in np.unique(interval).tolist()
    ]
    return {
        "rows": len(label),
        "share": share,
        "auc": float(roc_auc_score(label, probability)),
        "brier": float(((probability - label) ** 2).mean()),
        "brier_of_constant": share * (1 - share),
        "calibration": table,
    }


def platt_calibration(log_odds: NDArray[np.float64], label: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset that make log-odds of rows outside the training those of the labels.

    Raises:
        InputError: labels of one kind only.
    """
    from sklearn.linear_model import LogisticRegression

    if label.all() or not label.any():
        raise InputError("calibration needs rows of both kinds; enlarge the training set")
    # A penalty of 1e-6 is none, but keeps perfectly separated rows finite.
    line = LogisticRegression(C=1e6, max_iter=1000).fit(log_odds[:, None], label)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def calibrated(log_odds: NDArray[np.float64], calibration: tuple[float, float]) -> NDArray[np.float64]:
    """Return the probabilities of log-odds after `platt_calibration`."""
    from scipy.special import expit

    slope, offset = calibration
    return expit(slope * log_odds + offset)


def folds_of_groups(group: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.int64]:
    """Return a fold, 0 … folds − 1, for each row so that a group is in one fold, all folds of equal groups.

    Args:
        group: number of the group of each row from 0, shape (n,).
        folds: how many.
        seed: of the order in which groups are dealt.
    """
    groups = int(group.max(initial=-1)) + 1
    dealt = np.random.default_rng(derive_seed(seed, "folds")).permutation(groups) % folds
    return dealt[group]
