from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step

from matwheel.chapters.phonon.distance_network import (
    DistanceNetwork,
    DistanceNetworkSettings,
    EdgeBatch,
    edges_of,
)
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal

QUICK = DistanceNetworkSettings(width=12, steps=20, batch_size=4)
AT_REST = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]


def displaced(index: int, size_angstrom: float = 0.3) -> Crystal:
    """One cell of cubic Ag3SBr with its atoms moved at random."""
    lattice = 4.9 * np.eye(3)
    shift = np.random.default_rng(index).normal(0, size_angstrom, (5, 3))
    return Crystal(f"c{index}", ("Ag", "Ag", "Ag", "S", "Br"), lattice, AT_REST + shift / 4.9)


def spring_energy(crystal: Crystal) -> float:
    """A sum over Ag-S bonds of a smooth function of the distance."""
    edges = edges_of([crystal], 3.6)
    numbers = edges.atomic_numbers
    bond = (numbers[edges.source] == 47) & (numbers[edges.target] == 16)
    return float(((edges.distance[bond] - 2.45) ** 2).sum())


CRYSTALS = [displaced(index) for index in range(20)]
LABELS = np.array([[spring_energy(crystal), crystal.frac_coords[3, 0]] for crystal in CRYSTALS])


@pytest.fixture(scope="module")
def fitted() -> DistanceNetwork:
    network = DistanceNetwork(QUICK, target_names=("spring", "other"))
    network.fit(CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], LABELS[14:], seed=3)
    return network


def trained_away_from_its_start(seed: int = 0) -> DistanceNetwork:
    """A network whose nonlinear parts and later rounds have left zero; without validation the last state."""
    network = DistanceNetwork(replace(QUICK, learning_rate=0.01))
    network.fit(CRYSTALS[:14], LABELS[:14], [], np.zeros((0, 2)), seed=seed)
    assert float(network.network.convolutions[1].share) != 0.0
    return network


def test_edges_of_a_simple_cubic_crystal_are_the_shells_of_its_lattice() -> None:
    edges = edges_of([Crystal("Po", ("Po",), 3.0 * np.eye(3), [[0, 0, 0]])], 4.5)
    shells, counts = np.unique(edges.distance.numpy().round(3), return_counts=True)
    assert shells.tolist() == [3.0, pytest.approx(4.243)]
    assert counts.tolist() == [6, 12]


def test_edges_are_sorted_by_target_and_paired() -> None:
    edges = edges_of(CRYSTALS[:3], 5.5)
    assert (torch.diff(edges.target) >= 0).all()
    assert (torch.diff(edges.crystal) >= 0).all()
    assert (edges.crystal[edges.source] == edges.crystal[edges.target]).all()
    forward = sorted(zip(edges.source.tolist(), edges.target.tolist(), edges.distance.tolist(), strict=True))
    back = sorted(zip(edges.target.tolist(), edges.source.tolist(), edges.distance.tolist(), strict=True))
    assert np.allclose(forward, back, atol=1e-6)
    assert edges.n == 3


@pytest.mark.parametrize("kind", ["translation", "rotation", "order", "wrapping"])
def test_predictions_do_not_depend_on_how_a_crystal_is_written(kind: str) -> None:
    network = trained_away_from_its_start()
    crystal = CRYSTALS[1]
    lattice, coords, species = crystal.lattice, crystal.frac_coords, crystal.species
    if kind == "translation":
        coords = coords + np.array([0.13, -0.7, 0.4])
    elif kind == "rotation":
        lattice = lattice @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    elif kind == "order":
        order = [4, 2, 0, 3, 1]
        coords, species = coords[order], tuple(species[place] for place in order)
    else:
        coords = coords % 1.0
    same = Crystal("other", species, lattice, coords)
    assert network.predict([same]) == pytest.approx(network.predict([crystal]), abs=1e-4)


