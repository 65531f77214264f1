"""Settings of MatGAN's training. Budgets count optimiser steps of the generator: a larger set costs no more.

What only sampling reads is in `sampling_settings`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
class MatGANSettings:
    """Networks, losses and budgets; the defaults are for one CPU thread."""

    network: Literal["infill", "dense", "conv"] = "infill"
    """'infill' completes a training row from which one element was taken; 'dense' makes a composition from
    noise alone with fully connected layers; 'conv' is the published generator of one fully connected and
    seven transposed-convolution layers (`matwheel.generators.matgan.networks`).
    """
    width: Width = 512
    """Units of each hidden layer of 'infill' and 'dense', and of their critic."""
    channels: Width = 64
    """Channels of the widest layer of 'conv', and of its critic."""
    latent_width: Width = 128
    """Width of the noise."""
    gumbel_temperature: Positive = 0.7
    """Of the soft draws whose gradients stand for those of the discrete draws; not used by 'conv', whose
    output is a sigmoid.
    """
    lipschitz: Literal["penalty", "clipping"] = "penalty"
    """What keeps the critic's slope bounded: 'penalty' on the gradient (Gulrajani et al. 2017) or 'clipping'
    of the weights (Arjovsky et al. 2017).
    """
    penalty_weight: NotNegative = 10.0
    """Weight of the gradient penalty."""
    clipping_limit: Positive = 0.01
    """Largest absolute weight of the critic under clipping."""
    steps: Steps = 2500
    """Optimiser steps of the generator."""
    critic_steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Optimiser steps of the critic before each of them."""
    batch_size: Batch = 512
    """Compositions per optimiser step."""
    generator_rate: Rate = 1e-3
    """Learning rate of the generator (Adam, β 0.5 and 0.9)."""
    critic_rate: Rate = 2e-4
    """Learning rate of the critic."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """'constant', as published, or 'cosine' for rates that fall to zero."""
    average_decay: ShareBelowOne = 0.999
    """Decay of the moving average of the generator's weights that is kept; 0 keeps the weights themselves."""
    evaluate_every: Steps = 500
    """Steps between two looks at the validation rows."""
    evaluation_samples: Count = 200_000
    """Compositions drawn for such a look, the same noise each time, and with the defaults of sampling."""
    smallest_uniqueness: ShareBelowOne = 0.5
    """Share of distinct compositions among them below which a state is kept only while no other reaches it.
    """
    dropout: ShareBelowOne = 0.2
    """Share of the hidden units of 'infill' that it does not see in a step."""
    adversarial_weight: NotNegative = 0.3
    """Weight of the critic's verdict in the loss of 'infill'."""
    reconstruction_weight: NotNegative = 1.0
    """Weight of the element that was taken, in the same loss."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA where there is one."""
