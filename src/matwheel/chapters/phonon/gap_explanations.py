"""The explanation of predicted gaps: attributions, whether they hold, what the labels say of bonds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from matwheel.chapters.phonon.bond_attributions import (
    bond_table,
    importance,
    importance_contrast,
    integrated_gradients_of_distances,
)
from matwheel.chapters.phonon.bonds import bonds_of
from matwheel.chapters.phonon.faithfulness import (
    faithfulness,
    faithfulness_areas,
    faithfulness_curves,
    masked_predictions,
    restored_predictions,
)
from matwheel.chapters.phonon.gap_sensitivity import (
    GAP,
    mean_sensitivities,
    network_sensitivities,
    sensitivity_from_labels,
)
from matwheel.chapters.phonon.labelled_configurations import OK, REST
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table
from matwheel.vibrations.displacements import THERMAL

if TYPE_CHECKING:
    from matwheel.chapters.phonon.distance_network import DistanceNetwork

DISTANCE_BINS_ANGSTROM = np.arange(1.5, 6.01, 0.25)
ALTERED_BONDS = (5, 10, 20, 50, 100)
"""Numbers of the most important bonds that are altered, of about 600 in a configuration."""

ALTERATIONS = {"restored": restored_predictions, "masked": masked_predictions}
"""Bonds put back to their length at rest, or taken out of the network."""


@dataclass(frozen=True, eq=False)
class ExplainedNetwork:
    """A network with what it is explained on.

    Attributes:
        number: of its seed, which is a division of the configurations too.
        test_ids: ids of the test rows of that division; no other row explains it.
    """

    learnt_set: str
    number: int
    network: DistanceNetwork
    test_ids: frozenset[str]


@dataclass(frozen=True, eq=False)
class GapExplanation:
    """What the networks of some training sets look at when they predict gaps.

    Attributes:
        configurations: number explained by at least one network.
        largest_missing_ev: largest part of a change of a prediction that its attributions miss.
        importance, over_distance: see `importance`, by pair, and by pair and distance.
        contrasts: share of the first training set minus that of each other, by pair.
        curves, areas: of faithfulness, with columns model, altered ('restored', 'masked') and measure.
        label_sensitivity: see `sensitivity_from_labels`.
        network_sensitivity: see `mean_sensitivities`.
    """

    configurations: int
    largest_missing_ev: float
    importance: pd.DataFrame
    over_distance: pd.DataFrame
    contrasts: pd.DataFrame
    curves: pd.DataFrame
    areas: pd.DataFrame
    label_sensitivity: pd.DataFrame
    network_sensitivity: pd.DataFrame


def explain_gaps(
    networks: Sequence[ExplainedNetwork],
    labelled: pd.DataFrame,
    at_rest: Crystal,
    *,
    pairs: Sequence[str] | None,
    seed: int,
) -> GapExplanation:
    """Explain the gaps that networks predict of thermal configurations, each of its own test rows.

    Args:
        networks: each training set with the same seeds.
        labelled: table of labelled configurations; rows that are not ok are left out.
        at_rest: the supercell, atoms in the order of the configurations.
        pairs: bond types whose mean lengths the labels are fitted to; None: all.
        seed: of the bootstraps and of the bonds that are altered at random.

    Raises:
        InputError: too few labels, a pair without bonds, or a network without thermal test rows.
    """
    labelled = labelled[labelled["status"] == OK]
    explained = labelled[labelled["kind"] == THERMAL].reset_index(drop=True)
    found = [_explained(one, explained, at_rest, seed) for one in networks]
    table = pd.concat([one.bonds for one in found], ignore_index=True)
    first, *others = dict.fromkeys(one.learnt_set for one in networks)
    contrasts = [importance_contrast(table, first, other, seed=seed) for other in others]
    altered = pd.concat([one.altered for one in found], ignore_index=True)
    curves, areas = [], []
    for learnt_set, words, measure in itertools.product(
        (first, *others), ALTERATIONS, ("change", "error_increase")
    ):
        own = altered[(altered["model"] == learnt_set) & (altered["altered"] == words)]
        blocks = explained["block"].to_numpy()[np.unique(own["configuration"])]
        key = {"model": learnt_set, "altered": words, "measure": measure}
        curves.append(faithfulness_curves(own, measure=measure, blocks=blocks, seed=seed).assign(**key))
        areas.append(faithfulness_areas(own, measure=measure, blocks=blocks, seed=seed).assign(**key))
    return GapExplanation(
        configurations=table["configuration"].nunique(),
        largest_missing_ev=max(one.largest_missing_ev for one in found),
        importance=importance(table, seed=seed),
        over_distance=importance(table, distance_bins_angstrom=DISTANCE_BINS_ANGSTROM, seed=seed),
        contrasts=pd.concat([pd.DataFrame(), *contrasts], ignore_index=True),
        curves=pd.concat(curves, ignore_index=True),
        areas=pd.concat(areas, ignore_index=True),
        label_sensitivity=sensitivity_from_labels(
            labelled[labelled["kind"] != REST], at_rest, pairs=pairs, seed=seed
        ),
        network_sensitivity=mean_sensitivities(
            pd.concat([one.slopes for one in found], ignore_index=True), seed=seed
        ),
    )


class _Explained(NamedTuple):
    """Of one network; configurations are numbered as in the table of all of them."""

    bonds: pd.DataFrame
    slopes: pd.DataFrame
    altered: pd.DataFrame
    largest_missing_ev: float


def _explained(one: ExplainedNetwork, explained: pd.DataFrame, at_rest: Crystal, seed: int) -> _Explained:
    """Explain a network on its own test rows."""
    network, who = one.network, f"the network of {one.learnt_set}, seed {one.number}"
    names = network.target_names or ()
    if GAP not in names:
        raise InputError(f"{who}, does not say that it predicts {GAP}; name its targets")
    output = names.index(GAP)
    own = np.flatnonzero(explained["id"].isin(one.test_ids))
    if not len(own):
        raise InputError(f"no thermal test row for {who}; label more thermal configurations")
    rows = explained.iloc[own]
    labels = {"model": one.learnt_set, "seed": one.number, "block": rows["block"].to_numpy()}
    bonds = bonds_of(crystals_of_table(rows), at_rest, network.settings.cutoff_angstrom)
    attributions = integrated_gradients_of_distances(network.forward, bonds, output=output)
    altered = [
        faithfulness(
            alteration(network.forward, bonds, output=output),
            bonds,
            attributions.values,
            ALTERED_BONDS,
            seed=seed,
            labels=rows[GAP].to_numpy(),
        ).assign(model=one.learnt_set, altered=words)
        for words, alteration in ALTERATIONS.items()
    ]
    tables = (
        bond_table(bonds, attributions.values, **labels),
        network_sensitivities(network.forward, bonds, output=output, **labels),
        pd.concat(altered, ignore_index=True),
    )
    bonds_rows, slopes, changes = (
        table.assign(configuration=own[table["configuration"]]) for table in tables
    )
    return _Explained(bonds_rows, slopes, changes, attributions.largest_missing)
