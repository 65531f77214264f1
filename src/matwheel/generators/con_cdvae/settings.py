"""Settings of Con-CDVAE. Budgets count optimiser steps, so that a larger set does not cost more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matwheel.core.errors import InputError


@dataclass(frozen=True)
class ConCDVAESettings:
    """Sizes, losses and budgets; the defaults are for one CPU thread.

    Attributes:
        latent_width: width of the latent vector z.
        hidden_width: width of the layers that join z and the condition, and of the heads.
        condition_width: width of the condition's embedding.
        condition_centres: Gaussians that code the standardised logarithm of the label.
        encoder_width: features per atom in the encoder.
        encoder_convolutions: graph convolutions of the encoder.
        decoder: name of the score network, a key of `decoders.DECODERS`.
        decoder_width: features per atom in the decoder.
        decoder_layers: message-passing layers of the decoder.
        decoder_vectors: vector channels of each decoder layer.
        neighbours: nearest periodic images that send messages to an atom in the decoder.
        cutoff_angstrom: images beyond it send nothing.
        distance_centres: Gaussians that code a distance in the decoder.
        noise_levels: number of noise levels, geometric from the first to the last.
        largest_noise_angstrom, smallest_noise_angstrom: standard deviation of the displacements, Å.
        largest_type_noise, smallest_type_noise: weight of the predicted composition that is mixed into the
            one-hot element of an atom before its noisy element is drawn.
        atom_count_weight, lattice_weight, composition_weight, coordinate_weight, type_weight, kl_weight,
        property_weight: weights of the losses.
        batch_size: crystals per optimiser step of the first two stages.
        dropout: share of z_con that the heads of atom number and composition and the decoder, which overfit
            first, do not see in training.
        autoencoder_steps: largest number of steps in which all parts learn together; of these the state with
            the smallest validation loss of the heads is kept.
        head_patience: the first stage ends when that loss has not improved for so many steps.
        decoder_steps: further steps in which only the decoder learns, all else frozen.
        prior_steps: steps of the latent diffusion prior.
        prior_batch_size: latent vectors per step of the prior.
        prior_width: hidden width of the prior's network.
        prior_noise_steps: diffusion steps of the prior.
        prior_first_beta, prior_last_beta: variances of its first and last step (linear in between).
        learning_rate: largest learning rate (Adam, one cycle per stage).
        gradient_norm: gradients are clipped to this norm.
        average_decay: decay of the moving average of the weights that is kept.
        evaluate_every: optimiser steps between two evaluations on validation crystals.
        langevin_steps: Langevin steps per noise level.
        langevin_step_size: ε of the step ε (σ / σ_last)².
        first_level: level at which training and sampling of positions start; coordinates drawn uniformly in
            the cell are already at equilibrium where the noise is as large as the cell, so the first levels
            can be left out.
        latent_temperature: factor on the prior's noise when sampling; 1 follows the prior.
        atom_count_temperature: divides the logits of the atom-number head when sampling; 0 takes the largest.
        composition_temperature: divides the logits of the composition head when sampling.
        sampling_batch_atoms: largest number of atoms in one sampling batch.
        resampling_attempts: how often a crystal whose cell is degenerate is drawn anew.
        device: 'auto' (CUDA where there is one), 'cpu' or 'cuda'.
    """

    latent_width: int = 128
    hidden_width: int = 128
    condition_width: int = 64
    condition_centres: int = 32
    encoder_width: int = 64
    encoder_convolutions: int = 3
    decoder: str = "equivariant"
    decoder_width: int = 96
    decoder_layers: int = 3
    decoder_vectors: int = 16
    neighbours: int = 16
    cutoff_angstrom: float = 7.0
    distance_centres: int = 24
    noise_levels: int = 50
    largest_noise_angstrom: float = 10.0
    smallest_noise_angstrom: float = 0.01
    largest_type_noise: float = 5.0
    smallest_type_noise: float = 0.01
    atom_count_weight: float = 1.0
    lattice_weight: float = 10.0
    composition_weight: float = 1.0
    coordinate_weight: float = 10.0
    type_weight: float = 1.0
    kl_weight: float = 0.01
    property_weight: float = 3.0
    batch_size: int = 64
    dropout: float = 0.3
    autoencoder_steps: int = 600
    head_patience: int = 150
    decoder_steps: int = 500
    prior_steps: int = 2000
    prior_batch_size: int = 128
    prior_width: int = 256
    prior_noise_steps: int = 300
    prior_first_beta: float = 0.001
    prior_last_beta: float = 0.02
    learning_rate: float = 2e-3
    gradient_norm: float = 0.5
    average_decay: float = 0.98
    evaluate_every: int = 50
    langevin_steps: int = 2
    langevin_step_size: float = 1e-4
    first_level: int = 6
    latent_temperature: float = 1.0
    atom_count_temperature: float = 1.0
    composition_temperature: float = 0.9
    sampling_batch_atoms: int = 400
    resampling_attempts: int = 5
    device: str = "auto"

    def __post_init__(self) -> None:
        zero_allowed = {
            "decoder_steps",
            "atom_count_temperature",
            "dropout",
            "first_level",
            "resampling_attempts",
        }
        zero_allowed |= {field.name for field in dataclasses.fields(self) if field.name.endswith("_weight")}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "str":
                if not isinstance(value, str):
                    raise InputError(f"Con-CDVAE setting {field.name} must be a text, not {value!r}")
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or (field.type == "int" and not isinstance(value, int)):
                kind = "a whole number" if field.type == "int" else "a number"
                raise InputError(f"Con-CDVAE setting {field.name} must be {kind}, not {value!r}")
            if not 0 <= value < float("inf") or (value == 0 and field.name not in zero_allowed):
                raise InputError(
                    f"Con-CDVAE setting {field.name} is {value!r}; it must be positive and finite"
                )
        if not self.dropout < 1:
            raise InputError("Con-CDVAE setting dropout must be below 1")
        if self.neighbours > 25:
            raise InputError(
                "Con-CDVAE setting neighbours must be at most 25: 27 cells of one atom hold 26 images"
            )
        if self.noise_levels < 2 or self.first_level >= self.noise_levels:
            raise InputError("Con-CDVAE needs 2 noise levels or more, and first_level below their number")
        if self.smallest_noise_angstrom >= self.largest_noise_angstrom:
            raise InputError("Con-CDVAE setting smallest_noise_angstrom must be below largest_noise_angstrom")
        if not self.average_decay < 1:
            raise InputError("Con-CDVAE setting average_decay must be below 1")
        if self.device not in ("auto", "cpu", "cuda"):
            raise InputError(f"Con-CDVAE setting device is {self.device!r}; choose auto, cpu or cuda")


def settings_from_mapping(settings: Mapping[str, Any]) -> ConCDVAESettings:
    """Return settings in which the named ones differ from the defaults.

    Raises:
        InputError: an unknown name or a value out of range.
    """
    known = {field.name for field in dataclasses.fields(ConCDVAESettings)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InputError(f"unknown Con-CDVAE setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return ConCDVAESettings(**settings)
