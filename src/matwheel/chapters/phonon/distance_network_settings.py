"""Settings of the distance network and its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from matwheel.core.settings import (
    Batch,
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
class DistanceNetworkSettings:
    """Everything a training depends on besides data and seed."""

    cutoff_angstrom: Positive = 5.5
    """Pairs of atoms closer than this are edges."""
    fading_angstrom: Positive = 1.5
    """Over this last stretch before the cutoff messages fade to zero."""
    smallest_distance_angstrom: Positive = 0.8
    """Centre of the first Gaussian of the radial basis."""
    basis_step_angstrom: Positive = 0.4
    """Distance between the Gaussians, and their standard deviation."""
    width: Width = 48
    """Features of an atom."""
    convolutions: Layers = 2
    """Number of rounds of messages."""
    element_properties: bool = True
    """Electronegativity, mass and radius of the element beside the learned embedding."""
    steps: Annotated[int, Field(ge=0, le=10_000_000)] = 240
    """Optimiser steps, whatever the number of training rows; 0: the start is kept."""
    batch_size: Batch = 8
    """Crystals per step, at most."""
    learning_rate: Rate = 3e-4
    """Of AdamW; the rate rises over the first tenth, then falls as a cosine."""
    weight_decay: NotNegative = 0.01
    """Of AdamW, too."""
    largest_gradient_norm: Positive | None = 5.0
    """Gradients are clipped to this norm; null: not at all."""
    loss: Literal["mse", "l1", "huber"] = "mse"
    """Of the standardised targets."""
    average_decay: ShareBelowOne = 0.98
    """Of the running average of the weights, per step; the average is what is validated."""
    validate_every_steps: Steps = 10
    """Steps between validations."""

    def __post_init__(self) -> None:
        if self.smallest_distance_angstrom >= self.cutoff_angstrom:
            raise WrongSetting(
                f"give less than cutoff_angstrom ({self.cutoff_angstrom:g})", "smallest_distance_angstrom"
            )
        if self.fading_angstrom > self.cutoff_angstrom:
            raise WrongSetting(f"give at most cutoff_angstrom ({self.cutoff_angstrom:g})", "fading_angstrom")
