"""Settings of a CGCNN training, and the published recipes among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from matwheel.core.errors import InputError
from matwheel.predictors.cgcnn import NetworkSettings

CHOICES = {
    "target": ("raw", "log1p"),
    "loss": ("l1", "mse", "back_transformed_l1"),
    "optimiser": ("adamw", "adam", "sgd"),
    "schedule": ("constant", "cosine", "step", "one_cycle"),
    "checkpoint_choice": ("best", "last"),
}
_POSITIVE = (
    "batch_size",
    "epochs",
    "learning_rate",
    "patience",
    "steps",
    "validate_every_steps",
    "validation_window",
)


@dataclass(frozen=True)
class TrainingSettings:
    """Everything a CGCNN training depends on besides data and seed.

    Attributes:
        network: sizes of the network.
        target: 'raw', or 'log1p' to learn log(1 + y) (sign(y) log(1 + |y|) for negative labels).
        loss: 'l1' or 'mse' of the standardised target, or 'back_transformed_l1': the absolute error
            in the units of the labels, over the labels' standard deviation.
        optimiser, learning_rate, momentum (sgd only), weight_decay: of the optimiser.
        schedule: of the learning rate: 'constant', 'cosine' from full to `final_rate_share`, 'step'
            (a tenth after `step_share` of the budget), 'one_cycle' (linear rise over the first tenth,
            then cosine).
        final_rate_share: learning rate at the end of a cosine, as a share of `learning_rate`.
        step_share: share of the budget after which 'step' lowers the rate.
        batch_size: crystals per optimiser step, at most.
        steps, epochs: the budget: optimiser steps (the same number for every size of training set), or
            passes over the training set. Exactly one is set.
        validate_every_steps: steps between validations; None: once per epoch.
        patience: stop after this many validations without a better one; None: never.
        checkpoint_choice: keep the weights of the 'best' validation or the 'last' ones.
        validation_window: 'best' is the smallest mean over this many validations, the present one the
            last of them. With a hundred heavy-tailed labels a single smallest error is mostly luck.
        average_decay: decay per step of the running average of the weights that is validated and
            kept; 0: the plain weights.
        largest_gradient_norm: gradients are clipped to this norm; None: not at all.
        distance_noise_angstrom: standard deviation of the noise on the distinct distances of a batch.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    target: str = "log1p"
    loss: str = "l1"
    optimiser: str = "adamw"
    learning_rate: float = 5e-3
    momentum: float = 0.9
    weight_decay: float = 0.3
    schedule: str = "one_cycle"
    final_rate_share: float = 0.01
    step_share: float = 0.5
    batch_size: int = 64
    steps: int | None = 400
    epochs: int | None = None
    validate_every_steps: int | None = 20
    patience: int | None = None
    checkpoint_choice: str = "best"
    validation_window: int = 5
    average_decay: float = 0.99
    largest_gradient_norm: float | None = None
    distance_noise_angstrom: float = 0.1

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} = {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        if (self.steps is None) == (self.epochs is None):
            raise InputError("set either steps or epochs as the budget, and leave the other null")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} = {value}; it must be above 0")
        if not 0 <= self.average_decay < 1:
            raise InputError(f"average_decay = {self.average_decay}; it must be at least 0 and below 1")


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
    of_training = {item.name for item in fields(TrainingSettings)} - {"network"}
    unknown = sorted(set(changes) - of_network - of_training)
    if unknown:
        raise InputError(
            f"unknown CGCNN setting {unknown[0]!r}; known are {', '.join(sorted(of_training | of_network))}"
        )
    if changes.get("steps") is not None:
        changes.setdefault("epochs", None)
    elif changes.get("epochs") is not None:
        changes.setdefault("steps", None)
    settings = PRESETS[preset]
    network = replace(
        settings.network, **{name: value for name, value in changes.items() if name in of_network}
    )
    return replace(
        settings,
        network=network,
        **{name: value for name, value in changes.items() if name in of_training},
    )
