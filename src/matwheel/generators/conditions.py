"""Conditions for a generator: property values drawn from the distribution of the training labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matwheel.core.errors import InputError
from matwheel.training.label_scale import signed_exp, signed_log

METHODS = ("kde", "log_kde", "uniform", "target")


def sample_conditions(
    labels: ArrayLike,
    n: int,
    *,
    method: Literal["kde", "log_kde", "uniform", "target"] = "kde",
    bandwidth: Literal["scott", "silverman"] | float = "scott",
    seed: int,
    targets: Sequence[float] | None = None,
    minimum: float | None = None,
    maximum: float = float("inf"),
) -> NDArray[np.float64]:
    """Draw n condition values.

    Args:
        labels: training labels, shape (rows,), in the unit of the property.
        n: number of conditions.
        method: `kde`, Gaussian kernel density estimate of the labels (the MatWheel paper); `log_kde`, the
            same on the scale of `matwheel.training.label_scale`, which follows a heavy tail without smearing
            the bulk; `uniform`, between the smallest and the largest label; `target`, the given targets,
            repeated in order until n.
        bandwidth: kernel width in standard deviations of the (transformed) labels (ddof 1). `scott` is
            rows^(-1/5), `silverman` is (3 rows / 4)^(-1/5) (Silverman 1986, section 3.4.2; both as scipy has
            them in one dimension), a number is itself the factor. Labels that are all equal have no width:
            they are returned as they are.
        seed: seed of the draws.
        targets: values for `target`, in the unit of the property.
        minimum, maximum: physical range of the property; by default from 0 where no label is negative. A
            draw outside is reflected at the bound it crossed (Silverman 1986, section 2.10), because clipping
            would pile conditions up at the bound and redrawing would thin the density beside it, where many
            labels are.

    Returns:
        Conditions, shape (n,), each within [minimum, maximum].

    Raises:
        InputError: no labels, labels not finite or out of range, unknown method or bandwidth, bad targets.
    """
    values = np.asarray(labels, dtype=np.float64).ravel()
    if n < 0:
        raise InputError(f"{n} conditions asked for; give a number of at least 0")
    if method not in METHODS:
        raise InputError(f"unknown condition method {method!r}; choose one of {', '.join(METHODS)}")
    if minimum is None:
        minimum = 0.0 if (values >= 0).all() else float("-inf")
    if method == "target":
        return _repeated_targets(targets, n, minimum, maximum)
    if values.size == 0:
        raise InputError(
            "no training labels to draw conditions from; the training part of the split is empty"
        )
    outside = ~(np.isfinite(values) & (values >= minimum) & (values <= maximum))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"label {values[row]} (row {row} of the training labels) is not a finite number within "
            f"[{minimum:g}, {maximum:g}]; correct the row or the physical range of the dataset"
        )
    generator = np.random.default_rng(seed)
    if method == "uniform":
        return generator.uniform(values.min(), values.max(), size=n)
    if method == "log_kde":
        draws = _kernel_draws(signed_log(values), n, bandwidth, generator)
        draws = signed_exp(_reflect(draws, float(signed_log(minimum)), float(signed_log(maximum))))
        return np.clip(draws, minimum, maximum)  # the two scales may miss the bound by one rounding
    return _reflect(_kernel_draws(values, n, bandwidth, generator), minimum, maximum)


def bandwidth_factor(bandwidth: str | float, rows: int) -> float:
    """Return the kernel width in standard deviations of the labels."""
    if bandwidth == "scott":
        return rows ** (-1 / 5)
    if bandwidth == "silverman":
        return (rows * 3 / 4) ** (-1 / 5)
    if isinstance(bandwidth, str) or not (np.isfinite(bandwidth) and bandwidth > 0):
        raise InputError(f"bandwidth {bandwidth!r}: give 'scott', 'silverman' or a factor above 0")
    return float(bandwidth)


def _kernel_draws(
    values: NDArray[np.float64], n: int, bandwidth: str | float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw from the Gaussian kernel density estimate of `values`: a row at random, plus a kernel step."""
    factor = bandwidth_factor(bandwidth, len(values))
    if np.ptp(values) == 0:
        return np.full(n, values[0])
    from scipy.stats import gaussian_kde

    return gaussian_kde(values, bw_method=factor).resample(n, seed=generator)[0]


def _reflect(draws: NDArray[np.float64], minimum: float, maximum: float) -> NDArray[np.float64]:
    """Fold values into [minimum, maximum] by mirror images at the bounds."""
    if np.isinf(minimum) and np.isinf(maximum):
        return draws
    if np.isinf(maximum):
        return minimum + np.abs(draws - minimum)
    if np.isinf(minimum):
        return maximum - np.abs(maximum - draws)
    width = maximum - minimum
    return minimum + width - np.abs(np.mod(draws - minimum, 2 * width) - width)


def _repeated_targets(
    targets: Sequence[float] | None, n: int, minimum: float, maximum: float
) -> NDArray[np.float64]:
    values = np.asarray([] if targets is None else targets, dtype=np.float64).ravel()
    if values.size == 0:
        raise InputError("method 'target' needs at least one target value")
    if not (np.isfinite(values) & (values >= minimum) & (values <= maximum)).all():
        raise InputError(f"targets {values.tolist()} must be finite and within [{minimum:g}, {maximum:g}]")
    return np.resize(values, n)
