"""Why a network predicts a gap: attributions of bonds, their faithfulness, physical sensitivities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from ase.data import atomic_numbers

from matwheel.chapters.phonon.attribution_figure import LABELS, draw_explanations, sensitivity_rows
from matwheel.chapters.phonon.bond_attributions import (
    bond_table,
    importance,
    importance_contrast,
    integrated_gradients_of_distances,
)
from matwheel.chapters.phonon.bonds import bonds_of, edge_batch, pair_name
from matwheel.chapters.phonon.distance_network import DistanceNetwork, DistanceNetworkSettings, edges_of
from matwheel.chapters.phonon.faithfulness import (
    IMPORTANT,
    RANDOM,
    SAME_DISTANCE,
    faithfulness,
    faithfulness_areas,
    faithfulness_curves,
    masked_predictions,
    restored_predictions,
)
from matwheel.chapters.phonon.gap_explanations import ExplainedNetwork, explain_gaps
from matwheel.chapters.phonon.gap_sensitivity import (
    mean_bond_length_changes,
    mean_sensitivities,
    network_sensitivities,
    sensitivity_from_labels,
    shells_at_rest,
)
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table, crystals_of_table
from matwheel.figures.figures import save_figure

EDGE, CUTOFF = 4.9, 5.5


def supercell(anion="Br"):
    """Ag3SX at rest, 2 × 2 × 2 cells of the cubic anti-perovskite."""
    places = np.array([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]])
    shifts = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
    species = np.repeat(["Ag", "Ag", "Ag", "S", anion], 8)
    frac_coords = (places[:, None] + shifts[None]).reshape(-1, 3) / 2
    return Crystal(f"Ag3S{anion}", tuple(species), 2 * EDGE * np.eye(3), frac_coords)


def displaced(at_rest, number, *, angstrom=0.12, seed=0):
    generator = np.random.default_rng(seed)
    moves = generator.normal(0, angstrom, (number, len(at_rest.species), 3)) / (2 * EDGE)
    return [
        Crystal(f"{at_rest.id}-{i:02d}", at_rest.species, at_rest.lattice, at_rest.frac_coords + move)
        for i, move in enumerate(moves)
    ]


def dimers():
    """One Ag-S and one Ag-Br molecule, out of each other's reach."""
    positions = np.array([[2, 2, 2], [4.4, 2, 2], [11, 11, 11], [11, 13.7, 11]])
    return Crystal("dimers", ("Ag", "S", "Ag", "Br"), 18 * np.eye(3), positions / 18)


class PairNetwork(torch.nn.Module):
    """tanh of a sum over edges of a coefficient by pair times a smooth function of the distance."""

    def __init__(self, coefficients, *, linear=False):
        super().__init__()
        table = torch.zeros(120, 120, dtype=torch.float64)
        for pair, value in coefficients.items():
            first, second = (atomic_numbers[symbol] for symbol in pair.split("-"))
            table[first, second] = table[second, first] = value
        self.coefficients, self.linear = table, linear

    def forward(self, batch, edge_weight=None):
        numbers, distance = batch.atomic_numbers, batch.distance.double()
        strength = self.coefficients[numbers[batch.source], numbers[batch.target]]
        shape = distance if self.linear else (1 - distance / CUTOFF).clamp(min=0) ** 3
        message = strength * shape
        if edge_weight is not None:
            message = message * edge_weight.double()
        total = torch.zeros(batch.n, dtype=torch.float64)
        total = total.index_add(0, batch.crystal[batch.target], message)
        return (total if self.linear else torch.tanh(total))[:, None]


@pytest.fixture(scope="module")
def at_rest():
    return supercell()


@pytest.fixture(scope="module")
def crystals(at_rest):
    return displaced(at_rest, 8)


@pytest.fixture(scope="module")
def bonds(crystals, at_rest):
    return bonds_of(crystals, at_rest, CUTOFF)


