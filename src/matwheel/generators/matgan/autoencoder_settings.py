"""Settings of the autoencoder of compositions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from matwheel.core.settings import (
    Batch,
    Positive,
    Rate,
    ShareBelowOne,
    Steps,
    Width,
    settings,
)

if TYPE_CHECKING:
    from matwheel.training.resumable_training import TrainingPlan


@settings
class AutoencoderSettings:
    """Settings of the autoencoder and its training."""

    network: Literal["dense", "conv"] = "dense"
    """'dense', or 'conv' for the paper's seven convolutions and deconvolutions."""
    latent_width: Width = 48
    """Numbers between encoder and decoder; fewer make fewer compositions decodable. 48 come close to the
    paper's shares on OQMD: 96.2 % of 60,000 training, 95.1 % of held-out rows.
    """
    hidden_width: Width = 512
    """Width of the hidden layer of 'dense'."""
    channels: Width = 16
    """Channels of the first convolution of 'conv'; later ones have twice and four times as many."""
    steps: Steps = 600
    """Optimiser steps at most."""
    batch_size: Batch = 1024
    """Rows per step."""
    learning_rate: Rate = 1e-3
    """The largest learning rate of Adam."""
    schedule: Literal["constant", "one_cycle"] = "constant"
    """'constant' as in the paper, or 'one_cycle'."""
    validate_every_steps: Steps = 50
    """Steps between two looks at the validation rows, which choose the state kept."""
    patience_steps: Steps = 300
    """Steps without a better validation after which training ends."""
    largest_gradient_norm: Positive | None = None
    """Gradients are clipped to this norm; null: not at all."""
    average_decay: ShareBelowOne = 0.0
    """Decay per step of the running average of the weights that is validated and kept; 0: the plain weights.
    """
    threshold: ShareBelowOne = 0.5
    """What the largest cell of a column must exceed for its element to be present."""

    def plan(self) -> TrainingPlan:
        """Return the budget."""
        from matwheel.training.resumable_training import TrainingPlan

        return TrainingPlan(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            validate_every_steps=self.validate_every_steps,
            patience_steps=self.patience_steps,
            largest_gradient_norm=self.largest_gradient_norm,
            average_decay=self.average_decay,
        )
