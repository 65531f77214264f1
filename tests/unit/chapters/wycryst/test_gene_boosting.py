"""Boosted trees that judge Wyckoff genes."""

import json

import numpy as np
import pytest

from matwheel.chapters.wycryst.gene_boosting import (
    GeneBoostingSettings,
    GenePredictors,
    GeneRegressor,
    MetalClassifier,
    gene_predictor_report,
)
from matwheel.core.errors import InputError
from matwheel.predictors.calibration import calibrated, folds_of_groups, platt_calibration, probability_report
from matwheel.predictors.interface import changed_settings
from matwheel.wyckoff.gene_features import GENE_FEATURE_NAMES, gene_features
from matwheel.wyckoff.wyckoff_genes import GeneArrays, gene_arrays, make_gene

SETTINGS = GeneBoostingSettings(trees=40, calibration_folds=2)
ROWS = 500


def silent(message: str) -> None:
    pass


def genes(rows: int = ROWS, seed: int = 0) -> GeneArrays:
    """Binaries in four structures of cubic and other groups, most formulas once or twice."""
    generator = np.random.default_rng(seed)
    elements = [
        *("Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Ga", "In", "Ti", "Zr", "Fe", "Co", "Ni", "Cu", "Zn"),
        *("N", "P", "As", "O", "S", "Se", "F", "Cl", "Br", "I"),
    ]
    structures = [(225, "a", "b"), (216, "a", "c"), (194, "c", "f"), (62, "c", "c"), (221, "a", "c")]
    made = []
    for _ in range(rows):
        first, second = generator.choice(elements, size=2, replace=False)
        group, one, other = structures[generator.integers(len(structures))]
        made.append(make_gene(group, [(str(first), one, 1), (str(second), other, 1)]))
    return gene_arrays(made)


def labels(arrays: GeneArrays) -> tuple[np.ndarray, np.ndarray]:
    """A formation energy of composition and symmetry, and a gap that opens with the ionic character."""
    columns = dict(zip(GENE_FEATURE_NAMES, gene_features(arrays).T.astype(float), strict=True))
    ionic = columns["Electronegativity range"]
    energy = -ionic - 0.5 * columns["is cubic"]
    return energy, np.maximum(0, 2 * (ionic - 1) + columns["is hexagonal"])


@pytest.fixture(scope="module")
def split() -> tuple[GeneArrays, GeneArrays]:
    """Training and held-out genes, no formula in both."""
    arrays = genes()
    _, formula = np.unique(arrays.counts(), axis=0, return_inverse=True)
    held = folds_of_groups(formula.ravel(), 4, 3) == 0
    return arrays[~held], arrays[held]


@pytest.fixture(scope="module")
def predictors(split) -> GenePredictors:
    return GenePredictors.fit(split[0], *labels(split[0]), SETTINGS, seed=1, log=silent)


def test_held_out_errors_beat_the_constant(split, predictors):
    report = gene_predictor_report(predictors, split[1], *labels(split[1]))
    for name in ("formation_energy_ev_per_atom", "band_gap_ev"):
        assert report[name]["mae"] < 0.4 * report[name]["constant_mae"] and report[name]["r2"] > 0.8
        assert report[name]["constant_r2"] <= 0 and report[name]["rows"] == len(split[1])
    metal = report["metal"]
    assert metal["auc"] > 0.9 and metal["brier"] < 0.5 * metal["brier_of_constant"]
    assert metal["share_of_nonmetals_passing"] > 0.8 > 0.2 > metal["share_of_metals_passing"]
    assert report["band_gap_ev_of_nonmetals"]["rows"] == round(metal["rows"] * (1 - metal["share"]))
    assert sum(row["rows"] for row in metal["calibration"]) == metal["rows"]
    json.dumps(report, allow_nan=False)
    table = predictors.predict(split[1])
    assert table["metal_probability"].between(0, 1).all() and (table["band_gap_ev"] >= 0).all()
    assert len(predictors.predict(split[1][:0])) == 0


