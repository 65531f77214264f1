"""Paired contrasts between the columns of Table 2: is there a difference, and could one have been seen?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from matwheel.chapters.matwheel.table2 import TRAINING_SETS
from matwheel.core.seeds import derive_seed
from matwheel.core.table_rows import groups
from matwheel.statistics.paired_statistics import (
    BOOTSTRAP_REPLICATES,
    corrected_standard_error,
    corrected_t_test,
    hierarchical_bootstrap_interval,
    minimum_detectable_difference,
    wilcoxon_p,
    with_decisions,
)
from matwheel.statistics.scores import check_predictions

CONTRASTS = (("F_GF", "F"), ("GF", "F"), ("S_GS", "S"), ("GS", "GF"))
"""Pairs (method, reference): the difference is MAE(method) − MAE(reference); below zero the method wins."""

TESTS = ("p_corrected_t", "p_wilcoxon")
COLUMNS = (
    "dataset",
    "scheme",
    "predictor",
    "contrast",
    "method",
    "reference",
    "splits",
    "test_rows",
    "test_to_train",
    "mean_difference",
    "std_difference",
    "interval_low",
    "interval_high",
    "corrected_standard_error",
    "t",
    "p_corrected_t",
    "p_corrected_t_holm",
    "p_wilcoxon",
    "p_wilcoxon_holm",
    "minimum_detectable_difference",
    "better",
    "note",
)


def paired_contrasts(
    predictions: pd.DataFrame,
    *,
    seed: int,
    test_to_train: float | Mapping[tuple[str, str], float],
    predictors: Sequence[str] = ("cgcnn",),
    contrasts: Sequence[tuple[str, str]] = CONTRASTS,
    replicates: int = BOOTSTRAP_REPLICATES,
) -> pd.DataFrame:
    """Compare pairs of training sets on the splits and test rows that both were scored on.

    Args:
        predictions: see `matwheel.statistics.scores.run_scores`; a predictor is compared with itself.
        seed: seed of the bootstrap; each contrast derives its own.
        test_to_train: test rows over training rows of a split, for the corrected t-test; one number, or one
            per dataset and scheme (`ratios_of_splits`). The training part counts whole in the
            semi-supervised columns as well, since their pseudo-labelled rows shape the model and it is the
            overlap of the parts that is corrected for.
        contrasts: pairs (method, reference) of training sets.

    Returns:
        One row per predictor, dataset, scheme and contrast, with the columns `COLUMNS`; differences in the
        unit of the target. `interval_*` is the 95 % hierarchical bootstrap interval. `better` is the word of
        `with_decisions`: Holm's correction runs over the whole table, separately for the two tests.
        `minimum_detectable_difference` is at 80 % power, two-sided level 0.05 before Holm's
        correction, from the corrected variance. With fewer than two common splits the statistics are
        empty and `note` says why.

    Raises:
        ValueError: predictions that cannot be scored, or two runs of one split with different test rows or
            targets.
    """
    check_predictions(predictions)
    rows = []
    for predictor in predictors:
        own = predictions[predictions["predictor"] == predictor]
        for (dataset, scheme), part in groups(own, ["dataset", "scheme"]):
            ratio = test_to_train[dataset, scheme] if isinstance(test_to_train, Mapping) else test_to_train
            for method, reference in contrasts:
                own_seed = derive_seed(seed, dataset, scheme, method, reference)
                row = contrast(part, (method, reference), TRAINING_SETS, ratio, own_seed, replicates)
                rows.append({"dataset": dataset, "scheme": scheme, "predictor": predictor, **row})
    return decided(pd.DataFrame(rows, columns=list(COLUMNS)))


def decided(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return contrasts with Holm's corrections and `better`, all of the table being one family."""
    numbers = {name: float for name in COLUMNS[8:-2]}
    return with_decisions(contrasts.astype(numbers), tests=TESTS)[list(COLUMNS)]


def ratios_of_splits(splits: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Return test rows over training rows of each dataset and scheme, means over its runs.

    Args:
        splits: with dataset, scheme, and the ids 'test' and 'train'.
    """
    ratios: dict[tuple[str, str], list[float]] = {}
    for split in splits:
        key = split["dataset"], split["scheme"]
        ratios.setdefault(key, []).append(len(split["test"]) / len(split["train"]))
    return {key: float(np.mean(values)) for key, values in ratios.items()}


def contrast(
    part: pd.DataFrame,
    pair: tuple[str, str],
    names: Mapping[str, str],
    ratio: float,
    seed: int,
    replicates: int,
) -> dict[str, object]:
    """Return the figures of one contrast within one dataset, scheme and predictor.

    Args:
        pair: method and reference, training sets.
        names: training set → as shown.
        ratio: test rows over training rows.
    """
    method, reference = pair
    row: dict[str, object] = {
        "contrast": f"{names[method]} − {names[reference]}",
        "method": method,
        "reference": reference,
        "splits": 0,
        "test_rows": 0,
        "test_to_train": ratio,
        "note": "",
    }
    runs = {
        name: {number: rows for (number,), rows in groups(part[part["training_set"] == name], ["seed"])}
        for name in pair
    }
    missing = [names[name] for name in pair if not runs[name]]
    if missing:
        return row | {"note": f"no runs of {' and '.join(missing)}"}
    seeds = sorted(set(runs[method]) & set(runs[reference]))
    notes = []
    unpaired = len(set(runs[method]) ^ set(runs[reference]))
    if unpaired:
        notes.append(f"{unpaired} splits have only one of the two and are left out")
    differences = [_differences(runs[method][split], runs[reference][split], split) for split in seeds]
    row |= {"splits": len(seeds), "test_rows": sum(len(values) for values in differences)}
    means = np.array([values.mean() for values in differences])
    if len(means):
        row["mean_difference"] = float(means.mean())
    if len(means) < 2:
        notes.append("fewer than two common splits: no interval and no test")
        return row | {"note": "; ".join(notes)}
    low, high = hierarchical_bootstrap_interval(differences, seed=seed, replicates=replicates)
    error = corrected_standard_error(means, ratio)
    t, p = corrected_t_test(means, ratio)
    floor = 2.0 ** (1 - len(means))
    if floor > 0.05:
        notes.append(f"Wilcoxon over {len(means)} splits cannot go below p = {floor:.3g}")
    return row | {
        "std_difference": float(means.std(ddof=1)),
        "interval_low": low,
        "interval_high": high,
        "corrected_standard_error": error,
        "t": t,
        "p_corrected_t": p,
        "p_wilcoxon": wilcoxon_p(means),
        "minimum_detectable_difference": minimum_detectable_difference(error, len(means)),
        "note": "; ".join(notes),
    }


def _differences(method: pd.DataFrame, reference: pd.DataFrame, split: object) -> np.ndarray:
    """Return |error of the method| − |error of the reference| of each test row of one split, by id."""
    one, other = (frame.set_index("id").sort_index() for frame in (method, reference))
    if not one.index.equals(other.index) or not np.array_equal(one["target"], other["target"]):
        raise ValueError(
            f"split {split}: the runs to be paired were scored on different test rows or targets; "
            "they must come from one split file"
        )
    first = (one["prediction"] - one["target"]).abs()
    second = (other["prediction"] - other["target"]).abs()
    return (first - second).to_numpy(np.float64)
