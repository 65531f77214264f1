"""One tiny training and sampling, on real data, of every model that has a device, for tests of devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.composition_models.elemnet import ElemNet, ElemNetSettings
from matwheel.compositions.formulas import MATGAN_ELEMENTS, formula_counts
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.generators.con_cdvae.generator import ConCDVAE
from matwheel.generators.matgan.autoencoder import AutoencoderSettings, CompositionAutoencoder
from matwheel.generators.matgan.generator import MatGAN
from matwheel.generators.matgan.representation import MOST_ATOMS
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.predictors.training import CGCNNPredictor
from matwheel.predictors.training_settings import training_settings
from matwheel.training import devices
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.wyckoff.wyckoff_genes import WyckoffGene, parse_gene

DATA = Path(__file__).resolve().parents[1] / "data"

Checkpoint = TrainingCheckpoint | None


def silent(message: str) -> None:
    """Log nothing."""


# Two devices round differently (float32: 6e-8 relative), and training lets that grow. With every operation
# rounded otherwise on a CPU, losses and outputs differ by at most 9e-5 of the largest; another seed changes
# the losses by 0.1 or more.
AFTER_TRAINING = 1e-3
# Without training in between nothing grows; other rounding makes 8e-7.
SAME_WEIGHTS = 1e-4
# A draw is another one only where two candidates were equal to rounding.
DIFFERENT_DRAWS = 0.02


@dataclass(frozen=True)
class Outcome:
    """What a trial gives: losses, numbers by name, and draws, one row each."""

    losses: list[float]
    numbers: dict[str, NDArray]
    draws: NDArray | None

    def same_bits(self, other: Outcome) -> bool:
        """Say whether two are the same to the last bit."""
        return (
            self.losses == other.losses
            and all(np.array_equal(values, other.numbers[name]) for name, values in self.numbers.items())
            and (self.draws is None or np.array_equal(self.draws, other.draws))
        )


@dataclass(frozen=True)
class Trial:
    """A model that is trained for a few steps and asked for what it gives.

    Attributes:
        fit: trains from a device, a seed and a checkpoint; returns the model and its losses.
        gives: what a fitted model gives with a seed: numbers by name, and discrete draws, one row each; None
            where it draws nothing.
        load: reads a saved model onto a device.
        losses_within, numbers_within: how far two devices may be apart after training, as a share of the
            largest value.
        draws_within: the share of the draws that may differ.
    """

    fit: Callable[[str, int, Checkpoint], tuple[Any, list[float]]]
    gives: Callable[[Any, int], tuple[dict[str, NDArray], NDArray | None]]
    load: Callable[[Path, str], Any]
    losses_within: float = AFTER_TRAINING
    numbers_within: float = AFTER_TRAINING
    draws_within: float = DIFFERENT_DRAWS

    def outcome(self, model: Any, losses: list[float] | None = None, *, seed: int) -> Outcome:
        """Return what a fitted model gives."""
        return Outcome(losses or [], *self.gives(model, seed))

    def train(self, device: str, *, seed: int, checkpoint: Checkpoint = None) -> tuple[Any, Outcome]:
        """Train on a device and return the model and what it gives there."""
        model, losses = self.fit(device, seed, checkpoint)
        return model, self.outcome(model, losses, seed=seed)

    def differences(self, one: Outcome, other: Outcome, *, same_weights: bool = False) -> dict[str, float]:
        """Return what differs by more than is allowed, and by how much; nothing where they agree."""
        measured = [("losses", np.array(one.losses), np.array(other.losses), self.losses_within)]
        within = SAME_WEIGHTS if same_weights else self.numbers_within
        measured += [(name, values, other.numbers[name], within) for name, values in one.numbers.items()]
        found = {}
        for name, values, others, limit in measured:
            distance = _distance(name, values, others)
            if not distance <= limit:
                found[name] = distance
        if one.draws is not None:
            share = float((one.draws != other.draws).any(axis=1).mean())
            if share > self.draws_within:
                found["draws"] = share
        return found


def _distance(name: str, one: NDArray, other: NDArray) -> float:
    """Return the largest difference relative to the largest value; infinite for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    difference = np.asarray(one - other, dtype=np.float64)
    if name == "frac_coords":  # 0 and 1 are the same place
        difference = difference - np.round(difference)
    return float(np.abs(difference).max() / max(np.abs(one).max(), 1e-12))


