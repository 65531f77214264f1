"""The training of a network on batches of rows, by a plan of steps that its settings give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.core.errors import InputError
from matwheel.core.progress import Log
from matwheel.core.seeds import derive_seed
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.training_loop import Descent, Figures, Network, RunningAverage, TrainingLoop, mean_loss

SCHEDULES = ("constant", "one_cycle")
OPTIMISERS = ("adam", "rmsprop")
_WARM_UP = 0.1


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps at most.
        batch_size: rows per step.
        learning_rate: the largest learning rate.
        schedule: 'constant', or 'one_cycle': a rise over the first tenth of the steps, then a cosine to 0.
        validate_every_steps: steps between two looks at the validation rows.
        patience_steps: steps without a better validation after which training ends.
        optimiser: 'adam' or 'rmsprop'.
        largest_gradient_norm: gradients are clipped to this norm; None: not at all.
        average_decay: decay per step of the running average of the weights that is validated and kept; 0:
            the plain weights.
    """

    steps: int
    batch_size: int
    learning_rate: float
    schedule: str
    validate_every_steps: int
    patience_steps: int
    optimiser: str = "adam"
    largest_gradient_norm: float | None = None
    average_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every_steps", "patience_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}; give at least 1")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate = {self.learning_rate}; give a number above 0")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule = {self.schedule!r}; choose one of {', '.join(SCHEDULES)}")
        if self.optimiser not in OPTIMISERS:
            raise InputError(f"optimiser = {self.optimiser!r}; choose one of {', '.join(OPTIMISERS)}")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        rising = max(1, round(_WARM_UP * self.steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (
            0.5 + 0.5 * math.cos(math.pi * (step - rising) / (self.steps - rising + 1))
        )

    def descent(self, network: nn.Module) -> Descent:
        """Return what moves the weights that are not frozen."""
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        optimiser = (
            torch.optim.Adam(weights, lr=self.learning_rate, fused=True)
            if self.optimiser == "adam"
            else torch.optim.RMSprop(weights, lr=self.learning_rate)
        )
        return Descent(network, optimiser, self.rate, self.largest_gradient_norm)


def train_network(
    network: Network,
    rows: int,
    loss_of_rows: Callable[[NDArray[np.int64]], Tensor],
    validation_score: Callable[[Network], float],
    plan: TrainingPlan,
    *,
    name: str,
    seed: int,
    checkpoint: TrainingCheckpoint | None,
    log: Log,
) -> dict[str, Any]:
    """Train `network` in place and leave it with the weights of the best validation.

    Batches and dropout depend on seed and step only, so an interrupted training ends in the same bits.

    Args:
        network: what is trained; it is in training mode when a loss is asked for.
        rows: number of training rows, at least 2.
        loss_of_rows: the loss to minimise, of some training rows.
        validation_score: what decides which state is kept, of the network in evaluation mode or of one with
            its averaged weights; smaller is better.
        plan: the budget.
        name: what the log calls the training.
        seed: of batches and dropout.
        checkpoint: where to go on from and where to keep the state; None for a training in one go.
        log: gets a line every few seconds.

    Returns:
        A report that JSON can hold: steps, kept_step, best_score, curve (step, training loss, score).

    Raises:
        FloatingPointError: a loss is not finite.
    """
    descent = plan.descent(network)
    per_epoch = math.ceil(rows / plan.batch_size)
    batches = lru_cache(maxsize=1)(partial(_batches_of_epoch, rows, per_epoch, seed))

    def take_step(step: int) -> Figures:
        torch.manual_seed(derive_seed(seed, name, "step", step))
        return {"loss": descent.follow(loss_of_rows(batches(step // per_epoch)[step % per_epoch]))}

    training = TrainingLoop(
        network,
        {"network": descent},
        take_step,
        lambda judged, since: {"training_loss": mean_loss(since), "score": validation_score(judged)},
        name=name,
        steps=plan.steps,
        look_every=plan.validate_every_steps,
        patience_steps=plan.patience_steps,
        score=lambda curve: curve[-1]["score"],
        average=RunningAverage(network, plan.average_decay) if plan.average_decay else None,
    )
    course = training.run(checkpoint, log)
    report = {"steps": course.step, "kept_step": course.kept_step}
    return report | {"best_score": course.best, "curve": course.curve}


def _batches_of_epoch(rows: int, batches: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the shuffled rows of one epoch in batches of equal size up to 1: none of a single row."""
    order = np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(rows)
    return np.array_split(order, batches)
