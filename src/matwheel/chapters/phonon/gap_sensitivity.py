"""Which bonds move the band gap: sensitivities from labels and of networks.

On a crystal where every atom sits on a centre of symmetry, as in the cubic anti-perovskite, the gap has no
slope in the displacement of any atom: there only the curvature of a stretched bond says something, and slopes
need displaced crystals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.chapters.phonon.block_bootstrap import drawn_for, drawn_mean, with_interval
from matwheel.chapters.phonon.bond_attributions import bond_table
from matwheel.chapters.phonon.bonds import (
    Bonds,
    displacements_from_rest,
    edge_batch,
    edges_within,
    images_within,
    pair_name,
)
from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table

if TYPE_CHECKING:
    import torch

    Network = Callable[..., torch.Tensor]

GAP = "band_gap_ev"
_CUTOFF_ANGSTROM = 5.5
# Bonds this much longer than the shortest one of their pair belong to its shell.
_SHELL_ANGSTROM = 0.1


@dataclass(frozen=True, eq=False)
class Shell:
    """The shortest bonds of one type in a crystal at rest, each once.

    Attributes:
        first, second: atoms of each bond, shape (bonds,).
        image: lattice vector added to the second atom, positions wrapped into the cell, shape (bonds, 3).
    """

    pair: str
    distance_angstrom: float
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    image: NDArray[np.int64]


def shells_at_rest(at_rest: Crystal) -> dict[str, Shell]:
    """Return the shortest bonds of every pair of elements with a bond within 5.5 Å, by pair."""
    source, target, vectors, bond = edges_within(at_rest, _CUTOFF_ANGSTROM)
    _, _, image = images_within(at_rest, _CUTOFF_ANGSTROM)
    length = np.linalg.norm(vectors, axis=1)
    once = np.unique(bond, return_index=True)[1]
    pairs = np.array(
        [pair_name(at_rest.species[target[e]], at_rest.species[source[e]]) for e in once], dtype=object
    )
    shells = {}
    for pair in sorted(set(pairs)):
        own = once[pairs == pair]
        own = own[length[own] <= length[own].min() + _SHELL_ANGSTROM]
        shells[pair] = Shell(pair, float(length[own].mean()), target[own], source[own], image[own])
    return shells


def mean_bond_length_changes(
    crystals: Sequence[Crystal], at_rest: Crystal, shells: Mapping[str, Shell]
) -> pd.DataFrame:
    """Return the change of the mean bond length of each shell, Å: a row per crystal, a column per pair.

    Where the bonds of a type around each atom cancel as vectors, as in the cubic anti-perovskite, the first
    order of a mean cancels too: what is left is of second order, from displacements across the bonds, and
    positive. Its spread is then thousandths of an Å, and slopes per Å look large.
    """
    wrapped = at_rest.frac_coords % 1.0
    rows = []
    for crystal in crystals:
        moved = displacements_from_rest(crystal, at_rest)
        row = {}
        for pair, shell in shells.items():
            vectors = (wrapped[shell.second] + shell.image - wrapped[shell.first]) @ at_rest.lattice
            displaced = vectors + moved[shell.second] - moved[shell.first]
            row[pair] = float((np.linalg.norm(displaced, axis=1) - np.linalg.norm(vectors, axis=1)).mean())
        rows.append(row)
    return pd.DataFrame(rows, columns=list(shells))


def sensitivity_from_labels(
    table: pd.DataFrame,
    at_rest: Crystal,
    *,
    pairs: Sequence[str] | None = None,
    seed: int,
    replicates: int = 1000,
) -> pd.DataFrame:
    """Fit gaps to the changes of mean bond lengths: what the gap does when bonds of a type are longer.

    Least squares with an intercept. The joint fit cannot tell apart pairs whose lengths change together;
    `condition_number` (of the standardised lengths) and the slopes of each pair alone say how far that goes.

    Args:
        table: configuration table with the columns `block` and `band_gap_ev`, eV; rows without a finite gap
            are left out.
        pairs: bond types of the fit, in either order of elements; all that have a bond within the cut-off
            without.
        seed: of the bootstrap, which draws blocks with replacement.

    Returns:
        One row per pair: pair, bonds, rest_distance_angstrom, sd_angstrom (of the change of the mean length),
        slope_ev_per_angstrom with _low and _high, effect_ev with _low and _high (slope × sd),
        alone_ev_per_angstrom with _low and _high, condition_number, r2 (each block predicted from the
        others), configurations, blocks.

    Raises:
        InputError: no such column, a pair without bonds, too few rows or blocks, lengths that do not change.
    """
    table = _labelled(table)
    shells = shells_at_rest(at_rest)
    lengths = mean_bond_length_changes(crystals_of_table(table), at_rest, shells)[sorted(shells)]
    if pairs is not None:
        lengths = _of_pairs(lengths, pairs)
    named = table[[name for name in ("compound", "set", "block") if name in table]].astype(str)
    blocks = pd.factorize(named.agg("|".join, axis=1), sort=True)[0]
    fit = _LengthFit.of(lengths, table[GAP].to_numpy(dtype=np.float64), blocks)
    joint, alone, _ = fit.slopes(np.arange(len(table)))
    members = [np.flatnonzero(blocks == block) for block in range(blocks.max() + 1)]
    generator = np.random.default_rng(derive_seed(seed, "blocks"))
    drawn = [
        fit.slopes(np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))]))
        for _ in range(replicates)
    ]
    joint_drawn, alone_drawn = (np.array([one[kind] for one in drawn]) for kind in (0, 1))
    common = {
        "condition_number": float(np.linalg.cond(fit.residual / fit.spread)),
        "r2": fit.r2_of_rows_left_out(members),
        "configurations": len(table),
        "blocks": len(members),
    }
    return pd.DataFrame(
        {
            "pair": pair,
            "bonds": len(shells[pair].first),
            "rest_distance_angstrom": shells[pair].distance_angstrom,
            "sd_angstrom": sd,
        }
        | with_interval("slope_ev_per_angstrom", joint[i], joint_drawn[:, i])
        | with_interval("effect_ev", joint[i] * sd, joint_drawn[:, i] * sd)
        | with_interval("alone_ev_per_angstrom", alone[i], alone_drawn[:, i])
        | common
        for i, (pair, sd) in enumerate(zip(lengths.columns, fit.spread, strict=True))
    )


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a finite gap."""
    for name in ("block", GAP, "species"):
        if name not in table:
            raise InputError(f"the configuration table has no column {name!r}")
    table = table[np.isfinite(table[GAP].to_numpy(dtype=np.float64))]
    if not len(table):
        raise InputError(f"no configuration has a finite {GAP}; label some first")
    return table


