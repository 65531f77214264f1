"""A training of a network that goes on to the same bits after an interruption and keeps its best state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.core.errors import InputError
from matwheel.core.progress import Log, Progress
from matwheel.core.seeds import derive_seed
from matwheel.training.checkpoints import TrainingCheckpoint

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
    """

    steps: int
    batch_size: int
    learning_rate: float
    schedule: str
    validate_every_steps: int
    patience_steps: int
    optimiser: str = "adam"

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


def train_network(
    network: nn.Module,
    rows: int,
    loss_of_rows: Callable[[NDArray[np.int64]], Tensor],
    validation_score: Callable[[], float],
    plan: TrainingPlan,
    *,
    name: str,
    seed: int,
    checkpoint: TrainingCheckpoint | None,
    log: Log,
    checkpoint_every_seconds: float = 20.0,
) -> dict[str, Any]:
    """Train `network` in place and leave it with the weights of the best validation.

    Batches and dropout depend on seed and step only, so an interrupted training ends in the same bits.

    Args:
        network: what is trained; it is in training mode when a loss is asked for, else in evaluation mode.
        rows: number of training rows, at least 2.
        loss_of_rows: the loss to minimise, of some training rows.
        validation_score: what decides which state is kept; smaller is better.
        plan: the budget.
        name: what the log calls the training.
        seed: of batches and dropout.
        checkpoint: where to go on from and where to keep the state; None for a training in one go.
        log: gets a line every few seconds.
        checkpoint_every_seconds: time between two checkpoints.

    Returns:
        A report that JSON can hold: steps, kept_step, best_score, curve (step, training loss, score).

    Raises:
        FloatingPointError: a loss is not finite.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = (
        torch.optim.Adam(weights, lr=plan.learning_rate, fused=True)
        if plan.optimiser == "adam"
        else torch.optim.RMSprop(weights, lr=plan.learning_rate)
    )
    state: dict[str, Any] = {"step": 0, "best": math.inf, "kept_step": 0, "losses": [], "curve": []}
    kept: dict[str, Tensor] = {}
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is not None:
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        state, kept = saved["state"], saved["kept"]
        log(f"{name}: resumed at step {state['step']}")
    progress = Progress(f"{name} step", plan.steps, log, done=state["step"])
    batches: list[NDArray[np.int64]] = []
    per_epoch = math.ceil(rows / plan.batch_size)
    saved_at = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        while state["step"] < plan.steps and state["step"] - state["kept_step"] < plan.patience_steps:
            step = state["step"]
            if not batches or step % per_epoch == 0:
                batches = _batches_of_epoch(rows, per_epoch, seed, step // per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = plan.rate(step)
            torch.manual_seed(derive_seed(seed, name, "step", step))
            network.train()
            loss = loss_of_rows(batches[step % per_epoch])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            state["losses"].append(loss.item())
            if not math.isfinite(state["losses"][-1]):
                raise FloatingPointError(
                    f"{name}, step {step}: the loss is not finite; lower learning_rate or look for odd rows"
                )
            state["step"] = step + 1
            if (step + 1) % plan.validate_every_steps == 0 or step + 1 == plan.steps:
                network.eval()
                with torch.no_grad():
                    score = validation_score()
                entry = {"step": step + 1, "training_loss": float(np.mean(state["losses"])), "score": score}
                state["curve"].append(entry)
                state["losses"] = []
                if score < state["best"]:
                    state["best"], state["kept_step"] = score, step + 1
                    kept = {key: value.detach().clone() for key, value in network.state_dict().items()}
            best = {} if math.isinf(state["best"]) else {"best_score": state["best"]}
            progress.report(step + 1, loss=loss.item(), **best)
            if checkpoint is not None and time.monotonic() - saved_at > checkpoint_every_seconds:
                _save(checkpoint, network, optimiser, state, kept)
                saved_at = time.monotonic()
    if checkpoint is not None:
        _save(checkpoint, network, optimiser, state, kept)
    network.load_state_dict(kept)
    network.eval()
    log(f"{name}: {state['step']} steps, kept the weights of step {state['kept_step']}")
    return {
        "steps": state["step"],
        "kept_step": state["kept_step"],
        "best_score": state["best"],
        "curve": state["curve"],
    }


def _batches_of_epoch(rows: int, batches: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the shuffled rows of one epoch in batches of equal size up to 1: none of a single row."""
    order = np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(rows)
    return np.array_split(order, batches)


def _save(
    checkpoint: TrainingCheckpoint,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    kept: dict[str, Tensor],
) -> None:
    checkpoint.save(
        {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "state": state,
            "kept": kept,
        }
    )