def test_saved_models_give_the_same_bits(split, predictors, tmp_path, monkeypatch):
    predictors.save(tmp_path)
    with monkeypatch.context() as patch:  # no tree is grown again
        for model in (GeneRegressor, MetalClassifier):
            patch.setattr(model, "fit", None)
        loaded = GenePredictors.load(tmp_path)
    assert loaded.predict(split[1]).equals(predictors.predict(split[1]))
    assert loaded.metal.calibration == predictors.metal.calibration
    assert loaded.band_gap.smallest_prediction == 0 and loaded.metal.settings == SETTINGS
    with pytest.raises(InputError, match=r"metal\.npz is missing"):
        MetalClassifier.load(tmp_path / "no" / "metal.npz")
    with pytest.raises(InputError, match="holds no such model"):
        GeneRegressor.load(tmp_path / "metal.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match="holds no such model"):
        MetalClassifier.load(tmp_path / "text.npz")


def test_seed_and_rows_without_label(split):
    train, _ = split
    energy, _ = labels(train)
    energy[::3] = np.nan
    known = np.isfinite(energy)
    models = [
        GeneRegressor(SETTINGS).fit(train, energy, seed=1),
        GeneRegressor(SETTINGS).fit(train[known], energy[known], seed=1),
        GeneRegressor(SETTINGS).fit(train, energy, seed=2),
    ]
    first, same, other = (model.predict(train) for model in models)
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    assert len(models[0].training_target) == known.sum()


def test_predictions_have_a_floor(split):
    energy, _ = labels(split[0])
    model = GeneRegressor(SETTINGS, smallest_prediction=-0.5).fit(split[0], energy, seed=1)
    assert model.predict(split[1]).min() == -0.5


def test_formulas_that_were_trained_on_are_refused(split, predictors):
    both = GeneArrays(
        *(
            np.concatenate([getattr(split[1], name), getattr(split[0], name)[:1]])
            for name in ("space_group", "elements", "letters")
        )
    )
    with pytest.raises(InputError, match=f"held-out gene {len(both)} has a formula of the training rows"):
        gene_predictor_report(predictors, both, *labels(both))


def test_wrong_data_and_settings(split):
    train, _ = split
    energy, gap = labels(train)
    with pytest.raises(InputError, match="labels of shape"):
        GeneRegressor(SETTINGS).fit(train, energy[:-1], seed=1)
    with pytest.raises(InputError, match="training gene 2 has the label inf"):
        GeneRegressor(SETTINGS).fit(train, np.where(np.arange(len(train)) == 1, np.inf, energy), seed=1)
    with pytest.raises(InputError, match="5 training genes have a label"):
        GeneRegressor(SETTINGS).fit(train[:5], energy[:5], seed=1)
    with pytest.raises(InputError, match="is a metal at metal_gap_ev = 0; give genes of both kinds"):
        MetalClassifier(SETTINGS).fit(train, 0 * gap, seed=1)
    with pytest.raises(RuntimeError):
        MetalClassifier(SETTINGS).predict(train)
    for wrong in (
        {"trees": 0},
        {"calibration_folds": 1},
        {"learning_rate": 0},
        {"metal_gap_ev": float("nan")},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            changed_settings(GeneBoostingSettings, wrong)
    with pytest.raises(InputError, match="depth is 3; there is no such setting"):
        changed_settings(GeneBoostingSettings, {"depth": 3})


def test_calibration_recovers_overconfidence():
    """Labels drawn from half the log-odds, shifted: the line through them is known."""
    generator = np.random.default_rng(0)
    log_odds = generator.normal(0, 4, 20_000)
    probability = calibrated(log_odds, (0.5, -0.3))
    label = generator.random(20_000) < probability
    slope, offset = platt_calibration(log_odds, label)
    assert slope == pytest.approx(0.5, abs=0.03) and offset == pytest.approx(-0.3, abs=0.06)
    before = probability_report(calibrated(log_odds, (1, 0)), label)
    after = probability_report(calibrated(log_odds, (slope, offset)), label)
    assert after["brier"] < before["brier"] < after["brier_of_constant"]
    assert after["auc"] == pytest.approx(before["auc"])
    assert all(abs(row["predicted"] - row["observed"]) < 0.06 for row in after["calibration"])
    with pytest.raises(InputError, match="both kinds"):
        platt_calibration(log_odds, label & False)
    with pytest.raises(InputError, match="both kinds"):
        probability_report(probability, label | True)


def test_folds_keep_groups_together():
    group = np.random.default_rng(0).integers(0, 60, 500)
    folds = folds_of_groups(group, 3, 7)
    assert all(len(set(folds[group == number])) == 1 for number in range(60))
    assert np.bincount([folds[group == number][0] for number in range(60)]).tolist() == [20, 20, 20]
    assert np.array_equal(folds, folds_of_groups(group, 3, 7))
    assert not np.array_equal(folds, folds_of_groups(group, 3, 8))


def test_without_metals_there_is_no_judge_of_metals(split, tmp_path):
    arrays, held_out = split
    energy, gap = labels(arrays)
    few = GeneBoostingSettings(trees=3, calibration_folds=2)
    judges = GenePredictors.fit(arrays, energy, np.abs(gap) + 0.1, few, seed=1, log=silent)
    assert judges.metal is None
    judges.save(tmp_path)
    again = GenePredictors.load(tmp_path)
    assert again.metal is None
    assert again.predict(arrays)["metal_probability"].isna().all()
    energy, gap = labels(held_out)
    report = gene_predictor_report(again, held_out, energy, np.abs(gap) + 0.1)
    assert "metal" not in report and report["band_gap_ev_of_nonmetals"]["rows"] == len(held_out)