def test_supercell_has_the_same_prediction() -> None:
    network = trained_away_from_its_start()
    crystal = CRYSTALS[2]
    lattice = crystal.lattice * [[1], [1], [2]]
    half = crystal.frac_coords * [1, 1, 0.5]
    double = Crystal(
        "double", crystal.species * 2, lattice, np.concatenate([half, half + np.array([0, 0, 0.5])])
    )
    assert network.predict([double]) == pytest.approx(network.predict([crystal]), abs=1e-4)


def test_predictions_of_several_crystals_are_those_of_each() -> None:
    network = trained_away_from_its_start()
    together = network.predict(CRYSTALS[:4])
    assert together == pytest.approx(
        np.concatenate([network.predict([one]) for one in CRYSTALS[:4]]), abs=1e-4
    )
    assert network.predict([]).shape == (0, 2)


def test_derivatives_equal_finite_differences() -> None:
    network = trained_away_from_its_start()
    network.network.double()
    edges = edges_of(CRYSTALS[:2], 5.5)
    distance = edges.distance.double().requires_grad_()
    weight = torch.ones(len(distance), dtype=torch.float64, requires_grad=True)

    def energy(distance: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return network.forward(replace(edges, distance=distance), weight)[0, 0]

    of_distance, of_weight = torch.autograd.grad(energy(distance, weight), (distance, weight))
    step = 1e-4
    for edge in [0, 7, 33]:
        one = torch.zeros_like(weight)
        one[edge] = step
        with torch.no_grad():
            slope = (energy(distance + one, weight) - energy(distance - one, weight)) / (2 * step)
            share = (energy(distance, weight + one) - energy(distance, weight - one)) / (2 * step)
        assert float(of_distance[edge]) == pytest.approx(float(slope), rel=1e-4, abs=1e-9)
        assert float(of_weight[edge]) == pytest.approx(float(share), rel=1e-4, abs=1e-9)
    own = edges.crystal[edges.target] == 0
    assert float(of_distance[own].abs().max()) > 1e-3
    assert float(of_weight[own].abs().max()) > 1e-3
    # The other crystal has no say.
    assert float(of_distance[~own].abs().max()) == 0.0


def test_weights_of_one_change_nothing_and_of_zero_remove_edges() -> None:
    network = trained_away_from_its_start()
    edges = edges_of(CRYSTALS[:1], 5.5)
    plain = network.forward(edges)
    assert torch.equal(network.forward(edges, torch.ones(len(edges.distance))), plain)
    kept = edges.distance < 4.0
    fewer = EdgeBatch(
        edges.atomic_numbers, edges.source[kept], edges.target[kept], edges.distance[kept], edges.crystal, 1
    )
    assert torch.allclose(network.forward(edges, kept.float()), network.forward(fewer), atol=1e-5)
    assert not torch.allclose(network.forward(fewer), plain, atol=1e-3)


def test_prediction_is_smooth_where_an_edge_passes_the_cutoff() -> None:
    network = trained_away_from_its_start()
    cutoff = network.settings.cutoff_angstrom
    edges = edges_of(CRYSTALS[:1], cutoff)
    none = edges.distance[:0]

    def with_one_more(distance: float) -> torch.Tensor:
        more = replace(
            edges,
            source=torch.cat([edges.source, torch.tensor([0])]),
            target=torch.cat([edges.target, torch.tensor([3])]),
            distance=torch.cat([edges.distance, torch.full_like(edges.distance[:1], distance), none]),
        )
        return network.forward(more)[0]

    plain = network.forward(edges)[0]
    assert torch.allclose(with_one_more(cutoff - 1e-4), plain, atol=1e-6)
    assert torch.equal(with_one_more(cutoff + 0.1), with_one_more(cutoff))
    assert not torch.allclose(with_one_more(3.0), plain, atol=1e-3)


def test_learns_pair_functions_and_sees_a_tenth_of_an_angstrom(fitted: DistanceNetwork) -> None:
    test = [displaced(index) for index in range(100, 130)]
    truth = np.array([spring_energy(crystal) for crystal in test])
    network = DistanceNetwork(replace(QUICK, width=32, steps=0))
    many = [displaced(index) for index in range(200, 260)]
    network.fit(many, np.array([[spring_energy(one)] for one in many]), [], np.zeros((0, 1)), seed=0)
    error = network.predict(test)[:, 0] - truth
    assert (error**2).mean() < 0.15 * truth.var()
    crystal = displaced(1, 0.05)
    moved = crystal.frac_coords.copy()
    moved[3, 0] += 0.1 / 4.9
    other = Crystal("moved", crystal.species, crystal.lattice, moved)
    change = network.predict([other]) - network.predict([crystal])
    assert abs(change[0, 0]) > 1e-3


def test_same_seed_same_bits_and_another_seed_another_model(fitted: DistanceNetwork, tmp_path) -> None:
    again = DistanceNetwork(QUICK, target_names=("spring", "other"))
    torch.manual_seed(99)
    report = again.fit(CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], LABELS[14:], seed=3)
    assert np.array_equal(again.predict(CRYSTALS), fitted.predict(CRYSTALS))
    fitted.save(tmp_path / "one.pt")
    again.save(tmp_path / "two.pt")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    loaded = DistanceNetwork.load(tmp_path / "one.pt")
    assert np.array_equal(loaded.predict(CRYSTALS), fitted.predict(CRYSTALS))
    assert loaded.target_names == ("spring", "other")
    loaded.save(tmp_path / "three.pt")
    assert (tmp_path / "three.pt").read_bytes() == (tmp_path / "one.pt").read_bytes()
    assert report["best_validation_error"] <= report["start_validation_error"]
    assert [point["step"] for point in report["curve"]] == [0, 10, 20]
    other = DistanceNetwork(QUICK)
    other.fit(CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], LABELS[14:], seed=4)
    assert not np.array_equal(other.predict(CRYSTALS), fitted.predict(CRYSTALS))


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 0.01}, {"largest_gradient_norm": None, "average_decay": 0.0}]
)
def test_an_interrupted_training_ends_with_the_same_bits(changes, tmp_path, monkeypatch) -> None:
    rows = (CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], LABELS[14:])
    whole, resumed = (DistanceNetwork(replace(QUICK, **changes)) for _ in range(2))
    report = whole.fit(*rows, seed=3)
    checkpoint_after_every_step(monkeypatch)
    checkpoint = BreaksOff(tmp_path / "network.checkpoint", "one", saves=13)
    with pytest.raises(Interrupted):
        resumed.fit(*rows, seed=3, checkpoint=checkpoint)
    assert resumed.fit(*rows, seed=3, checkpoint=checkpoint) == report
    assert np.array_equal(resumed.predict(CRYSTALS), whole.predict(CRYSTALS))


