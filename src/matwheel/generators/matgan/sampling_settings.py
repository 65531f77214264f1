"""Settings of MatGAN that only sampling reads: a trained generator is not trained again for them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from matwheel.core.settings import Positive, settings


@settings
class MatGANSamplingSettings:
    """How compositions are drawn; looks in training draw with the defaults, whatever is set here."""

    refills: Annotated[int, Field(ge=1, le=1000)] = 1
    """Elements of a row that 'infill' replaces one after the other when sampling."""
    sampling_temperature: Positive = 1.5
    """Divides the logits of 'infill' when sampling; above 1, samples are more diverse."""
