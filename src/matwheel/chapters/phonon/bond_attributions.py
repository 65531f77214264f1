"""Which bonds a distance network looks at when it predicts a band gap.

Attributions are integrated gradients (Sundararajan, Taly & Yan, ICML 2017, equations 1 to 3, arXiv
1703.01365), written with plain gradients, along one of two paths:

- of masks: every message of an edge is scaled from 0 to 1. What is explained is the whole prediction,
  against a network that sees no bond at all, an input it was never trained on.
- of distances: every distance goes from its value at rest to the displaced one. What is explained is the
  change of the prediction by the displacements, against the crystal at rest: the one to read as physics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.chapters.phonon.block_bootstrap import (
    BOOTSTRAP_REPLICATES,
    drawn_for,
    drawn_mean,
    with_interval,
)
from matwheel.chapters.phonon.bonds import Bonds, edge_batch
from matwheel.core.errors import InputError

if TYPE_CHECKING:
    import torch

    Network = Callable[..., torch.Tensor]


@dataclass(frozen=True, eq=False)
class Attributions:
    """What each edge contributes to output − baseline output.

    Attributes:
        values: of each edge, in units of the output, shape (edges,).
        output: predictions for the displaced crystals, shape (n,).
        baseline_output: predictions at the start of the path, shape (n,).
        missing: output − baseline output − sum of the attributions, shape (n,); 0 but for the quadrature.
    """

    values: NDArray[np.float64] = field(repr=False)
    output: NDArray[np.float64]
    baseline_output: NDArray[np.float64]
    missing: NDArray[np.float64]

    @property
    def largest_missing(self) -> float:
        """Largest absolute violation of completeness."""
        return float(np.abs(self.missing).max())

    def complete(self, tolerance: float) -> bool:
        """Return whether attributions add up to the difference of the outputs within `tolerance`."""
        return self.largest_missing <= tolerance


def integrated_gradients_of_masks(
    network: Network, bonds: Bonds, *, output: int = 0, steps: int = 24, configurations_per_batch: int = 16
) -> Attributions:
    """Return integrated gradients along edge weights from 0 (no messages) to 1.

    Args:
        network: called as network(batch, edge_weight) → shape (n, outputs); each configuration's output
            depends on its own edges only, so a network with batch normalisation must be in evaluation mode.
        output: which output is explained.
        steps: nodes of the Gauss-Legendre quadrature.
        configurations_per_batch: worked on at a time; bounds memory.
    """
    import torch

    def value(part: Bonds, amount: float) -> tuple[torch.Tensor, torch.Tensor]:
        batch = edge_batch(part)
        weight = torch.full_like(batch.distance, amount, requires_grad=True)
        return network(batch, weight)[:, output], weight

    step = np.ones(len(bonds.source))
    return _integrated(value, bonds, step, steps, configurations_per_batch)


def integrated_gradients_of_distances(
    network: Network, bonds: Bonds, *, output: int = 0, steps: int = 24, configurations_per_batch: int = 16
) -> Attributions:
    """Return integrated gradients along a straight line from the distances at rest to the displaced ones.

    Distances between the two ends need not be those of any arrangement of atoms; what they differ by is of
    second order in the displacements. Arguments as for `integrated_gradients_of_masks`.
    """
    import torch

    def value(part: Bonds, amount: float) -> tuple[torch.Tensor, torch.Tensor]:
        rest, displaced = part.rest_distance_angstrom, part.distance_angstrom
        batch = edge_batch(part, rest + amount * (displaced - rest))
        batch.distance.requires_grad_()
        return network(batch, torch.ones_like(batch.distance))[:, output], batch.distance

    step = bonds.distance_angstrom - bonds.rest_distance_angstrom
    return _integrated(value, bonds, step, steps, configurations_per_batch)


def _integrated(
    value: Callable[[Bonds, float], tuple[torch.Tensor, torch.Tensor]],
    bonds: Bonds,
    step: NDArray[np.float64],
    steps: int,
    configurations_per_batch: int,
) -> Attributions:
    """Return step × the mean gradient along the path.

    The gradient of the sum of the outputs is that of each output, as no configuration knows another one.
    """
    import torch

    if steps < 1 or configurations_per_batch < 1:
        raise InputError("integrated gradients need at least one step and one configuration per batch")
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    gradient = np.zeros(len(bonds.source))
    ends: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    for part, edges in bonds.pieces(configurations_per_batch):
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            predicted, variable = value(part, float(node))
            (slope,) = torch.autograd.grad(predicted.sum(), variable)
            gradient[edges] += weight * slope.double().cpu().numpy()
        for amount, known in zip((0.0, 1.0), ends, strict=True):
            known.append(value(part, amount)[0].detach().double().cpu().numpy())
    baseline, displaced = (np.concatenate(known) for known in ends)
    values = step * gradient
    total = np.bincount(bonds.configuration, weights=values, minlength=bonds.n)
    return Attributions(values, displaced, baseline, displaced - baseline - total)


def bond_table(bonds: Bonds, values: NDArray[np.float64], **labels: Any) -> pd.DataFrame:
    """Return one row per bond: both directions added.

    Args:
        values: of each edge, e.g. `Attributions.values`, shape (edges,).
        labels: further columns of one value, e.g. model='thermal', seed=0; or of one per configuration,
            shape (n,), e.g. block.

    Returns:
        Columns: the labels, configuration (0 … n − 1), pair, rest_distance_angstrom, distance_angstrom,
        attribution.
    """
    configuration = bonds.configuration[bonds.first_edges]
    columns = {
        name: given if np.ndim(given) == 0 else np.asarray(given)[configuration]
        for name, given in labels.items()
    }
    return pd.DataFrame(
        columns
        | {
            "configuration": configuration,
            "pair": bonds.pair_of_bond,
            "rest_distance_angstrom": bonds.rest_distance_angstrom[bonds.first_edges],
            "distance_angstrom": bonds.distance_angstrom[bonds.first_edges],
            "attribution": bonds.of_bonds(values),
        }
    )


def importance(
    table: pd.DataFrame,
    *,
    distance_bins_angstrom: Sequence[float] | NDArray[np.float64] | None = None,
    seed: int,
    level: float = 0.95,
    replicates: int = BOOTSTRAP_REPLICATES,
) -> pd.DataFrame:
    """Return what share of all |attribution| falls on each bond type, and on each distance.

    The share is taken within each configuration, then averaged over networks and the configurations that each
    was asked about, which need not be the same (its own test rows). Intervals
    are percentile intervals of a bootstrap that draws networks (column seed) and configurations (column block
    where given) independently with replacement. With one seed they know configurations only, and with five
    they are about a tenth too narrow.

    |attribution| also counts what cancels between bonds. `variance_share` counts only what is left: the
    covariance of the pair's sum of signed attributions with that of all bonds, over the variance of the
    latter, both over configurations; it adds up to 1 over the pairs and can be negative. For attributions of
    distances that is the part of the predicted variation of the gap that the pair accounts for.

    Args:
        table: rows of `bond_table`, of one or more models, with columns model and seed.
        distance_bins_angstrom: edges of bins of the displaced distance; without, one row per pair.

    Returns:
        Columns: model, pair, distance_low_angstrom, distance_high_angstrom (with bins), bonds (mean number in
        a configuration), share, share_low, share_high, enrichment, enrichment_low, enrichment_high (share
        over the share of bonds; 1: such a bond matters as much as the average bond), variance_share,
        variance_share_low, variance_share_high, seeds, configurations (of all seeds together).

    Raises:
        InputError: a missing column, or an empty table.
    """
    groups = _share_cubes(table, distance_bins_angstrom)
    rows: list[dict[str, Any]] = []
    for model, cube in groups.items():
        networks, configurations = _draws(cube, seed, replicates, str(model))
        shares, counts = (
            drawn_mean(of, cube.seen, networks, configurations) for of in (cube.shares, cube.counts)
        )
        once, evenly = (np.full((1, size), 1 / size) for size in cube.shares.shape[1:])
        mean_shares, mean_counts = (
            drawn_mean(of, cube.seen, once, evenly)[:, 0] for of in (cube.shares, cube.counts)
        )
        variance_share = _variance_shares(cube, once, evenly)[:, 0]
        variance_shares = _variance_shares(cube, networks, configurations)
        every = np.maximum(counts.sum(axis=0), 1e-300)
        for place, key in enumerate(cube.keys):
            mean, number = mean_shares[place], mean_counts[place]
            if number == 0:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                enrichment = shares[place] / (counts[place] / every)
            rows.append(
                {"model": model, "pair": key[0]}
                | ({} if distance_bins_angstrom is None else _bin_columns(key[1], distance_bins_angstrom))
                | {"bonds": number}
                | with_interval("share", mean, shares[place], level)
                | with_interval("enrichment", mean / (number / mean_counts.sum()), enrichment, level)
                | with_interval("variance_share", variance_share[place], variance_shares[place], level)
                | {"seeds": cube.shares.shape[1], "configurations": cube.shares.shape[2]}
            )
    return pd.DataFrame(rows)


def importance_contrast(
    table: pd.DataFrame,
    first: str,
    second: str,
    *,
    seed: int,
    level: float = 0.95,
    replicates: int = BOOTSTRAP_REPLICATES,
) -> pd.DataFrame:
    """Return share of the model `first` − share of the model `second` by pair.

    Networks of one seed must have been asked about the same configurations.

    Configurations are drawn together for both, networks apart.

    Returns:
        Columns: first, second, pair, difference, difference_low, difference_high.

    Raises:
        InputError: a model without rows, or models explained on different configurations.
    """
    groups = _share_cubes(table[table["model"].isin([first, second])], None)
    for model in (first, second):
        if model not in groups:
            raise InputError(f"no attributions of a model {model!r}")
    one, other = groups[first], groups[second]
    if one.configurations != other.configurations or not np.array_equal(one.seen, other.seen):
        raise InputError(f"models {first} and {second} were explained on different configurations")
    means = {
        model: (
            groups[model].keys,
            groups[model].shares.sum(axis=(1, 2)) / groups[model].seen.sum(),
            drawn_mean(
                groups[model].shares,
                groups[model].seen,
                *_draws(groups[model], seed, replicates, model),
            ),
        )
        for model in (first, second)
    }
    pairs = sorted({key[0] for keys, _, _ in means.values() for key in keys})

    def of(model: str, pair: str) -> tuple[float, NDArray[np.float64]]:
        keys, mean, drawn = means[model]
        names = [key[0] for key in keys]
        if pair not in names:
            return 0.0, np.zeros(replicates)
        return float(mean[names.index(pair)]), drawn[names.index(pair)]

    rows = []
    for pair in pairs:
        (share, drawn), (second_share, second_drawn) = of(first, pair), of(second, pair)
        rows.append(
            {"first": first, "second": second, "pair": pair}
            | with_interval("difference", share - second_share, drawn - second_drawn, level)
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _ShareCube:
    """Shares of |attribution|, sums of attributions and counts of bonds, shape (keys, seeds, configurations).

    `totals` are the sums of the attributions of all bonds, and `seen` says which configurations a network was
    asked about, shape (seeds, configurations).
    """

    keys: tuple[tuple[str, int], ...]
    shares: NDArray[np.float64]
    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
    totals: NDArray[np.float64]
    seen: NDArray[np.bool_]
    configurations: tuple[int, ...]
    blocks: NDArray[np.int64]


def _share_cubes(
    table: pd.DataFrame, bins: Sequence[float] | NDArray[np.float64] | None
) -> dict[str, _ShareCube]:
    for name in ("model", "seed", "configuration", "pair", "attribution"):
        if name not in table:
            raise InputError(f"the table of bonds has no column {name!r}; give it to bond_table")
    if not len(table):
        raise InputError("the table of bonds is empty")
    if bins is not None and (len(bins) < 2 or np.any(np.diff(bins) <= 0)):
        raise InputError("distance bins need at least two ascending edges")
    cubes = {}
    for model, own in table.groupby("model", sort=False):
        signed = own["attribution"].to_numpy()
        size = np.abs(signed)
        place = np.zeros(len(own), dtype=np.int64)
        if bins is not None:
            place = np.digitize(own["distance_angstrom"].to_numpy(), bins) - 1
        inside = (place >= 0) & (place < (1 if bins is None else len(bins) - 1))
        seeds, seed_of = np.unique(own["seed"].to_numpy(), return_inverse=True)
        configurations, first, configuration_of = np.unique(
            own["configuration"].to_numpy(), return_index=True, return_inverse=True
        )
        block = own["block"].to_numpy()[first] if "block" in own else configurations
        rows = np.flatnonzero(inside)
        key_of_row = list(zip(own["pair"].to_numpy()[rows], place[rows].tolist(), strict=True))
        keys = sorted(set(key_of_row))
        number = {key: at for at, key in enumerate(keys)}
        shape = (len(keys), len(seeds), len(configurations))
        sizes, sums, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        total, total_signed = np.zeros(shape[1:]), np.zeros(shape[1:])
        np.add.at(total, (seed_of, configuration_of), size)
        np.add.at(total_signed, (seed_of, configuration_of), signed)
        which = np.array([number[key] for key in key_of_row], dtype=np.int64)
        cell = (which, seed_of[rows], configuration_of[rows])
        np.add.at(sizes, cell, size[rows])
        np.add.at(sums, cell, signed[rows])
        np.add.at(counts, cell, 1.0)
        seen = np.zeros(shape[1:], dtype=bool)
        seen[seed_of, configuration_of] = True
        # A configuration without any attribution (a network that sees no bond) has no shares: zeros.
        shares = np.divide(sizes, total, out=np.zeros(shape), where=total > 0)
        cubes[str(model)] = _ShareCube(
            keys=tuple(keys),
            shares=shares,
            sums=sums,
            counts=counts,
            totals=total_signed,
            seen=seen,
            configurations=tuple(configurations.tolist()),
            blocks=np.unique(block, return_inverse=True)[1].ravel(),
        )
    return cubes


def _draws(
    cube: _ShareCube, seed: int, replicates: int, model: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights of networks and of configurations in each replicate; see `drawn_for`."""
    return drawn_for(model, cube.totals.shape[0], cube.blocks, seed, replicates)


def _variance_shares(
    cube: _ShareCube, networks: NDArray[np.float64], configurations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return cov(sum of a key, total) / var(total) over configurations, shape (keys, replicates).

    Both are taken within each network, over the configurations that it was asked about, and averaged over the
    networks before they are divided.
    """
    weight = cube.seen @ configurations.T  # seeds × replicates
    scaled = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)

    def within(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values @ configurations.T) * scaled

    mean, total = within(cube.sums), within(cube.totals)
    covariance = np.einsum("ksr,rs->kr", within(cube.sums * cube.totals) - mean * total, networks)
    variance = np.einsum("sr,rs->r", within(cube.totals**2) - total**2, networks)
    # A replicate of one configuration only, or a network that sees no bond, has no variance to share.
    scale = max(float((cube.totals**2).mean()), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-12 * scale, covariance / variance, np.nan)


def _bin_columns(place: int, bins: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    return {"distance_low_angstrom": float(bins[place]), "distance_high_angstrom": float(bins[place + 1])}
