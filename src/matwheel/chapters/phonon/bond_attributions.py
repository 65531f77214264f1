"""Which bonds a distance network looks at when it predicts a band gap.

Attributions are integrated gradients (Sundararajan, Taly & Yan, ICML 2017, equations 1 to 3, arXiv
1703.01365), written with plain gradients, along a path on which every distance goes from its value at rest to
the displaced one: what is explained is the change of the prediction by the displacements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.chapters.phonon.block_bootstrap import drawn_for, drawn_mean, with_interval
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


def integrated_gradients_of_distances(
    network: Network, bonds: Bonds, *, output: int = 0, steps: int = 24
) -> Attributions:
    """Return integrated gradients along a straight line from the distances at rest to the displaced ones.

    Distances between the two ends need not be those of any arrangement of atoms; what they differ by is of
    second order in the displacements.

    Args:
        network: called as network(batch, edge_weight) → shape (n, outputs); each configuration's output
            depends on its own edges only, so a network with batch normalisation must be in evaluation mode.
    """
    import torch

    def value(part: Bonds, amount: float) -> tuple[torch.Tensor, torch.Tensor]:
        rest, displaced = part.rest_distance_angstrom, part.distance_angstrom
        batch = edge_batch(part, rest + amount * (displaced - rest))
        batch.distance.requires_grad_()
        return network(batch, torch.ones_like(batch.distance))[:, output], batch.distance

    nodes, weights = np.polynomial.legendre.leggauss(steps)
    gradient = np.zeros(len(bonds.source))
    ends: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    for part, edges in bonds.pieces():
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            predicted, variable = value(part, float(node))
            # The gradient of the sum of the outputs is that of each, as no configuration knows another one.
            (slope,) = torch.autograd.grad(predicted.sum(), variable)
            gradient[edges] += weight * slope.double().cpu().numpy()
        for amount, known in zip((0.0, 1.0), ends, strict=True):
            known.append(value(part, amount)[0].detach().double().cpu().numpy())
    baseline, displaced = (np.concatenate(known) for known in ends)
    values = (bonds.distance_angstrom - bonds.rest_distance_angstrom) * gradient
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
    rows: list[dict[str, Any]] = []
    for model, cube in _share_cubes(table, distance_bins_angstrom).items():
        drawn = cube.draws(seed)
        evenly = tuple(np.full((1, size), 1 / size) for size in cube.shares.shape[1:])
        shares, counts = (drawn_mean(of, cube.seen, *drawn) for of in (cube.shares, cube.counts))
        mean_shares, mean_counts = (
            drawn_mean(of, cube.seen, *evenly)[:, 0] for of in (cube.shares, cube.counts)
        )
        variance_share = _variance_shares(cube, *evenly)[:, 0]
        variance_shares = _variance_shares(cube, *drawn)
        every = np.maximum(counts.sum(axis=0), 1e-300)
        for place, (pair, bin_place) in enumerate(cube.keys):
            mean, number = mean_shares[place], mean_counts[place]
            if number == 0:
                continue
            row: dict[str, Any] = {"model": model, "pair": pair}
            if distance_bins_angstrom is not None:
                row["distance_low_angstrom"] = float(distance_bins_angstrom[bin_place])
                row["distance_high_angstrom"] = float(distance_bins_angstrom[bin_place + 1])
            with np.errstate(divide="ignore", invalid="ignore"):
                enrichment = shares[place] / (counts[place] / every)
            rows.append(
                row
                | {"bonds": number}
                | with_interval("share", mean, shares[place])
                | with_interval("enrichment", mean / (number / mean_counts.sum()), enrichment)
                | with_interval("variance_share", variance_share[place], variance_shares[place])
                | {"seeds": cube.shares.shape[1], "configurations": cube.shares.shape[2]}
            )
    return pd.DataFrame(rows)


def importance_contrast(table: pd.DataFrame, first: str, second: str, *, seed: int) -> pd.DataFrame:
    """Return share of the model `first` − share of the model `second` by pair.

    Configurations are drawn together for both, networks apart.

    Returns:
        Columns: first, second, pair, difference, difference_low, difference_high.

    Raises:
        InputError: a model without rows, or models explained on different configurations: networks of one
            seed must have been asked about the same ones.
    """
    groups = _share_cubes(table[table["model"].isin([first, second])], None)
    for model in (first, second):
        if model not in groups:
            raise InputError(f"no attributions of a model {model!r}")
    one, other = groups[first], groups[second]
    if one.configurations != other.configurations or not np.array_equal(one.seen, other.seen):
        raise InputError(f"models {first} and {second} were explained on different configurations")
    means = {}
    for model, cube in groups.items():
        mean = cube.shares.sum(axis=(1, 2)) / cube.seen.sum()
        drawn = drawn_mean(cube.shares, cube.seen, *cube.draws(seed))
        means[model] = {pair: (mean[place], drawn[place]) for place, (pair, _) in enumerate(cube.keys)}
    rows = []
    nothing = (0.0, np.zeros(1))
    for pair in sorted(means[first] | means[second]):
        share, drawn_share = means[first].get(pair, nothing)
        other_share, drawn_other = means[second].get(pair, nothing)
        rows.append(
            {"first": first, "second": second, "pair": pair}
            | with_interval("difference", share - other_share, drawn_share - drawn_other)
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _ShareCube:
    """Shares of |attribution|, sums of attributions and counts of bonds, shape (keys, seeds, configurations).

    A key is a pair with the place of a bin. `totals` are sums of the attributions of all bonds, `seen` says
    which configurations a network was asked about, shape (seeds, configurations).
    """

    model: str
    keys: tuple[tuple[str, int], ...]
    shares: NDArray[np.float64]
    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
    totals: NDArray[np.float64]
    seen: NDArray[np.bool_]
    configurations: tuple[int, ...]
    blocks: NDArray[np.int64]

    def draws(self, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights of networks and of configurations in each replicate; see `drawn_for`."""
        return drawn_for(self.model, self.totals.shape[0], self.blocks, seed)


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
    return {
        str(model): _share_cube(str(model), own, bins) for model, own in table.groupby("model", sort=False)
    }


