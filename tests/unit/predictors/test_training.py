"""The CGCNN predictor: learning, resuming, settings, no leak of labels, files."""

import math

import numpy as np
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted

from matwheel.core.files import sha256_of_file
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.graphs import build_graphs
from matwheel.predictors.training import (
    CGCNNPredictor,
    TargetTransform,
    batches_of_epoch,
    learning_rate_share,
)
from matwheel.predictors.training_settings import PRESETS, TrainingSettings, training_settings
from matwheel.training.label_scale import signed_exp, signed_log

SMALL = {
    "convolutions": 2,
    "node_width": 16,
    "hidden_width": 16,
    "batch_size": 8,
    "validate_every_steps": 5,
    "validation_window": 1,
}


def silent(message: str) -> None:
    pass


def fitted(data, rows=(24, 32), seed=1, checkpoint=None, log=silent, every=1e9, **changes):
    crystals, target = data
    first, after = rows
    predictor = CGCNNPredictor(
        training_settings("default", SMALL | {"steps": 20} | changes), checkpoint_every_seconds=every
    )
    report = predictor.fit(
        crystals[:first],
        target[:first],
        crystals[first:after],
        target[first:after],
        seed=seed,
        checkpoint=checkpoint,
        log=log,
    )
    return predictor, report


def test_overfits_sixteen_crystals(jarvis_crystals):
    crystals, target = jarvis_crystals
    predictor = CGCNNPredictor(
        training_settings(
            "default",
            {
                "steps": 250,
                "learning_rate": 5e-3,
                "checkpoint_choice": "last",
                "distance_noise_angstrom": 0.0,
                "weight_decay": 0.01,
            },
        ),
        build_graphs(crystals),
    )
    predictor.fit(crystals[:16], target[:16], [], np.zeros(0), seed=0, log=silent)
    error = np.abs(predictor.predict(crystals[:16]) - target[:16]).mean()
    assert error < 0.1 * np.abs(target[:16] - np.median(target[:16])).mean()


def test_the_same_seed_gives_the_same_bits_and_another_does_not(jarvis_crystals):
    state = torch.get_rng_state()
    one, report = fitted(jarvis_crystals)
    two, again = fitted(jarvis_crystals)
    other, _ = fitted(jarvis_crystals, seed=2)
    crystals = jarvis_crystals[0]
    assert np.array_equal(one.predict(crystals), two.predict(crystals)) and report == again
    assert not np.array_equal(one.predict(crystals), other.predict(crystals))
    assert torch.equal(state, torch.get_rng_state()), "the global random state was changed"


