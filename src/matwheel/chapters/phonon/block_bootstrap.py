"""Bootstrap over networks and over blocks of configurations: weights of the replicates, means, intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matwheel.core.seeds import derive_seed

_REPLICATES = 2000
_TAIL_PERCENT = 100 * (1 - 0.95) / 2


def drawn_weights(blocks: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return weights of rows whose blocks are drawn with replacement, shape (replicates, rows), sum 1."""
    number = int(blocks.max()) + 1
    drawn = generator.multinomial(number, np.full(number, 1 / number), size=_REPLICATES)
    weights = drawn[:, blocks].astype(np.float64)
    return weights / weights.sum(axis=1, keepdims=True)


def drawn_for(
    model: str, networks: int, blocks: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (replicates, networks) and (replicates, configurations).

    Configurations are drawn by a stream that does not know the model, networks by one that does.
    """
    of_networks = np.random.default_rng(derive_seed(seed, "networks", model))
    of_configurations = np.random.default_rng(derive_seed(seed, "configurations"))
    return (drawn_weights(np.arange(networks), of_networks), drawn_weights(blocks, of_configurations))


def drawn_mean(
    values: NDArray[np.float64],
    seen: NDArray[np.bool_],
    networks: NDArray[np.float64],
    configurations: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return weighted means of what each network saw, shape (keys, replicates).

    Args:
        values: shape (keys, seeds, configurations), 0 where not seen.
        seen: which configurations each network was asked about, shape (seeds, configurations).
        networks: weights, shape (replicates, seeds).
        configurations: weights, shape (replicates, configurations).

    Returns:
        NaN in a replicate that drew no network together with a configuration of its own.
    """
    total = np.einsum("rs,ksc,rc->kr", networks, values, configurations, optimize=True)
    weight = np.einsum("rs,sc,rc->r", networks, seen.astype(float), configurations, optimize=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


def with_interval(name: str, value: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    """Return a figure with the 95 % interval of its replicates as `name`, `name_low`, `name_high`."""
    known = drawn[np.isfinite(drawn)]
    low, high = np.percentile(known, [_TAIL_PERCENT, 100 - _TAIL_PERCENT]) if len(known) else (np.nan, np.nan)
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
