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

from matwheel.checkpoints import TrainingCheckpoint
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.crystals.wyckoff_genes import WyckoffGene, parse_gene
from matwheel.generators.con_cdvae.generator import ConCDVAE
from matwheel.generators.matgan.autoencoder import AutoencoderSettings, CompositionAutoencoder
from matwheel.generators.matgan.generator import MatGAN
from matwheel.generators.matgan.representation import MOST_ATOMS
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.predictors.elemnet import ElemNet, ElemNetSettings
from matwheel.predictors.training import CGCNNPredictor
from matwheel.predictors.training_settings import training_settings
from matwheel.screening.formulas import MATGAN_ELEMENTS, formula_counts

DATA = Path(__file__).resolve().parents[1] / "data"

Checkpoint = TrainingCheckpoint | None


def silent(message: str) -> None:
    """Log nothing."""


@dataclass(frozen=True)
class Trial:
    """A model that is trained for a few steps and asked for what it gives.

    Attributes:
        fit: trains from a device, a seed and a checkpoint; returns the model and its losses.
        numbers: what a fitted model computes without drawing, by name.
        draws: what it draws with a seed: one row per sample, or None where it draws nothing.
        load: reads a saved model onto a device.
    """

    fit: Callable[[Any, int, Checkpoint], tuple[Any, list[float]]]
    numbers: Callable[[Any], dict[str, NDArray]]
    draws: Callable[[Any, int], NDArray | None]
    load: Callable[[Path, Any], Any]


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

    def fit(device: Any, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        rows, target = crystals()
        model = CGCNNPredictor(
            training_settings("default", changes), device=device, checkpoint_every_seconds=0
        )
        report = model.fit(
            rows[:24], target[:24], rows[24:], target[24:], seed=seed, checkpoint=checkpoint, log=silent
        )
        return model, [point["training_loss"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model: {"exfoliation_energy": model.predict(crystals()[0])},
        lambda model, seed: None,
        lambda path, device: CGCNNPredictor.load(path, device=device),
    )


def _con_cdvae() -> Trial:
    def fit(device: Any, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        rows, target = crystals()
        model = ConCDVAE.from_settings(
            {
                "autoencoder_steps": 4, "decoder_steps": 2, "prior_steps": 4, "noise_levels": 8,
                "prior_noise_steps": 20, "batch_size": 8, "evaluate_every": 2, "encoder_width": 16,
                "decoder_width": 16, "prior_width": 32, "device": device,
            }  # fmt: skip
        )
        report = model.fit(
            rows[:16], target[:16], validation_crystals=rows[16:20], validation_labels=target[16:20],
            seed=seed, checkpoint=checkpoint, log=silent,
        )  # fmt: skip
        curves = [stage["curve"] for stage in report["stages"].values()]
        return model, [value for curve in curves for point in curve for value in point["train"].values()]

    def sampled(model: ConCDVAE, seed: int) -> list[Crystal]:
        return model.sample([20.0, 60.0, 100.0, 140.0], seed=seed, id_prefix="trial", log=silent)

    def numbers(model: ConCDVAE) -> dict[str, NDArray]:
        drawn = sampled(model, 3)
        return {
            "lattice_angstrom": np.array([crystal.lattice for crystal in drawn]),
            "frac_coords": np.concatenate([crystal.frac_coords for crystal in drawn]),
        }

    return Trial(
        fit,
        numbers,
        lambda model, seed: np.array([" ".join(crystal.species) for crystal in sampled(model, seed)])[:, None],
        lambda path, device: ConCDVAE.load(path, device=device),
    )


def _matgan(changes: dict[str, Any]) -> Trial:
    def fit(device: Any, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
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
        lambda model: {},
        lambda model, seed: model.sample(500, seed=seed, log=silent),
        lambda path, device: MatGAN.load(path, device=device),
    )


def _mpvae(changes: dict[str, Any]) -> Trial:
    def fit(device: Any, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        rows, labels, _ = genes()
        tiny = {
            "width": 32, "embedding_width": 16, "latent_width": 8, "batch_size": 16, "pretraining_steps": 4,
            "fine_tuning_steps": 4, "validate_every": 2, "largest_atoms": 20, "device": device,
        }  # fmt: skip
        model = MPVAE.from_settings(tiny | changes)
        data = {"validation_genes": rows[45:], "validation_labels": labels[45:], "seed": seed, "log": silent}
        first = model.pretrain(rows[:45], labels[:45], **data)
        second = model.fine_tune(rows[:45], labels[:45], **data, checkpoint=checkpoint)
        return model, [point["training_loss"] for report in (first, second) for point in report["curve"]]

    def small(model: MPVAE) -> list[WyckoffGene]:
        return [gene for gene in genes()[0] if model.learns_from(gene)]

    def numbers(model: MPVAE) -> dict[str, NDArray]:
        means, deviations = model.encode(small(model))
        return {"mean": means, "deviation": deviations, "properties": model.predict(means)[0]}

    def draws(model: MPVAE, seed: int) -> NDArray:
        latents = np.random.default_rng(seed).standard_normal((200, 8), dtype=np.float32)
        drawn = model.decode(latents, seed=seed, temperature=1.0)
        flat = [np.reshape(part, (len(latents), -1)) for part in (drawn.space_group, drawn.elements, drawn.letters)]
        return np.concatenate(flat, axis=1)

    return Trial(fit, numbers, draws, lambda path, device: MPVAE.load(path, device=device))


def _elemnet() -> Trial:
    def fit(device: Any, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        _, labels, counts = genes()
        settings = ElemNetSettings(
            width_factor=0.2, dropout=(0.2, 0.1, 0.3, 0.2), epochs=2, batch_size=16, learning_rate=1e-3
        )
        model = ElemNet(settings, device=device)
        report = model.fit(
            counts[:45], labels[:45, 0], validation_counts=counts[45:], validation_target=labels[45:, 0],
            seed=seed, checkpoint=checkpoint, log=silent,
        )  # fmt: skip
        return model, [point["training_loss"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model: {"formation_energy": model.predict(genes()[2])},
        lambda model, seed: None,
        lambda path, device: ElemNet.load(path, device=device),
    )


def _autoencoder(network: str) -> Trial:
    def fit(device: Any, seed: int, checkpoint: Checkpoint) -> tuple[Any, list[float]]:
        counts = genes()[2]
        settings = AutoencoderSettings(
            network=network, hidden_width=32, latent_width=8, channels=4, batch_size=16, steps=4,
            validate_every_steps=2,
        )  # fmt: skip
        model = CompositionAutoencoder(settings, device=device)
        report = model.fit(
            counts[:45], MATGAN_ELEMENTS, validation_counts=counts[45:], seed=seed, checkpoint=checkpoint,
            log=silent,
        )  # fmt: skip
        return model, [point["training_loss"] for point in report["curve"]]

    return Trial(
        fit,
        lambda model: {},
        lambda model, seed: model.reconstruct(genes()[2]),
        lambda path, device: CompositionAutoencoder.load(path, device=device),
    )


TRIALS: dict[str, Trial] = {
    "cgcnn": _cgcnn(),
    "con_cdvae": _con_cdvae(),
    "matgan": _matgan({}),
    "matgan-dense": _matgan({"network": "dense"}),
    "matgan-conv": _matgan({"network": "conv", "lipschitz": "clipping"}),
    "mpvae": _mpvae({}),
    "mpvae-published": _mpvae({"network": "published", "optimiser": "rmsprop", "freeze_encoder": True}),
    "elemnet": _elemnet(),
    "matgan_autoencoder": _autoencoder("dense"),
    "matgan_autoencoder-conv": _autoencoder("conv"),
}
"""By the model's name, with the network behind a dash where there are several."""
