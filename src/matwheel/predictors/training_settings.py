"""Settings of a CGCNN training, and the published recipes among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.settings import (
    GIVEN,
    Batch,
    Count,
    Epochs,
    Layers,
    NotNegative,
    Positive,
    Share,
    ShareBelowOne,
    Steps,
    Width,
    WrongSetting,
    settings,
)


@settings
class NetworkSettings:
    """Sizes of the network."""

    convolutions: Layers = 3
    """Number of graph convolutions."""
    node_width: Width = 64
    """Features per atom."""
    hidden_width: Width = 128
    """Features of the layer after pooling."""
    largest_distance_angstrom: Positive = 8.0
    """Centres of the Gaussian distance basis lie from 0 to this."""
    basis_step_angstrom: Positive = 0.2
    """Step between these centres, which is also their width."""
    dropout: ShareBelowOne = 0.0
    """Share of pooled features dropped in training."""


@settings
class TrainingSettings:
    """Everything a CGCNN training depends on besides data and seed."""

    network: Annotated[NetworkSettings, GIVEN] = field(default_factory=NetworkSettings)
    """Sizes of the network."""
    target: Literal["raw", "log1p"] = "log1p"
    """`raw`, or log1p to learn log(1 + y) (sign(y) log(1 + |y|) for negative labels)."""
    loss: Literal["l1", "mse", "back_transformed_l1"] = "l1"
    """`l1` or mse of the standardised target, or back_transformed_l1: the absolute error in the units of the
    labels, over the labels' standard deviation.
    """
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights follow gradients."""
    learning_rate: Positive = 5e-3
    """Of the optimiser, the largest."""
    momentum: ShareBelowOne = 0.9
    """Of the optimiser sgd."""
    weight_decay: NotNegative = 0.3
    """Of the optimiser."""
    schedule: Literal["constant", "cosine", "step", "one_cycle"] = "one_cycle"
    """Of the learning rate: constant, cosine from full to `final_rate_share`, step (a tenth after
    `step_share` of the budget), one_cycle (linear rise over the first tenth, then cosine).
    """
    final_rate_share: Share = 0.01
    """Learning rate at the end of a cosine, as a share of `learning_rate`."""
    step_share: Share = 0.5
    """Share of the budget after which 'step' lowers the rate."""
    batch_size: Batch = 64
    """Crystals per optimiser step, at most."""
    steps: Steps | None = 400
    """The budget in optimiser steps, the same for every size of training set; this or `epochs` is set."""
    epochs: Epochs | None = None
    """The budget in passes over the training set."""
    validate_every_steps: Steps | None = 20
    """Steps between validations; null: once per epoch."""
    patience: Count | None = None
    """Stop after this many validations without a better one; null: never."""
    checkpoint_choice: Literal["best", "last"] = "best"
    """Which weights are kept: those of the best validation or the last ones."""
    validation_window: Annotated[int, Field(ge=1, le=10_000)] = 5
    """'best' is the smallest mean over this many validations, the present one the last of them. With a
    hundred heavy-tailed labels a single smallest error is mostly luck.
    """
    average_decay: ShareBelowOne = 0.99
    """Decay per step of the running average of the weights that is validated and kept; 0: the plain weights.
    """
    largest_gradient_norm: Positive | None = None
    """Gradients are clipped to this norm; null: not at all."""
    distance_noise_angstrom: NotNegative = 0.1
    """Standard deviation of the noise on the distinct distances of a batch."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise WrongSetting("set either steps or epochs as the budget, and leave the other null", "epochs")


PRESETS: dict[str, TrainingSettings] = {
    "default": TrainingSettings(),
    # Xie & Grossman 2018: the defaults of the public code.
    "cgcnn-2018": TrainingSettings(
        target="raw",
        loss="mse",
        optimiser="sgd",
        learning_rate=0.01,
        weight_decay=0.0,
        schedule="step",
        step_share=0.5,
        batch_size=256,
        steps=None,
        epochs=200,
        validate_every_steps=None,
        validation_window=1,
        average_decay=0.0,
        distance_noise_angstrom=0.0,
    ),
    # Chang et al., npj Comput. Mater. 8, 242 (2022).
    "moe-2022": TrainingSettings(
        network=NetworkSettings(convolutions=4, node_width=64, hidden_width=32),
        target="raw",
        loss="mse",
        optimiser="sgd",
        learning_rate=0.02,
        weight_decay=0.0,
        schedule="cosine",
        final_rate_share=1e-5 / 0.02,
        batch_size=250,
        steps=None,
        epochs=1000,
        validate_every_steps=None,
        patience=500,
        validation_window=1,
        average_decay=0.0,
        distance_noise_angstrom=0.0,
    ),
}


def training_settings(preset: str = "default", changes: Mapping[str, Any] | None = None) -> TrainingSettings:
    """Return a preset with single values changed; the network's sizes count as values too.

    Giving one of `steps` and `epochs` unsets the other.

    Raises:
        InputError: unknown preset or name, or a value that is not allowed.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    changes = dict(changes or {})
    of_network = {item.name for item in fields(NetworkSettings)}
    if changes.get("steps") is not None:
        changes.setdefault("epochs", None)
    elif changes.get("epochs") is not None:
        changes.setdefault("steps", None)
    settings = PRESETS[preset]
    network = {name: changes.pop(name) for name in of_network & set(changes)}
    return replace(settings, network=replace(settings.network, **network), **changes)
