"""The autoencoder of compositions: loss, learning, resuming, decodability, files."""

import numpy as np
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step

from matwheel.compositions.formulas import MATGAN_ELEMENTS
from matwheel.core.errors import InputError
from matwheel.generators.matgan.autoencoder import (
    AutoencoderSettings,
    CompositionAutoencoder,
    decodability_link,
    decodable_shares,
    dice_loss,
)

ELEMENTS = MATGAN_ELEMENTS[:20]
SMALL = {"hidden_width": 64, "latent_width": 24, "batch_size": 64, "validate_every_steps": 20}


def silent(message: str) -> None:
    pass


def compositions(rows: int, seed: int = 0) -> np.ndarray:
    """Binary and ternary compounds whose amounts follow from their elements."""
    generator = np.random.default_rng(seed)
    counts = np.zeros((rows, len(ELEMENTS)), dtype=np.uint8)
    for row in counts:
        chosen = generator.choice(len(ELEMENTS), size=generator.integers(2, 4), replace=False)
        row[chosen] = 1 + chosen % 3
    return counts


def fitted(counts, seed=1, checkpoint=None, log=silent, **changes):
    model = CompositionAutoencoder(AutoencoderSettings(**(SMALL | {"steps": 40} | changes)))
    report = model.fit(
        counts[:-100], ELEMENTS, validation_counts=counts[-100:], seed=seed, checkpoint=checkpoint, log=log
    )
    return model, report


def weights(model):
    return torch.cat([value.flatten().double() for value in model._network.state_dict().values()])


def test_dice_loss_is_equation_3():
    cells = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]], [[1.0, 0, 0], [0, 0, 0]]])
    decoded = torch.tensor([[[0.5, 0.2, 0], [0, 1.0, 0]], [[0, 0, 0], [0, 0, 0.25]]])
    by_hand = [1 - 2 * 1.5 / (2 + 1.7), 1 - 0 / 1.25]
    assert dice_loss(cells, decoded).item() == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert dice_loss(cells, cells).item() == pytest.approx(0, abs=1e-6)


def test_learns_to_decode_what_it_has_not_seen():
    counts = compositions(1500)
    model, report = fitted(counts, steps=400)
    assert report["training_decodable"] > 0.97
    held_out = compositions(500, seed=9)
    assert model.is_decodable(held_out).mean() > 0.9
    # Amounts that never occur in training cannot be decoded.
    strange = held_out.copy()
    strange[strange > 0] = 7
    assert not model.is_decodable(strange).any()
    assert report["kept_step"] == min(report["curve"], key=lambda entry: entry["score"])["step"]
    assert report["validation_decodable"] == pytest.approx(1 - report["best_score"])


def test_decodable_means_equal():
    counts = compositions(400)
    model, _ = fitted(counts)
    decodable = model.is_decodable(counts)
    assert 0 < decodable.sum() < len(counts)
    assert np.array_equal(decodable, list(map(np.array_equal, model.reconstruct(counts), counts)))


def test_same_seed_same_bits():
    counts = compositions(400)
    one, two, three = (fitted(counts, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(three))


@pytest.mark.parametrize("more", [{}, {"largest_gradient_norm": 0.01, "average_decay": 0.9}])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, monkeypatch, more):
    counts = compositions(400)
    whole, report = fitted(counts, **more)
    checkpoint_after_every_step(monkeypatch)
    checkpoint = BreaksOff(tmp_path / "state.pt", "same", saves=23)
    with pytest.raises(Interrupted):
        fitted(counts, checkpoint=checkpoint, **more)
    said = []
    resumed, resumed_report = fitted(counts, checkpoint=checkpoint, log=said.append, **more)
    assert any("resumed at step 23" in line for line in said)
    assert torch.equal(weights(whole), weights(resumed))
    assert report == resumed_report


def test_convolutions_keep_the_shape_and_learn():
    for elements in (85, 20, 7):
        from matwheel.generators.matgan.autoencoder import ConvolutionalAutoencoder

        network = ConvolutionalAutoencoder(elements, 2, 8)
        assert network(torch.zeros(3, 8, elements)).shape == (3, 8, elements)
        kinds = [type(layer).__name__ for layer in network.modules()]
        assert kinds.count("Conv2d") == kinds.count("ConvTranspose2d") == 7
    _, report = fitted(compositions(300), network="conv", channels=4, steps=40, learning_rate=1e-2)
    losses = [entry["training_loss"] for entry in report["curve"]]
    assert losses[-1] < 0.98 * losses[0]


def test_files_hold_the_model(tmp_path):
    counts = compositions(300)
    model, _ = fitted(counts)
    model.save(tmp_path / "one.pt")
    model.save(tmp_path / "two.pt")
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    read = CompositionAutoencoder.load(tmp_path / "one.pt")
    assert read.elements == ELEMENTS and read.settings == model.settings
    assert np.array_equal(read.reconstruct(counts), model.reconstruct(counts))


def test_tables():
    decodable = np.array([True] * 6 + [False] * 4)
    generated = np.array([True] * 3 + [False] * 3 + [True] + [False] * 3)
    link = decodability_link(decodable, generated)
    assert link["decodable"].tolist() == [True, False]
    assert link["generated"].tolist() == [3, 1] and link["never_generated"].tolist() == [3, 3]
    assert link["share_generated"].tolist() == [0.5, 0.25]
    assert (link["generated_low"] < link["share_generated"]).all()
    all_decodable = decodability_link(np.ones(4, bool), np.ones(4, bool))
    assert all_decodable["rows"].tolist() == [4, 0] and np.isnan(all_decodable["share_generated"][1])
    shares = decodable_shares({"training": decodable, "validation": generated})
    assert shares["share"].tolist() == [0.6, 0.4]
    assert shares["published"][0] == 0.9631 and np.isnan(shares["published"][1])
    with pytest.raises(InputError, match="one entry per row"):
        decodability_link(decodable, generated[:3])


def test_wrong_input_is_refused():
    counts = compositions(200)
    empty = counts.copy()
    empty[4] = 0
    with pytest.raises(InputError, match="training composition 5 has no atoms"):
        fitted(empty)
    many = counts.copy()
    many[0, 0] = 9
    with pytest.raises(InputError, match="8"):
        fitted(many)
    with pytest.raises(InputError, match="1 training rows"):
        fitted(counts[:101])
    with pytest.raises(InputError, match="one column for each"):
        fitted(counts[:, :5])
    with pytest.raises(RuntimeError):
        CompositionAutoencoder().is_decodable(counts)
    with pytest.raises(InputError, match="depth is 3; there is no such setting"):
        CompositionAutoencoder.from_settings({"depth": 3})
    for wrong in (
        {"network": "gan"},
        {"latent_width": 0},
        {"steps": 0},
        {"threshold": 1.0},
        {"learning_rate": 0},
    ):
        with pytest.raises(InputError):
            AutoencoderSettings(**wrong)