@pytest.mark.parametrize(
    "more",
    [
        {"optimiser": "adamw"},
        {"optimiser": "sgd"},
        {"largest_gradient_norm": 0.1, "average_decay": 0.9},
        {"largest_gradient_norm": None, "average_decay": 0.0},
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(jarvis_crystals, tmp_path, more):
    changes = {"dropout": 0.2, "distance_noise_angstrom": 0.02, "steps": 23} | more
    crystals = jarvis_crystals[0]
    whole, report = fitted(jarvis_crystals, **changes)
    checkpoint = BreaksOff(tmp_path / "training.pt", "fingerprint", saves=11)
    with pytest.raises(Interrupted):
        fitted(jarvis_crystals, checkpoint=checkpoint, every=0.0, **changes)
    messages: list[str] = []
    resumed, report_of_resumed = fitted(
        jarvis_crystals, checkpoint=checkpoint, log=messages.append, **changes
    )
    assert messages[0] == "training: resumed at step 11 of 23"
    assert np.array_equal(whole.predict(crystals), resumed.predict(crystals))
    assert report == report_of_resumed
    for name in ("whole", "resumed"):
        {"whole": whole, "resumed": resumed}[name].save(tmp_path / f"{name}.pt")
    assert sha256_of_file(tmp_path / "whole.pt") == sha256_of_file(tmp_path / "resumed.pt")


def test_only_training_labels_reach_the_model(jarvis_crystals):
    crystals, target = jarvis_crystals
    changed = target.copy()
    changed[24:] = 1e4 - 100 * changed[24:]
    predictors = []
    for labels in (target, changed):
        predictor, report = fitted((crystals, labels), checkpoint_choice="last")
        assert report["transform"]["mean"] == np.log1p(target[:24]).mean()
        assert report["transform"]["deviation"] == np.log1p(target[:24]).std()
        predictors.append(predictor.predict(crystals))
    assert np.array_equal(*predictors)


def test_validation_rows_choose_the_weights(jarvis_crystals):
    _, report = fitted(jarvis_crystals, steps=60, learning_rate=2e-2, average_decay=0.0)
    errors = {point["step"]: point["validation_mae"] for point in report["curve"]}
    assert report["chosen_step"] == min(errors, key=errors.get)
    assert report["best_validation_mae"] == min(errors.values())
    crystals, target = jarvis_crystals
    predictor, _ = fitted(jarvis_crystals, steps=60, learning_rate=2e-2, average_decay=0.0)
    assert np.abs(predictor.predict(crystals[24:32]) - target[24:32]).mean() == min(errors.values())


def test_a_window_smooths_the_choice(jarvis_crystals):
    _, report = fitted(jarvis_crystals, steps=60, learning_rate=2e-2, average_decay=0.0, validation_window=3)
    errors = [point["validation_mae"] for point in report["curve"]]
    means = [np.mean(errors[max(0, last - 2) : last + 1]) for last in range(len(errors))]
    chosen = int(np.argmin(means))
    assert report["chosen_step"] == report["curve"][chosen]["step"]
    assert report["best_validation_mae"] == errors[chosen]
    assert chosen != int(np.argmin(errors)), "this data does not show the difference"


def test_patience_stops(jarvis_crystals):
    messages: list[str] = []
    _, report = fitted(
        jarvis_crystals, log=messages.append, steps=400, learning_rate=5e-2, patience=2, average_decay=0.0
    )
    assert report["stopped_early"] and report["steps"] < 400
    assert report["steps"] == report["chosen_step"] + 2 * SMALL["validate_every_steps"]
    assert "no better validation since" in messages[-1]


@pytest.mark.parametrize("rows", [2, 3, 9])
def test_few_rows_train(jarvis_crystals, rows):
    predictor, report = fitted(jarvis_crystals, rows=(rows, 32))
    assert report["steps"] == 20 and np.isfinite(predictor.predict(jarvis_crystals[0])).all()


def test_equal_labels_train(jarvis_crystals):
    predictor, _ = fitted((jarvis_crystals[0], np.full(40, 7.0)))
    np.testing.assert_allclose(predictor.predict(jarvis_crystals[0]), 7.0, atol=7.0)


def test_budget_in_steps_is_the_same_for_every_number_of_rows(jarvis_crystals):
    assert fitted(jarvis_crystals, rows=(6, 32))[1]["steps"] == 20
    by_epochs = [
        fitted(jarvis_crystals, rows=(rows, 32), steps=None, epochs=2)[1]["steps"] for rows in (6, 24)
    ]
    assert by_epochs == [2, 6]


def test_wrong_rows_are_refused(jarvis_crystals):
    crystals, target = jarvis_crystals
    with pytest.raises(ValueError, match="1 training rows, at least 2 are needed"):
        fitted(jarvis_crystals, rows=(1, 32))
    broken = target.copy()
    broken[3] = math.nan
    with pytest.raises(ValueError, match=f"training rows: crystal {crystals[3].id} has the label nan"):
        fitted((crystals, broken))
    with pytest.raises(ValueError, match="24 crystals but labels of shape"):
        CGCNNPredictor().fit(crystals[:24], target[:23], [], np.zeros(0), seed=0, log=silent)


def test_logarithmic_scale_takes_negative_labels_and_inverts():
    labels = np.array([-3.5, -0.2, 0.0, 0.2, 900.0])
    transform = TargetTransform.of_labels(labels, logarithmic=True)
    restored = transform.restore(torch.from_numpy(transform.standardise(labels)))
    assert restored.numpy() == pytest.approx(labels, abs=1e-12)
    assert signed_log(labels[2:]) == pytest.approx(np.log1p(labels[2:]), abs=0)
    assert signed_exp(signed_log(labels)) == pytest.approx(labels, abs=1e-12)


def test_a_graph_of_another_crystal_is_refused(jarvis_crystals):
    crystals, target = jarvis_crystals
    first, second = crystals[0], next(c for c in crystals if len(c.species) != len(crystals[0].species))
    stranger = Crystal(first.id, second.species, second.lattice, second.frac_coords)
    predictor = CGCNNPredictor(training_settings("default", SMALL), build_graphs(crystals))
    with pytest.raises(ValueError, match="two crystals share an id"):
        predictor.fit([stranger, *crystals[1:4]], target[:4], [], np.zeros(0), seed=0, log=silent)


def test_graphs_at_hand_change_nothing(jarvis_crystals):
    crystals, target = jarvis_crystals
    settings = training_settings("default", SMALL | {"steps": 5})
    outcomes = []
    for graphs in (None, build_graphs(crystals), build_graphs(crystals[3:9])):
        predictor = CGCNNPredictor(settings, graphs)
        predictor.fit(crystals[:16], target[:16], crystals[16:24], target[16:24], seed=0, log=silent)
        outcomes.append(predictor.predict(crystals))
    assert np.array_equal(outcomes[0], outcomes[1]) and np.array_equal(outcomes[0], outcomes[2])


def test_a_diverged_training_says_where_and_what_to_do(jarvis_crystals):
    with pytest.raises(FloatingPointError, match=r"at step \d+ of 20: .* lower learning_rate"):
        fitted(
            jarvis_crystals,
            optimiser="sgd",
            learning_rate=1e30,
            loss="mse",
            target="raw",
            schedule="constant",
        )


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_train(jarvis_crystals, preset):
    crystals, target = jarvis_crystals
    predictor = CGCNNPredictor(training_settings(preset, {"steps": 3}))
    report = predictor.fit(crystals[:24], target[:24], crystals[24:], target[24:], seed=0, log=silent)
    assert report["steps"] == 3 and math.isfinite(report["best_validation_mae"])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "one_cycle"])
