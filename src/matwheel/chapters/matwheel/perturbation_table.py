"""Does it help to train on displaced copies of the training crystals? The table beside Table 2.

Runs are those of Table 2 (F, and F+G_F) and of the same splits with thermal or random copies of the training
crystals added, or with as many generated crystals. The test rows are the same, so differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from matwheel.chapters.matwheel.contrasts import COLUMNS, contrast, decided
from matwheel.chapters.matwheel.table2 import in_order, mean_scores
from matwheel.core.seeds import derive_seed
from matwheel.core.table_rows import groups
from matwheel.statistics.paired_statistics import BOOTSTRAP_REPLICATES
from matwheel.statistics.scores import RUN_COLUMNS, check_predictions, run_scores

REAL = "F"
TRAINING_SETS = {REAL: "F", "F_T": "F+T", "F_R": "F+R", "F_G": "F+G_F (equal number)", "F_GF": "F+G_F"}
"""Training set as named in files → as shown: real rows, with thermal copies, with random copies of the same
crystals and rms displacements, with as many generated crystals, with all generated crystals."""

CONTRASTS = (
    ("F_T", "F"),
    ("F_R", "F"),
    ("F_G", "F"),
    ("F_GF", "F"),
    ("F_T", "F_R"),
    ("F_T", "F_G"),
    ("F_T", "F_GF"),
)
"""Pairs (method, reference): the difference is MAE(method) − MAE(reference); below zero the method wins."""

_TO_REAL = {
    "mean_difference": "difference_to_F",
    "interval_low": "interval_low",
    "interval_high": "interval_high",
    "p_corrected_t": "p_corrected_t",
    "p_corrected_t_holm": "p_corrected_t_holm",
    "better": "better",
}


def perturbation_table(
    predictions: pd.DataFrame, contrasts: pd.DataFrame, added_rows: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per dataset, scheme, predictor and training set.

    Args:
        predictions: see `matwheel.statistics.scores.run_scores`. Those of the predictor 'constant' serve the
            skill only.
        contrasts: of `perturbation_contrasts`; its predictors are the rows of the table.
        added_rows: columns `RUN_COLUMNS` and added_rows: rows that joined the real training rows in a run.

    Returns:
        Columns dataset, scheme, predictor, training_set, method, added_rows (mean over the splits), mae_mean,
        mae_std (over splits, n − 1 in the denominator), runs, skill (see `run_scores`), and the paired
        difference to F: difference_to_F, interval_low, interval_high (95 %), p_corrected_t, its Holm
        correction and `better` (see `with_decisions`; the first of the pair is the row's). MAE is in the
        unit of the target.

    Raises:
        ValueError: predictions that cannot be scored.
    """
    scores = run_scores(predictions)
    predictors = list(dict.fromkeys(contrasts["predictor"]))
    scores = scores[scores["predictor"].isin(predictors) & scores["training_set"].isin(TRAINING_SETS)]
    keys = ["dataset", "scheme", "predictor", "training_set"]
    if added_rows is None:
        scores = scores.assign(added_rows=np.nan)
    else:
        scores = scores.merge(added_rows[[*RUN_COLUMNS, "added_rows"]], on=list(RUN_COLUMNS), how="left")
    table = mean_scores(scores, added_rows=("added_rows", "mean"))
    table.insert(4, "method", table["training_set"].map(TRAINING_SETS))
    to_real = contrasts[contrasts["reference"] == REAL].rename(columns={"method": "training_set", **_TO_REAL})
    table = table.merge(to_real[[*keys, *_TO_REAL.values()]], on=keys, how="left")
    return in_order(table, predictors, TRAINING_SETS)


def perturbation_contrasts(
    predictions: pd.DataFrame,
    *,
    seed: int,
    test_to_train: float | Mapping[tuple[str, str], float],
    predictors: Sequence[str] = ("cgcnn",),
    contrasts: Iterable[tuple[str, str]] = CONTRASTS,
    replicates: int = BOOTSTRAP_REPLICATES,
) -> pd.DataFrame:
    """Compare pairs of training sets on the splits and test rows that both were scored on.

    Args:
        predictions: see `matwheel.statistics.scores.run_scores`.
        seed: of the bootstrap; each pair derives its own.
        test_to_train: see `matwheel.chapters.matwheel.contrasts.paired_contrasts`.
        contrasts: pairs (method, reference); pairs with a training set that no run has are left out.

    Returns:
        One row per dataset, scheme, predictor and pair with the columns of `contrasts.COLUMNS`. Holm's
        correction runs over the whole table.

    Raises:
        ValueError: predictions that cannot be scored, a predictor without runs, a training set that one
            dataset has and another lacks, or runs of one split with different test rows.
    """
    check_predictions(predictions)
    rows = []
    for predictor in predictors:
        own = predictions[predictions["predictor"] == predictor]
        present = _training_sets_of(own, predictor)
        for (dataset, scheme), part in groups(own, ["dataset", "scheme"]):
            ratio = test_to_train[dataset, scheme] if isinstance(test_to_train, Mapping) else test_to_train
            for method, reference in contrasts:
                if {method, reference} <= present:
                    # The names of Table 2 are in the seed: with them intervals stay those of earlier tables.
                    own_seed = derive_seed(seed, predictor, method, reference)
                    own_seed = derive_seed(own_seed, dataset, scheme, "F_GF", "F")
                    row = contrast(part, (method, reference), TRAINING_SETS, ratio, own_seed, replicates)
                    rows.append({"dataset": dataset, "scheme": scheme, "predictor": predictor, **row})
    return decided(pd.DataFrame(rows, columns=list(COLUMNS)))


def refuse_other_test_rows(predictions: pd.DataFrame, splits: Iterable[Mapping[str, Any]]) -> None:
    """Refuse runs that were not scored on exactly the test rows of their split, each once.

    Args:
        splits: with dataset, scheme, number of the run as 'run', and the ids 'test'.

    Raises:
        ValueError: such a run, or one without a split.
    """
    expected = {
        (split["dataset"], split["scheme"], int(split["run"])): sorted(split["test"]) for split in splits
    }
    for run, rows in groups(predictions, RUN_COLUMNS):
        dataset, scheme, _, _, number = run
        if (dataset, scheme, int(number)) not in expected:
            raise ValueError(f"run {run}: no split of this dataset, scheme and number was given")
        if sorted(rows["id"]) != expected[dataset, scheme, int(number)]:
            raise ValueError(f"run {run} was not scored on the test rows of its split; train it again")


def _training_sets_of(part: pd.DataFrame, predictor: str) -> set[str]:
    """Return the training sets that all datasets and schemes of one predictor have."""
    groups = [set(rows["training_set"]) for _, rows in part.groupby(["dataset", "scheme"])]
    if not groups:
        raise ValueError(f"no predictions of the predictor {predictor}; train it or leave it out")
    everywhere, anywhere = set.intersection(*groups), set.union(*groups)
    if everywhere != anywhere:
        raise ValueError(
            f"{predictor}: only some datasets have runs on {', '.join(sorted(anywhere - everywhere))}"
        )
    return everywhere
