"""Baselines, Magpie features, and what every predictor of the registry must do."""

import json

import numpy as np
import pytest

from matwheel.compositions.magpie import FEATURE_NAMES, magpie_features
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.graphs import build_graphs
from matwheel.predictors.constant import ConstantPredictor
from matwheel.predictors.forest import ForestPredictor, ForestSettings
from matwheel.predictors.latent_features import latent_features
from matwheel.predictors.registry import PREDICTORS, load_predictor, make_predictor

QUICK = {"cgcnn": {"steps": 5, "node_width": 16, "validate_every_steps": 2}, "forest": {"trees": 10}}


def silent(message: str) -> None:
    pass


def fit(predictor, data, seed=3):
    crystals, target = data
    return predictor.fit(crystals[:24], target[:24], crystals[24:32], target[24:32], seed=seed, log=silent)


@pytest.mark.parametrize("name", sorted(PREDICTORS))
def test_every_predictor_keeps_the_contract(jarvis_crystals, tmp_path, name):
    crystals, target = jarvis_crystals
    prepare = {"cgcnn": build_graphs, "latent": latent_features}.get(name)
    settings = {**QUICK.get(name, {}), "device": "cpu"}
    predictor = make_predictor(name, settings, prepare(crystals) if prepare else None)
    assert predictor.name == name
    with pytest.raises(RuntimeError, match="fit or load the predictor first"):
        predictor.predict(crystals)
    with pytest.raises(RuntimeError, match="fit or load the predictor first"):
        predictor.save(tmp_path / "unfitted")
    report = fit(predictor, jarvis_crystals)
    json.dumps(report, allow_nan=False)
    assert report["training_rows"] == 24 and report["seed"] == 3
    predicted = predictor.predict(crystals)
    assert predicted.shape == (40,) and predicted.dtype == np.float64 and np.isfinite(predicted).all()
    assert predictor.predict([]).shape == (0,)
    again = make_predictor(name, settings)
    fit(again, jarvis_crystals)
    assert np.array_equal(predicted, again.predict(crystals))

    for file in ("one", "two"):
        predictor.save(tmp_path / file)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert np.array_equal(predicted, load_predictor(name, tmp_path / "one").predict(crystals))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]

    with pytest.raises(ValueError, match="0 training rows"):
        predictor.fit([], np.zeros(0), crystals[:2], target[:2], seed=0, log=silent)
    with pytest.raises(ValueError, match="has the label inf"):
        predictor.fit(crystals[:3], [1.0, np.inf, 2.0], [], np.zeros(0), seed=0, log=silent)
    with pytest.raises(ValueError, match=r"colour is 'blue'; there is no|unknown setting 'colour'"):
        make_predictor(name, {"colour": "blue"})


def test_unknown_predictors_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown predictor 'oracle'; choose one of cgcnn"):
        make_predictor("oracle")
    with pytest.raises(ValueError, match="unknown predictor 'oracle'"):
        load_predictor("oracle", tmp_path / "x")


def test_a_preset_is_a_setting_of_cgcnn():
    settings = make_predictor("cgcnn", {"preset": "moe-2022", "epochs": 7}).settings
    assert settings.network.convolutions == 4 and settings.epochs == 7 and settings.steps is None


def test_the_constant_is_the_training_median(jarvis_crystals):
    predictor = ConstantPredictor()
    fit(predictor, jarvis_crystals)
    assert set(predictor.predict(jarvis_crystals[0])) == {np.median(jarvis_crystals[1][:24])}


def test_magpie_features_equal_matminer(jarvis_crystals, poly_crystals):
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    reference = ElementProperty.from_preset("magpie")
    # Ties of the most frequent element, one element, elements without some Magpie values.
    special = [
        Crystal(name, tuple(species), np.eye(3) * 5, np.zeros((len(species), 3)))
        for name, species in {
            "tie": ["Fe", "O"],
            "triple": ["K", "Br", "Ag", "Br"],
            "one": ["Si"],
            "heavy": ["U", "Np", "O", "O", "Lr"],
        }.items()
    ]
    crystals = [*jarvis_crystals[0], *poly_crystals[0], *special]
    expected = np.array([reference.featurize(Composition(crystal.element_counts)) for crystal in crystals])
    names = [label.removeprefix("MagpieData ").split(" ", 1) for label in reference.feature_labels()]
    assert tuple(f"{name} {statistic}" for statistic, name in names) == FEATURE_NAMES
    np.testing.assert_allclose(magpie_features(crystals), expected, rtol=0, atol=1e-10)


def test_magpie_features_name_the_wrong_crystal(jarvis_crystals):
    odd = Crystal("odd", ("Xx",), np.eye(3), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="crystal odd: unknown element 'Xx'"):
        magpie_features([jarvis_crystals[0][0], odd])
    with pytest.raises(ValueError, match="crystal empty: no atoms"):
        magpie_features([Crystal("empty", (), np.eye(3), np.zeros((0, 3)))])


def test_the_forest_sees_composition_and_volume(jarvis_crystals):
    crystals, target = jarvis_crystals
    forest = ForestPredictor(ForestSettings(trees=100))
    forest.fit(crystals, target, [], np.zeros(0), seed=0, log=silent)
    error = np.abs(forest.predict(crystals) - target).mean()
    assert error < 0.6 * np.abs(target - np.median(target)).mean()
    swollen = [Crystal(c.id, c.species, c.lattice * 1.5, c.frac_coords) for c in crystals]
    assert not np.array_equal(forest.predict(swollen), forest.predict(crystals))
    doubled = [
        Crystal(c.id, c.species * 2, np.diag([2, 1, 1]) @ c.lattice, np.tile(c.frac_coords, (2, 1)))
        for c in crystals
    ]
    np.testing.assert_allclose(forest.predict(doubled), forest.predict(crystals), rtol=1e-6)


def test_a_median_of_zero_is_a_median(jarvis_crystals, tmp_path):
    crystals = jarvis_crystals[0][:3]
    predictor = ConstantPredictor()
    predictor.fit(crystals, np.zeros(3), [], np.zeros(0), seed=0, log=silent)
    predictor.save(tmp_path / "model")
    assert ConstantPredictor.load(tmp_path / "model").predict(crystals).tolist() == [0.0, 0.0, 0.0]
