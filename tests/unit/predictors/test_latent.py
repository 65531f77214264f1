"""Latent features: what they may not depend on. Latent predictor: its choice, its files, its refusals."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.potentials import potential_card
from matwheel.predictors import latent_features as latent_module
from matwheel.predictors.latent import LatentPredictor, LatentSettings
from matwheel.predictors.latent_features import (
    BLOCKS,
    LARGEST_ATOMS,
    LatentFeatures,
    LatentModel,
    block_columns,
    concatenate_features,
    latent_features,
    load_features,
    save_features,
)


def silent(message: str) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> LatentModel:
    return LatentModel()


@pytest.fixture(scope="module")
def features(model, jarvis_crystals) -> LatentFeatures:
    return model.features_of(jarvis_crystals[0], silent)


def crystal(name, species, lattice, frac_coords):
    return Crystal(name, tuple(species), np.array(lattice, float), np.array(frac_coords, float))


def cubic(name, species, length, frac_coords):
    return crystal(name, species, np.diag([length] * 3), frac_coords)


def made_up_features(rows, seed=0, width=4):
    """Features of crystals that exist in name only; the label depends on the first column."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 3 * width + 1)).astype(np.float32)
    matrix[:, -1] = 64.0
    crystals = [cubic(f"c{row}", ["Si"], 4.0, [[0, 0, 0]]) for row in range(rows)]
    ids = tuple(one.id for one in crystals)
    digest = potential_card("7net-0").weights_sha256
    made_up = LatentFeatures(ids, matrix, np.ones(rows, dtype=np.int64), ("",) * rows, "7net-0", digest)
    return crystals, np.expm1(2.0 + matrix[:, 0].astype(float)), made_up


def fit(predictor, crystals, target, seed=3):
    return predictor.fit(crystals, target, [], np.zeros(0), seed=seed, log=silent)


# Rows: a cell of two primitive cells, skewed; with its lattice points in units of the primitive cell.
TWO_CELLS = np.array([[2, 0, 0], [1, 1, 0], [0, -1, 1]])
POINTS = np.array([[0, 0, 0], [1, 0, 0]])


def same_crystal_otherwise(one: Crystal, rng: np.random.Generator) -> Crystal:
    """The crystal as a skewed supercell, turned, with another origin and its atoms in another order."""
    moved = one.frac_coords + rng.random(3) + rng.integers(-2, 3, size=one.frac_coords.shape)
    positions = np.concatenate([moved + point for point in POINTS]) @ np.linalg.inv(TWO_CELLS)
    order = rng.permutation(len(positions))
    turned = TWO_CELLS @ one.lattice @ Rotation.random(random_state=rng).as_matrix()
    return crystal(one.id, np.array(one.species * 2)[order].tolist(), turned, positions[order])


def test_features_ignore_supercell_order_origin_and_rotation(model, features, jarvis_crystals):
    originals = [one for one in jarvis_crystals[0] if len(one.species) <= 12][:12]
    rng = np.random.default_rng(1)
    after = model.features_of([same_crystal_otherwise(one, rng) for one in originals], silent)
    before = features.select([one.id for one in originals])
    assert not any(after.reasons)
    np.testing.assert_allclose(after.matrix, before.matrix, rtol=2e-4, atol=2e-4)
    # Worthless if all crystals looked alike.
    assert np.abs(before.matrix[0] - before.matrix[1]).max() > 1.0


