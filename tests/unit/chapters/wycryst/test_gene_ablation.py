"""The 2 × 2 ablation: cells, contrasts within seeds, intervals, exact tests, claims."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matwheel.chapters.wycryst.gene_ablation import (
    CELL_COLUMNS,
    CONTRAST_COLUMNS,
    PAPER_CLAIMS,
    Claim,
    ablation_cells,
    ablation_contrasts,
    draw_ablation,
    sign_flip_p,
)
from matwheel.core.errors import InputError
from matwheel.figures.figures import save_figure

ENERGY, REBUILT = "formation_energy_mae_ev_per_atom", "wyckoff_reconstruction"


def runs(seeds=6, *, noise=0.01, between=0.05, seed=0):
    """Runs with known effects: MAE times 0.9 (augmentation) and 0.8 (transfer); seeds differ by a factor."""
    generator = np.random.default_rng(seed)
    rows = []
    for metric, start, factors in ((ENERGY, 0.1, (0.9, 0.8)), (REBUILT, 0.5, (1.2, 1.05))):
        for number in range(seeds):
            level = start * (1 + generator.normal(0, between))
            for augmentation, transfer in product((False, True), repeat=2):
                value = level * factors[0] ** augmentation * factors[1] ** transfer
                value *= 1 + generator.normal(0, noise)
                rows.append((augmentation, transfer, number, metric, value))
    return pd.DataFrame(rows, columns=["augmentation", "transfer", "seed", "metric", "value"])


def cell(frame, metric, augmentation, transfer):
    here = (
        (frame["metric"] == metric)
        & (frame["augmentation"] == augmentation)
        & (frame["transfer"] == transfer)
    )
    return frame[here].sort_values("seed")["value"].to_numpy()


def test_cells_are_means_over_seeds():
    frame = runs()
    table = ablation_cells(frame.sample(frac=1, random_state=1))
    assert tuple(table.columns) == CELL_COLUMNS and len(table) == 8
    for row in table.to_dict("records"):
        own = cell(frame, row["metric"], row["augmentation"], row["transfer"])
        assert [row["seeds"], row["mean"], row["sd"]] == pytest.approx([6, own.mean(), own.std(ddof=1)])
    assert list(table["cell"][:4]) == ["neither", "augmentation", "transfer", "both"]


def test_contrasts_are_student_s_within_a_seed():
    frame = runs()
    table = ablation_contrasts(frame)
    assert tuple(table.columns) == CONTRAST_COLUMNS and len(table) == 12
    for metric in (ENERGY, REBUILT):
        neither, augmentation, transfer, both = (
            cell(frame, metric, *which)
            for which in ((False, False), (True, False), (False, True), (True, True))
        )
        expected = {
            "augmentation − neither": augmentation - neither,
            "transfer − neither": transfer - neither,
            "both − neither": both - neither,
            "main effect of augmentation": ((augmentation - neither) + (both - transfer)) / 2,
            "main effect of transfer": ((transfer - neither) + (both - augmentation)) / 2,
            "interaction": (both - transfer) - (augmentation - neither),
        }
        part = table[table["metric"] == metric].set_index("contrast")
        for name, differences in expected.items():
            row, test = part.loc[name], stats.ttest_1samp(differences, 0)
            interval = test.confidence_interval(0.95)
            assert row["mean_difference"] == pytest.approx(differences.mean())
            assert [row["t"], row["p_t"]] == pytest.approx([test.statistic, test.pvalue])
            assert [row["interval_low"], row["interval_high"]] == pytest.approx([interval.low, interval.high])
            flips = stats.permutation_test(
                (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
            )
            assert row["p_sign_flip"] == pytest.approx(flips.pvalue)
            if name.endswith("neither"):
                change = 100 * differences / neither
                interval = stats.ttest_1samp(change, 0).confidence_interval(0.95)
                figures = row[["relative_change_percent", "relative_low_percent", "relative_high_percent"]]
                assert figures.tolist() == pytest.approx([change.mean(), interval.low, interval.high])
            else:
                assert np.isnan(row["relative_change_percent"])


def test_holm_runs_over_all_metrics_of_a_family():
    table = ablation_contrasts(runs(noise=0.08))
    for _, family in table.groupby("family"):
        assert len(family) == 6
        ordered = family.sort_values("p_t", kind="stable")
        expected = np.minimum(1, np.maximum.accumulate(ordered["p_t"].to_numpy() * np.arange(6, 0, -1)))
        assert ordered["p_t_holm"].to_numpy() == pytest.approx(expected)


def test_effects_that_are_there_are_found_in_spite_of_differences_between_seeds():
    table = ablation_contrasts(runs(between=0.3, noise=0.005), claims={}).set_index(["metric", "contrast"])
    both = table.loc[(ENERGY, "both − neither")]
    assert both["relative_change_percent"] == pytest.approx(-28, abs=1) and both["p_sign_flip"] == 2**-5
    assert both["relative_low_percent"] < -28 < both["relative_high_percent"]
    assert (table["claim"] == "").all() and (table["claim_met"] == "").all()


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(120):
        frame = runs(4, noise=0.03, seed=seed)
        table = ablation_contrasts(frame[frame["metric"] == ENERGY]).set_index("contrast")
        row = table.loc["transfer − neither"]
        covered += row["relative_low_percent"] <= -20 <= row["relative_high_percent"]
    assert 107 <= covered <= 119


def test_claims_are_met_where_the_test_against_them_says_so_after_holm():
    table = ablation_contrasts(runs()).set_index(["metric", "contrast"])
    energy, rebuilt = table.loc[(ENERGY, "both − neither")], table.loc[(REBUILT, "both − neither")]
    assert (energy["claim"], energy["claim_met"]) == (PAPER_CLAIMS[ENERGY].words, "yes")
    assert (rebuilt["claim"], rebuilt["claim_met"]) == (PAPER_CLAIMS[REBUILT].words, "no")
    assert (table.loc[(ENERGY, "transfer − neither"), "claim_met"]) == ""
    less, more = Claim("", -10.0), Claim("", 30.0)
    figures = ((-20, 0.01, 5), (-20, 0.06, 5), (-5, 0.01, 5), (-20, 0.01, 4))
    words = ["yes", "undecided", "no", "too few splits to tell"]
    assert [less.met(*given) for given in figures] == words
    figures = ((60, 0.01, 5), (60, 0.06, 5), (-35, 0.01, 5), (60, 0.01, 4))
    assert [more.met(*given) for given in figures] == words
    assert less.met(np.nan, np.nan, 0) == ""
    # The test is that of the changes within seeds against the least change that is claimed.
    frame = runs()
    neither, both = (cell(frame, ENERGY, *which) for which in ((False, False), (True, True)))
    expected = stats.ttest_1samp(100 * (both - neither) / neither, -10).pvalue
    assert energy["p_claim"] == pytest.approx(expected)
    assert energy["p_claim_holm"] >= energy["p_claim"]


def test_missing_runs_are_left_out_and_said():
    frame = runs(3)
    both = frame["augmentation"] & frame["transfer"]
    table = ablation_contrasts(frame[~(both & (frame["seed"] == 2))]).set_index(["metric", "contrast"])
    row = table.loc[(ENERGY, "both − neither")]
    assert row["seeds"] == 2 and row["note"].startswith("1 seeds lack a cell")
    assert table.loc[(ENERGY, "transfer − neither"), "seeds"] == 3
    none = ablation_contrasts(frame[~both]).set_index(["metric", "contrast"]).loc[(ENERGY, "interaction")]
    assert (
        none["seeds"] == 0 and np.isnan(none["mean_difference"]) and "no seed has all cells" in none["note"]
    )
    one = ablation_contrasts(frame[frame["seed"] == 0]).set_index(["metric", "contrast"]).iloc[0]
    assert one["note"] == "one seed: no interval and no test" and np.isnan(one["p_t"])
    assert one["relative_change_percent"] < 0 and one["claim_met"] == ""


def test_sign_flips_are_exact():
    assert sign_flip_p([1.0, 2.0, 3.0]) == 0.25
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0  # sums of zero but for rounding
    assert np.isnan(sign_flip_p([])) and np.isnan(sign_flip_p(np.ones(21)))
    generator = np.random.default_rng(0)
    low = np.mean([sign_flip_p(generator.normal(size=7)) <= 0.05 for _ in range(1500)])
    assert 0.03 < low < 0.065


def test_wrong_runs_are_refused():
    frame = runs(2)
    with pytest.raises(InputError, match="no column seed"):
        ablation_cells(frame.drop(columns="seed"))
    with pytest.raises(InputError, match="listed twice"):
        ablation_cells(pd.concat([frame, frame.head(1)], ignore_index=True))
    with pytest.raises(InputError, match=r"row 3.* is nan"):
        ablation_cells(frame.assign(value=frame["value"].where(frame.index != 3)))
    with pytest.raises(InputError, match="no runs"):
        ablation_contrasts(frame.head(0))


def test_the_figure_is_the_same_every_time(tmp_path):
    frame = runs(3)
    for name in ("one.svg", "other.svg"):
        save_figure(draw_ablation(frame), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert len(draw_ablation(frame[frame["seed"] == 0]).axes) == 2
    lost = draw_ablation(frame[~frame["transfer"]])
    assert [text.get_text() for text in lost.axes[0].texts].count("not run") == 2
