"""Settings of Con-CDVAE's training. Budgets count optimiser steps, so that a larger set does not cost more.

What only sampling reads is in `sampling_settings`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from matwheel.core.settings import (
    Batch,
    Because,
    Layers,
    NotNegative,
    Positive,
    Rate,
    ShareBelowOne,
    Steps,
    Width,
    WrongSetting,
    settings,
)


@settings
class ConCDVAESettings:
    """Sizes, losses and budgets; the defaults are for one CPU thread."""

    latent_width: Width = 128
    """Width of the latent vector z."""
    hidden_width: Width = 128
    """Width of the layers that join z and the condition, and of the heads."""
    condition_width: Width = 64
    """Width of the condition's embedding."""
    condition_centres: Width = 32
    """Gaussians that code the standardised logarithm of the label."""
    encoder_width: Width = 64
    """Features per atom in the encoder."""
    encoder_convolutions: Layers = 3
    """Graph convolutions of the encoder."""
    decoder: Annotated[str, Field(min_length=1)] = "equivariant"
    """Name of the score network (`decoders.DECODERS`)."""
    decoder_width: Width = 96
    """Features per atom in the decoder."""
    decoder_layers: Layers = 3
    """Message-passing layers of the decoder."""
    decoder_vectors: Width = 16
    """Vector channels of each decoder layer."""
    neighbours: Annotated[int, Field(ge=1, le=25), Because("27 cells of one atom hold 26 images")] = 16
    """Nearest periodic images that send messages to an atom in the decoder."""
    cutoff_angstrom: Positive = 7.0
    """Images beyond it send nothing."""
    distance_centres: Width = 24
    """Gaussians that code a distance in the decoder."""
    noise_levels: Annotated[int, Field(ge=2, le=10_000)] = 50
    """Number of noise levels, geometric from the first to the last."""
    largest_noise_angstrom: Positive = 10.0
    """Standard deviation of the displacements at the first level."""
    smallest_noise_angstrom: Positive = 0.01
    """The same at the last level."""
    largest_type_noise: Positive = 5.0
    """Weight, at the first level, of the predicted composition that is mixed into the one-hot element of an
    atom before its noisy element is drawn.
    """
    smallest_type_noise: Positive = 0.01
    """That weight at the last level."""
    atom_count_weight: NotNegative = 1.0
    """Weight of the number of atoms in the loss."""
    lattice_weight: NotNegative = 10.0
    """Weight of the lattice in the loss."""
    composition_weight: NotNegative = 1.0
    """Weight of the composition in the loss."""
    coordinate_weight: NotNegative = 10.0
    """Weight of the coordinates in the loss."""
    type_weight: NotNegative = 1.0
    """Weight of the elements in the loss."""
    kl_weight: NotNegative = 0.01
    """Weight of the divergence from the latent prior in the loss."""
    property_weight: NotNegative = 3.0
    """Weight of the property in the loss."""
    batch_size: Batch = 64
    """Crystals per optimiser step of the first two stages."""
    dropout: ShareBelowOne = 0.3
    """Share of z_con that the heads of atom number and composition and the decoder, which overfit first, do
    not see in training.
    """
    autoencoder_steps: Steps = 600
    """Largest number of steps in which all parts learn together; of these the state with the smallest
    validation loss of the heads is kept.
    """
    head_patience: Steps = 150
    """The first stage ends when that loss has not improved for so many steps."""
    decoder_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 500
    """Further steps in which only the decoder learns, all else frozen."""
    prior_steps: Steps = 2000
    """Steps of the latent diffusion prior."""
    prior_batch_size: Batch = 128
    """Latent vectors per step of the prior."""
    prior_width: Width = 256
    """Hidden width of the prior's network."""
    prior_noise_steps: Annotated[int, Field(ge=1, le=100_000)] = 300
    """Diffusion steps of the prior."""
    prior_first_beta: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """Variance of the prior's first step."""
    prior_last_beta: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Variance of its last step; linear in between."""
    learning_rate: Rate = 2e-3
    """Largest learning rate (Adam, one cycle per stage)."""
    gradient_norm: Positive | None = 0.5
    """Gradients are clipped to this norm; null: not at all."""
    average_decay: ShareBelowOne = 0.98
    """Decay of the moving average of the weights that is kept; 0: the plain weights."""
    evaluate_every: Steps = 50
    """Optimiser steps between two evaluations on validation crystals."""
    first_level: Annotated[int, Field(ge=0, le=10_000)] = 6
    """Level at which training and sampling of positions start; coordinates drawn uniformly in the cell are
    already at equilibrium where the noise is as large as the cell, so the first levels can be left out.
    """
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA where there is one."""

    def __post_init__(self) -> None:
        if self.first_level >= self.noise_levels:
            raise WrongSetting(f"give less than noise_levels ({self.noise_levels})", "first_level")
        if self.smallest_noise_angstrom >= self.largest_noise_angstrom:
            largest = f"{self.largest_noise_angstrom:g}"
            raise WrongSetting(
                f"give less than largest_noise_angstrom ({largest})", "smallest_noise_angstrom"
            )