def test_bonds_are_the_edges_of_the_network_and_come_in_two_directions(bonds, crystals, at_rest):
    batch = edges_of(crystals, CUTOFF)
    inside = bonds.distance_angstrom < CUTOFF
    for number in range(len(crystals)):
        own = bonds.distance_angstrom[inside & (bonds.configuration == number)]
        theirs = batch.distance[batch.crystal[batch.target] == number].numpy()
        assert np.sort(own) == pytest.approx(np.sort(theirs), abs=1e-5)
    assert (np.bincount(bonds.bond) == 2).all()
    for values in (bonds.distance_angstrom, bonds.rest_distance_angstrom, bonds.configuration):
        assert np.allclose(bonds.of_bonds(values), 2 * values[bonds.first_edges])
    # Edges that only the crystal at rest has are there as well: both ends of a path see all of theirs.
    resting = bonds.rest_distance_angstrom < CUTOFF
    one = len(edges_of([at_rest], CUTOFF).distance)
    assert resting.sum() == one * len(crystals) and (~inside & resting).any()
    wrapped = [Crystal(c.id, c.species, c.lattice, c.frac_coords % 1.0) for c in crystals]
    again = bonds_of(wrapped, at_rest, CUTOFF)
    assert np.allclose(again.distance_angstrom, bonds.distance_angstrom) and (again.bond == bonds.bond).all()


def test_bonds_of_an_atom_and_its_images():
    lone = Crystal("lone", ("Ag",), np.diag([3.0, 9.0, 9.0]), np.zeros((1, 3)))
    found = bonds_of([lone], lone, 4.0)
    assert found.rest_distance_angstrom == pytest.approx([3.0, 3.0]) and list(found.bond) == [0, 0]
    assert list(found.pair_of_bond) == ["Ag-Ag"]


def test_bonds_refuse_foreign_crystals(crystals, at_rest):
    with pytest.raises(InputError, match="differ in atoms"):
        bonds_of(crystals, supercell("I"), CUTOFF)
    stretched = Crystal("big", at_rest.species, 1.01 * at_rest.lattice, at_rest.frac_coords)
    with pytest.raises(InputError, match="another lattice"):
        bonds_of([stretched], at_rest, CUTOFF)
    with pytest.raises(InputError, match="larger cut-off"):
        bonds_of(crystals, at_rest, 0.5)
    with pytest.raises(InputError, match="give one for each"):
        bonds_of(crystals, [at_rest], CUTOFF)


def test_pairs_are_named_from_the_less_electronegative_element():
    assert [pair_name("S", "Ag"), pair_name("Br", "S"), pair_name("Ag", "Ag")] == ["Ag-S", "S-Br", "Ag-Ag"]
    with pytest.raises(InputError, match="unknown element"):
        pair_name("Ag", "Q")


def test_attributions_are_complete(bonds):
    network = PairNetwork({"Ag-S": 0.03, "Ag-Br": -0.05, "S-Br": 0.2})
    found = integrated_gradients_of_distances(network, bonds, steps=24)
    difference = found.output - found.baseline_output
    total = np.bincount(bonds.configuration, weights=found.values)
    assert np.abs(difference).min() > 1e-4
    assert total == pytest.approx(difference, abs=1e-6) and found.largest_missing <= 1e-6
    assert found.output == pytest.approx(network(edge_batch(bonds))[:, 0].numpy(), abs=1e-6)
    pieces = list(bonds.pieces(3))
    assert [part.n for part, _ in pieces] == [3, 3, 2]
    apart = [integrated_gradients_of_distances(network, part, steps=24).values for part, _ in pieces]
    assert np.concatenate(apart) == pytest.approx(found.values, abs=1e-9)


def test_incomplete_attributions_are_reported(bonds):
    found = integrated_gradients_of_distances(PairNetwork({"Ag-S": 0.03}), bonds, steps=1)
    assert found.largest_missing > 1e-5


def test_attributions_of_the_distance_network(crystals, at_rest, bonds):
    changes = mean_bond_length_changes(crystals, at_rest, shells_at_rest(at_rest))
    targets = 10 * changes[["Ag-S"]].to_numpy()
    model = DistanceNetwork(DistanceNetworkSettings(steps=15))
    model.fit(crystals, targets, crystals[:2], targets[:2], seed=0)
    found = integrated_gradients_of_distances(model.forward, bonds)
    assert found.output == pytest.approx(model.predict(crystals)[:, 0], abs=1e-5)
    rest = model.predict([at_rest])[0, 0]
    assert found.baseline_output == pytest.approx(np.full(bonds.n, rest), abs=1e-5)
    assert found.largest_missing <= 0.01 * np.abs(found.output - found.baseline_output).max()
    nothing, everything = np.zeros(len(bonds.source), dtype=bool), np.ones(len(bonds.source), dtype=bool)
    restored = restored_predictions(model.forward, bonds)
    assert restored(nothing) == pytest.approx(found.output, abs=1e-5)
    assert restored(everything) == pytest.approx(found.baseline_output, abs=1e-5)
    masked = masked_predictions(model.forward, bonds)
    assert masked(nothing) == pytest.approx(found.output, abs=1e-5)
    alone = masked(everything)  # atoms without bonds are the same in all configurations
    assert np.ptp(alone) < 1e-5 and np.abs(alone - found.output).min() > 1e-5