def _of_pairs(lengths: pd.DataFrame, pairs: Sequence[str]) -> pd.DataFrame:
    wanted = []
    for pair in pairs:
        ends = pair.split("-")
        if len(ends) != 2:
            raise InputError(f"pair {pair!r} is not of the form 'Ag-S'")
        wanted.append(pair_name(*ends))
        if wanted[-1] not in lengths:
            raise InputError(
                f"no bond {wanted[-1]} within the cut-off; there are {', '.join(lengths.columns)}"
            )
    return lengths[wanted]


@dataclass(frozen=True, eq=False)
class _LengthFit:
    """Least squares of a label against mean bond lengths, with an intercept.

    Attributes:
        lengths: changes of mean lengths, shape (configurations, pairs).
        truth: the label, shape (configurations,).
        residual: lengths without their mean; `spread` is its standard deviation by pair.
    """

    lengths: NDArray[np.float64]
    truth: NDArray[np.float64]
    residual: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, lengths: pd.DataFrame, truth: NDArray[np.float64], blocks: NDArray[np.int64]) -> Self:
        """Make a fit ready; refuse too few rows or blocks and lengths that do not change."""
        number, columns = lengths.shape
        if number < columns + 3 or blocks.max(initial=0) < 1:
            raise InputError(
                f"{number} labelled configurations in {blocks.max(initial=-1) + 1} blocks are too few for "
                f"{columns} slopes; label more, or name fewer pairs"
            )
        values = lengths.to_numpy()
        residual = values - values.mean(axis=0)
        spread = residual.std(axis=0)
        for pair in lengths.columns[spread < 1e-9]:
            raise InputError(
                f"bonds {pair} have the same mean length in all configurations; leave the pair out"
            )
        return cls(values, truth, residual, spread)

    def slopes(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return joint slopes, slopes alone and the joint intercept, of the rows given."""
        scaled, truth = self.lengths[rows] / self.spread, self.truth[rows]
        joint, intercept = _least_squares(scaled, truth)
        alone = [_least_squares(column[:, None], truth)[0][0] for column in scaled.T]
        return joint / self.spread, np.array(alone) / self.spread, intercept

    def r2_of_rows_left_out(self, members: Sequence[NDArray[np.int64]]) -> float:
        """Return R², the rows of each member predicted from all others."""
        left_out = np.empty(len(self.truth))
        for rows in members:
            slope, _, intercept = self.slopes(np.setdiff1d(np.arange(len(self.truth)), rows))
            left_out[rows] = self.lengths[rows] @ slope + intercept
        return float(1 - ((self.truth - left_out) ** 2).sum() / ((self.truth - self.truth.mean()) ** 2).sum())


def _least_squares(
    lengths: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return slopes and intercept."""
    design = np.hstack([lengths, np.ones((len(lengths), 1))])
    solution = np.linalg.lstsq(design, truth, rcond=None)[0].astype(np.float64)
    return solution[:-1], float(solution[-1])


def network_sensitivities(network: Network, bonds: Bonds, *, output: int = 0, **labels: Any) -> pd.DataFrame:
    """Return the slope of a prediction with the mean length of the nearest bonds of each pair.

    The sum of the derivatives by the distances of that shell: all its bonds longer by the same and nothing
    else, which no displacement of atoms does. It is what the joint slopes of `sensitivity_from_labels` are
    for the labels.

    Args:
        labels: further columns, see `bond_table`.

    Returns:
        Columns: the labels, configuration, pair, slope_ev_per_angstrom.
    """
    import torch

    gradient = np.zeros(len(bonds.source))
    for part, edges in bonds.pieces():
        batch = edge_batch(part)
        batch.distance.requires_grad_()
        predicted = network(batch, torch.ones_like(batch.distance))[:, output]
        gradient[edges] = torch.autograd.grad(predicted.sum(), batch.distance)[0].double().cpu().numpy()
    table = bond_table(bonds, gradient, **labels)
    shortest = table.groupby(["configuration", "pair"])["rest_distance_angstrom"].transform("min")
    shell = table[table["rest_distance_angstrom"] <= shortest + _SHELL_ANGSTROM]
    keys = [*labels, "configuration", "pair"]
    slopes = shell.groupby(keys, as_index=False, sort=True)[["attribution"]].sum()
    return slopes.rename(columns={"attribution": "slope_ev_per_angstrom"})


def mean_sensitivities(table: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the mean slope by model and pair over networks and the configurations that each was asked about.

    Intervals are those of `importance`.

    Args:
        table: from `network_sensitivities`, with columns model and seed, and block where blocks are drawn.

    Returns:
        Columns: model, pair, slope_ev_per_angstrom with _low and _high, seeds, configurations.
    """
    rows: list[dict[str, Any]] = []
    for (model, pair), own in table.groupby(["model", "pair"], sort=True):
        matrix = own.pivot_table(index="seed", columns="configuration", values="slope_ev_per_angstrom")
        seen = matrix.notna().to_numpy()
        first = own.drop_duplicates("configuration").sort_values("configuration")
        codes = pd.factorize(first["block" if "block" in first else "configuration"], sort=True)[0]
        values = matrix.fillna(0.0).to_numpy()
        drawn = drawn_mean(values[None], seen, *drawn_for(str(model), len(values), codes, seed))[0]
        rows.append(
            {"model": model, "pair": pair}
            | with_interval("slope_ev_per_angstrom", values.sum() / seen.sum(), drawn)
            | {"seeds": values.shape[0], "configurations": values.shape[1]}
        )
    return pd.DataFrame(rows)
