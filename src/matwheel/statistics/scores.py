"""Scores of predictions on test rows, one row per run."""

from __future__ import annotations

import numpy as np
import pandas as pd

PREDICTION_COLUMNS = ("dataset", "scheme", "seed", "training_set", "predictor", "id", "target", "prediction")
RUN_COLUMNS = ("dataset", "scheme", "predictor", "training_set", "seed")
REFERENCE_PREDICTOR = "constant"
REFERENCE_TRAINING_SET = "F"


def check_predictions(predictions: pd.DataFrame) -> None:
    """Refuse predictions that cannot be scored.

    Raises:
        ValueError: a missing column, a test row given twice in one run, or a value that is not finite.
    """
    missing = [column for column in PREDICTION_COLUMNS if column not in predictions.columns]
    if missing:
        raise ValueError(f"predictions lack the columns {', '.join(missing)}")
    if predictions.empty:
        raise ValueError("no predictions to score; train at least one predictor")
    twice = predictions.duplicated([*RUN_COLUMNS, "id"])
    if twice.any():
        row = predictions[twice].iloc[0]
        raise ValueError(f"test row {row['id']} occurs twice in {_run_name(row)}; give each run once")
    finite = np.isfinite(predictions["target"]) & np.isfinite(predictions["prediction"])
    if not finite.all():
        row = predictions[~finite].iloc[0]
        raise ValueError(
            f"{_run_name(row)}: target {row['target']} or prediction {row['prediction']} of {row['id']} "
            "is not finite; look at that training's log"
        )


def run_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score every run.

    Args:
        predictions: one row per test row and run, with the columns `PREDICTION_COLUMNS`.

    Returns:
        One row per run, sorted: dataset, scheme, predictor, training_set, seed, test_rows, mae and rmse (in
        the unit of the target), mae_constant (the constant predictor of the same split, trained on its full
        training part, whichever the training set of the row) and skill = 1 − mae / mae_constant, so that the
        columns of one split share one reference. Both are empty where that split has no constant predictor.

    Raises:
        ValueError: see `check_predictions`.
    """
    check_predictions(predictions)
    error = predictions["prediction"].to_numpy(np.float64) - predictions["target"].to_numpy(np.float64)
    scored = predictions[list(RUN_COLUMNS)].assign(absolute=np.abs(error), squared=error**2)
    scores = (
        scored.groupby(list(RUN_COLUMNS), sort=True)
        .agg(test_rows=("absolute", "size"), mae=("absolute", "mean"), rmse=("squared", "mean"))
        .reset_index()
    )
    scores["rmse"] = np.sqrt(scores["rmse"])
    reference = scores[
        (scores["predictor"] == REFERENCE_PREDICTOR) & (scores["training_set"] == REFERENCE_TRAINING_SET)
    ]
    reference = reference[["dataset", "scheme", "seed", "mae"]].rename(columns={"mae": "mae_constant"})
    scores = scores.merge(reference, on=["dataset", "scheme", "seed"], how="left")
    scores["skill"] = 1.0 - scores["mae"] / scores["mae_constant"].replace(0.0, np.nan)
    return scores


def _run_name(row: pd.Series) -> str:
    return ", ".join(f"{column} {row[column]}" for column in RUN_COLUMNS)
