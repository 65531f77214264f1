"""Table 2 of the MatWheel paper, with baselines, skill and the published figures beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from matwheel.core.table_rows import named_rows
from matwheel.statistics.scores import run_scores

TRAINING_SETS = {"F": "F", "GF": "G_F", "F_GF": "F+G_F", "S": "S", "GS": "G_S", "S_GS": "S+G_S"}
"""Training set as named in files → as the paper writes it, in the paper's order of columns."""

BASELINES = ("constant", "forest")


def table2(
    predictions: pd.DataFrame, published: pd.DataFrame | None = None, *, main_predictor: str = "cgcnn"
) -> pd.DataFrame:
    """Return Table 2, one row per dataset, scheme, predictor and training set.

    Args:
        predictions: see `matwheel.statistics.scores.run_scores`; runs may be missing.
        published: columns dataset, training_set, published_mean, published_std; shown beside the rows of the
            main predictor.
        main_predictor: predictor of the six columns; its rows come first in each dataset and scheme.

    Returns:
        Columns dataset, scheme, predictor, training_set, method (as the paper writes it), mae_mean, mae_std
        (over runs, n − 1 in the denominator; empty for one run), runs, skill (1 − mae / mae of the
        constant predictor on the same split, mean over splits), published_mean, published_std. MAE is in
        the unit of the target. Numbers are not rounded.

    Raises:
        ValueError: predictions that cannot be scored, or an unknown training set.
    """
    scores = run_scores(predictions)
    unknown = sorted(set(scores["training_set"]) - set(TRAINING_SETS))
    if unknown:
        raise ValueError(f"unknown training sets {', '.join(unknown)}; known are {', '.join(TRAINING_SETS)}")
    table = mean_scores(scores)
    names = zip(table["predictor"], table["training_set"], strict=True)
    table.insert(4, "method", [method_name(predictor, name, main_predictor) for predictor, name in names])
    table["published_mean"] = float("nan")
    table["published_std"] = float("nan")
    if published is not None:
        figures = published.set_index(["dataset", "training_set"])[["published_mean", "published_std"]]
        places = list(zip(table["dataset"], table["training_set"], strict=True))
        for column in figures.columns:
            shown = pd.Series([figures[column].get(place, float("nan")) for place in places])
            table[column] = shown.where(table["predictor"].to_numpy() == main_predictor).astype(float)
    predictors = [main_predictor, *(name for name in BASELINES if name != main_predictor)]
    predictors += sorted(set(table["predictor"]) - set(predictors))
    return in_order(table, predictors, TRAINING_SETS)


def mean_scores(scores: pd.DataFrame, **further: tuple[str, str]) -> pd.DataFrame:
    """Return the scores of `run_scores` averaged over the runs of each training set.

    Args:
        scores: rows of `run_scores`.
        further: columns in front of the others → (column, aggregation).

    Returns:
        Columns dataset, scheme, predictor, training_set, those of `further`, mae_mean, mae_std (n − 1 in the
        denominator), runs, skill.
    """
    figures = {
        "mae_mean": ("mae", "mean"),
        "mae_std": ("mae", "std"),
        "runs": ("mae", "size"),
        "skill": ("skill", "mean"),
    }
    keys = ["dataset", "scheme", "predictor", "training_set"]
    return scores.groupby(keys, sort=True).agg(**further, **figures).reset_index()


def in_order(table: pd.DataFrame, predictors: Sequence[str], training_sets: Iterable[str]) -> pd.DataFrame:
    """Return rows by dataset and scheme, predictors and training sets in the given order."""
    rank = table[["dataset", "scheme"]].assign(
        predictor=table["predictor"].map(list(predictors).index),
        training_set=table["training_set"].map(list(training_sets).index),
    )
    order = rank.sort_values(list(rank.columns), kind="stable").index
    return table.loc[order].reset_index(drop=True)


def method_name(predictor: str, training_set: str, main_predictor: str = "cgcnn") -> str:
    """Return the name of a row, e.g. 'F+G_F' for the main predictor and 'forest on S' for another."""
    shown = TRAINING_SETS[training_set]
    return shown if predictor == main_predictor else f"{predictor} on {shown}"


def table2_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return Table 2 as the paper prints it: 'mean (std)' with the same decimals as the published figures.

    Returns:
        One row per dataset, scheme and source (the predictors, then 'published'); one column per training
        set, empty where there is no figure.
    """
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in named_rows(table):
        place = rows.setdefault((row.dataset, row.scheme, row.predictor), {})
        place[TRAINING_SETS[row.training_set]] = _mean_and_std(row.mae_mean, row.mae_std)
    for row in named_rows(table.dropna(subset=["published_mean"])):
        place = rows.setdefault((row.dataset, row.scheme, "published"), {})
        place[TRAINING_SETS[row.training_set]] = _mean_and_std(row.published_mean, row.published_std)
    shown = [
        {
            "dataset": dataset,
            "scheme": scheme,
            "source": source,
            **{name: cells.get(name, "") for name in TRAINING_SETS.values()},
        }
        for (dataset, scheme, source), cells in rows.items()
    ]
    text = pd.DataFrame(shown, columns=["dataset", "scheme", "source", *TRAINING_SETS.values()])
    return text.sort_values(["dataset", "scheme"], kind="stable").reset_index(drop=True)


def _mean_and_std(mean: float, std: float) -> str:
    return f"{mean:.2f}" if pd.isna(std) else f"{mean:.2f} ({std:.2f})"
