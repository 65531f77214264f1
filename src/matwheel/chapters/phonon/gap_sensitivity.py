"""Which bonds move the band gap: sensitivities from labels or from finite displacements.

On a crystal where every atom sits on a centre of symmetry, as in the cubic anti-perovskite, the gap has no
slope in the displacement of any atom: there only the curvature of a stretched bond says something, and slopes
need displaced crystals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.chapters.phonon.block_bootstrap import (
    BOOTSTRAP_REPLICATES,
    drawn_for,
    drawn_mean,
    with_interval,
)
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
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset

if TYPE_CHECKING:
    import torch

    Network = Callable[..., torch.Tensor]

_SYMPREC_ANGSTROM = 0.01
_ALL_ORDERS_UP_TO = 8


@dataclass(frozen=True, eq=False)
class Shell:
    """The shortest bonds of one type in a crystal at rest, each once.

    Attributes:
        pair: bond type.
        distance_angstrom: mean length at rest.
        first, second: atoms of each bond, shape (bonds,).
        image: lattice vector added to the second atom, positions wrapped into the cell, shape (bonds, 3).
    """

    pair: str
    distance_angstrom: float
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    image: NDArray[np.int64]


def shells_at_rest(
    at_rest: Crystal, *, cutoff_angstrom: float = 5.5, tolerance_angstrom: float = 0.1
) -> dict[str, Shell]:
    """Return the shortest bonds of every pair of elements, by pair.

    Args:
        cutoff_angstrom: pairs without a bond within it are left out.
        tolerance_angstrom: bonds this much longer than the shortest one belong to its shell.
    """
    source, target, vectors, bond = edges_within(at_rest, cutoff_angstrom)
    _, _, image = images_within(at_rest, cutoff_angstrom)
    length = np.linalg.norm(vectors, axis=1)
    once = np.unique(bond, return_index=True)[1]
    pairs = np.array(
        [pair_name(at_rest.species[target[e]], at_rest.species[source[e]]) for e in once], dtype=object
    )
    shells = {}
    for pair in sorted(set(pairs)):
        own = once[pairs == pair]
        own = own[length[own] <= length[own].min() + tolerance_angstrom]
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
    at_rest: Crystal | Mapping[str, Crystal],
    *,
    label: str = "band_gap_ev",
    pairs: Sequence[str] | None = None,
    ridge: float = 0.0,
    cutoff_angstrom: float = 5.5,
    seed: int,
    level: float = 0.95,
    replicates: int = 1000,
) -> pd.DataFrame:
    """Fit a label to the changes of mean bond lengths: what the gap does when bonds of a type are longer.

    Least squares with an intercept per compound. The joint fit cannot tell apart pairs whose lengths change
    together; `condition_number` (of the standardised lengths) and the slopes of each pair alone say how far
    that goes. A ridge makes joint slopes smaller and their intervals optimistic.

    Args:
        table: configuration table with the column `block`; rows without a finite label are left out.
        at_rest: supercell at rest, or compound → supercell (column `compound`).
        pairs: bond types of the fit, in either order of elements; all that have a bond within the cut-off
            without.
        ridge: penalty on squared slopes of standardised lengths, in units of the number of rows.
        seed: of the bootstrap, which draws blocks with replacement.

    Returns:
        One row per pair: pair, bonds, rest_distance_angstrom, sd_angstrom (of the change of the mean length),
        slope_ev_per_angstrom with _low and _high, effect_ev with _low and _high (slope × sd),
        alone_ev_per_angstrom with _low and _high, condition_number, r2 (each block predicted from the
        others; within compounds), configurations, blocks.

    Raises:
        InputError: no such column, a pair without bonds, too few rows or blocks, lengths that do not change.
    """
    table = _labelled(table, label)
    features, shells, compounds = _length_features(table, at_rest, cutoff_angstrom)
    if pairs is not None:
        features = _of_pairs(features, pairs)
    blocks = np.unique(_block_names(table), return_inverse=True)[1].ravel()
    fit = _length_fit(features, compounds, table[label].to_numpy(dtype=np.float64), blocks, ridge)
    joint, alone, _ = fit.slopes(np.arange(len(table)))
    members = [np.flatnonzero(blocks == block) for block in range(blocks.max() + 1)]
    joint_drawn, alone_drawn = _drawn_slopes(fit, members, derive_seed(seed, "blocks"), replicates)
    common = {
        "condition_number": float(np.linalg.cond(fit.residual / fit.spread)),
        "r2": _r2_of_blocks_left_out(fit, members),
        "configurations": len(table),
        "blocks": len(members),
    }
    return pd.DataFrame(
        [
            {
                "pair": pair,
                "bonds": len(shells[pair].first),
                "rest_distance_angstrom": shells[pair].distance_angstrom,
                "sd_angstrom": sd,
            }
            | with_interval("slope_ev_per_angstrom", joint[i], joint_drawn[:, i], level)
            | with_interval("effect_ev", joint[i] * sd, joint_drawn[:, i] * sd, level)
            | with_interval("alone_ev_per_angstrom", alone[i], alone_drawn[:, i], level)
            | common
            for i, (pair, sd) in enumerate(zip(features.columns, fit.spread, strict=True))
        ]
    )


def _labelled(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows with a finite label."""
    for name in ("block", label, "species"):
        if name not in table:
            raise InputError(f"the configuration table has no column {name!r}")
    table = table[np.isfinite(table[label].to_numpy(dtype=np.float64))]
    if not len(table):
        raise InputError(f"no configuration has a finite {label}; label some first")
    return table


