"""ElemNet: the published network, learning, resuming, files."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step
from torch import nn

from matwheel.composition_models.elemnet import PRESETS, ElemNet, ElemNetSettings, elemnet_network
from matwheel.core.errors import InputError
from matwheel.training.resumable_training import TrainingPlan

SMALL = {"width_factor": 0.2, "epochs": 2, "batch_size": 32, "learning_rate": 3e-3}


def silent(message: str) -> None:
    pass


def data(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Compositions with a label that is linear in the element fractions."""
    generator = np.random.default_rng(0)
    counts = np.zeros((rows, 85), dtype=np.uint8)
    for row in counts:
        row[generator.choice(12, size=3, replace=False)] = generator.integers(1, 5, size=3)
    weight = generator.normal(size=85)
    return counts, counts @ weight / counts.sum(axis=1)


def fitted(rows=400, seed=1, checkpoint=None, log=silent, rate_beyond_reason=None, **changes):
    counts, target = data(rows)
    model = ElemNet(ElemNetSettings(**(SMALL | changes)))
    if rate_beyond_reason:
        object.__setattr__(model.settings, "learning_rate", rate_beyond_reason)  # no user may give it
    report = model.fit(
        counts[:-100],
        target[:-100],
        validation_counts=counts[-100:],
        validation_target=target[-100:],
        seed=seed,
        checkpoint=checkpoint,
        log=log,
    )
    return model, report


def test_the_network_is_the_published_one():
    network = elemnet_network()
    widths = [(layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)]
    expected = [86, *[1024] * 4, *[512] * 3, *[256] * 3, *[128] * 3, *[64] * 2, 32, 1]
    assert len(widths) == 17
    assert widths == list(pairwise(expected))
    dropped = [place for place, layer in enumerate(network) if isinstance(layer, nn.Dropout)]
    assert [network[place].p for place in dropped] == [0.2, 0.1, 0.3, 0.2]
    # After four, seven, ten and thirteen pairs of a layer and its ReLU.
    assert dropped == [8, 15, 22, 29]
    published = PRESETS["published"]
    assert (published.batch_size, published.learning_rate, published.width_factor) == (32, 1e-4, 1.0)
    assert published.patience_epochs == 200


def test_learns_and_keeps_the_best_state():
    model, report = fitted(1200, epochs=10)
    counts, target = data(1200)
    error = np.abs(model.predict(counts[-100:]) - target[-100:]).mean()
    assert error == pytest.approx(report["best_score"], rel=1e-6)
    assert error < 0.4 * np.abs(target - np.median(target)).mean()
    assert report["best_score"] == min(entry["score"] for entry in report["curve"])
    assert len(report["curve"]) >= 20


def test_dropout_is_off_at_prediction():
    model, _ = fitted(dropout=(0.5, 0.5, 0.5, 0.5))
    counts, _ = data()
    assert np.array_equal(model.predict(counts), model.predict(counts))
    assert np.allclose(model.predict(counts)[:7], model.predict(counts[:7]), atol=1e-6)
    assert model.predict(counts[:0]).shape == (0,)


@pytest.mark.parametrize("more", [{}, {"largest_gradient_norm": 0.1, "average_decay": 0.9}])
def test_a_resumed_training_ends_in_the_same_bits(tmp_path, monkeypatch, more):
    changes = {"dropout": (0.2, 0.1, 0.3, 0.2)} | more
    whole, report = fitted(**changes)
    checkpoint_after_every_step(monkeypatch)
    checkpoint = BreaksOff(tmp_path / "state.pt", "same", saves=10)
    with pytest.raises(Interrupted):
        fitted(checkpoint=checkpoint, **changes)
    assert checkpoint.load()["course"]["step"] == 10
    resumed, resumed_report = fitted(checkpoint=checkpoint, **changes)
    assert report == resumed_report
    counts, _ = data()
    assert np.array_equal(whole.predict(counts), resumed.predict(counts))
    assert not np.array_equal(whole.predict(counts), fitted(seed=2)[0].predict(counts))


def test_training_ends_early_without_progress():
    _, report = fitted(epochs=50, learning_rate=1e-12, schedule="constant", patience_epochs=2)
    assert report["steps"] < 50 * 10


def test_learning_rates():
    plan = TrainingPlan(100, 8, 1.0, "one_cycle", 10, 100)
    rates = [plan.rate(step) for step in range(100)]
    assert max(rates) == pytest.approx(1.0) and rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(0.1) and 0 < rates[-1] < 0.01
    assert TrainingPlan(100, 8, 0.5, "constant", 10, 100).rate(77) == 0.5


def test_files_hold_the_model(tmp_path):
    model, _ = fitted()
    model.save(tmp_path / "one.pt")
    model.save(tmp_path / "two.pt")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    counts, _ = data()
    read = ElemNet.load(tmp_path / "one.pt")
    assert np.array_equal(read.predict(counts), model.predict(counts)) and read.settings == model.settings


def test_wrong_input_is_refused():
    counts, target = data(50)
    rest = {"validation_counts": counts, "validation_target": target, "seed": 0, "log": silent}
    broken = target.copy()
    broken[3] = np.nan
    with pytest.raises(InputError, match="training rows: composition 4 has the label nan"):
        ElemNet().fit(counts, broken, **rest)
    with pytest.raises(InputError, match="1 rows, at least 2"):
        ElemNet().fit(counts[:1], target[:1], **rest)
    with pytest.raises(InputError, match="labels of shape"):
        ElemNet().fit(counts, target[:9], **rest)
    with pytest.raises(RuntimeError, match="fit or load"):
        ElemNet().predict(counts)
    with pytest.raises(InputError, match="unknown ElemNet preset"):
        ElemNet.from_settings({"preset": "huge"})
    with pytest.raises(InputError, match="depth is 3; there is no such setting"):
        ElemNet.from_settings({"depth": 3})
    assert ElemNet.from_settings({"epochs": 3, "device": "cpu"}).settings.epochs == 3
    for wrong in (
        {"dropout": (0.1,)},
        {"width_factor": 0},
        {"epochs": 0},
        {"schedule": "fast"},
        {"batch_size": 0},
    ):
        with pytest.raises(InputError):
            ElemNetSettings(**wrong)


def test_a_diverged_training_says_so():
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        fitted(epochs=5, rate_beyond_reason=1e30)
    assert torch.is_grad_enabled()
