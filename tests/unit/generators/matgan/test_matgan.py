"""MatGAN: the matrix of a composition, networks that stay on it, and a training that can be interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step
from numpy.typing import NDArray

from matwheel.compositions.formulas import MATGAN_ELEMENTS, formula_counts
from matwheel.core.errors import InputError
from matwheel.generators.compositions import (
    COMPOSITION_GENERATORS,
    load_composition_generator,
    make_composition_generator,
)
from matwheel.generators.matgan.generator import MatGAN
from matwheel.generators.matgan.networks import cells_of, make_critic, make_generator_network
from matwheel.generators.matgan.representation import MOST_ATOMS, decode, encode
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.generators.matgan.training import train
from matwheel.training.checkpoints import TrainingCheckpoint

FORMULAS = [
    f"{cation}{m}{anion}{n}"
    for cation in ("Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Ga", "Zn", "Ti")
    for anion in ("O", "S", "F", "Cl", "N")
    for m, n in ((1, 1), (1, 2), (2, 1), (2, 3))
]
TINY = {"width": 32, "channels": 8, "latent_width": 8, "batch_size": 16, "evaluation_samples": 200}


@pytest.fixture(scope="module")
def counts() -> NDArray[np.uint8]:
    return formula_counts(FORMULAS, MATGAN_ELEMENTS).astype(np.uint8)


def random_counts(rows: int, seed: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, MOST_ATOMS + 1, size=(rows, len(MATGAN_ELEMENTS)))
    return (counts * (generator.random(counts.shape) < 0.05)).astype(np.uint8)


def test_decoding_gives_back_every_composition() -> None:
    counts = random_counts(500, seed=1)
    cells = encode(counts)
    assert cells.shape == (500, 8, 85)
    assert np.array_equal(cells.sum(axis=(1, 2)), (counts > 0).sum(axis=1))
    assert np.array_equal(decode(torch.from_numpy(cells)).numpy(), counts)
    assert torch.equal(cells_of(torch.from_numpy(counts.astype(np.int64))), torch.from_numpy(cells))


def test_cell_of_a_known_composition() -> None:
    cells = encode(formula_counts(["Mg2SiO4"], MATGAN_ELEMENTS))[0]
    on = {(int(row) + 1, MATGAN_ELEMENTS[column]) for row, column in zip(*np.nonzero(cells), strict=True)}
    assert on == {(2, "Mg"), (1, "Si"), (4, "O")}


def test_decoding_takes_the_largest_cell_above_the_threshold() -> None:
    cells = torch.zeros(1, 8, 3)
    cells[0, 1, 0], cells[0, 4, 0] = 0.6, 0.9
    cells[0, 2, 1] = 0.4
    assert decode(cells).tolist() == [[5, 0, 0]]
    assert decode(cells, threshold=0.3).tolist() == [[5, 3, 0]]


def test_nine_atoms_have_no_row() -> None:
    counts = np.zeros((3, 85), dtype=np.uint8)
    counts[2, 4] = 9
    with pytest.raises(InputError, match="composition 3"):
        encode(counts)


@pytest.mark.parametrize("network", ["infill", "dense", "conv"])
@pytest.mark.parametrize("elements", [85, 103, 9])
def test_networks_make_matrices_that_the_critic_reads(network: str, elements: int) -> None:
    settings = MatGANSettings(**{**TINY, "network": network})
    generator, critic = make_generator_network(elements, settings), make_critic(elements, settings)
    known = torch.zeros(4, elements, dtype=torch.int64)
    known[:, 0], known[:, 3] = 2, 1
    made = generator(torch.randn(4, settings.latent_width), known)
    assert made.shape == (4, MOST_ATOMS, elements)
    assert critic(made).shape == (4, 1)
    critic(made).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in generator.parameters())


def test_the_published_networks_have_their_layers() -> None:
    settings = MatGANSettings(network="conv")
    generator, critic = make_generator_network(85, settings), make_critic(85, settings)
    kinds = [type(module).__name__ for module in generator.modules()]
    assert (kinds.count("Linear"), kinds.count("ConvTranspose2d"), kinds.count("BatchNorm2d")) == (1, 7, 7)
    kinds = [type(module).__name__ for module in critic.modules()]
    assert (kinds.count("Conv2d"), kinds.count("Linear")) == (7, 1)


def test_infill_replaces_one_element_and_keeps_the_others() -> None:
    settings = MatGANSettings(**TINY)
    generator = make_generator_network(85, settings)
    known = torch.from_numpy(formula_counts(["Mg2SiO4"] * 200, MATGAN_ELEMENTS).astype(np.int64))
    made = generator.compositions(torch.randn(200, settings.latent_width), known, temperature=1.5)
    kept = ((made == known) & (known > 0)).sum(dim=1)
    assert ((made > 0).sum(dim=1) == 3).all()
    assert (kept >= 2).all()
    assert (kept == 2).any()


@pytest.mark.parametrize("lipschitz", ["penalty", "clipping"])
def test_training_moves_the_samples_towards_the_data(counts: NDArray[np.uint8], lipschitz: str) -> None:
    settings = {**TINY, "steps": 250, "evaluate_every": 50, "lipschitz": lipschitz, "generator_rate": 3e-3}
    settings |= {"critic_rate": 3e-3, "average_decay": 0.9, "latent_width": 4, "network": "dense"}
    if lipschitz == "clipping":
        settings |= {"clipping_limit": 0.1}
    generator = MatGAN.from_settings(settings)
    generator.fit(counts, MATGAN_ELEMENTS, validation_counts=counts[::7], seed=3, log=lambda _: None)
    drawn = generator.sample(400, seed=1)
    present = set(np.flatnonzero((counts > 0).any(axis=0)))
    held = drawn[:, sorted(present)].astype(bool).sum() / max(1, (drawn > 0).sum())
    assert held > 0.6, "15 of 85 elements occur in the data"
    untrained = MatGAN.from_settings({**settings, "steps": 1})
    untrained.fit(counts, MATGAN_ELEMENTS, validation_counts=counts[::7], seed=3, log=lambda _: None)
    start = untrained.sample(400, seed=1)
    assert held > start[:, sorted(present)].astype(bool).sum() / max(1, (start > 0).sum()) + 0.2


@pytest.mark.parametrize("network", ["infill", "dense", "conv"])
def test_an_interrupted_training_ends_in_the_same_bits(
    network: str, counts: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint_after_every_step(monkeypatch)
    settings = {**TINY, "network": network, "steps": 12, "evaluate_every": 4}
    arguments = {"validation_counts": counts[::5], "seed": 5}

    def fitted(checkpoint: TrainingCheckpoint | None) -> tuple[MatGAN, dict[str, Any]]:
        generator = MatGAN.from_settings(settings)
        report = generator.fit(
            counts, MATGAN_ELEMENTS, checkpoint=checkpoint, log=lambda _: None, **arguments
        )
        return generator, report

    whole, report = fitted(None)
    checkpoint = BreaksOff(tmp_path / "gan.checkpoint", "one", saves=7)
    with pytest.raises(Interrupted):
        fitted(checkpoint)
    assert checkpoint.load()["course"]["step"] == 7
    resumed, report_resumed = fitted(checkpoint)
    # The distances of the last steps depend on the weights and moments of both networks.
    assert report_resumed == report
    assert np.array_equal(whole.sample(100, seed=2), resumed.sample(100, seed=2))


def test_the_kept_state_is_the_one_that_recovers_most(counts: NDArray[np.uint8]) -> None:
    settings = MatGANSettings(**{**TINY, "steps": 4, "evaluate_every": 1, "smallest_uniqueness": 0.5})
    judgements = iter([(0.3, 0.9), (0.9, 0.2), (0.5, 0.8), (0.4, 0.9)])
    network = make_generator_network(85, settings)
    states: list[torch.Tensor] = []

    def judge(average: torch.nn.Module) -> tuple[float, float]:
        states.append(next(average.parameters()).detach().clone())
        return next(judgements)

    report = train(network, counts, settings, judge, seed=1, checkpoint=None, log=lambda _: None)
    assert report["kept_step"] == 3, "0.9 comes with too many copies"
    assert torch.equal(next(network.parameters()), states[2])


def test_settings_of_sampling_change_samples_and_no_training(counts: NDArray[np.uint8]) -> None:
    generator = MatGAN.from_settings({**TINY, "steps": 4, "evaluate_every": 2})
    generator.fit(counts, MATGAN_ELEMENTS, validation_counts=counts, seed=1, log=lambda _: None)
    drawn = generator.sample(300, seed=2)
    assert np.array_equal(drawn, generator.sample(300, seed=2, settings={"refills": 1}))
    refilled = generator.sample(300, seed=2, settings={"refills": 5})
    assert not np.array_equal(drawn, refilled)
    known = set(map(bytes, counts))
    assert sum(bytes(row) in known for row in refilled) < sum(bytes(row) in known for row in drawn)
    cold = generator.sample(300, seed=2, settings={"sampling_temperature": 0.01})
    assert len(np.unique(cold, axis=0)) < len(np.unique(drawn, axis=0))
    with pytest.raises(InputError, match="refill is 1"):
        generator.sample(3, seed=2, settings={"refill": 1})
    with pytest.raises(InputError, match="sampling_temperature"):
        MatGAN.from_settings({"sampling_temperature": 1.0})


def test_a_diverged_training_names_its_step(counts: NDArray[np.uint8]) -> None:
    generator = MatGAN.from_settings({**TINY, "steps": 50})
    object.__setattr__(generator.settings, "critic_rate", 1e30)  # no user may give such a rate
    with pytest.raises(FloatingPointError, match="GAN, at step"):
        generator.fit(counts, MATGAN_ELEMENTS, validation_counts=counts, seed=1, log=lambda _: None)


@pytest.mark.parametrize("network", ["infill", "dense", "conv"])
def test_weights_that_are_no_numbers_draw_nothing(network: str, counts: NDArray[np.uint8]) -> None:
    generator = MatGAN.from_settings({**TINY, "steps": 1, "network": network})
    generator.fit(counts, MATGAN_ELEMENTS, validation_counts=counts, seed=1, log=lambda _: None)
    assert len(generator.sample(3, seed=1, log=lambda _: None)) == 3
    with torch.no_grad():
        list(generator._network.parameters())[-1].view(-1)[0] = float("nan")
    with pytest.raises(FloatingPointError, match="not finite; train again"):
        generator.sample(3, seed=1, log=lambda _: None)


@pytest.mark.parametrize("name", list(COMPOSITION_GENERATORS))
def test_every_generator_of_compositions_keeps_the_interface(
    name: str, counts: NDArray[np.uint8], tmp_path: Path
) -> None:
    settings = {**TINY, "steps": 3, "evaluate_every": 3} if name == "matgan" else {}
    generator = make_composition_generator(name, settings)
    assert generator.name == name
    report = generator.fit(counts, MATGAN_ELEMENTS, validation_counts=counts[::5], seed=1, log=lambda _: None)
    assert isinstance(report, dict)
    drawn = generator.sample(300, seed=7, log=lambda _: None)
    assert drawn.shape == (300, 85)
    assert drawn.dtype == np.uint8
    assert drawn.max() <= MOST_ATOMS
    generator.save(tmp_path / "generator.pt")
    again = load_composition_generator(name, tmp_path / "generator.pt")
    assert np.array_equal(again.sample(300, seed=7, log=lambda _: None), drawn)
    assert not np.array_equal(again.sample(300, seed=8, log=lambda _: None), drawn)
    assert len(again.sample(0, seed=1, log=lambda _: None)) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "transformer"}, "give one of infill, dense, conv"),
        ({"widht": 3}, "widht is 3; there is no such setting; did you mean width"),
        ({"steps": 0}, "steps is 0; give a whole number from 1"),
        ({"batch_size": 2.5}, "whole number"),
        ({"average_decay": 1.0}, "below 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MatGAN.from_settings(settings)


def test_rows_that_have_no_matrix_are_refused(counts: NDArray[np.uint8]) -> None:
    generator = MatGAN.from_settings(TINY)
    with pytest.raises(InputError, match="training compositions have shape"):
        generator.fit(counts[:0], MATGAN_ELEMENTS, validation_counts=counts, seed=1)
    wrong = counts.copy()
    wrong[4, 7] = 9
    with pytest.raises(InputError, match="training composition 5"):
        generator.fit(wrong, MATGAN_ELEMENTS, validation_counts=counts, seed=1)
    with pytest.raises(InputError, match="not fitted"):
        generator.sample(3, seed=1)
