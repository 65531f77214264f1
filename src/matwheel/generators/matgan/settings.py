"""Settings of MatGAN. Budgets count optimiser steps of the generator, so that a larger set costs no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matwheel.core.errors import InputError

NETWORKS = ("infill", "dense", "conv")
LIPSCHITZ = ("penalty", "clipping")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class MatGANSettings:
    """Networks, losses and budgets; the defaults are for one CPU thread.

    Attributes:
        network: 'infill' completes a training row from which one element was taken; 'dense' makes a
            composition from noise alone with fully connected layers; 'conv' is the published generator of one
            fully connected and seven transposed-convolution layers (`matwheel.generators.matgan.networks`).
        width: units of each hidden layer of 'infill' and 'dense', and of their critic.
        channels: channels of the widest layer of 'conv', and of its critic.
        latent_width: width of the noise.
        gumbel_temperature: of the soft draws whose gradients stand for those of the discrete draws; not used
            by 'conv', whose output is a sigmoid.
        lipschitz: what keeps the critic's slope bounded: 'penalty' on the gradient (Gulrajani et al. 2017) or
            'clipping' of the weights (Arjovsky et al. 2017).
        penalty_weight: weight of the gradient penalty.
        clipping_limit: largest absolute weight of the critic under clipping.
        steps: optimiser steps of the generator.
        critic_steps: optimiser steps of the critic before each of them.
        batch_size: compositions per optimiser step.
        generator_rate, critic_rate: learning rates (Adam, β 0.5 and 0.9).
        schedule: 'constant', as published, or 'cosine' for rates that fall to zero.
        average_decay: decay of the moving average of the generator's weights that is kept; 0 keeps the
            weights themselves.
        evaluate_every: steps between two looks at the validation rows.
        evaluation_samples: compositions drawn for such a look, the same noise each time.
        smallest_uniqueness: share of distinct compositions among them below which a state is kept only
            while no other reaches it.
        dropout: share of the hidden units of 'infill' that it does not see in a step.
        adversarial_weight: weight of the critic's verdict in the loss of 'infill'.
        reconstruction_weight: weight of the element that was taken, in the same loss.
        refills: elements of a row that 'infill' replaces one after the other when sampling.
        sampling_temperature: divides the logits of 'infill' when sampling; above 1, samples are more diverse.
        device: 'auto' (CUDA where there is one), 'cpu' or 'cuda'.
    """

    network: str = "infill"
    width: int = 512
    channels: int = 64
    latent_width: int = 128
    gumbel_temperature: float = 0.7
    lipschitz: str = "penalty"
    penalty_weight: float = 10.0
    clipping_limit: float = 0.01
    steps: int = 2500
    critic_steps: int = 1
    batch_size: int = 512
    generator_rate: float = 1e-3
    critic_rate: float = 2e-4
    schedule: str = "cosine"
    average_decay: float = 0.999
    evaluate_every: int = 500
    evaluation_samples: int = 200_000
    smallest_uniqueness: float = 0.5
    dropout: float = 0.2
    adversarial_weight: float = 0.3
    reconstruction_weight: float = 1.0
    refills: int = 1
    sampling_temperature: float = 1.5
    device: str = "auto"

    def __post_init__(self) -> None:
        zero_allowed = {"average_decay", "smallest_uniqueness", "dropout"}
        zero_allowed |= {field.name for field in dataclasses.fields(self) if field.name.endswith("_weight")}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "str":
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or (field.type == "int" and not isinstance(value, int)):
                kind = "a whole number" if field.type == "int" else "a number"
                raise InputError(f"MatGAN setting {field.name} must be {kind}, not {value!r}")
            if not 0 <= value < float("inf") or (value == 0 and field.name not in zero_allowed):
                raise InputError(f"MatGAN setting {field.name} is {value!r}; it must be positive and finite")
        for name, choices in {
            "network": NETWORKS,
            "lipschitz": LIPSCHITZ,
            "schedule": SCHEDULES,
            "device": ("auto", "cpu", "cuda"),
        }.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"MatGAN setting {name} is {getattr(self, name)!r}; choose one of {', '.join(choices)}"
                )
        for name in ("average_decay", "dropout", "smallest_uniqueness"):
            if not getattr(self, name) < 1:
                raise InputError(f"MatGAN setting {name} must be below 1")


def settings_from_mapping(settings: Mapping[str, Any]) -> MatGANSettings:
    """Return settings in which the named ones differ from the defaults.

    Raises:
        InputError: an unknown name or a value out of range.
    """
    known = {field.name for field in dataclasses.fields(MatGANSettings)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InputError(f"unknown MatGAN setting {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return MatGANSettings(**settings)