def test_features_are_what_the_potential_computes_its_energy_from(model, jarvis_crystals):
    """The readout is linear, so the energies of the package's calculator must follow from the last block."""
    from sevenn.calculator import SevenNetCalculator
    from sevenn.util import load_checkpoint

    from matwheel.potentials.atoms import to_atoms
    from matwheel.potentials.potentials import weights_path

    network = load_checkpoint(str(weights_path("7net-0"))).build_model().eval()
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    hidden = weights["reduce_input_to_hidden.linear.weight"].reshape(128, -1) / np.sqrt(128)
    readout = hidden @ weights["reduce_hidden_to_energy.linear.weight"] / np.sqrt(hidden.shape[1])
    calculator = SevenNetCalculator(network, file_type="model_instance", device="cpu")
    last = slice(4 * 128, 5 * 128)
    for one in jarvis_crystals[0][:3]:
        atoms = to_atoms(one)
        expected = calculator.get_potential_energy(atoms) / len(atoms)
        types = [calculator.type_map[number] for number in atoms.numbers]
        scale, shift = (
            np.broadcast_to(weights[f"rescale_atomic_energy.{name}"], 89) for name in ("scale", "shift")
        )
        assert np.ptp(scale) == 0
        mean = model.features_of([one], silent).matrix[0, last].astype(float)
        assert mean @ readout * scale[0] + shift[types].mean() == pytest.approx(expected, abs=1e-4)


def test_the_features_of_one_crystal_do_not_depend_on_the_others(model, features, jarvis_crystals):
    some = jarvis_crystals[0][:5][::-1]
    assert np.array_equal(model.features_of(some, silent).matrix[::-1], features.matrix[:5])
    # Neither on what was computed before (the first calls of a compiled model are special).
    assert np.array_equal(latent_features(some[:1], log=silent).matrix, features.matrix[4:5])


def test_blocks_are_mean_spread_maximum_and_volume(model):
    graphite_like = cubic("two", ["C", "Si"], 4.0, [[0, 0, 0], [0.5, 0.5, 0.5]])
    alone = cubic("one", ["Si"], 4.0, [[0, 0, 0]])
    matrix = model.features_of([graphite_like, alone], silent).matrix
    blocks = block_columns(matrix.shape[1])
    assert tuple(blocks) == BLOCKS
    mean, spread, maximum, volume = (matrix[:, blocks[name]] for name in BLOCKS)
    assert mean.shape == spread.shape == maximum.shape == (2, 640)
    assert volume.tolist() == [[32.0], [64.0]]
    # Of two atoms: maximum = mean + spread. Of one: maximum = mean, no spread.
    np.testing.assert_allclose(maximum[0], mean[0] + spread[0], atol=1e-5)
    assert np.array_equal(maximum[1], mean[1]) and not spread[1].any() and spread[0].max() > 0.1


BROKEN = {
    "no atoms": cubic("empty", [], 4.0, np.zeros((0, 3))),
    "lattice or positions are not finite": cubic("nan", ["Si"], 4.0, [[np.nan, 0, 0]]),
    "lattice or positions are not finite ": cubic("inf", ["Si"], np.inf, [[0, 0, 0]]),
    "the cell has no volume": crystal("flat", ["Si"], [[3, 0, 0], [0, 3, 0], [3, 3, 0]], [[0, 0, 0]]),
    "7net-0 does not know Am, Xx": cubic("odd", ["Xx", "Si", "Am"], 6.0, [[0] * 3, [0.3] * 3, [0.6] * 3]),
    "atoms 0 and 1 are 0 Å apart": cubic("same", ["Si", "O"], 4.0, [[0, 0, 0], [0, 0, 1]]),
    "atoms 0 and 1 are 0.04 Å apart": cubic("close", ["Si", "O"], 4.0, [[0, 0, 0], [0, 0, 0.01]]),
    "atoms 0 and 0 are 0.2 Å apart": crystal("thin", ["Si"], np.diag([0.2, 30, 30]), [[0, 0, 0]]),
    "too dense: 0.17 Å³ per atom, about 6.2e+04 pairs of neighbours": cubic(
        "dense", ["Si"] * 20, 1.5, np.random.default_rng(0).random((20, 3))
    ),
    "a cell only 0.0033 Å thin": crystal(
        "sheared", ["Si"], [[300, 0, 0], [300, 0.2, 0], [300, 300, 5]], [[0, 0, 0]]
    ),
    "a lattice vector of 1e+05 Å, longer than 500": cubic("void", ["Si"], 1e5, [[0, 0, 0]]),
    f"{LARGEST_ATOMS + 1} atoms, more than {LARGEST_ATOMS}": cubic(
        "huge", ["Si"] * (LARGEST_ATOMS + 1), 30.0, np.random.default_rng(0).random((LARGEST_ATOMS + 1, 3))
    ),
}


