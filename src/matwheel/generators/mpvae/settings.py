"""Settings of an MPVAE. Budgets count steps, so augmented rows cost no more than plain ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from matwheel.core.errors import InputError
from matwheel.core.settings import (
    Batch,
    Count,
    NotNegative,
    Positive,
    Rate,
    ShareBelowOne,
    Steps,
    Width,
    settings,
)


@settings
class MPVAESettings:
    """Network, losses and budgets; the defaults are for one CPU thread."""

    network: Literal["sites", "published"] = "sites"
    """'sites' reads and writes a gene site by site and can only write positions that its space group has
    (`site_network`); 'published' is the convolutional network of WyCryst (`published_network`).
    """
    latent_width: Width = 64
    """Width of the latent vector."""
    width: Width = 192
    """Units of the hidden layers of 'sites'."""
    embedding_width: Width = 64
    """Width of the vectors that stand for elements and Wyckoff positions in 'sites'."""
    largest_atoms: Count = 20
    """Atoms of the primitive cell above which a row is not learnt from."""
    augment: bool = True
    """Learn from all equivalent descriptions of the training genes (Wyckoff augmentation)."""
    transfer: bool = True
    """Pre-train on all training rows before the fine-tuning."""
    pretraining_steps: Steps = 3000
    """Optimiser steps on all training rows, for the formation energy."""
    fine_tuning_steps: Steps = 1000
    """Optimiser steps on the rows with a band gap above 0, for both properties."""
    batch_size: Batch = 128
    """Genes per step."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """`rmsprop` is published."""
    pretraining_rate: Rate = 2e-3
    """The largest learning rate of the pre-training."""
    fine_tuning_rate: Rate = 1e-3
    """The largest learning rate of the fine-tuning."""
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    """'one_cycle' or 'constant', see `matwheel.training.resumable_training.TrainingPlan`."""
    validate_every: Steps = 500
    """Steps between two looks at the validation rows."""
    largest_gradient_norm: Positive | None = None
    """Gradients are clipped to this norm; null: not at all."""
    average_decay: ShareBelowOne = 0.0
    """Decay per step of the running average of the weights that is validated and kept; 0: the plain weights.
    """
    freeze_encoder: bool = False
    """Fine-tuning leaves the first half of the encoder and its normalisation as they are."""
    dropout: ShareBelowOne = 0.1
    """Share of hidden units that a step does not see."""
    kl_weight: NotNegative = 0.01
    """Weight of the divergence from the latent prior in the loss, a sum over one gene and a mean over the
    batch.
    """
    property_weight: NotNegative = 5.0
    """Weight of the properties in the loss."""
    crystal_system_weight: NotNegative = 0.5
    """Weight of the crystal system in the loss."""
    space_group_weight: NotNegative = 1.0
    """Weight of the space group in the loss."""
    reconstruction_weight: NotNegative = 1.0
    """Weight of the gene's reconstruction in the loss."""
    formula_weight: NotNegative = 0.0
    """Weight of the consistency of formula and positions, in 'published' only."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA where there is one."""


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
    return MPVAESettings(**{**PRESETS[preset], **changes})