def test_a_network_that_sees_one_pair_gives_it_everything(bonds):
    found = integrated_gradients_of_distances(PairNetwork({"Ag-S": 0.02}), bonds)
    table = bond_table(bonds, found.values, model="one pair", seed=0)
    rows = importance(table, seed=0).set_index("pair")
    assert rows["share"].to_dict() == {p: float(p == "Ag-S") for p in rows.index} and len(rows) == 6
    assert rows.loc["Ag-S", "variance_share"] == pytest.approx(1) and rows.loc["Ag-Ag", "variance_share"] == 0
    bonds_share = rows.loc["Ag-S", "bonds"] / rows["bonds"].sum()
    assert rows.loc["Ag-S", "enrichment"] == pytest.approx(1 / bonds_share)
    assert [rows.loc["Ag-S", f"share_{end}"] for end in ("low", "high")] == [1, 1]


def test_equivalent_bonds_get_equal_attributions(at_rest):
    sulphur = at_rest.species.index("S")
    frac_coords = at_rest.frac_coords.copy()
    frac_coords[sulphur, 0] += 0.2 / (2 * EDGE)
    bonds = bonds_of([Crystal("moved", at_rest.species, at_rest.lattice, frac_coords)], at_rest, CUTOFF)
    table = bond_table(bonds, integrated_gradients_of_distances(PairNetwork({"Ag-S": 0.02}), bonds).values)
    near = table[(table["pair"] == "Ag-S") & (table["rest_distance_angstrom"] < 2.5)]
    changed = near[(near["distance_angstrom"] - near["rest_distance_angstrom"]).abs() > 1e-6]
    groups = changed.groupby(changed["distance_angstrom"].round(4))["attribution"]
    assert groups.size().tolist() == [1, 4, 1]
    assert groups.apply(np.ptp).max() < 1e-7
    assert groups.mean().iloc[0] > 0 > groups.mean().iloc[2]
    assert near["attribution"].abs().sum() == pytest.approx(changed["attribution"].abs().sum())