@cache
def crystals() -> tuple[list[Crystal], NDArray[np.float64]]:
    """Return 40 crystals and their exfoliation energies (meV/atom)."""
    table = read_table(DATA / "jarvis40.parquet")
    return crystals_of_table(table), table["target"].to_numpy(dtype=float)


@cache
def genes() -> tuple[list[WyckoffGene], NDArray[np.float64], NDArray[np.uint8]]:
    """Return the genes whose composition MatGAN can hold, properties (n, 2) and compositions (n, 85)."""
    table = pd.read_csv(DATA / "genes60.csv")
    counts = formula_counts(table["formula"], MATGAN_ELEMENTS)
    table, counts = table[counts.max(axis=1) <= MOST_ATOMS], counts[counts.max(axis=1) <= MOST_ATOMS]
    labels = table[list(PROPERTIES)].to_numpy(dtype=float)
    return [parse_gene(text) for text in table["gene"]], labels, counts.astype(np.uint8)


def _cgcnn() -> Trial:
    # Dropout and noise on the distances: both draw random numbers in training.
    changes = {
        "convolutions": 2, "node_width": 16, "hidden_width": 16, "dropout": 0.2, "batch_size": 8,
        "steps": 6, "validate_every_steps": 2, "validation_window": 1,
    }  # fmt: skip

    def fit(device: str, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        rows, target = crystals()
        model = CGCNNPredictor(
            training_settings("default", changes),
            device=devices.resolve_device(device),
            checkpoint_every_seconds=0,
        )
        report = model.fit(
            rows[:24], target[:24], rows[24:], target[24:], seed=seed, checkpoint=checkpoint, log=silent
        )
        return model, [point["training_loss"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model, seed: ({"exfoliation_energy": model.predict(crystals()[0])}, None),
        lambda path, device: CGCNNPredictor.load(path, device=devices.resolve_device(device)),
    )


def _con_cdvae() -> Trial:
    def fit(device: str, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        rows, target = crystals()
        model = ConCDVAE.from_settings(
            {
                "autoencoder_steps": 3, "decoder_steps": 2, "prior_steps": 3, "noise_levels": 8,
                "prior_noise_steps": 5, "batch_size": 8, "evaluate_every": 3, "encoder_width": 16,
                "encoder_convolutions": 1, "decoder_width": 16, "decoder_layers": 1, "prior_width": 32,
                "device": device,
            }
        )  # fmt: skip
        report = model.fit(
            rows[:12], target[:12], validation_crystals=rows[12:14], validation_labels=target[12:14],
            seed=seed, checkpoint=checkpoint, log=silent,
        )  # fmt: skip
        curves = [stage["curve"] for stage in report["stages"].values()]
        return model, [value for curve in curves for point in curve for value in point["train"].values()]

    def gives(model: ConCDVAE, seed: int) -> tuple[dict[str, NDArray], NDArray]:
        drawn = model.sample([20.0, 60.0, 100.0], seed=seed, id_prefix="trial", log=silent)
        numbers = {
            "lattice_angstrom": np.array([crystal.lattice for crystal in drawn]),
            "frac_coords": np.concatenate([crystal.frac_coords for crystal in drawn]),
        }
        return numbers, np.array([[" ".join(crystal.species)] for crystal in drawn])

    return Trial(
        fit,
        gives,
        lambda path, device: ConCDVAE.load(path, device=device),
    )


def _matgan(changes: dict[str, Any], **within: float) -> Trial:
    def fit(device: str, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        counts = genes()[2]
        tiny = {
            "width": 32, "channels": 8, "latent_width": 8, "batch_size": 16, "evaluation_samples": 100,
            "steps": 4, "evaluate_every": 2, "device": device,
        }  # fmt: skip
        model = MatGAN.from_settings(tiny | changes)
        report = model.fit(
            counts[:45], MATGAN_ELEMENTS, validation_counts=counts[45:], seed=seed, checkpoint=checkpoint,
            log=silent,
        )  # fmt: skip
        return model, [point["distance"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model, seed: ({}, model.sample(500, seed=seed, log=silent)),
        lambda path, device: MatGAN.load(path, device=device),
        **within,
    )


def _mpvae(changes: dict[str, Any], **within: float) -> Trial:
    def fit(device: str, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        rows, labels, _ = genes()
        tiny = {
            "width": 32, "embedding_width": 16, "latent_width": 8, "batch_size": 16, "pretraining_steps": 2,
            "fine_tuning_steps": 3, "validate_every": 2, "largest_atoms": 20, "device": device,
        }  # fmt: skip
        model = MPVAE.from_settings(tiny | changes)
        data = {"validation_genes": rows[45:], "validation_labels": labels[45:], "seed": seed, "log": silent}
        first = model.pretrain(rows[:45], labels[:45], **data)
        second = model.fine_tune(rows[:45], labels[:45], **data, checkpoint=checkpoint)
        return model, [point["training_loss"] for report in (first, second) for point in report["curve"]]

    def small(model: MPVAE) -> list[WyckoffGene]:
        return [gene for gene in genes()[0] if model.learns_from(gene)]

    def gives(model: MPVAE, seed: int) -> tuple[dict[str, NDArray], NDArray]:
        means, deviations = model.encode(small(model))
        numbers = {"mean": means, "deviation": deviations, "properties": model.predict(means)[0]}
        latents = np.random.default_rng(seed).standard_normal((200, 8), dtype=np.float32)
        drawn = model.decode(latents, seed=seed, temperature=1.0)
        parts = (drawn.space_group, drawn.elements, drawn.letters)
        return numbers, np.concatenate([np.reshape(part, (len(latents), -1)) for part in parts], axis=1)

    return Trial(fit, gives, lambda path, device: MPVAE.load(path, device=device), **within)


def _elemnet() -> Trial:
    def fit(device: str, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        _, labels, counts = genes()
        settings = ElemNetSettings(
            width_factor=0.2, dropout=(0.2, 0.1, 0.3, 0.2), epochs=2, batch_size=16, learning_rate=1e-3
        )
        model = ElemNet(settings, device=devices.resolve_device(device))
        report = model.fit(
            counts[:45], labels[:45, 0], validation_counts=counts[45:], validation_target=labels[45:, 0],
            seed=seed, checkpoint=checkpoint, log=silent,
        )  # fmt: skip
        return model, [point["training_loss"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model, seed: ({"formation_energy": model.predict(genes()[2])}, None),
        lambda path, device: ElemNet.load(path, device=devices.resolve_device(device)),
    )


def _autoencoder(network: str) -> Trial:
    def fit(device: str, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        counts = genes()[2]
        settings = AutoencoderSettings(
            network=network, hidden_width=32, latent_width=8, channels=4, batch_size=16, steps=4,
            validate_every_steps=2,
        )  # fmt: skip
        model = CompositionAutoencoder(settings, device=devices.resolve_device(device))
        report = model.fit(
            counts[:45], MATGAN_ELEMENTS, validation_counts=counts[45:], seed=seed, checkpoint=checkpoint,
            log=silent,
        )  # fmt: skip
        return model, [point["training_loss"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model, seed: ({}, model.reconstruct(genes()[2])),
        lambda path, device: CompositionAutoencoder.load(path, device=devices.resolve_device(device)),
        # The loss hardly falls in four steps, so other seeds are near: 4e-4; other rounding: 6e-8.
        losses_within=1e-5,
    )


TRIALS: dict[str, Trial] = {
    "cgcnn": _cgcnn(),
    "con_cdvae": _con_cdvae(),
    "matgan": _matgan({}),
    "matgan-dense": _matgan({"network": "dense"}),
    # The loss is the difference of two means that clipping keeps nearly equal: 1.3e-2 by other rounding.
    "matgan-conv": _matgan({"network": "conv", "lipschitz": "clipping"}, losses_within=0.1),
    "mpvae": _mpvae({}),
    # RMSprop's first steps have the size of the learning rate whatever the gradient's, and the biases before
    # a normalisation have a gradient of nothing but rounding. The running means follow them, slowly: other
    # rounding changes losses by 1e-3, outputs by 0.06 (0.18 after one step more) and 2 % of the draws.
    "mpvae-published": _mpvae(
        {"network": "published", "optimiser": "rmsprop", "freeze_encoder": True},
        losses_within=5e-3,
        numbers_within=0.4,
        draws_within=0.1,
    ),
    "elemnet": _elemnet(),
    "matgan_autoencoder": _autoencoder("dense"),
    "matgan_autoencoder-conv": _autoencoder("conv"),
}
"""By the model's name, with the network behind a dash where there are several."""
