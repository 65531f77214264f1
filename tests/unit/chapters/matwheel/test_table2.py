from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.matwheel.contrasts import paired_contrasts
from matwheel.chapters.matwheel.table2 import table2, table2_text
from matwheel.figures.figures import draw_table2, save_figure
from matwheel.statistics.scores import run_scores

PUBLISHED = Path(__file__).resolve().parents[4] / "resources" / "published_table2.csv"
ROWS = 30


def run(training_set, error, *, seed=0, dataset="mp_poly_total", predictor="cgcnn"):
    """One run whose test error is `error` on every row, with alternating sign."""
    target = 10.0 + np.arange(ROWS)
    sign = np.where(np.arange(ROWS) % 2, 1.0, -1.0)
    return pd.DataFrame(
        {
            "dataset": dataset,
            "scheme": "random",
            "seed": seed,
            "training_set": training_set,
            "predictor": predictor,
            "id": [f"c{i:02d}" for i in range(ROWS)],
            "target": target,
            "prediction": target + sign * error,
        }
    )


def predictions():
    errors = {"F": (2, 4, 3), "F_GF": (1, 3.5, 2.2), "GF": (5, 5, 5), "S": (6, 7, 8), "S_GS": (6, 7, 8.5)}
    runs = [run(name, error, seed=seed) for name, each in errors.items() for seed, error in enumerate(each)]
    runs += [run("F", error, seed=seed, predictor="constant") for seed, error in enumerate((4, 8, 6))]
    runs += [run("S", 5.0, seed=0, predictor="forest")]
    return pd.concat(runs, ignore_index=True)


def test_table2_means_spread_and_skill():
    table = table2(predictions(), pd.read_csv(PUBLISHED)).set_index("method")
    assert table.index.tolist() == ["F", "G_F", "F+G_F", "S", "S+G_S", "constant on F", "forest on S"]
    row = table.loc["F"]
    assert (row.mae_mean, row.mae_std, row.runs) == pytest.approx((3.0, 1.0, 3))  # ddof 1
    assert row.skill == pytest.approx(0.5)
    # Mean of the skills of the splits, not the skill of the means (which would be 1 − 7/6).
    assert table.loc["S"].skill == pytest.approx(np.mean([1 - 6 / 4, 1 - 7 / 8, 1 - 8 / 6]))
    assert table.loc["constant on F"].skill == pytest.approx(0.0)
    assert np.isnan(table.loc["forest on S"].mae_std) and table.loc["forest on S"].runs == 1
    assert (row.published_mean, row.published_std) == (6.33, 1.44)
    assert np.isnan(table.loc["forest on S"].published_mean)


def test_published_figures_as_the_paper_prints_them():
    text = table2_text(table2(predictions(), pd.read_csv(PUBLISHED))).set_index("source")
    assert text.loc["published", "F+G_F"] == "7.21 (1.30)" and text.loc["published", "S"] == "8.08 (1.53)"
    assert text.loc["cgcnn", "F"] == "3.00 (1.00)"
    assert text.loc["forest", "S"] == "5.00" and text.loc["forest", "F"] == ""
    published = pd.read_csv(PUBLISHED)
    assert len(published) == 12 and not published.duplicated(["dataset", "training_set"]).any()


def test_bad_predictions_are_refused():
    frame = predictions()
    # The labels of rows repeat when tables are joined; the message names one row all the same.
    twice = rf"^test row {frame['id'].iloc[0]} occurs twice in dataset [^\n]+; give each run once$"
    with pytest.raises(ValueError, match=twice):
        run_scores(pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(ValueError, match="not finite"):
        run_scores(frame.assign(prediction=frame["prediction"].where(frame.index != 5)))
    with pytest.raises(ValueError, match="columns target"):
        run_scores(frame.drop(columns="target"))
    with pytest.raises(ValueError, match="unknown training sets"):
        table2(frame.replace({"training_set": {"GF": "G_F"}}))


def test_contrasts_are_paired_and_corrected():
    table = paired_contrasts(predictions(), seed=0, test_to_train=15 / 70, replicates=500).set_index(
        "contrast"
    )
    row = table.loc["F+G_F − F"]
    assert row.mean_difference == pytest.approx(np.mean([-1, -0.5, -0.8]))
    assert row.splits == 3 and row.test_rows == 3 * ROWS
    assert row.interval_low < row.mean_difference < row.interval_high < 0
    spread = np.std([-1, -0.5, -0.8], ddof=1)
    assert row.corrected_standard_error == pytest.approx(np.sqrt(1 / 3 + 15 / 70) * spread)
    # Three contrasts could be tested; the fourth has no runs and does not enlarge the family.
    assert row.p_corrected_t_holm == pytest.approx(min(1, 3 * row.p_corrected_t))
    missing = table.loc["G_S − G_F"]
    assert missing.note == "no runs of G_S" and missing[["mean_difference", "p_wilcoxon_holm"]].isna().all()
    again = paired_contrasts(
        predictions().sample(frac=1, random_state=0), seed=0, test_to_train=15 / 70, replicates=500
    )
    pd.testing.assert_frame_equal(again.set_index("contrast"), table)


def test_one_split_gives_a_difference_but_no_test():
    frame = predictions()
    row = (
        paired_contrasts(frame[frame["seed"] == 0], seed=0, test_to_train=15 / 70)
        .set_index("contrast")
        .loc["F+G_F − F"]
    )
    assert row.mean_difference == pytest.approx(-1.0)
    assert row[["interval_low", "p_corrected_t", "p_wilcoxon", "minimum_detectable_difference"]].isna().all()
    assert "fewer than two" in row.note


def test_runs_on_other_test_rows_are_not_paired():
    frame = predictions()
    other = frame.assign(id=frame["id"].where(frame["training_set"] != "F", frame["id"] + "x"))
    with pytest.raises(ValueError, match="different test rows"):
        paired_contrasts(other, seed=0, test_to_train=15 / 70)
    lonely = frame[~((frame["training_set"] == "GF") & (frame["seed"] == 2))]
    row = (
        paired_contrasts(lonely, seed=0, test_to_train=15 / 70, replicates=50)
        .set_index("contrast")
        .loc["G_F − F"]
    )
    assert row.splits == 2 and "1 splits have only one" in row.note


@pytest.mark.parametrize("part", ["all", "one run"])
def test_the_figure_is_drawn_and_its_bytes_repeat(tmp_path, part):
    frame = predictions()
    if part == "one run":
        frame = frame[frame["seed"] == 0]
    table, scores = table2(frame, pd.read_csv(PUBLISHED)), run_scores(frame)
    contrasts = paired_contrasts(frame, seed=0, test_to_train=15 / 70, replicates=50)
    for name in ("one.svg", "two.svg"):
        save_figure(draw_table2(table, contrasts, scores), tmp_path / name)
    content = (tmp_path / "one.svg").read_bytes()
    assert content == (tmp_path / "two.svg").read_bytes() and b"dc:date" not in content
    with pytest.raises(ValueError, match="svg or"):
        save_figure(draw_table2(table), tmp_path / "figure.pdf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.svg"]


def test_the_figure_says_of_few_splits_only_that_they_are_too_few():
    frame = predictions()  # three splits
    contrasts = paired_contrasts(frame, seed=0, test_to_train=15 / 70, replicates=50)
    assert set(contrasts["better"]) == {"too few splits to tell"}
    figure = draw_table2(table2(frame), contrasts)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words.count("too few splits to tell") == contrasts["mean_difference"].notna().sum()
    assert not any("p = " in text for text in words)