def table_of_networks(bonds, seeds=4):
    """Two models: one looks at Ag-S, the other mostly at S-Br; networks of a model differ a little."""
    parts = []
    for model, strengths in (("thermal", (0.03, 0.01)), ("random", (0.003, 0.1))):
        for seed in range(seeds):
            generator = np.random.default_rng((seed, len(model)))
            near, far = np.array(strengths) * generator.uniform(0.9, 1.1, 2)
            network = PairNetwork({"Ag-S": near, "S-Br": far})
            values = integrated_gradients_of_distances(network, bonds, steps=6).values
            parts.append(bond_table(bonds, values, model=model, seed=seed, block=np.arange(bonds.n) // 2))
    return pd.concat(parts, ignore_index=True)


def test_importance_of_two_models(bonds):
    table = table_of_networks(bonds)
    rows = importance(table, seed=0)
    assert rows.groupby("model")["share"].sum().tolist() == pytest.approx([1, 1])
    assert rows.groupby("model")["variance_share"].sum().tolist() == pytest.approx([1, 1])
    assert ((rows["share_low"] <= rows["share"]) & (rows["share"] <= rows["share_high"])).all()
    assert set(rows["seeds"]) == {4} and set(rows["configurations"]) == {8}
    one = table[(table["model"] == "thermal") & (table["pair"] == "Ag-S")]
    keys = ["seed", "configuration"]
    of_all = table[table["model"] == "thermal"].groupby(keys)["attribution"].agg(lambda a: a.abs().sum())
    own = one.groupby(keys)["attribution"].agg(lambda a: a.abs().sum())
    share = rows.set_index(["model", "pair"]).loc[("thermal", "Ag-S"), "share"]
    assert share == pytest.approx((own / of_all).mean())
    contrast = importance_contrast(table, "thermal", "random", seed=0).set_index("pair")
    assert contrast.loc["Ag-S", "difference_low"] > 0 > contrast.loc["S-Br", "difference_high"]
    expected = rows.pivot(index="pair", columns="model", values="share")
    assert contrast["difference"].to_dict() == pytest.approx(
        (expected["thermal"] - expected["random"]).to_dict()
    )
    assert importance(table, seed=0).equals(rows)


def test_each_network_counts_on_its_own_configurations_only(bonds):
    table = table_of_networks(bonds)
    own = table[table["configuration"] // 2 == table["seed"]]  # four seeds with two of eight each
    rows = importance(own, seed=0)
    assert rows.groupby("model")["share"].sum().tolist() == pytest.approx([1, 1])
    assert rows.groupby("model")["variance_share"].sum().tolist() == pytest.approx([1, 1])
    part = own[own["model"] == "thermal"]
    keys = ["seed", "configuration"]
    size = part.assign(size=part["attribution"].abs())
    shares = size[size["pair"] == "Ag-S"].groupby(keys)["size"].sum() / size.groupby(keys)["size"].sum()
    row = rows.set_index(["model", "pair"]).loc[("thermal", "Ag-S")]
    assert len(shares) == 8 and row["share"] == pytest.approx(shares.mean())
    assert row["share_low"] <= row["share"] <= row["share_high"]
    contrast = importance_contrast(own, "thermal", "random", seed=0).set_index("pair")
    assert contrast.loc["Ag-S", "difference_low"] > 0


def test_gaps_are_explained_on_the_test_rows_of_each_network_and_no_others(at_rest):
    """Up to 40 of 60 explained rows were rows that the network had been trained on."""
    frame = labelled(at_rest, {"Ag-S": 4.0}, noise=0.003).assign(kind="thermal", status="ok")
    ids = frame["id"].tolist()
    test_ids = {0: frozenset(ids[:4]), 1: frozenset(ids[4:8])}
    crystals = crystals_of_table(frame)
    gaps = frame[["band_gap_ev"]].to_numpy()
    networks = []
    for learnt_set in ("thermal", "uniform"):
        for number, tested in test_ids.items():
            model = DistanceNetwork(DistanceNetworkSettings(steps=3), target_names=["band_gap_ev"])
            model.fit(crystals[8:], gaps[8:], crystals[:2], gaps[:2], seed=number)
            networks.append(ExplainedNetwork(learnt_set, number, model, tested))
    found = explain_gaps(networks, frame, at_rest, pairs=["Ag-S"], seed=0)
    assert found.configurations == 8
    for table in (found.importance, found.curves, found.areas, found.network_sensitivity):
        assert set(table["configurations"]) == {8}
    # Rows that no network was tested on change nothing, those of a network do.
    for row, same in ((len(ids) - 1, True), (0, False)):
        moved = frame.copy()
        coords = np.array(moved.at[row, "frac_coords"])
        moved.at[row, "frac_coords"] = (coords + 0.01 * np.sin(np.arange(len(coords)))).tolist()
        again = explain_gaps(networks, moved, at_rest, pairs=["Ag-S"], seed=0)
        assert again.importance.equals(found.importance) == same
    with pytest.raises(InputError, match="no thermal test row"):
        foreign = ExplainedNetwork("thermal", 2, networks[0].network, frozenset({"nobody"}))
        explain_gaps([foreign], frame, at_rest, pairs=["Ag-S"], seed=0)
    with pytest.raises(InputError, match="does not say that it predicts band_gap_ev"):
        unnamed = ExplainedNetwork("thermal", 0, DistanceNetwork(DistanceNetworkSettings()), test_ids[0])
        explain_gaps([unnamed], frame, at_rest, pairs=["Ag-S"], seed=0)


def test_importance_over_distance_adds_up(bonds):
    table = table_of_networks(bonds, seeds=1)
    by_pair = importance(table, seed=0).set_index(["model", "pair"])["share"]
    bins = importance(table, distance_bins_angstrom=np.arange(1.0, 7.01, 0.5), seed=0)
    assert bins.groupby(["model", "pair"])["share"].sum().to_dict() == pytest.approx(by_pair.to_dict())
    near = bins[(bins["pair"] == "Ag-S") & (bins["share"] > 0.01)]
    assert near["distance_low_angstrom"].max() < 5.5 and near["distance_low_angstrom"].min() >= 1.5


def test_importance_refuses_wrong_tables(bonds):
    table = table_of_networks(bonds, seeds=2)
    with pytest.raises(InputError, match="no column 'seed'"):
        importance(table.drop(columns="seed"), seed=0)
    with pytest.raises(InputError, match="empty"):
        importance(table[:0], seed=0)
    with pytest.raises(InputError, match="ascending"):
        importance(table, distance_bins_angstrom=[3, 2], seed=0)
    with pytest.raises(InputError, match="different configurations"):
        thermal = table["model"] == "thermal"
        importance_contrast(table[thermal | (table["configuration"] < 3)], "thermal", "random", seed=0)
    with pytest.raises(InputError, match="no attributions of a model 'both'"):
        importance_contrast(table, "thermal", "both", seed=0)


def test_faithfulness_finds_a_planted_bond(bonds):
    generator = np.random.default_rng(3)
    configuration = bonds.configuration[bonds.first_edges]
    strength = np.full(len(configuration), 0.001)
    planted = [generator.choice(np.flatnonzero(configuration == i)) for i in range(bonds.n)]
    strength[planted] = 1.0

    def predict(chosen):
        kept = bonds.of_bonds(~chosen) / 2
        assert set(kept) <= {0.0, 1.0}  # both directions together
        return np.bincount(configuration, weights=strength * kept)

    right = strength[bonds.bond]
    table = faithfulness(
        predict, bonds, right, [1, 3, 10], seed=0, labels=predict(np.zeros(len(right), bool))
    )
    first = table[table["count"] == 1].groupby("choice")["change"].mean()
    assert first[IMPORTANT] == pytest.approx(1.0) and first[RANDOM] < 0.3
    areas = faithfulness_areas(table, seed=0).set_index("against")
    assert (areas["area_low"] > 0.3).all() and (areas["better"] > 0.8).all()
    errors = faithfulness_areas(table, measure="error_increase", seed=0).set_index("against")
    assert errors["area"].to_dict() == pytest.approx(areas["area"].to_dict())
    curves = faithfulness_curves(table, seed=0).set_index(["choice", "count"])
    assert curves.loc[(IMPORTANT, 3), "mean"] == pytest.approx(1.002, abs=1e-6)
    assert len(curves) == 9


def test_faithfulness_of_random_attributions_is_nothing(bonds):
    generator = np.random.default_rng(5)
    strength = generator.exponential(size=len(bonds.first_edges))
    configuration = bonds.configuration[bonds.first_edges]

    def predict(chosen):
        return np.bincount(configuration, weights=strength * (bonds.of_bonds(~chosen) / 2))

    wrong = generator.normal(size=len(strength))[bonds.bond]
    table = faithfulness(predict, bonds, wrong, [10, 40, 80], seed=1, draws=8)
    areas = faithfulness_areas(table, blocks=np.arange(bonds.n) // 2, seed=0)
    assert ((areas["area_low"] < 0) & (areas["area_high"] > 0)).all()
    assert faithfulness(predict, bonds, wrong, [10, 40, 80], seed=1, draws=8).equals(table)


def test_importance_by_distance_alone_does_not_beat_bonds_of_the_same_distances(bonds):
    steps = np.floor(bonds.distance_angstrom / 0.25)
    configuration = bonds.configuration[bonds.first_edges]
    strength = 1.0 / (1 + steps[bonds.first_edges]) ** 4

    def predict(chosen):
        return np.bincount(configuration, weights=strength * (bonds.of_bonds(~chosen) / 2))

    table = faithfulness(predict, bonds, strength[bonds.bond], [20, 60], seed=0)
    areas = faithfulness_areas(table, seed=0).set_index("against")
    assert areas.loc[RANDOM, "area_low"] > 0
    assert areas.loc[SAME_DISTANCE, "area"] == pytest.approx(0, abs=1e-12)


def test_faithfulness_of_a_network_by_masks_and_by_distances(bonds):
    network = PairNetwork({"Ag-S": 0.03, "S-Br": 0.001})
    labels = np.full(bonds.n, np.nan)
    labels[:5] = masked_predictions(network, bonds)(np.zeros(len(bonds.source), dtype=bool))[:5]
    values = integrated_gradients_of_distances(network, bonds, steps=6).values
    for predictions in (masked_predictions, restored_predictions):
        table = faithfulness(
            predictions(network, bonds), bonds, values, [5, 20], seed=0, draws=2, labels=labels
        )
        areas = faithfulness_areas(table, seed=0).set_index("against")
        assert areas.loc[RANDOM, "area_low"] > 0
        assert set(faithfulness_areas(table, measure="error_increase", seed=0)["configurations"]) == {5}


def test_faithfulness_refuses_wrong_settings(bonds):
    def predict(chosen):
        return np.zeros(bonds.n)

    values = np.ones(len(bonds.source))
    for counts, options in (([], {}), ([0, 2], {}), ([3, 2], {}), ([1], {"draws": 0})):
        with pytest.raises(InputError, match="ascending counts"):
            faithfulness(predict, bonds, values, counts, seed=0, **options)
    with pytest.raises(InputError, match="3 labels"):
        faithfulness(predict, bonds, values, [1], seed=0, labels=np.zeros(3))
    table = faithfulness(predict, bonds, values, [1], seed=0)
    with pytest.raises(InputError, match="labels are needed"):
        faithfulness_areas(table, measure="error_increase", seed=0)
    with pytest.raises(InputError, match="2 blocks"):
        faithfulness_areas(table, blocks=[0, 1], seed=0)


def labelled(at_rest, law, *, number=60, noise=0.0, seed=1):
    crystals = displaced(at_rest, number, seed=seed)
    changes = mean_bond_length_changes(crystals, at_rest, shells_at_rest(at_rest))
    gap = sum(slope * changes[pair] for pair, slope in law.items()).to_numpy() + 0.7
    gap += np.random.default_rng(seed).normal(0, noise, number)
    properties = {"block": np.arange(number) // 4, "band_gap_ev": gap}
    return crystal_table(crystals, properties)


def test_shells_of_the_cubic_anti_perovskite(at_rest):
    shells = shells_at_rest(at_rest)
    assert {pair: len(shell.first) for pair, shell in shells.items()} == {
        "Ag-Ag": 96, "Ag-Br": 96, "Ag-S": 48, "Br-Br": 24, "S-Br": 64, "S-S": 24,
    }  # fmt: skip
    assert shells["Ag-S"].distance_angstrom == pytest.approx(EDGE / 2)
    assert shells["S-Br"].distance_angstrom == pytest.approx(EDGE * np.sqrt(3) / 2)
    changes = mean_bond_length_changes([at_rest, *displaced(at_rest, 3)], at_rest, shells)
    assert changes.iloc[0].abs().max() < 1e-12 and (changes.iloc[1:] > 0).all(axis=None)


def test_sensitivities_recover_a_planted_law(at_rest):
    law = {"Ag-S": 4.0, "S-Br": -2.0}
    exact = sensitivity_from_labels(labelled(at_rest, law), at_rest, seed=0, replicates=50).set_index("pair")
    truth = pd.Series(law).reindex(exact.index).fillna(0.0)
    assert exact["slope_ev_per_angstrom"].to_dict() == pytest.approx(truth.to_dict(), abs=1e-8)
    assert exact["r2"].iloc[0] == pytest.approx(1)
    noisy = sensitivity_from_labels(
        labelled(at_rest, law, noise=0.003), at_rest, seed=0, replicates=300
    ).set_index("pair")
    low, high = noisy["slope_ev_per_angstrom_low"], noisy["slope_ev_per_angstrom_high"]
    assert ((low < truth) & (truth < high)).sum() >= 5
    assert low["Ag-S"] > 0 > high["S-Br"] and (high - low).max() < 6
    assert noisy["effect_ev"].to_dict() == pytest.approx(
        (noisy["slope_ev_per_angstrom"] * noisy["sd_angstrom"]).to_dict()
    )
    assert set(noisy["blocks"]) == {15} and 0.5 < noisy["r2"].iloc[0] < 1
    # Labels without any law: the blocks left out are predicted worse than by their mean.
    empty = sensitivity_from_labels(
        labelled(at_rest, {"Ag-S": 0.0}, noise=0.003), at_rest, seed=0, replicates=5
    )
    assert empty["r2"].iloc[0] < 0
    table = labelled(at_rest, law, noise=0.003)
    one = sensitivity_from_labels(table, at_rest, pairs=["S-Ag"], seed=0, replicates=20)
    assert one["slope_ev_per_angstrom"].iloc[0] == pytest.approx(one["alone_ev_per_angstrom"].iloc[0])


def test_sensitivities_refuse_what_cannot_be_fitted(at_rest):
    table = labelled(at_rest, {"Ag-S": 1.0}, number=12)
    with pytest.raises(InputError, match="no bond Ag-Se within the cut-off; there are Ag-Ag, Ag-Br"):
        sensitivity_from_labels(table, at_rest, pairs=["Se-Ag"], seed=0)
    with pytest.raises(InputError, match="not of the form"):
        sensitivity_from_labels(table, at_rest, pairs=["AgS"], seed=0)
    with pytest.raises(InputError, match="too few"):
        sensitivity_from_labels(table[:6], at_rest, seed=0)
    with pytest.raises(InputError, match="no column 'band_gap_ev'"):
        sensitivity_from_labels(table.drop(columns="band_gap_ev"), at_rest, seed=0)
    with pytest.raises(InputError, match="no configuration has a finite"):
        sensitivity_from_labels(table.assign(band_gap_ev=np.nan), at_rest, seed=0)
    still = crystal_table([at_rest] * 12, {"block": range(12), "band_gap_ev": np.arange(12.0)})
    with pytest.raises(InputError, match="leave the pair out"):
        sensitivity_from_labels(still, at_rest, pairs=["Ag-S"], seed=0)


def test_sensitivities_of_networks_are_those_of_their_law(bonds):
    parts = []
    for seed, slope in enumerate((1.0, 3.0)):
        network = PairNetwork({"Ag-S": slope / (2 * 48), "S-Br": -0.5 / (2 * 64)}, linear=True)
        parts.append(network_sensitivities(network, bonds, model="thermal", seed=seed))
    rows = mean_sensitivities(pd.concat(parts), seed=0).set_index("pair")
    assert rows.loc["Ag-S", "slope_ev_per_angstrom"] == pytest.approx(2.0)
    assert rows.loc["Ag-S", "slope_ev_per_angstrom_low"] == pytest.approx(1.0)
    assert rows.loc["S-Br", "slope_ev_per_angstrom"] == pytest.approx(-0.5)
    assert rows.loc["Ag-Ag", "slope_ev_per_angstrom_high"] == 0
    assert set(rows["seeds"]) == {2} and set(rows["configurations"]) == {8}


def test_figure_shows_models_side_by_side(bonds, at_rest, tmp_path):
    table = table_of_networks(bonds, seeds=2)
    rows = importance(table, seed=0)
    over = importance(table, distance_bins_angstrom=np.arange(1.5, 6.1, 0.5), seed=0)
    network = PairNetwork({"Ag-S": 0.03})
    slopes = mean_sensitivities(network_sensitivities(network, bonds, model="thermal", seed=0), seed=0)
    labels = sensitivity_from_labels(
        labelled(at_rest, {"Ag-S": 1.0}, number=20), at_rest, seed=0, replicates=9
    )
    sensitivities = sensitivity_rows(labels, slopes)
    assert list(dict.fromkeys(sensitivities["source"])) == [LABELS, "thermal"] and len(sensitivities) == 12
    values = integrated_gradients_of_distances(network, bonds, steps=4).values
    altered = faithfulness(restored_predictions(network, bonds), bonds, values, [5, 20], seed=0, draws=1)
    curves = faithfulness_curves(altered, seed=0).assign(model="thermal")
    for name in ("first", "second"):
        figure = draw_explanations(rows, over, sensitivities, curves, note="Gap of 8 configurations.")
        save_figure(figure, tmp_path / f"{name}.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    importance_axes, sensitivity_axes, *_ = figure.axes
    assert len(figure.axes) == 5 and len(importance_axes.patches) == 12
    assert [text.get_text() for text in importance_axes.get_yticklabels()][:2] == ["Ag-S", "S-Br"]
    words = [text.get_text() for text in sensitivity_axes.get_legend().get_texts()]
    assert words == [LABELS, "thermal model"]
    nothing = draw_explanations(
        rows, over[:0], sensitivity_rows(None, None), pd.DataFrame(), measure="variance_share"
    )
    unknown = [text.get_text() for axes in nothing.axes for text in axes.texts]
    assert unknown.count("not known") == 4
    with pytest.raises(ValueError, match="no bond"):
        draw_explanations(rows[:0], over, sensitivities, curves)
    with pytest.raises(ValueError, match="unknown measure"):
        draw_explanations(rows, over, sensitivities, curves, measure="bonds")