def _of_pairs(features: pd.DataFrame, pairs: Sequence[str]) -> pd.DataFrame:
    wanted = [_parsed_pair(pair) for pair in pairs]
    for pair in wanted:
        if pair not in features:
            raise InputError(_absent(pair, list(features.columns)))
    return features[wanted]


@dataclass(frozen=True, eq=False)
class _LengthFit:
    """Least squares of a label against mean bond lengths, with an intercept per compound.

    Attributes:
        lengths: changes of mean lengths, shape (configurations, pairs).
        groups: 1 in the column of the compound, shape (configurations, compounds).
        truth: the label, shape (configurations,).
        residual: lengths without their mean over the compound; `spread` is its standard deviation by pair.
        ridge: penalty on squared slopes of lengths over their spread.
    """

    lengths: NDArray[np.float64]
    groups: NDArray[np.float64]
    truth: NDArray[np.float64]
    residual: NDArray[np.float64]
    spread: NDArray[np.float64]
    ridge: float

    def slopes(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return joint slopes, slopes alone and intercepts, of the rows given."""
        lengths, groups, truth, spread = self.lengths, self.groups[rows], self.truth[rows], self.spread
        joint, intercepts = _least_squares(lengths[rows] / spread, groups, truth, self.ridge)
        alone = [
            _least_squares(lengths[rows, i : i + 1] / spread[i], groups, truth, 0.0)[0][0]
            for i in range(lengths.shape[1])
        ]
        return joint / spread, np.array(alone) / spread, intercepts


def _length_fit(
    features: pd.DataFrame,
    compounds: NDArray[np.object_],
    truth: NDArray[np.float64],
    blocks: NDArray[np.int64],
    ridge: float,
) -> _LengthFit:
    """Make a fit ready; refuse too few rows or blocks and lengths that do not change."""
    number, columns = features.shape
    groups = pd.get_dummies(pd.Series(compounds)).to_numpy(dtype=np.float64)
    if number < columns + groups.shape[1] + 2 or blocks.max(initial=0) < 1:
        raise InputError(
            f"{number} labelled configurations in {blocks.max(initial=-1) + 1} blocks are too few for "
            f"{columns} slopes; label more, or name fewer pairs"
        )
    lengths = features.to_numpy()
    residual = _within(groups, lengths)
    spread = residual.std(axis=0)
    for pair, sd in zip(features.columns, spread, strict=True):
        if sd < 1e-9:
            raise InputError(
                f"bonds {pair} have the same mean length in all configurations; leave the pair out"
            )
    return _LengthFit(lengths, groups, truth, residual, spread, ridge)


def _within(groups: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values without their mean over the group."""
    return values - groups @ np.linalg.lstsq(groups, values, rcond=None)[0]


def _drawn_slopes(
    fit: _LengthFit, members: Sequence[NDArray[np.int64]], seed: int, replicates: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return joint slopes and slopes alone of blocks drawn with replacement, shape (replicates, pairs)."""
    generator = np.random.default_rng(seed)
    drawn = [
        fit.slopes(np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))]))
        for _ in range(replicates)
    ]
    return np.array([joint for joint, _, _ in drawn]), np.array([alone for _, alone, _ in drawn])


def _r2_of_blocks_left_out(fit: _LengthFit, members: Sequence[NDArray[np.int64]]) -> float:
    """Return R² within compounds, each block predicted from the others."""
    left_out = np.empty(len(fit.truth))
    for rows in members:
        slope, _, intercepts = fit.slopes(np.setdiff1d(np.arange(len(fit.truth)), rows))
        left_out[rows] = fit.lengths[rows] @ slope + fit.groups[rows] @ intercepts
    within = _within(fit.groups, fit.truth)
    return float(1 - ((fit.truth - left_out) ** 2).sum() / (within**2).sum())


def _length_features(
    table: pd.DataFrame, at_rest: Crystal | Mapping[str, Crystal], cutoff_angstrom: float
) -> tuple[pd.DataFrame, dict[str, Shell], NDArray[np.object_]]:
    """Return changes of mean lengths by pair (0 for a pair that a compound lacks), shells, and compounds."""
    from matwheel.crystals.table import crystals_of_table

    crystals = crystals_of_table(table)
    if isinstance(at_rest, Crystal):
        shells = shells_at_rest(at_rest, cutoff_angstrom=cutoff_angstrom)
        changes = mean_bond_length_changes(crystals, at_rest, shells)
        return changes, shells, np.full(len(table), at_rest.id, dtype=object)
    if "compound" not in table:
        raise InputError("crystals at rest are given by compound, but the table has no column 'compound'")
    compounds = table["compound"].to_numpy(dtype=object)
    parts: list[pd.DataFrame] = []
    every: dict[str, Shell] = {}
    for compound in sorted(set(compounds)):
        if compound not in at_rest:
            raise InputError(
                f"no crystal at rest of compound {compound!r}; known: {', '.join(sorted(at_rest))}"
            )
        shells = shells_at_rest(at_rest[compound], cutoff_angstrom=cutoff_angstrom)
        rows = np.flatnonzero(compounds == compound)
        part = mean_bond_length_changes([crystals[i] for i in rows], at_rest[compound], shells)
        parts.append(part.set_index(rows))
        every |= {pair: shell for pair, shell in shells.items() if pair not in every}
    features = pd.concat(parts).sort_index().fillna(0.0)
    return features[sorted(features.columns)], every, compounds


def _block_names(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return a name of each row's block: blocks of different compounds or sets are different."""
    parts = [table[name].astype(str) for name in ("compound", "set", "block") if name in table]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + "|" + part
    return joined.to_numpy(dtype=object)


def _least_squares(
    lengths: NDArray[np.float64], groups: NDArray[np.float64], truth: NDArray[np.float64], ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slopes and group intercepts; only slopes are penalised."""
    columns = lengths.shape[1]
    design = np.hstack([lengths, groups])
    penalty = np.zeros((columns, design.shape[1]))
    penalty[:, :columns] = np.sqrt(ridge * len(truth)) * np.eye(columns)
    solution = np.linalg.lstsq(
        np.vstack([design, penalty]), np.concatenate([truth, np.zeros(columns)]), rcond=None
    )[0]
    return solution[:columns], solution[columns:]


@dataclass(frozen=True, eq=False)
class StretchedBonds:
    """A crystal and copies of it with one bond shortened or stretched.

    Attributes:
        pair: bond type.
        step_angstrom: change of the length of the bond.
        crystals: the crystal itself, then for each distinct bond the one shortened, then the one stretched:
            1 + 2 × bonds.
        multiplicity: number of bonds each distinct one stands for, shape (bonds,).
    """

    pair: str
    step_angstrom: float
    crystals: tuple[Crystal, ...] = field(repr=False)
    multiplicity: NDArray[np.int64]


@dataclass(frozen=True)
class FiniteSensitivity:
    """What a prediction does when one bond of a type is stretched; means over all bonds of the type.

    Attributes:
        pair: bond type.
        slope_ev_per_angstrom: mean central difference; 0 by symmetry between centres of symmetry.
        rms_slope_ev_per_angstrom: root mean square of the central differences of single bonds.
        curvature_ev_per_angstrom2: mean second difference.
        distinct_bonds, bonds: bonds computed, and bonds they stand for.
        step_angstrom: the step.
    """

    pair: str
    slope_ev_per_angstrom: float
    rms_slope_ev_per_angstrom: float
    curvature_ev_per_angstrom2: float
    distinct_bonds: int
    bonds: int
    step_angstrom: float


def stretched_crystals(
    crystal: Crystal,
    pair: str,
    step_angstrom: float,
    *,
    at_rest: Crystal | None = None,
    cutoff_angstrom: float = 5.5,
) -> StretchedBonds:
    """Stretch each symmetry-distinct bond of the nearest shell of a pair by ± step.

    Either end moves by half the step. Other bonds of the two atoms change with it, as they do in a crystal.
    Use a supercell: in a small cell the images of a moved atom are its own neighbours.

    Args:
        crystal: the crystal to displace; symmetry is taken from it.
        pair: e.g. 'Ag-S', in either order.
        step_angstrom: change of the bond length.
        at_rest: where the nearest shell is read off, for a displaced crystal.

    Raises:
        InputError: a pair without a bond within the cut-off, a bond of an atom with its own image, or a step
            that is not positive or as long as the bond.
    """
    pair = _parsed_pair(pair)
    ideal = crystal if at_rest is None else at_rest
    shells = shells_at_rest(ideal, cutoff_angstrom=cutoff_angstrom)
    if pair not in shells:
        raise InputError(f"crystal {ideal.id}: {_absent(pair, list(shells))}")
    shell = shells[pair]
    if not 0 < step_angstrom < shell.distance_angstrom:
        raise InputError(f"the step is {step_angstrom} Å; give a positive one, shorter than the bond")
    if (shell.first == shell.second).any():
        raise InputError(
            f"crystal {ideal.id}: the nearest {pair} bond joins an atom and its own image; take a supercell"
        )
    moved = displacements_from_rest(crystal, ideal)
    wrapped = ideal.frac_coords % 1.0
    vectors = (wrapped[shell.second] + shell.image - wrapped[shell.first]) @ ideal.lattice
    vectors = vectors + moved[shell.second] - moved[shell.first]
    orbit = _bond_orbits(crystal, shell, ideal)
    distinct, multiplicity = np.unique(orbit, return_counts=True)
    inverse = np.linalg.inv(crystal.lattice)
    crystals = [crystal]
    for number, bond in enumerate(distinct):
        direction = vectors[bond] / np.linalg.norm(vectors[bond])
        for sign, word in ((-1, "shorter"), (1, "longer")):
            displacement = np.zeros((len(crystal.species), 3))
            displacement[shell.first[bond]] -= sign * step_angstrom / 2 * direction
            displacement[shell.second[bond]] += sign * step_angstrom / 2 * direction
            crystals.append(
                Crystal(
                    f"{crystal.id}-{pair}-{number:03d}-{word}", crystal.species, crystal.lattice,
                    crystal.frac_coords + displacement @ inverse,
                )
            )  # fmt: skip
    return StretchedBonds(pair, step_angstrom, tuple(crystals), multiplicity)


def sensitivity_of_stretched(stretched: StretchedBonds, values_ev: ArrayLike) -> FiniteSensitivity:
    """Return the finite differences of values (eV) of `stretched.crystals`, in their order.

    Raises:
        InputError: another number of values, or one that is not finite.
    """
    values = np.asarray(values_ev, dtype=np.float64).ravel()
    if len(values) != len(stretched.crystals) or not np.isfinite(values).all():
        raise InputError(
            f"{int(np.isfinite(values).sum())} finite values for {len(stretched.crystals)} crystals with "
            f"stretched {stretched.pair} bonds; label them all"
        )
    step, weights = stretched.step_angstrom, stretched.multiplicity / stretched.multiplicity.sum()
    shorter, longer = values[1::2], values[2::2]
    slopes = (longer - shorter) / (2 * step)
    curvatures = (longer + shorter - 2 * values[0]) / step**2
    return FiniteSensitivity(
        pair=stretched.pair,
        slope_ev_per_angstrom=float(weights @ slopes),
        rms_slope_ev_per_angstrom=float(np.sqrt(weights @ slopes**2)),
        curvature_ev_per_angstrom2=float(weights @ curvatures),
        distinct_bonds=len(slopes),
        bonds=int(stretched.multiplicity.sum()),
        step_angstrom=step,
    )


def network_sensitivities(
    network: Network,
    bonds: Bonds,
    *,
    output: int = 0,
    tolerance_angstrom: float = 0.1,
    configurations_per_batch: int = 16,
    **labels: Any,
) -> pd.DataFrame:
    """Return the slope of a prediction with the mean length of the nearest bonds of each pair.

    The sum of the derivatives by the distances of that shell: all its bonds longer by the same and nothing
    else, which no displacement of atoms does. It is what the joint slopes of `sensitivity_from_labels` are
    for the labels.

    Args:
        tolerance_angstrom: bonds this much longer at rest than the shortest of the pair belong to its shell.
        labels: further columns, see `bond_table`.

    Returns:
        Columns: the labels, configuration, pair, slope_ev_per_angstrom.
    """
    import torch

    gradient = np.zeros(len(bonds.source))
    for part, edges in bonds.pieces(configurations_per_batch):
        batch = edge_batch(part)
        batch.distance.requires_grad_()
        predicted = network(batch, torch.ones_like(batch.distance))[:, output]
        gradient[edges] = torch.autograd.grad(predicted.sum(), batch.distance)[0].double().cpu().numpy()
    table = bond_table(bonds, gradient, **labels)
    shortest = table.groupby(["configuration", "pair"])["rest_distance_angstrom"].transform("min")
    shell = table[table["rest_distance_angstrom"] <= shortest + tolerance_angstrom]
    keys = [*labels, "configuration", "pair"]
    slopes = shell.groupby(keys, as_index=False, sort=True)[["attribution"]].sum()
    return slopes.rename(columns={"attribution": "slope_ev_per_angstrom"})


def mean_sensitivities(
    table: pd.DataFrame,
    *,
    seed: int,
    level: float = 0.95,
    replicates: int = BOOTSTRAP_REPLICATES,
) -> pd.DataFrame:
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
        blocks = first["block" if "block" in first else "configuration"].to_numpy()
        codes = np.unique(blocks, return_inverse=True)[1].ravel()
        values = matrix.fillna(0.0).to_numpy()
        weights = drawn_for(str(model), len(values), codes, seed, replicates)
        drawn = drawn_mean(values[None], seen, *weights)[0]
        rows.append(
            {"model": model, "pair": pair}
            | with_interval("slope_ev_per_angstrom", values.sum() / seen.sum(), drawn, level)
            | {"seeds": values.shape[0], "configurations": values.shape[1]}
        )
    return pd.DataFrame(rows)


def _bond_orbits(crystal: Crystal, shell: Shell, ideal: Crystal) -> NDArray[np.int64]:
    """Return for each bond of a shell the lowest bond that a symmetry of the crystal takes it to."""
    bonds = len(shell.first)
    orbit = np.arange(bonds)
    dataset = symmetry_dataset(crystal, _SYMPREC_ANGSTROM)
    if dataset is None:
        return orbit
    # Bonds of the shell, counted between places of the displaced crystal as its coordinates are written.
    offset = np.round(crystal.frac_coords - ideal.frac_coords) + np.floor(ideal.frac_coords)
    offset = offset.astype(np.int64)
    image = shell.image - offset[shell.second] + offset[shell.first]
    number = {}
    for bond in range(bonds):
        one = (int(shell.first[bond]), int(shell.second[bond]), *image[bond].tolist())
        number[one] = number[(one[1], one[0], *(-image[bond]).tolist())] = bond
    for rotation, translation in zip(dataset.rotations, dataset.translations, strict=True):
        moved = crystal.frac_coords @ rotation.T + translation
        difference = moved[:, None] - crystal.frac_coords[None]
        cell = np.round(difference)
        distance = np.linalg.norm((difference - cell) @ crystal.lattice, axis=2)
        place = distance.argmin(axis=1)
        shift = cell[np.arange(len(place)), place].astype(np.int64)
        turned = image @ rotation.T + shift[shell.second] - shift[shell.first]
        for bond in range(bonds):
            key = (int(place[shell.first[bond]]), int(place[shell.second[bond]]), *turned[bond].tolist())
            reached = number.get(
                key
            )  # absent where the shell is not closed under the symmetry of the crystal
            if reached is not None:
                orbit[bond] = min(orbit[bond], orbit[reached])
    return _settled(orbit)


def _settled(orbit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Follow each entry to the lowest one it leads to."""
    while True:
        further = orbit[orbit]
        if (further == orbit).all():
            return orbit
        orbit = further


def _parsed_pair(pair: str) -> str:
    parts = pair.split("-")
    if len(parts) != 2:
        raise InputError(f"pair {pair!r} is not of the form 'Ag-S'")
    return pair_name(*parts)


def _absent(pair: str, known: Sequence[str]) -> str:
    return f"no bond {pair} within the cut-off; there are {', '.join(known)}"