def test_report_holds_the_error_of_the_state_that_is_kept(fitted: DistanceNetwork) -> None:
    network = DistanceNetwork(replace(QUICK, learning_rate=0.03))
    report = network.fit(CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], LABELS[14:], seed=3)
    deviation = LABELS[:14].std(axis=0)
    error = (np.abs(network.predict(CRYSTALS[14:]) - LABELS[14:]) / deviation).mean()
    assert report["best_validation_error"] == pytest.approx(error, rel=1e-4)
    assert report["best_validation_error"] == min(point["validation_error"] for point in report["curve"])


def test_labels_of_validation_rows_only_choose() -> None:
    kept = []
    for factor in (1.0, 100.0):
        network = DistanceNetwork(replace(QUICK, steps=0))
        network.fit(CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], factor * LABELS[14:], seed=3)
        kept.append(network.predict(CRYSTALS))
    assert np.array_equal(*kept)


def test_unknown_labels_count_nowhere() -> None:
    holed = LABELS.copy()
    holed[2:6, 1] = np.nan
    holed[16, 0] = np.nan
    network = DistanceNetwork(QUICK)
    report = network.fit(CRYSTALS[:14], holed[:14], CRYSTALS[14:], holed[14:], seed=3)
    assert np.isfinite(network.predict(CRYSTALS)).all()
    assert np.isfinite(report["best_validation_error"])
    assert report["target_mean"][1] == pytest.approx(np.nanmean(holed[:14, 1]))
    only_unknown = DistanceNetwork(QUICK)
    unknown = np.full_like(LABELS[14:], np.nan)
    report = only_unknown.fit(CRYSTALS[:14], LABELS[:14], CRYSTALS[14:], unknown, seed=3)
    assert report["best_validation_error"] is None
    assert report["chosen_step"] == QUICK.steps


