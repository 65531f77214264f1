import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from matwheel.statistics.paired_statistics import (
    corrected_t_test,
    hierarchical_bootstrap_interval,
    holm,
    minimum_detectable_difference,
    wilcoxon_p,
    with_decisions,
)


def test_better_is_decided_by_the_corrected_test_after_holm_over_the_table_and_by_nothing_else():
    # The intervals of all rows lie away from zero, and all but the last p are below 0.05 on their own.
    table = pd.DataFrame(
        {
            "mean_difference": [-1.0, 1.0, -1.0, -1.0, 1.0],
            "interval_low": [-2.0, 0.5, -2.0, -2.0, 0.5], "interval_high": [-0.5, 2.0, -0.5, -0.5, 2.0],
            "p_corrected_t": [0.001, 0.01, 0.03, 0.001, 0.2], "splits": [5, 5, 5, 4, 5],
        }
    )  # fmt: skip
    decided = with_decisions(table)
    assert decided["better"].tolist() == [
        "first",
        "second",
        "undecided",
        "too few splits to tell",
        "undecided",
    ]
    assert decided["p_corrected_t_holm"].tolist() == pytest.approx([0.005, 0.03, 0.06, 0.005, 0.2])
    # Alone, the third row would be decided: the family is what is shown.
    assert with_decisions(table.iloc[[2]])["better"].tolist() == ["first"]
    parted = with_decisions(table.assign(family=list("aabbb")), family="family")
    assert parted["p_corrected_t_holm"].tolist() == pytest.approx([0.002, 0.01, 0.06, 0.003, 0.2])


def test_holm_against_a_worked_example():
    # Sorted .005 .010 .03 .04 times 4 3 2 1: .02 .03 .06 .04, made monotone: .02 .03 .06 .06.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with_gap = holm([0.01, np.nan, 0.9])  # the missing test does not enlarge the family
    assert with_gap[0] == pytest.approx(0.02) and np.isnan(with_gap[1]) and with_gap[2] == pytest.approx(0.9)
    assert holm([0.7, 0.8]).tolist() == [1.0, 1.0]


def test_without_overlap_the_corrected_test_is_the_t_test():
    values = [1.2, -0.3, 0.8, 2.0, 0.4]
    expected = ttest_1samp(values, 0.0)
    assert corrected_t_test(values, 0.0) == pytest.approx((expected.statistic, expected.pvalue))
    t, p = corrected_t_test(values, 15 / 70)
    assert t == pytest.approx(expected.statistic * np.sqrt((1 / 5) / (1 / 5 + 15 / 70)))
    assert p > expected.pvalue


def test_corrected_test_without_spread():
    assert corrected_t_test([0.0, 0.0, 0.0], 0.2) == (0.0, 1.0)
    assert corrected_t_test([-1.0, -1.0], 0.2) == (-np.inf, 0.0)
    with pytest.raises(ValueError, match="two splits"):
        corrected_t_test([1.0], 0.2)


def test_corrected_test_keeps_its_level_when_splits_share_data():
    """No true difference; split means correlate by n_test / (n_test + n_train) (Nadeau & Bengio)."""
    generator = np.random.default_rng(0)
    correlation, splits, experiments = 15 / 85, 5, 4000
    shared = generator.normal(size=(experiments, 1)) * np.sqrt(correlation)
    values = shared + generator.normal(size=(experiments, splits)) * np.sqrt(1 - correlation)
    corrected = np.mean([corrected_t_test(row, 15 / 70)[1] < 0.05 for row in values])
    naive = np.mean([corrected_t_test(row, 0.0)[1] < 0.05 for row in values])
    assert 0.03 < corrected < 0.065
    assert naive > 0.08


def test_bootstrap_interval_covers_the_truth():
    """Independent splits with noisy rows, true difference 1: coverage near .95 in spite of few splits."""
    generator = np.random.default_rng(1)
    covered, experiments = 0, 300
    for experiment in range(experiments):
        centres = 1.0 + 0.3 * generator.normal(size=5)
        rows = [centre + 3.0 * generator.normal(size=60) for centre in centres]
        low, high = hierarchical_bootstrap_interval(rows, seed=experiment, replicates=300)
        covered += low <= 1.0 <= high
    assert 0.88 < covered / experiments < 0.99


def test_bootstrap_interval_sees_both_levels():
    generator = np.random.default_rng(2)
    between = [np.full(50, centre) for centre in (-2.0, -1.0, 0.0, 1.0, 2.0)]  # all the spread between splits
    low, high = hierarchical_bootstrap_interval(between, seed=0)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(2.0 / 5), rel=0.1)
    rows = generator.normal(size=200)
    within = [rows - rows.mean()] * 5  # all the spread within splits
    low, high = hierarchical_bootstrap_interval(within, seed=0)
    assert high - low == pytest.approx(2 * 1.96 * rows.std() / np.sqrt(1000), rel=0.1)
    assert hierarchical_bootstrap_interval(within, seed=0) == (low, high)
    with pytest.raises(ValueError, match="two splits"):
        hierarchical_bootstrap_interval([rows], seed=0)


def test_minimum_detectable_difference_has_the_power_it_promises():
    needed = minimum_detectable_difference(1.0, 5)
    generator = np.random.default_rng(3)
    values = generator.normal(needed, np.sqrt(5.0), size=(20_000, 5))
    found = ttest_1samp(values, 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.015)
    assert minimum_detectable_difference(2.0, 5) == pytest.approx(2 * needed)
    assert minimum_detectable_difference(1.0, 2) > minimum_detectable_difference(1.0, 30) > 2.8


def test_wilcoxon():
    assert wilcoxon_p([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(0.0625)
    assert wilcoxon_p([0.0, 0.0]) == 1.0