def _share_cube(
    model: str, own: pd.DataFrame, bins: Sequence[float] | NDArray[np.float64] | None
) -> _ShareCube:
    signed = own["attribution"].to_numpy()
    place = np.zeros(len(own), dtype=np.int64)
    if bins is not None:
        place = np.digitize(own["distance_angstrom"].to_numpy(), bins) - 1
    inside = (place >= 0) & (place < (1 if bins is None else len(bins) - 1))
    seeds, seed_of = np.unique(own["seed"].to_numpy(), return_inverse=True)
    configurations, first, configuration_of = np.unique(
        own["configuration"].to_numpy(), return_index=True, return_inverse=True
    )
    block = own["block"].to_numpy()[first] if "block" in own else configurations
    keys = pd.MultiIndex.from_arrays([own["pair"].to_numpy()[inside], place[inside]])
    which, distinct = pd.factorize(keys, sort=True)
    shape = (len(distinct), len(seeds), len(configurations))
    total, total_signed = np.zeros(shape[1:]), np.zeros(shape[1:])
    np.add.at(total, (seed_of, configuration_of), np.abs(signed))
    np.add.at(total_signed, (seed_of, configuration_of), signed)
    cell = (which, seed_of[inside], configuration_of[inside])
    sizes, sums, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for cube, values in ((sizes, np.abs(signed[inside])), (sums, signed[inside]), (counts, 1.0)):
        np.add.at(cube, cell, values)
    seen = np.zeros(shape[1:], dtype=bool)
    seen[seed_of, configuration_of] = True
    return _ShareCube(
        model=model,
        keys=tuple(distinct),
        # A configuration without any attribution (a network that sees no bond) has no shares: zeros.
        shares=np.divide(sizes, total, out=np.zeros(shape), where=total > 0),
        sums=sums,
        counts=counts,
        totals=total_signed,
        seen=seen,
        configurations=tuple(configurations.tolist()),
        blocks=pd.factorize(block, sort=True)[0],
    )


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
