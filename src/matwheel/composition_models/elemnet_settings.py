"""Settings of ElemNet, and the published budget among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from matwheel.core.settings import (
    Batch,
    Count,
    Positive,
    Rate,
    ShareBelowOne,
    settings,
)

if TYPE_CHECKING:
    from matwheel.training.resumable_training import TrainingPlan


@settings
class ElemNetSettings:
    """Settings of ElemNet and its training."""

    width_factor: Annotated[float, Field(gt=0, le=64)] = 0.5
    """All layers but the last are this many times as wide as published."""
    dropout: Annotated[tuple[ShareBelowOne, ...], Field(min_length=4, max_length=4, strict=False)] = (
        0.0,
        0.0,
        0.0,
        0.0,
    )
    """Share of the numbers set to zero after each of the first four blocks."""
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 14
    """Passes over the training rows at most."""
    batch_size: Batch = 256
    """Rows per optimiser step."""
    learning_rate: Rate = 1e-3
    """The largest learning rate."""
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    """Of the learning rate."""
    validations_per_epoch: Annotated[int, Field(ge=1, le=10_000)] = 2
    """Looks at the validation rows."""
    patience_epochs: Count = 14
    """Epochs without a better validation after which training ends."""
    largest_gradient_norm: Positive | None = None
    """Gradients are clipped to this norm; null: not at all."""
    average_decay: ShareBelowOne = 0.0
    """Decay per step of the running average of the weights that is validated and kept; 0: the plain weights.
    """

    def plan(self, rows: int) -> TrainingPlan:
        """Return the budget for a number of training rows."""
        from matwheel.training.resumable_training import TrainingPlan

        per_epoch = max(1, math.ceil(rows / max(1, self.batch_size)))
        return TrainingPlan(
            steps=self.epochs * per_epoch,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            validate_every_steps=max(1, per_epoch // self.validations_per_epoch),
            patience_steps=self.patience_epochs * per_epoch,
            largest_gradient_norm=self.largest_gradient_norm,
            average_decay=self.average_decay,
        )


PRESETS: dict[str, ElemNetSettings] = {
    "laptop": ElemNetSettings(),
    "published": ElemNetSettings(
        width_factor=1.0,
        dropout=(0.2, 0.1, 0.3, 0.2),
        epochs=4000,
        batch_size=32,
        learning_rate=1e-4,
        schedule="constant",
        validations_per_epoch=1,
        patience_epochs=200,
    ),
}
