"""Latent predictor: several potentials, layers, computed properties, weights, and intervals."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_latent import crystal, fit, made_up_features, silent, vars_of

from matwheel.core.errors import InputError
from matwheel.predictors.computed_properties import PropertyTable, property_table, read_properties
from matwheel.predictors.forest import ForestPredictor, ForestSettings
from matwheel.predictors.latent import LatentPredictor, LatentSettings, PreparedLatent
from matwheel.predictors.latent_features import LatentFeatures, save_features
from matwheel.predictors.latent_space import described, scaling_of, squared_distances
from matwheel.predictors.support_vectors import absolute_deviation_line

QUICK = {"gammas": [0.03, 0.3], "penalties": [3.0, 30.0]}


def with_more_vacuum(layer, angstrom):
    """The layer in a cell that is so much higher, atoms where they are."""
    lattice = layer.lattice.copy()
    lattice[2] *= 1 + angstrom / np.linalg.norm(lattice[2])
    positions = layer.frac_coords @ layer.lattice
    return replace(layer, lattice=lattice, frac_coords=positions @ np.linalg.inv(lattice))


def some_layers():
    """Flat layers of two kinds of atoms, 20 Å of vacuum."""
    rng = np.random.default_rng(0)
    layers = []
    for row, pair in enumerate(
        [("C", "C"), ("B", "N"), ("Si", "C"), ("Ge", "Ge"), ("Ga", "N"), ("Si", "Si")] * 3
    ):
        side, thick = 2.5 + 1.5 * rng.random(), 1.0 * rng.random()
        lattice = [[side, 0, 0], [-side / 2, side * 0.75**0.5, 0], [0, 0, 20.0 + thick]]
        positions = [[1 / 3, 2 / 3, 0.3], [2 / 3, 1 / 3, 0.3 + thick / (20.0 + thick)]]
        layers.append(crystal(f"layer{row}", pair, lattice, positions))
    return layers, 20.0 + 100.0 * rng.random(len(layers))


@pytest.fixture(scope="module")
def fitted_to_layers():
    layers, labels = some_layers()
    predictors = {}
    for size in ("auto", "volume"):
        predictors[size] = LatentPredictor(LatentSettings(size=size))
        predictors[size].report = fit(predictors[size], layers, labels)
    return layers, labels, predictors


def test_more_vacuum_changes_no_prediction_of_a_layer(fitted_to_layers):
    layers, labels, predictors = fitted_to_layers
    assert predictors["auto"].report["size"] == "layer" and predictors["volume"].report["size"] == "volume"
    higher = [with_more_vacuum(one, 10.0) for one in layers]
    change = {
        size: np.abs(predictor.predict(higher) / predictor.predict(layers) - 1).max()
        for size, predictor in predictors.items()
    }
    assert change["auto"] < 1e-6
    assert change["volume"] > 1e-3  # the test would see it
    forest = ForestPredictor(ForestSettings(trees=20))
    fit(forest, layers, labels)
    assert np.array_equal(forest.predict(higher), forest.predict(layers))


def test_crystals_that_are_no_layers_keep_the_volume():
    cubes, labels, made_up = made_up_features(20)
    assert fit(LatentPredictor(prepared=made_up), cubes, labels)["size"] == "volume"


def test_distances_are_averaged_over_potentials(tmp_path):
    crystals, target, made_up = made_up_features(60)
    twin = LatentFeatures(**{**vars_of(made_up), "potential": "7net-l3i5", "weights_sha256": "1" * 64})
    for features in (made_up, twin):
        save_features(features, tmp_path / f"{features.potential}.npz")
    both = LatentPredictor.read_prepared([tmp_path / "7net-0.npz", tmp_path / "7net-l3i5.npz"])
    settings = LatentSettings(potentials=("7net-0", "7net-l3i5"))
    one, two = LatentPredictor(prepared=made_up), LatentPredictor(settings, both)
    fit(one, crystals[:40], target[:40])
    report = fit(two, crystals[:40], target[:40])
    assert sorted(report["weights_sha256"]) == ["7net-0", "7net-l3i5"]
    # The same features twice are no other features; the support vectors end within their tolerance.
    np.testing.assert_allclose(two.predict(crystals), one.predict(crystals), rtol=0.05)
    distances = []
    for features in ([made_up], [made_up, twin]):
        rows = described(features, np.arange(60), None)
        coordinates = scaling_of(rows, np.ones(60, dtype=bool), settings.weights).coordinates(rows.matrix)
        distances.append(squared_distances(coordinates, coordinates))
    np.testing.assert_allclose(distances[1], distances[0], rtol=1e-4, atol=1e-5)
    two.save(tmp_path / "model")
    assert np.array_equal(
        LatentPredictor.load(tmp_path / "model", both).predict(crystals), two.predict(crystals)
    )
    reasons = ("no atoms", *twin.reasons[1:])
    lame = LatentFeatures(**{**vars_of(twin), "reasons": reasons})
    half = PreparedLatent({"7net-0": made_up, "7net-l3i5": lame})
    assert fit(LatentPredictor(settings, half), crystals[:40], target[:40])["usable_rows"] == 39


def computed(crystals, values, name="energy_mev"):
    return PropertyTable(tuple(one.id for one in crystals), (name,), np.asarray(values, float)[:, None])


def problem_with_property(noise, rows=120):
    """Labels that are a computed value times a function of the features; features alone say little."""
    crystals, factor, made_up = made_up_features(rows)
    rng = np.random.default_rng(5)
    value = np.exp(rng.normal(4.0, 1.0, rows))
    target = value * (1.0 + factor) ** 0.15 * np.exp(noise * rng.normal(size=rows))
    return crystals, target, made_up, value


INFORMED = {
    **QUICK,
    "properties": ["energy_mev"],
    "positive_properties": ["energy_mev"],
    "base_property": "energy_mev",
    "property_weights": [0.0, 0.2, 0.5],
    "chosen_by": "label",
}


def test_a_computed_property_helps_and_few_labels_take_the_residual(tmp_path):
    crystals, target, made_up, value = problem_with_property(0.05)
    prepared = PreparedLatent({"7net-0": made_up}, computed(crystals, value))
    errors = {}
    for rows in (25, 90):
        for name, settings, given in (("plain", QUICK, made_up), ("informed", INFORMED, prepared)):
            predictor = LatentPredictor.from_settings(settings, given)
            report = fit(predictor, crystals[:rows], target[:rows])
            errors[name, rows] = np.abs(predictor.predict(crystals[90:]) - target[90:]).mean()
        json.dumps(report, allow_nan=False)
    assert errors["informed", 25] < 0.6 * errors["plain", 25]
    assert errors["informed", 90] < 0.6 * errors["plain", 90]
    assert report["form"] in ("residual", "mean") and report["without_properties"] == 0
    predictor.save(tmp_path / "model")
    loaded = LatentPredictor.load(tmp_path / "model", prepared)
    assert np.array_equal(loaded.predict(crystals), predictor.predict(crystals))
    again = loaded.predict_intervals(crystals)
    assert np.array_equal(again.highest, predictor.predict_intervals(crystals).highest)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_crystals_without_the_property_get_the_machine_without_it(capsys):
    crystals, target, made_up, value = problem_with_property(0.05)
    holes = np.where(np.arange(120) % 7 == 0, np.nan, value)
    prepared = PreparedLatent({"7net-0": made_up}, computed(crystals[:110], holes[:110]))
    informed = LatentPredictor.from_settings(INFORMED, prepared)
    report = fit(informed, crystals[:90], target[:90])
    assert report["without_properties"] == 13 and report["ids_without"][:2] == ["c0", "c7"]
    plain = LatentPredictor.from_settings({**QUICK, "chosen_by": "label"}, made_up)
    fit(plain, crystals[:90], target[:90])
    both, without = informed.predict(crystals), plain.predict(crystals)
    lacking = np.isnan(holes) | (np.arange(120) >= 110)
    np.testing.assert_allclose(both[lacking], without[lacking], rtol=1e-10)
    assert (both[~lacking] != without[~lacking]).all()
    said = capsys.readouterr().err
    assert (
        f"{lacking.sum()} of 120 crystals have not all of the computed properties" in said
        and "c0, c7" in said
    )
    # Properties of hardly any training row are not used at all.
    few = PreparedLatent({"7net-0": made_up}, computed(crystals[:5], value[:5]))
    hardly = LatentPredictor.from_settings(INFORMED, few)
    assert fit(hardly, crystals[:90], target[:90])["form"] is None
    np.testing.assert_allclose(hardly.predict(crystals), without, rtol=1e-10)


def test_a_property_that_says_nothing_gets_little_weight():
    crystals, target, made_up = made_up_features(120)
    noise = np.exp(np.random.default_rng(8).normal(4.0, 1.0, 120))
    prepared = PreparedLatent({"7net-0": made_up}, computed(crystals, noise))
    errors = []
    for settings, given in ((QUICK, made_up), (INFORMED, prepared)):
        predictor = LatentPredictor.from_settings({**settings, "chosen_by": "label"}, given)
        fit(predictor, crystals[:80], target[:80])
        errors.append(np.abs(predictor.predict(crystals[80:]) - target[80:]).mean())
    assert errors[1] < 1.1 * errors[0]


def test_the_line_is_the_one_of_least_absolute_deviations():
    given = np.linspace(0.0, 5.0, 41)
    target = 0.7 * given + 1.3
    target[3] += 100.0  # an outlier moves no median
    assert absolute_deviation_line(given, target) == pytest.approx((0.7, 1.3), abs=1e-9)
    weights = np.where(np.arange(41) < 20, 0.0, 1.0)
    bent = np.where(np.arange(41) < 20, 9.0, target)
    assert absolute_deviation_line(given, bent, weights) == pytest.approx((0.7, 1.3), abs=1e-9)
    slope, middle = absolute_deviation_line(given, -given)
    assert (slope, middle) == (0.0, -2.5)


def test_tables_of_properties_join_and_must_agree(tmp_path):
    one = pd.DataFrame({"id": ["a", "b"], "energy": [1.0, np.inf], "status": ["ok", "failed"]})
    other = pd.DataFrame({"id": ["b", "c"], "energy": [2.0, 3.0], "gap": [0.5, 0.6]})
    one.to_parquet(tmp_path / "one.parquet")
    other.to_parquet(tmp_path / "other.parquet")
    joined = read_properties([tmp_path / "one.parquet", tmp_path / "other.parquet"])
    assert joined.names == ("energy", "gap")
    found = joined.of(["c", "a", "nobody", "b"], ["energy", "gap"])
    np.testing.assert_array_equal(found, [[3.0, 0.6], [1.0, np.nan], [np.nan, np.nan], [2.0, 0.5]])
    with pytest.raises(InputError, match="no computed property 'gep'; the tables have energy, gap"):
        joined.of(["a"], ["gep"])
    other.assign(id=["a", "c"]).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="two tables differ about energy of crystal a: 1 and 2"):
        read_properties([tmp_path / "one.parquet", tmp_path / "other.parquet"])
    with pytest.raises(InputError, match="crystal a occurs twice"):
        property_table(pd.concat([one, one]))
    with pytest.raises(InputError, match="no column 'id'"):
        property_table(one.drop(columns="id"))


def test_properties_that_are_not_there_are_refused():
    crystals, target, made_up = made_up_features(20)
    with pytest.raises(InputError, match=r"no table was prepared of the computed properties .*: energy_mev"):
        fit(LatentPredictor.from_settings(INFORMED, made_up), crystals, target)
    with pytest.raises(InputError, match=r"base_property.*name 'gap' in properties too"):
        LatentPredictor.from_settings({"base_property": "gap"})
    with pytest.raises(InputError, match=r"positive_properties.*name 'gap' in properties too"):
        LatentPredictor.from_settings({"properties": ["energy"], "positive_properties": ["gap"]})


def test_rows_that_are_not_real_teach_but_choose_and_scale_nothing():
    crystals, target, made_up = made_up_features(120)
    real = np.arange(100) < 60
    wrong = np.where(real, target[:100], target[:100][::-1])  # labels of other crystals
    errors = {}
    for weight in (0.0, 0.001, 1.0):
        predictor = LatentPredictor(prepared=made_up)
        weights = np.where(real, 1.0, weight)
        report = predictor.fit(
            crystals[:100], wrong, [], np.zeros(0), seed=3,
            sample_weight=weights, real_rows=real, log=silent,
        )  # fmt: skip
        errors[weight] = np.abs(predictor.predict(crystals[100:]) - target[100:]).mean()
    assert report["real_rows"] == 60
    assert errors[1.0] > 1.2 * errors[0.0]
    assert errors[0.001] < 0.5 * errors[0.0] + 0.5 * errors[1.0]
    # Weight 0 is as if the rows were not there, bit by bit.
    alone, without = LatentPredictor(prepared=made_up), LatentPredictor(prepared=made_up)
    fit(alone, crystals[:60], target[:60])
    without.fit(
        crystals[:100], wrong, [], np.zeros(0), seed=3, sample_weight=1.0 * real, real_rows=real, log=silent
    )
    assert np.array_equal(alone.predict(crystals), without.predict(crystals))
    # True labels of further rows help, and are scored nowhere.
    helped = LatentPredictor(prepared=made_up)
    helped.fit(crystals[:100], target[:100], [], np.zeros(0), seed=3, real_rows=real, log=silent)
    assert np.abs(helped.predict(crystals[100:]) - target[100:]).mean() < errors[0.0]
    assert len(helped._fitted.plain.calibration.errors) == 60


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample_weight": np.ones(3)}, "20 training rows but weights of shape"),
        ({"sample_weight": -np.ones(20)}, "negative or not finite"),
        ({"sample_weight": np.full(20, np.nan)}, "negative or not finite"),
        ({"real_rows": np.zeros(20, dtype=bool)}, "no real training row"),
        (
            {"real_rows": np.arange(20) < 5, "sample_weight": 1.0 * (np.arange(20) > 5)},
            "no real training row",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(given, message):
    crystals, target, made_up = made_up_features(20)
    with pytest.raises(InputError, match=message):
        LatentPredictor(prepared=made_up).fit(crystals, target, [], np.zeros(0), seed=0, log=silent, **given)


def test_intervals_cover_what_they_promise():
    covered, total, widths = 0, 0, {}
    for draw in range(4):
        crystals, target, made_up = made_up_features(300, seed=draw)
        noisy = target * np.exp(0.3 * np.random.default_rng(draw).normal(size=300))
        predictor = LatentPredictor.from_settings(QUICK, made_up)
        fit(predictor, crystals[:120], noisy[:120])
        for coverage in (0.5, 0.9):
            given = predictor.predict_intervals(crystals[120:], coverage)
            assert (given.lowest <= given.predicted).all() and (given.predicted <= given.highest).all()
            held = (given.lowest <= noisy[120:]) & (noisy[120:] <= given.highest)
            widths[coverage] = np.median(given.highest - given.lowest)
        covered, total = covered + held.sum(), total + len(held)
    assert 0.87 <= covered / total <= 0.93
    assert widths[0.5] < 0.6 * widths[0.9]


def test_intervals_of_strange_crystals_are_wider_and_flagged():
    crystals, target, made_up = made_up_features(100)
    matrix = made_up.matrix.copy()
    matrix[90:, :-1] += 8.0
    reasons = (*made_up.reasons[:99], "no atoms")
    prepared = LatentFeatures(**{**vars_of(made_up), "matrix": matrix, "reasons": reasons})
    predictor = LatentPredictor.from_settings(QUICK, prepared)
    fit(predictor, crystals[:80], target[:80])
    given = predictor.predict_intervals(crystals[80:])
    logs = np.log1p(given.highest) - np.log1p(given.lowest)
    assert given.unlike_training[10:].all() and given.unlike_training[:10].mean() < 0.5
    assert logs[10:19].min() > logs[:10].max()
    assert np.isnan(given.nearest_distance[19]) and np.isfinite(given.nearest_distance[:19]).all()
    assert (given.lowest[19], given.highest[19]) == pytest.approx(np.percentile(target[:80], (5, 95)))
    twin = predictor.predict_intervals(crystals[:1])
    assert twin.nearest_distance[0] < 1e-3 and not twin.unlike_training[0]


def test_too_few_rows_give_no_finite_interval():
    crystals, target, made_up = made_up_features(12)
    for rows in (5, 10):
        predictor = LatentPredictor(prepared=made_up)
        fit(predictor, crystals[:rows], target[:rows])
        given = predictor.predict_intervals(crystals, 0.95)
        assert np.isneginf(given.lowest).all() and np.isposinf(given.highest).all()
    for coverage in (0.0, 1.0, np.nan):
        with pytest.raises(InputError, match="give a number between 0 and 1"):
            predictor.predict_intervals(crystals, coverage)
