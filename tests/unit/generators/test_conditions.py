import numpy as np
import pytest
from scipy.stats import ks_2samp

from matwheel.generators.conditions import bandwidth_factor, sample_conditions


def test_kde_has_the_mean_and_variance_of_the_kernel_estimate():
    labels = np.random.default_rng(0).normal(50.0, 5.0, size=400)  # far from the bound: no reflection
    draws = sample_conditions(labels, 200_000, method="kde", bandwidth=0.5, seed=1)
    assert draws.mean() == pytest.approx(labels.mean(), abs=0.05)
    expected = labels.var() + (0.5 * labels.std(ddof=1)) ** 2
    assert draws.var() == pytest.approx(expected, rel=0.02)


def test_log_kde_follows_a_heavy_tail_closer_than_kde(jarvis_crystals):
    labels = jarvis_crystals[1]
    distance = {
        method: ks_2samp(labels, sample_conditions(labels, 20_000, method=method, seed=0)).statistic
        for method in ("kde", "log_kde")
    }
    assert distance["log_kde"] < distance["kde"]


@pytest.mark.parametrize("method", ["kde", "log_kde"])
def test_draws_are_reflected_into_the_physical_range(method):
    labels = np.array([1.0, 1.1, 1.2, 3.0, 40.0])
    draws = sample_conditions(labels, 5000, method=method, bandwidth=2.0, seed=0, minimum=1.0, maximum=41.0)
    assert draws.min() >= 1.0 and draws.max() <= 41.0
    assert np.mean(draws == 1.0) < 0.01 and np.mean(draws == 41.0) < 0.01  # nothing piles up at the bounds
    free = sample_conditions(labels, 5000, method="kde", bandwidth=2.0, seed=0, minimum=-1e9)
    assert free.min() < 0  # so the reflection had work to do


def test_uniform_and_target():
    draws = sample_conditions([2.0, 8.0, 5.0], 4000, method="uniform", seed=0)
    assert 2 <= draws.min() < 2.1 and 7.9 < draws.max() <= 8
    assert sample_conditions([1.0], 5, method="target", targets=[3.0, 7.0], seed=0).tolist() == [
        3,
        7,
        3,
        7,
        3,
    ]


def test_seed_and_degenerate_labels():
    labels = [1.0, 2.0, 4.0]
    first, again, other = (sample_conditions(labels, 10, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all() and not (first == other).any()
    assert sample_conditions([7.0, 7.0], 3, seed=0).tolist() == [7.0, 7.0, 7.0]
    assert sample_conditions([7.0], 0, seed=0).shape == (0,)


def test_bandwidth_rules():
    assert bandwidth_factor("scott", 32) == pytest.approx(0.5)
    assert bandwidth_factor("silverman", 32) == pytest.approx(24 ** (-0.2))
    for wrong in ("other", 0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="bandwidth"):
            bandwidth_factor(wrong, 10)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([], {}, "empty"),
        ([1.0, np.nan], {}, "row 1"),
        ([-1.0, 2.0], {"minimum": 0.0}, "row 0"),
        ([1.0], {"method": "normal"}, "unknown condition method"),
        ([1.0], {"method": "target"}, "target value"),
        ([1.0], {"method": "target", "targets": [-5.0]}, "within"),
    ],
)
def test_bad_input_is_refused(labels, options, message):
    with pytest.raises(ValueError, match=message):
        sample_conditions(labels, 5, seed=0, **options)
