"""Settings of an MPVAE. Budgets count steps, so augmented rows cost no more than plain ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matwheel.core.errors import InputError

NETWORKS = ("sites", "published")
OPTIMISERS = ("adam", "rmsprop")


@dataclass(frozen=True)
class MPVAESettings:
    """Network, losses and budgets; the defaults are for one CPU thread.

    Attributes:
        network: 'sites' reads and writes a gene site by site and can only write positions that its space
            group has (`site_network`); 'published' is the convolutional network of WyCryst
            (`published_network`).
        latent_width: width of the latent vector.
        width: units of the hidden layers of 'sites'.
        embedding_width: width of the vectors that stand for elements and Wyckoff positions in 'sites'.
        largest_atoms: atoms of the primitive cell above which a row is not learnt from.
        augment: learn from all equivalent descriptions of the training genes (Wyckoff augmentation).
        transfer: pre-train on all training rows before the fine-tuning.
        pretraining_steps: optimiser steps on all training rows, for the formation energy.
        fine_tuning_steps: optimiser steps on the rows with a band gap above 0, for both properties.
        batch_size: genes per step.
        optimiser: 'adam', or 'rmsprop' as published.
        pretraining_rate, fine_tuning_rate: the largest learning rates.
        schedule: 'one_cycle' or 'constant', see `matwheel.training.resumable_training.TrainingPlan`.
        validate_every: steps between two looks at the validation rows.
        freeze_encoder: fine-tuning leaves the first half of the encoder and its normalisation as they are.
        dropout: share of hidden units that a step does not see.
        kl_weight, property_weight, crystal_system_weight, space_group_weight, reconstruction_weight,
            formula_weight: weights of the parts of the loss, each a sum over one gene and a mean over the
            batch; the consistency of formula and positions exists in 'published' only.
        device: 'auto' (CUDA where there is one), 'cpu' or 'cuda'.
    """

    network: str = "sites"
    latent_width: int = 64
    width: int = 192
    embedding_width: int = 64
    largest_atoms: int = 20
    augment: bool = True
    transfer: bool = True
    pretraining_steps: int = 3000
    fine_tuning_steps: int = 1000
    batch_size: int = 128
    optimiser: str = "adam"
    pretraining_rate: float = 2e-3
    fine_tuning_rate: float = 1e-3
    schedule: str = "one_cycle"
    validate_every: int = 500
    freeze_encoder: bool = False
    dropout: float = 0.1
    kl_weight: float = 0.01
    property_weight: float = 5.0
    crystal_system_weight: float = 0.5
    space_group_weight: float = 1.0
    reconstruction_weight: float = 1.0
    formula_weight: float = 0.0
    device: str = "auto"

    def __post_init__(self) -> None:
        zero_allowed = {"dropout"}
        zero_allowed |= {field.name for field in dataclasses.fields(self) if field.name.endswith("_weight")}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "str":
                continue
            if field.type == "bool":
                if not isinstance(value, bool):
                    raise InputError(f"MPVAE setting {field.name} must be true or false, not {value!r}")
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or (field.type == "int" and not isinstance(value, int)):
                kind = "a whole number" if field.type == "int" else "a number"
                raise InputError(f"MPVAE setting {field.name} must be {kind}, not {value!r}")
            if not 0 <= value < float("inf") or (value == 0 and field.name not in zero_allowed):
                raise InputError(f"MPVAE setting {field.name} is {value!r}; it must be positive and finite")
        for name, choices in {
            "network": NETWORKS,
            "optimiser": OPTIMISERS,
            "schedule": ("constant", "one_cycle"),
            "device": ("auto", "cpu", "cuda"),
        }.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"MPVAE setting {name} is {getattr(self, name)!r}; choose one of {', '.join(choices)}"
                )
        if not self.dropout < 1:
            raise InputError("MPVAE setting dropout must be below 1")


@dataclass(frozen=True)
class SamplingSettings:
    """How genes are drawn from a fitted model; none of it is known to the training.

    Attributes:
        latent_noise: perturbation of a reference's latent mean, in units of its posterior's standard
            deviation; 1.4 is published, with which this posterior mostly writes the reference itself.
        latents_per_reference: perturbed latents of one reference before the next has its turn.
        latent_choice: of so many times more latents, those whose predicted properties lie nearest to the
            target's windows are decoded; 1 decodes all.
        temperature: of the draws of elements, positions and space groups; 0 takes the most probable.
    """

    latent_noise: float = 2.5
    latents_per_reference: int = 20
    latent_choice: int = 2
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (self.latent_noise >= 0 and self.temperature >= 0):
            raise InputError("latent_noise and temperature must not be negative")
        if self.latents_per_reference < 1 or self.latent_choice < 1:
            raise InputError("latents_per_reference and latent_choice must be at least 1")


# The network, loss weights and budgets of the public code; 55 epochs are counted in steps for the mirror's
# 10,607 ternaries (about 26,000 augmented training rows, 7,000 of them with a gap).
PUBLISHED: Mapping[str, Any] = {
    "network": "published",
    "latent_width": 256,
    "width": 1024,
    "pretraining_steps": 2800,
    "fine_tuning_steps": 750,
    "batch_size": 512,
    "optimiser": "rmsprop",
    "pretraining_rate": 2e-4,
    "fine_tuning_rate": 2e-4,
    "schedule": "constant",
    "freeze_encoder": True,
    "kl_weight": 4.0,
    "property_weight": 32.0,
    "crystal_system_weight": 0.0,
    "space_group_weight": 1 / 6,
    "reconstruction_weight": 1 / 64,
    "formula_weight": 1 / 256,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {"default": {}, "published": PUBLISHED}


def settings_from_mapping(settings: Mapping[str, Any]) -> MPVAESettings:
    """Return the settings of a preset (key `preset`, 'default' where absent) with the named ones changed.

    Raises:
        InputError: an unknown name or preset, or a value out of range.
    """
    changes = dict(settings)
    preset = changes.pop("preset", "default")
    if preset not in PRESETS:
        raise InputError(f"unknown MPVAE preset {preset!r}; choose one of {', '.join(PRESETS)}")
    known = {field.name for field in dataclasses.fields(MPVAESettings)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(f"unknown MPVAE setting {unknown[0]!r}; known: preset, {', '.join(sorted(known))}")
    return MPVAESettings(**{**PRESETS[preset], **changes})
