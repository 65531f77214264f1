"""How far a computed property stands for the label of a dataset: the oracle's card.

Raw values, and values after a line from them to the label that training rows decide: by least absolute
deviations, on the plain and on the logarithmic scale. A row without a value is predicted by the median of the
training labels, so that all rows count.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.datasets.splits import Split
from matwheel.properties.interface import COLUMNS_BESIDE, OK
from matwheel.training.label_scale import signed_exp, signed_log

OUTLIERS = 15
"""Rows that a table of outliers names, beside those without a value."""
_FEWEST_ROWS = 3  # that a line is drawn through


def oracle_card(
    crystals: pd.DataFrame, table: pd.DataFrame, splits: Sequence[Split], estimates: Sequence[str]
) -> pd.DataFrame:
    """Return the card of a property on a dataset, a row for each of its values.

    Args:
        crystals: the dataset, with the columns id and target.
        table: the property of all of them, as `Property.compute` gives it.
        splits: on whose training rows the lines are fitted, and on whose test rows they are scored.
        estimates: values that are in the units of the label, or would be; their raw error is given too.

    Returns:
        Columns value; rows; computed (rows with a value); spearman and pearson with the label; mae_raw (all
        rows with a value; NaN of features); mae_constant, mae_line, mae_log_line (mean over the splits of the
        mean absolute error on test rows) with mae_line_std, mae_log_line_std (standard deviation over the
        splits); seconds (wall time per crystal, as if all were computed).

    Raises:
        InputError: the table is not that of the dataset's crystals.
    """
    joined = _joined(crystals, table)
    label = joined["target"].to_numpy(np.float64)
    ids = pd.Index(joined["id"])
    parts = [(ids.get_indexer(list(split.train)), ids.get_indexer(list(split.test))) for split in splits]
    rows = []
    for name in values_of(table):
        value = joined[name].to_numpy(np.float64)
        there = np.isfinite(value)
        scores = np.array([_scores(value, label, train, test) for train, test in parts]).reshape(-1, 3)
        means = scores.mean(axis=0) if len(scores) else np.full(3, nan)
        deviations = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.full(3, nan)
        raw = float(np.abs(value - label)[there].mean()) if name in estimates and there.any() else nan
        rows.append(
            {
                "value": name,
                "rows": len(label),
                "computed": int(there.sum()),
                "spearman": _correlation(_ranks(value[there]), _ranks(label[there])),
                "pearson": _correlation(value[there], label[there]),
                "mae_raw": raw,
                "mae_constant": means[0],
                "mae_line": means[1],
                "mae_line_std": deviations[1],
                "mae_log_line": means[2],
                "mae_log_line_std": deviations[2],
                "seconds": float(joined["seconds"].mean()),
            }
        )
    return pd.DataFrame(rows)


def outliers(
    crystals: pd.DataFrame, table: pd.DataFrame, estimates: Sequence[str], most: int = OUTLIERS
) -> pd.DataFrame:
    """Return the rows that a property gets most wrong, after a line through all, and those without value.

    Of a property without `estimates` only the latter.

    Returns:
        Columns id, formula, target, value, calibrated (by the line), error, status, reason; largest error
        first, then rows without a value in the order of the dataset.

    Raises:
        InputError: the table is not that of the dataset's crystals.
    """
    joined = _joined(crystals, table)
    computed = joined["status"] == OK
    label = joined["target"].to_numpy(np.float64)
    value = joined[estimates[0]].to_numpy(np.float64) if estimates else np.full(len(joined), nan)
    there = np.isfinite(value)
    calibrated = np.full(len(label), nan)
    if there.sum() >= _FEWEST_ROWS:
        calibrated[there] = apply_line(least_absolute_line(value[there], label[there]), value[there])
    named = joined.assign(value=value, calibrated=calibrated, error=calibrated - label)
    order = np.argsort(-np.abs(named["error"].to_numpy()), kind="stable")
    worst = named.iloc[[place for place in order if there[place]][:most]]
    columns = ["id", "formula", "target", "value", "calibrated", "error", "status", "reason"]
    return pd.concat([worst, named[~computed]])[columns].reset_index(drop=True)


def values_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of properties that hold values."""
    return [str(name) for name in table if name not in COLUMNS_BESIDE]


def least_absolute_line(value: NDArray[np.float64], label: NDArray[np.float64]) -> tuple[float, float]:
    """Return intercept and slope of the line with the smallest sum of absolute deviations of the label.

    The plain median where the values do not differ.
    """
    from sklearn.linear_model import QuantileRegressor

    spread = float(np.ptp(value))
    if not spread > 0:
        return float(np.median(label)), 0.0
    lowest = float(value.min())
    median = QuantileRegressor(quantile=0.5, alpha=0.0).fit(((value - lowest) / spread)[:, None], label)
    slope = float(median.coef_[0]) / spread
    return float(median.intercept_) - slope * lowest, slope


def apply_line(line: tuple[float, float], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return intercept + slope · value."""
    intercept, slope = line
    return intercept + slope * value


def _scores(
    value: NDArray[np.float64],
    label: NDArray[np.float64],
    train: NDArray[np.integer],
    test: NDArray[np.integer],
) -> tuple[float, float, float]:
    """Return the test errors of the median, the line and the line in logarithms."""
    median = float(np.median(label[train]))
    constant = np.full(len(test), median)
    line, log_line = constant.copy(), constant.copy()
    fitted, asked = train[np.isfinite(value[train])], np.isfinite(value[test])
    if len(fitted) >= _FEWEST_ROWS:
        line[asked] = apply_line(least_absolute_line(value[fitted], label[fitted]), value[test][asked])
        logs = least_absolute_line(signed_log(value[fitted]), signed_log(label[fitted]))
        log_line[asked] = signed_exp(apply_line(logs, signed_log(value[test][asked])))
    errors = [float(np.abs(predicted - label[test]).mean()) for predicted in (constant, line, log_line)]
    return errors[0], errors[1], errors[2]


def _joined(crystals: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    if list(crystals["id"]) != list(table["id"]):
        raise InputError("the table of the property is not that of these crystals; compute it again")
    return pd.concat(
        [crystals[["formula", "target"]].reset_index(drop=True), table.reset_index(drop=True)], axis=1
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(pd.Series(values).rank(), dtype=np.float64)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Pearson's correlation; NaN where one of the two does not vary."""
    if len(first) < _FEWEST_ROWS or not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return nan
    return float(np.corrcoef(first, second)[0, 1])