@pytest.mark.parametrize("loss", ["l1", "mse", "back_transformed_l1"])
def test_schedules_and_losses_learn(jarvis_crystals, schedule, loss):
    _, report = fitted(jarvis_crystals, schedule=schedule, loss=loss, steps=40, learning_rate=5e-3)
    assert report["curve"][-1]["training_loss"] < report["curve"][0]["training_loss"]


def test_learning_rate_schedules():
    def shares(schedule: str) -> list[float]:
        settings = TrainingSettings(schedule=schedule, final_rate_share=0.1)
        return [learning_rate_share(settings, step, 100) for step in range(100)]

    assert set(shares("constant")) == {1.0}
    assert shares("step")[49:51] == [1.0, 0.1]
    assert shares("cosine")[0] == 1.0 and shares("cosine")[50] == pytest.approx(0.55)
    assert shares("cosine") == sorted(shares("cosine"), reverse=True)
    peak = int(np.argmax(shares("one_cycle")))
    assert peak == 10 and shares("one_cycle")[0] < 0.2 and shares("one_cycle")[-1] < 0.11


def test_batches_cover_an_epoch_and_are_nearly_equal():
    batches = batches_of_epoch(129, 64, seed=4, epoch=7)
    assert sorted(np.concatenate(batches)) == list(range(129)) and [len(b) for b in batches] == [43, 43, 43]
    again = batches_of_epoch(129, 64, seed=4, epoch=7)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(batches[0], batches_of_epoch(129, 64, seed=4, epoch=8)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"los": "l1"}, "los is 'l1'; there is no such setting; did you mean loss"),
        ({"loss": "huber"}, "loss is 'huber'; give one of l1, mse"),
        ({"steps": 5, "epochs": 5}, "either steps or epochs"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number"),
        ({"average_decay": 1.0}, "average_decay"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        training_settings("default", changes)
    with pytest.raises(ValueError, match="unknown preset 'cgcnn'"):
        training_settings("cgcnn")