def test_equal_labels_are_predicted() -> None:
    labels = np.full((20, 1), -2.9)
    network = DistanceNetwork(QUICK)
    network.fit(CRYSTALS[:14], labels[:14], CRYSTALS[14:], labels[14:], seed=0)
    assert network.predict(CRYSTALS) == pytest.approx(labels, abs=1e-6)


def test_equal_crystals_are_no_obstacle() -> None:
    same = [replace(CRYSTALS[0], id=f"s{place}") for place in range(4)]
    labels = np.array([[1.0], [2.0], [3.0], [4.0]])
    network = DistanceNetwork(QUICK)
    network.fit(same, labels, [], np.zeros((0, 1)), seed=0)
    assert network.predict(same) == pytest.approx(2.5, abs=0.05)


def test_wrong_rows_are_named() -> None:
    network = DistanceNetwork(QUICK, target_names=("energy", "gap"))
    with pytest.raises(InputError, match="1 training rows, at least 2"):
        network.fit(CRYSTALS[:1], LABELS[:1], [], np.zeros((0, 2)), seed=0)
    with pytest.raises(InputError, match="5 crystals but labels of shape"):
        network.fit(CRYSTALS[:5], LABELS[:4], [], np.zeros((0, 2)), seed=0)
    holed = LABELS[:5].copy()
    holed[1:, 1] = np.nan
    with pytest.raises(InputError, match="gap: 1 known labels"):
        network.fit(CRYSTALS[:5], holed, [], np.zeros((0, 2)), seed=0)
    holed[2, 0] = np.inf
    with pytest.raises(InputError, match="crystal c2 has an infinite label"):
        network.fit(CRYSTALS[:5], holed, [], np.zeros((0, 2)), seed=0)
    with pytest.raises(InputError, match="2 targets, but 1 names"):
        DistanceNetwork(QUICK, target_names=("energy",)).fit(CRYSTALS, LABELS, [], np.zeros((0, 2)), seed=0)
    with pytest.raises(RuntimeError, match="fit or load"):
        DistanceNetwork(QUICK).predict(CRYSTALS)


def test_elements_that_training_has_not_seen_are_refused(fitted: DistanceNetwork) -> None:
    iodide = Crystal("iodide", ("Ag", "Ag", "Ag", "S", "I"), 4.9 * np.eye(3), AT_REST)
    with pytest.raises(InputError, match="iodide: no training row holds I"):
        fitted.predict([iodide])
    with pytest.raises(InputError, match="unknown element 'Xx'"):
        edges_of([Crystal("odd", ("Xx",), np.eye(3), [[0, 0, 0]])])
    with pytest.raises(InputError, match="no volume"):
        edges_of([Crystal("flat", ("Ag",), np.zeros((3, 3)), [[0, 0, 0]])])


@pytest.mark.parametrize(
    "changes",
    [
        {"cutoff_angstrom": 0.0},
        {"loss": "cosine"},
        {"average_decay": 1.0},
        {"width": -1},
        {"fading_angstrom": 6.0},
        {"smallest_distance_angstrom": 5.5},
        {"learning_rate": float("nan")},
    ],
)
def test_settings_are_checked(changes: dict) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        DistanceNetworkSettings(**changes)


def test_file_of_another_model_is_refused(tmp_path) -> None:
    torch.save({"predictor": "cgcnn"}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="not a model of distance_network"):
        DistanceNetwork.load(tmp_path / "model.pt")