def test_broken_crystals_get_a_reason_and_stop_nothing(model, features, jarvis_crystals):
    good = jarvis_crystals[0][0]
    lonely = cubic("lonely", ["He"], 30.0, [[0, 0, 0]])
    found = model.features_of([*BROKEN.values(), lonely, good], silent)
    assert found.reasons == (*(reason.strip() for reason in BROKEN), "", "")
    assert np.isnan(found.matrix[:-2]).all() and np.isfinite(found.matrix[-2:]).all()
    assert np.array_equal(found.matrix[-1], features.matrix[0])


def test_files_of_features_are_exact_and_reproducible(model, features, tmp_path):
    odd = model.features_of([BROKEN["the cell has no volume"]], silent)
    both = concatenate_features([features, odd])
    for name in ("one", "two"):
        save_features(both, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = load_features(tmp_path / "one")
    assert np.array_equal(again.matrix, both.matrix, equal_nan=True)
    assert (again.ids, again.reasons, again.potential) == (both.ids, both.reasons, "7net-0")
    assert again.weights_sha256 == potential_card("7net-0").weights_sha256 == both.weights_sha256
    assert again.select(["flat", features.ids[3]]).reasons == ("the cell has no volume", "")
    assert LatentPredictor.read_prepared([tmp_path / "one"]).features["7net-0"].ids == both.ids
    with pytest.raises(InputError, match="no latent features of crystal nobody"):
        again.select(["nobody"])
    other = LatentFeatures(**{**vars_of(odd), "weights_sha256": "0" * 64})
    with pytest.raises(InputError, match="compute all of them with one"):
        concatenate_features([features, other])


def vars_of(features: LatentFeatures) -> dict:
    names = ("ids", "matrix", "atom_counts", "reasons", "potential", "weights_sha256")
    return {name: getattr(features, name) for name in names}


def test_other_potentials_are_refused():
    with pytest.raises(InputError, match="potential 'emt' has no latent features here; choose 7net-0"):
        LatentModel("emt")
    with pytest.raises(InputError, match="unknown potential '8net'"):
        latent_features([], "8net")
    with pytest.raises(InputError, match="prepared, the predictor's setting is 7net-l3i5"):
        LatentPredictor.from_settings({"potentials": ["7net-l3i5"]}, made_up_features(3)[2])


def test_only_speed_depends_on_prepared_features(features, jarvis_crystals, tmp_path):
    crystals, target = jarvis_crystals
    half = features.select([one.id for one in crystals[:20]])
    predictions = []
    for prepared in (features, half):
        predictor = LatentPredictor(prepared=prepared)
        report = fit(predictor, crystals[:30], target[:30])
        predictions.append(predictor.predict(crystals))
    assert np.array_equal(predictions[0], predictions[1])
    json.dumps(report, allow_nan=False)
    assert report["training_rows"] == report["usable_rows"] == 30 and report["left_out"] == []
    assert len(report["cross_validation"]) == 20
    best = min(row["error"] for row in report["cross_validation"])
    assert report["chosen"]["error"] == best
    predictor.save(tmp_path / "model")
    loaded = LatentPredictor.load(tmp_path / "model", features)
    assert np.array_equal(loaded.predict(crystals), predictions[0])
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_features_of_another_crystal_or_other_weights_are_refused(features, jarvis_crystals, tmp_path):
    crystals, target = jarvis_crystals
    predictor = LatentPredictor(prepared=features)
    fit(predictor, crystals[:12], target[:12])
    first = crystals[0]
    swollen = Crystal(first.id, first.species, first.lattice * 1.01, first.frac_coords)
    doubled = Crystal(
        first.id, first.species * 2, first.lattice * [[2], [1], [1]], np.tile(first.frac_coords, (2, 1))
    )
    for other in (swollen, doubled):
        with pytest.raises(InputError, match=f"crystal {first.id} has .* two crystals share an id"):
            predictor.predict([other])
    predictor.save(tmp_path / "model")
    changed = LatentFeatures(**{**vars_of(features), "weights_sha256": "0" * 64})
    with pytest.raises(InputError, match="train it again"):
        LatentPredictor.load(tmp_path / "model", changed).predict(crystals[:2])


def test_crystals_without_features_get_the_median_and_teach_nothing(model, features, jarvis_crystals):
    crystals, target = jarvis_crystals
    broken = list(BROKEN.values())[:4]
    prepared = concatenate_features([features, model.features_of(broken, silent)])
    predictor, plain = (LatentPredictor(prepared=prepared) for _ in range(2))
    report = fit(predictor, [*crystals[:15], *broken], np.append(target[:15], [1.0, 2.0, 3.0, 1e6]))
    assert report["training_rows"] == 19 and report["usable_rows"] == 15
    assert [row["id"] for row in report["left_out"]] == [one.id for one in broken]
    median = np.median([*target[:15], 1.0, 2.0, 3.0, 1e6])
    predicted = predictor.predict([*broken, *crystals])
    assert predicted[:4].tolist() == [median] * 4
    fit(plain, crystals[:15], target[:15])
    assert np.array_equal(predicted[4:], plain.predict(crystals))
    # Nothing to learn from at all: still a prediction for every crystal.
    fit(predictor, broken[:3], np.array([1.0, 2.0, 6.0]))
    np.testing.assert_allclose(predictor.predict([*broken, *crystals[:2]]), 2.0)


def test_the_predictor_learns_a_function_of_the_features():
    crystals, target, made_up = made_up_features(200)
    predictor = LatentPredictor(prepared=made_up)
    report = fit(predictor, crystals[:150], target[:150])
    error = np.abs(predictor.predict(crystals[150:]) - target[150:]).mean()
    assert error < 0.35 * np.abs(target[150:] - np.median(target[:150])).mean()
    assert predictor.predict(crystals).max() <= target[:150].max() * (1 + 1e-12)
    # What cross-validation promises holds, on the logarithmic scale it is measured on.
    held_out = np.abs(np.log1p(predictor.predict(crystals[150:])) - np.log1p(target[150:])).mean()
    assert held_out == pytest.approx(report["chosen"]["error"], rel=0.5)


def test_pure_noise_is_answered_by_the_smoothest_or_cheapest_candidates():
    crystals, _, made_up = made_up_features(80)
    noise = np.exp(np.random.default_rng(9).normal(size=80))
    report = fit(LatentPredictor(prepared=made_up), crystals, noise)
    errors = {(row["gamma"], row["penalty"]): row["error"] for row in report["cross_validation"]}
    assert errors[report["chosen"]["gamma"], report["chosen"]["penalty"]] < 0.8 * errors[0.3, 100.0]


def test_one_absurd_training_crystal_leaves_the_others_as_they_are():
    crystals, target, made_up = made_up_features(200)
    spoilt_matrix = made_up.matrix.copy()
    spoilt_matrix[7, :-1] = 1e30
    spoilt = LatentFeatures(**{**vars_of(made_up), "matrix": spoilt_matrix})
    errors = []
    for prepared in (made_up, spoilt):
        predictor = LatentPredictor(prepared=prepared)
        fit(predictor, crystals[:150], target[:150])
        predicted = predictor.predict(crystals[150:])
        errors.append(np.abs(predicted - target[150:]).mean())
    assert errors[1] < 1.3 * errors[0]


def test_seed_decides_the_folds_only():
    crystals, target, made_up = made_up_features(60)
    reports = [fit(LatentPredictor(prepared=made_up), crystals, target, seed) for seed in (1, 1, 2)]
    assert reports[0] == reports[1]
    assert reports[0]["cross_validation"] != reports[2]["cross_validation"]


@pytest.mark.parametrize("target", ["log1p", "raw"])
def test_few_rows_equal_labels_and_negative_labels(target):
    crystals, _, made_up = made_up_features(30)
    predictor = LatentPredictor(LatentSettings(target=target), made_up)
    for rows in (1, 2, 9, 12):
        report = fit(predictor, crystals[:rows], np.full(rows, 5.0))
        assert len(report["cross_validation"]) == (20 if rows == 12 else 0)
        np.testing.assert_allclose(predictor.predict(crystals), 5.0)
    labels = np.linspace(-3.0, 3.0, 30)
    fit(predictor, crystals, labels)
    predicted = predictor.predict(crystals)
    assert predicted.min() < 0 < predicted.max() and np.abs(predicted).max() <= 3.0 + 1e-9


def test_blocks_of_weight_zero_are_left_out(tmp_path):
    crystals, target, made_up = made_up_features(40)
    settings = LatentSettings(spread_weight=0, maximum_weight=0, volume_weight=0)
    predictor = LatentPredictor(settings, made_up)
    fit(predictor, crystals, target)
    before = predictor.predict(crystals)
    changed = made_up.matrix.copy()
    changed[:, 4:12] += 50.0
    predictor = LatentPredictor(settings, LatentFeatures(**{**vars_of(made_up), "matrix": changed}))
    fit(predictor, crystals, target)
    assert np.array_equal(predictor.predict(crystals), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"colour": "blue"}, "colour is 'blue'; there is no such setting"),
        ({"target": "sqrt"}, "give one of log1p, raw"),
        ({"gammas": []}, "gammas is "),
        ({"gammas": 0.1}, "gammas is 0.1; give a list"),
        ({"penalties": [1, -1]}, "penalties.1 is -1; give a number above 0"),
        ({"volume_weight": -1}, "give a number from 0"),
        ({"folds": 1}, "folds is 1; give a whole number from 2"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        LatentPredictor.from_settings(settings)


def test_settings_of_a_config_file_are_taken():
    predictor = LatentPredictor.from_settings({"gammas": [0.1], "penalties": [1, 3], "device": "cuda"})
    assert predictor.settings.gammas == (0.1,) and predictor.settings.penalties == (1.0, 3.0)


def test_features_in_the_store_are_not_computed_again(model, jarvis_crystals, tmp_path, monkeypatch):
    some = jarvis_crystals[0][:4]
    odd = cubic("odd", ["Po", "Fr"], 4.0, [[0, 0, 0], [0.5, 0.5, 0.5]])
    said: list[str] = []
    latent_features(some[:2], log=said.append, store=tmp_path)
    both = latent_features([odd, *some], log=said.append, store=tmp_path)
    assert [line for line in said if "store" in line] == [
        "latent features by 7net-0: 2 to compute, 0 found in the store",
        "latent features by 7net-0: 3 to compute, 2 found in the store",
    ]
    plain = model.features_of([odd, *some], silent)
    assert np.array_equal(both.matrix, plain.matrix, equal_nan=True)
    assert (both.ids, both.reasons) == (plain.ids, plain.reasons)
    assert both.reasons[0] and not any(both.reasons[1:])
    monkeypatch.setattr(latent_module, "LatentModel", None)
    again = latent_features([odd, *some], log=silent, store=tmp_path)
    assert again.matrix.tobytes() == both.matrix.tobytes()
    assert (again.reasons, again.weights_sha256) == (both.reasons, both.weights_sha256)
