"""The logarithmic scale of labels: heavy tails pulled in, zero and negative labels allowed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def signed_log(values: ArrayLike) -> NDArray[np.float64]:
    """Return sign(y) · log(1 + |y|); for labels that are not negative this is log(1 + y)."""
    values = np.asarray(values, dtype=np.float64)
    return np.sign(values) * np.log1p(np.abs(values))


def signed_exp(values: ArrayLike) -> NDArray[np.float64]:
    """Invert `signed_log`."""
    values = np.asarray(values, dtype=np.float64)
    return np.sign(values) * np.expm1(np.abs(values))
