"""Settings of Con-CDVAE that only sampling reads: a trained model is not trained again for them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matwheel.core.settings import Count, NotNegative, Positive, settings


@settings
class ConCDVAESamplingSettings:
    """How crystals are drawn from a fitted model; none of it is known to the training."""

    langevin_steps: Annotated[int, Field(ge=1, le=10_000)] = 2
    """Langevin steps per noise level."""
    langevin_step_size: Positive = 1e-4
    """The ε of the step ε (σ / σ_last)²."""
    latent_temperature: Positive = 1.0
    """Factor on the prior's noise when sampling; 1 follows the prior."""
    atom_count_temperature: NotNegative = 1.0
    """Divides the logits of the atom-number head when sampling; 0 takes the largest."""
    composition_temperature: Positive = 0.9
    """Divides the logits of the composition head when sampling."""
    sampling_batch_atoms: Count = 400
    """Largest number of atoms in one sampling batch."""
    resampling_attempts: Annotated[int, Field(ge=0, le=1000)] = 5
    """How often a crystal whose cell is degenerate is drawn anew."""
