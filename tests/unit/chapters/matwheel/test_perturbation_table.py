"""The table of perturbed training crystals: its figures, its pairs, and runs that must not be compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.matwheel.contrasts import COLUMNS, paired_contrasts
from matwheel.chapters.matwheel.perturbation_table import (
    CONTRASTS,
    perturbation_contrasts,
    perturbation_table,
    refuse_other_test_rows,
)
from matwheel.statistics.paired_statistics import corrected_t_test, holm

ROWS = 20
ERRORS = {"F": (2, 4, 3), "F_T": (1, 3.5, 2.2), "F_R": (2.5, 4, 3.3), "F_G": (3, 3, 5), "F_GF": (2, 5, 4)}
DATASETS = ("jarvis2d_exfoliation", "mp_poly_total")


def run(training_set, error, *, seed, dataset, predictor="cgcnn"):
    """One run whose test error is about `error` on every row, with alternating sign."""
    target = 10.0 + np.arange(ROWS)
    sign = np.where(np.arange(ROWS) % 2, 1.0, -1.0)
    ids = [f"c{seed}-{row:02d}" for row in range(ROWS)]
    return pd.DataFrame(
        {"id": ids, "target": target, "prediction": target + sign * (error + 0.01 * np.arange(ROWS) / ROWS)}
    ).assign(dataset=dataset, scheme="random", seed=seed, training_set=training_set, predictor=predictor)


def predictions(predictors=("cgcnn",), sets=tuple(ERRORS)):
    runs = [
        run(name, error, seed=seed, dataset=dataset, predictor=predictor)
        for dataset in DATASETS
        for predictor in predictors
        for name in sets
        for seed, error in enumerate(ERRORS[name])
    ]
    runs += [
        run("F", 6.0, seed=seed, dataset=dataset, predictor="constant")
        for dataset in DATASETS
        for seed in range(3)
    ]
    return pd.concat(runs, ignore_index=True)


def splits():
    return [
        {
            "dataset": dataset,
            "scheme": "random",
            "run": seed,
            "seed": 1234 + seed,
            "test": [f"c{seed}-{row:02d}" for row in range(ROWS)],
        }
        for dataset in DATASETS
        for seed in range(3)
    ]


def test_table_has_means_spread_and_the_paired_difference_to_real_rows() -> None:
    frame = predictions()
    contrasts = perturbation_contrasts(frame, seed=0, test_to_train=15 / 70, replicates=300)
    added = frame[["dataset", "scheme", "predictor", "training_set", "seed"]].drop_duplicates()
    added = added.assign(added_rows=np.where(added["training_set"] == "F", 0, 445))
    table = perturbation_table(frame, contrasts, added)
    assert table["training_set"].tolist() == [*ERRORS] * 2 and set(table["predictor"]) == {"cgcnn"}
    assert table["method"].tolist()[:3] == ["F", "F+T", "F+R"]
    first = table.set_index(["dataset", "training_set"]).loc["mp_poly_total"]
    offset = 0.01 * np.arange(ROWS).mean() / ROWS
    assert first.loc["F", "mae_mean"] == pytest.approx(3 + offset)
    assert first.loc["F", "mae_std"] == pytest.approx(1.0)
    assert first.loc["F", "skill"] == pytest.approx(
        np.mean([1 - (e + offset) / (6 + offset) for e in (2, 4, 3)])
    )
    assert first["added_rows"].tolist() == [0, 445, 445, 445, 445]
    difference = np.array([-1, -0.5, -0.8])
    assert first.loc["F_T", "difference_to_F"] == pytest.approx(difference.mean())
    assert first.loc["F_T", "interval_low"] < difference.mean() < first.loc["F_T", "interval_high"] < 0
    assert first.loc["F_T", "p_corrected_t"] == pytest.approx(corrected_t_test(difference, 15 / 70)[1])
    assert first["difference_to_F"].isna().tolist() == [True, False, False, False, False]
    assert perturbation_table(frame, contrasts)["added_rows"].isna().all()


def test_contrasts_are_those_of_table_2_with_one_family_of_all_pairs() -> None:
    frame = predictions()
    ratio = {(dataset, "random"): number for dataset, number in zip(DATASETS, (0.2, 0.3), strict=True)}
    table = perturbation_contrasts(frame, seed=0, test_to_train=ratio, replicates=300)
    assert list(table.columns) == list(COLUMNS)
    assert list(zip(table["method"], table["reference"], strict=True)) == [*CONTRASTS] * 2
    assert table["contrast"].iloc[4] == "F+T − F+R"
    np.testing.assert_allclose(table["p_corrected_t_holm"], holm(table["p_corrected_t"]))
    np.testing.assert_allclose(table["p_wilcoxon_holm"], holm(table["p_wilcoxon"]))
    # F+G_F − F is a pair of Table 2 itself: everything but the draws of the bootstrap must agree.
    table2 = paired_contrasts(frame, seed=0, test_to_train=ratio, replicates=300)
    row = table2[(table2["method"] == "F_GF") & (table2["dataset"] == DATASETS[1])].iloc[0]
    pairs = (("F_GF", "F"), ("F_T", "F"))
    own = perturbation_contrasts(frame, seed=0, test_to_train=ratio, contrasts=pairs, replicates=300)
    mine = own[(own["method"] == "F_GF") & (own["dataset"] == DATASETS[1])].iloc[0]
    for name in ("contrast", "splits", "test_rows", "mean_difference", "t", "p_wilcoxon"):
        assert mine[name] == row[name]
    assert mine["interval_low"] == pytest.approx(row["interval_low"], abs=0.2)
    again = perturbation_contrasts(
        frame.sample(frac=1, random_state=0), seed=0, test_to_train=ratio, replicates=300
    )
    pd.testing.assert_frame_equal(again, table)


def test_all_predictors_of_the_table_are_one_family() -> None:
    frame = predictions(("cgcnn", "latent"))
    options = {"seed": 0, "test_to_train": 0.2, "replicates": 50}
    both = perturbation_contrasts(frame, predictors=["cgcnn", "latent"], **options)
    one = perturbation_contrasts(frame, predictors=["cgcnn"], **options)
    own = both[both["predictor"] == "cgcnn"]
    np.testing.assert_allclose(own["p_corrected_t"], one["p_corrected_t"])
    np.testing.assert_allclose(both["p_corrected_t_holm"], holm(both["p_corrected_t"]))
    table = perturbation_table(frame, both)
    assert table["predictor"].tolist() == (["cgcnn"] * 5 + ["latent"] * 5) * 2


def test_pairs_without_runs_are_left_out_but_half_a_training_set_is_refused() -> None:
    frame = predictions(sets=("F", "F_T", "F_R"))
    table = perturbation_contrasts(frame, seed=0, test_to_train=15 / 70, replicates=50)
    assert table["method"].tolist() == ["F_T", "F_R", "F_T"] * 2
    half = frame[~((frame["training_set"] == "F_T") & (frame["dataset"] == DATASETS[0]))]
    with pytest.raises(ValueError, match="only some datasets have runs on F_T"):
        perturbation_contrasts(half, seed=0, test_to_train=15 / 70)
    with pytest.raises(ValueError, match="no predictions of the predictor latent"):
        perturbation_contrasts(frame, seed=0, test_to_train=15 / 70, predictors=["latent"])


def test_runs_must_be_scored_on_the_test_rows_of_their_split() -> None:
    frame = predictions()
    refuse_other_test_rows(frame, splits())
    other = frame.assign(id=frame["id"].where(frame.index != 7, "c0-elsewhere"))
    with pytest.raises(ValueError, match="not scored on the test rows"):
        refuse_other_test_rows(other, splits())
    with pytest.raises(ValueError, match="not scored on the test rows"):
        refuse_other_test_rows(frame.drop(index=7), splits())
    with pytest.raises(ValueError, match="no split"):
        refuse_other_test_rows(frame, splits()[:-1])
