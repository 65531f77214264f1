"""Settings of how genes are drawn from an MPVAE, apart from those that it is trained with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matwheel.core.settings import NotNegative, settings


@settings
class SamplingSettings:
    """How genes are drawn from a fitted model; none of it is known to the training."""

    latent_noise: NotNegative = 2.5
    """Perturbation of a reference's latent mean, in units of its posterior's standard deviation; 1.4 is
    published, with which this posterior mostly writes the reference itself.
    """
    latents_per_reference: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Perturbed latents of one reference before the next has its turn."""
    latent_choice: Annotated[int, Field(ge=1, le=10_000)] = 2
    """Of so many times more latents, those whose predicted properties lie nearest to the target's windows are
    decoded; 1 decodes all.
    """
    temperature: NotNegative = 1.0
    """Of the draws of elements, positions and space groups; 0 takes the most probable."""
