"""Do attributions hold: does masking the most important bonds hurt more than masking others?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.chapters.phonon.block_bootstrap import drawn_weights, with_interval
from matwheel.chapters.phonon.bonds import Bonds, edge_batch
from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    Network = Callable[..., torch.Tensor]

IMPORTANT, RANDOM, SAME_DISTANCE = "important", "random", "random_same_distance"
CHOICES = (IMPORTANT, RANDOM, SAME_DISTANCE)
_DISTANCE_BIN_ANGSTROM = 0.25


def masked_predictions(
    network: Network, bonds: Bonds, *, output: int = 0
) -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
    """Return a function: edges to silence, shape (edges,) → predictions without them, shape (n,)."""
    return lambda chosen: _predictions(network, bonds, output, ~chosen, np.zeros_like(chosen))


def restored_predictions(
    network: Network, bonds: Bonds, *, output: int = 0
) -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
    """Return a function: edges to put back to their distance at rest → predictions, shape (n,).

    The counterpart of `masked_predictions` for attributions of distances: no bond is taken away.
    """
    return lambda chosen: _predictions(network, bonds, output, np.ones_like(chosen), chosen)


def _predictions(
    network: Network, bonds: Bonds, output: int, heard: NDArray[np.bool_], at_rest: NDArray[np.bool_]
) -> NDArray[np.float64]:
    import torch

    predicted = []
    with torch.no_grad():
        for part, edges in bonds.pieces():
            distance = np.where(at_rest[edges], part.rest_distance_angstrom, part.distance_angstrom)
            batch = edge_batch(part, distance)
            weight = torch.as_tensor(heard[edges], dtype=batch.distance.dtype)
            predicted.append(network(batch, weight)[:, output].double().cpu().numpy())
    return np.concatenate(predicted)


def faithfulness(
    predict: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    bonds: Bonds,
    attribution: NDArray[np.float64],
    counts: Sequence[int],
    *,
    seed: int,
    draws: int = 4,
    labels: ArrayLike | None = None,
) -> pd.DataFrame:
    """Alter the k most important bonds of each configuration, and as many random ones.

    Both edges of a bond are altered together. Bonds are ranked by |attribution|, ties at random. The harder
    random choice takes for every important bond a random one of the same configuration and bin of displaced
    distance, none twice; where importance is a matter of distance alone it does as much as the important
    ones.

    Args:
        predict: from `masked_predictions` or `restored_predictions`; any function of the altered edges.
        attribution: of each edge, shape (edges,).
        counts: numbers k of bonds, ascending; a configuration with fewer bonds has all of them altered.
        seed: of the random choices, which do not depend on the network.
        draws: random choices averaged for each k.
        labels: true values, shape (n,), NaN where unknown.

    Returns:
        Columns: configuration, count, choice (one of `CHOICES`), change (mean |prediction − prediction
        unaltered|), error_increase (mean of |altered − label| − |unaltered − label|; NaN without a label).

    Raises:
        InputError: counts that are not positive and ascending, no draws, or labels of another length.
    """
    counts = [int(count) for count in counts]
    if not counts or counts[0] < 1 or np.any(np.diff(counts) <= 0) or draws < 1:
        raise InputError("faithfulness needs positive ascending counts and one draw or more")
    truth = np.full(bonds.n, np.nan) if labels is None else np.asarray(labels, dtype=np.float64)
    if truth.shape != (bonds.n,):
        raise InputError(f"{len(truth)} labels for {bonds.n} configurations")
    unaltered = predict(np.zeros(len(bonds.source), dtype=bool))
    size = np.abs(bonds.of_bonds(attribution))
    configuration = bonds.configuration[bonds.first_edges]
    bins = np.floor(bonds.distance_angstrom[bonds.first_edges] / _DISTANCE_BIN_ANGSTROM).astype(np.int64)
    ties = np.random.default_rng(derive_seed(seed, "ties")).permutation(len(size))
    # Rank of each bond within its configuration, 0 for the most important.
    ranks = _ranks(np.lexsort((ties, -size, configuration)), configuration)
    orders = {IMPORTANT: [ranks]}
    for choice, within in ((RANDOM, np.zeros_like(bins)), (SAME_DISTANCE, bins)):
        generator = np.random.default_rng(derive_seed(seed, choice))
        orders[choice] = [_shuffled_ranks(ranks, configuration, within, generator) for _ in range(draws)]
    rows: list[pd.DataFrame] = []
    for choice, count in itertools.product(CHOICES, counts):
        altered = np.array([predict((order < count)[bonds.bond]) for order in orders[choice]])
        columns = {
            "configuration": np.arange(bonds.n),
            "count": count,
            "choice": choice,
            "change": np.abs(altered - unaltered).mean(axis=0),
            "error_increase": (np.abs(altered - truth) - np.abs(unaltered - truth)).mean(axis=0),
        }
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)


def faithfulness_curves(
    table: pd.DataFrame, *, measure: str = "change", blocks: ArrayLike | None = None, seed: int
) -> pd.DataFrame:
    """Return the mean of a measure over configurations, by choice and count, with bootstrap intervals.

    Args:
        table: from `faithfulness`; rows of several networks are averaged within a configuration.
        measure: 'change' or 'error_increase'.
        blocks: block of each configuration in ascending order; blocks are drawn whole.

    Returns:
        Columns: choice, count, mean, mean_low, mean_high, configurations.
    """
    wide, weights = _measured(table, measure, blocks, seed)
    rows = []
    choices, counts = (wide.columns.get_level_values(name) for name in ("choice", "count"))
    for place, (choice, count) in enumerate(zip(choices, counts, strict=True)):
        values = wide.iloc[:, place].to_numpy()
        rows.append(
            {"choice": choice, "count": int(count)}
            | with_interval("mean", values.mean(), weights @ values)
            | {"configurations": len(values)}
        )
    return pd.DataFrame(rows)


def faithfulness_areas(
    table: pd.DataFrame, *, measure: str = "change", blocks: ArrayLike | None = None, seed: int
) -> pd.DataFrame:
    """Return the area between the curve of important bonds and each random one, paired within configurations.

    The area is the mean height over the counts by the trapezium rule (the difference itself for one count),
    so it has the unit of the prediction. An interval above 0: the attribution finds bonds that matter.

    Returns:
        Columns: against, area, area_low, area_high, better (share of configurations with a positive area),
        configurations. Arguments as for `faithfulness_curves`.
    """
    wide, weights = _measured(table, measure, blocks, seed)
    rows = []
    for choice in (RANDOM, SAME_DISTANCE):
        gain = (wide[IMPORTANT] - wide[choice]).sort_index(axis=1)
        counts = gain.columns.to_numpy(dtype=np.float64)
        values = gain.to_numpy()
        area = (
            values[:, 0]
            if len(counts) == 1
            else np.trapezoid(values, counts, axis=1) / (counts[-1] - counts[0])
        )
        rows.append(
            {"against": choice}
            | with_interval("area", area.mean(), weights @ area)
            | {"better": float((area > 0).mean()), "configurations": len(area)}
        )
    return pd.DataFrame(rows)


def _measured(
    table: pd.DataFrame, measure: str, blocks: ArrayLike | None, seed: int
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return configurations × (choice, count) without unlabelled configurations, and their drawn weights."""
    if measure not in ("change", "error_increase"):
        raise InputError(f"unknown measure {measure!r}; choose change or error_increase")
    wide = table.pivot_table(
        index="configuration", columns=["choice", "count"], values=measure, aggfunc="mean", dropna=False
    )
    known = wide.notna().all(axis=1).to_numpy()
    if not known.any():
        raise InputError(f"no configuration has a finite {measure}; labels are needed for error_increase")
    codes = np.arange(len(wide)) if blocks is None else np.asarray(blocks)
    if len(codes) != len(wide):
        raise InputError(f"{len(codes)} blocks for {len(wide)} configurations")
    codes = np.unique(codes[known], return_inverse=True)[1].ravel()
    return wide[known], drawn_weights(codes, np.random.default_rng(derive_seed(seed, "faithfulness")))


def _ranks(order: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of each row within its group, given an order that sorts by group first."""
    sorted_group = group[order]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(sorted_group, sorted_group)
    return ranks


def _shuffled_ranks(
    ranks: NDArray[np.int64],
    configuration: NDArray[np.int64],
    bins: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return ranks exchanged at random among the bonds of one configuration and bin."""
    sorted_order = np.lexsort((bins, configuration))
    shuffled = np.lexsort((generator.random(len(ranks)), bins, configuration))
    exchanged = np.empty_like(ranks)
    exchanged[shuffled] = ranks[sorted_order]
    return exchanged
