"""Training of Con-CDVAE in three stages of optimiser steps, each interruptible.

1. autoencoder: everything but the prior learns together. The heads overfit within a few dozen epochs, so
   the state with the smallest validation loss of the heads is kept.
2. decoder: encoder, condition, z_con and heads are frozen there; the decoder learns on.
3. prior: the diffusion model of z.

Random translations, which the published code uses as augmentation, are not applied: encoder and decoder see
distances and differences only, so a translated crystal is the same input.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.core.progress import Log, Progress
from matwheel.core.seeds import derive_seed
from matwheel.generators.con_cdvae.crystal_tensors import CrystalTensors
from matwheel.generators.con_cdvae.diffusion_prior import DiffusionPrior
from matwheel.generators.con_cdvae.model import ConditionalAutoencoder
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.training.checkpoints import TrainingCheckpoint

_CHECKPOINT_SECONDS = 20.0
_WARM_UP = 0.15
_FIRST_RATE = 1 / 25

Losses = dict[str, Tensor]
Model = TypeVar("Model", bound=nn.Module)
StepLoss = Callable[[Model, int, torch.Generator], tuple[Tensor, Losses]]
Evaluation = Callable[[Model], dict[str, float]]


def one_cycle(step: int, steps: int, largest: float) -> float:
    """Return the learning rate of a step: a cosine up over the first 15 %, a cosine down to 0.

    After Smith & Topin (arXiv:1708.07120), as a function of the step so that no scheduler has a state.
    """
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        share = 0.5 - 0.5 * math.cos(math.pi * (step + 1) / warm_up)
        return largest * (_FIRST_RATE + (1 - _FIRST_RATE) * share)
    return largest * (0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def rows_of_step(rows: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the training rows of a step: a stream of shuffled epochs, cut into batches."""
    batch = min(batch, rows)
    positions = np.arange(step * batch, (step + 1) * batch)
    taken = []
    for epoch in range(positions[0] // rows, positions[-1] // rows + 1):
        order = np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(rows)
        taken.append(order[positions[positions // rows == epoch] % rows])
    # A batch over the end of an epoch may hold a row twice; that does no harm.
    return np.concatenate(taken)


def fit_autoencoder_and_prior(
    autoencoder: ConditionalAutoencoder,
    prior: DiffusionPrior,
    train: CrystalTensors,
    validation: CrystalTensors | None,
    *,
    settings: ConCDVAESettings,
    device: torch.device,
    seed: int,
    checkpoint: TrainingCheckpoint | None,
    log: Log,
) -> dict[str, Any]:
    """Train both models in place; return the report."""
    stages = _Stages(checkpoint, settings, log)
    report: dict[str, Any] = {"settings": asdict(settings), "crystals": len(train), "stages": {}}

    def all_losses(
        model: ConditionalAutoencoder, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Losses]:
        rows = rows_of_step(len(train), settings.batch_size, step, derive_seed(seed, "autoencoder"))
        batch = train.batch(rows, device)
        mean, log_variance = model.encoder(batch.graphs)
        latent = mean + (0.5 * log_variance).exp() * _normal(mean, generator)
        joined = model.joined(latent, batch.labels)
        losses = model.latent_losses(mean, log_variance, latent, batch.labels)
        losses |= model.head_losses(joined, batch, generator)
        losses |= model.decoder_losses(model.dropped(joined, generator), batch, generator)
        return model.total_loss(losses), losses

    def validation_losses(model: ConditionalAutoencoder) -> dict[str, float]:
        assert validation is not None  # or nobody evaluates
        return _validation_losses(model, validation, device, derive_seed(seed, "validation"))

    report["stages"]["autoencoder"] = stages.run(
        "autoencoder",
        autoencoder,
        all_losses,
        settings.autoencoder_steps,
        derive_seed(seed, "autoencoder noise"),
        evaluate=validation_losses if validation is not None else None,
        patience=settings.head_patience,
    )

    autoencoder.eval()
    mean, log_variance = _posteriors(autoencoder, train, device)
    train_labels = train.labels.to(device)

    def decoder_loss(decoder: nn.Module, step: int, generator: torch.Generator) -> tuple[Tensor, Losses]:
        rows = rows_of_step(len(train), settings.batch_size, step, derive_seed(seed, "decoder"))
        batch = train.batch(rows, device, graphs=False)
        index = torch.from_numpy(batch.rows).to(device)
        with torch.no_grad():
            latent = mean[index] + (0.5 * log_variance[index]).exp() * _normal(mean[index], generator)
            joined = autoencoder.joined(latent, batch.labels)
        joined = autoencoder.dropped(joined, generator)
        losses = autoencoder.decoder_losses(joined, batch, generator, decoder=decoder)
        return autoencoder.total_loss(losses), losses

    def decoder_validation(decoder: nn.Module) -> dict[str, float]:
        used, autoencoder.decoder = autoencoder.decoder, decoder
        losses = validation_losses(autoencoder)
        autoencoder.decoder = used
        return {name: losses[name] for name in ("coordinate", "type")}

    if settings.decoder_steps:
        report["stages"]["decoder"] = stages.run(
            "decoder",
            autoencoder.decoder,
            decoder_loss,
            settings.decoder_steps,
            derive_seed(seed, "decoder noise"),
            evaluate=decoder_validation if validation is not None else None,
        )

    prior.set_ranges(mean, log_variance, train_labels)

    def prior_loss(model: DiffusionPrior, step: int, generator: torch.Generator) -> tuple[Tensor, Losses]:
        rows = rows_of_step(len(train), settings.prior_batch_size, step, derive_seed(seed, "prior"))
        index = torch.from_numpy(rows).to(device)
        latent = mean[index] + (0.5 * log_variance[index]).exp() * _normal(mean[index], generator)
        loss = model.loss(latent, train_labels[index], generator)
        return loss, {"noise": loss}

    report["stages"]["prior"] = stages.run(
        "prior", prior, prior_loss, settings.prior_steps, derive_seed(seed, "prior noise")
    )
    return report


class _Stages:
    """Runs stages one after the other and keeps what a later call needs to go on."""

    def __init__(self, checkpoint: TrainingCheckpoint | None, settings: ConCDVAESettings, log: Log) -> None:
        self.checkpoint, self.settings, self.log = checkpoint, settings, log
        saved = checkpoint.load() if checkpoint is not None else None
        self.finished: dict[str, Any] = saved["finished"] if saved else {}
        self.current: dict[str, Any] | None = saved["current"] if saved else None
        self.saved_at = time.monotonic()

    def save(self, current: dict[str, Any] | None) -> None:
        if self.checkpoint is not None:
            self.checkpoint.save({"finished": self.finished, "current": current})
        self.saved_at = time.monotonic()

    def run(
        self,
        name: str,
        model: Model,
        loss_of: StepLoss[Model],
        steps: int,
        seed: int,
        *,
        evaluate: Evaluation[Model] | None = None,
        patience: int | None = None,
    ) -> dict[str, Any]:
        """Train `model` for `steps` and put the kept weights into it; return the stage's report.

        The kept weights are the moving average at the end or, with `patience` and `evaluate`, at the smallest
        'heads' of the evaluations.
        """
        if name in self.finished:
            model.load_state_dict(self.finished[name]["kept"])
            return self.finished[name]["report"]
        stage = _Stage(name, model, self.settings, evaluate, patience)
        if self.current is not None and self.current["name"] == name:
            stage.resume(self.current)
            self.log(f"{name}: resumed at step {stage.step}")
        self.current = None
        progress = Progress(f"{name} step", steps, self.log, done=stage.step)
        model.train()
        while stage.step < steps:
            loss = stage.take_step(loss_of, steps, seed)
            if stage.step % self.settings.evaluate_every == 0 or stage.step == steps:
                stage.look()
                if stage.is_past_patience():
                    break
            progress.report(stage.step, loss=loss.item())
            if self.checkpoint is not None and time.monotonic() - self.saved_at > _CHECKPOINT_SECONDS:
                self.save(stage.to_save())
        self.finished[name] = stage.finish(self.log)
        self.save(None)
        return self.finished[name]["report"]


class _Stage(Generic[Model]):
    """One stage under way: a model, the moving average of its weights, its optimiser and what is kept."""

    def __init__(
        self,
        name: str,
        model: Model,
        settings: ConCDVAESettings,
        evaluate: Evaluation[Model] | None,
        patience: int | None,
    ) -> None:
        self.name, self.model, self.settings = name, model, settings
        self.evaluate, self.patience = evaluate, patience
        self.parameters = list(model.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.kept: dict[str, Tensor] = {}
        self.state: dict[str, Any] = {
            "step": 0, "best": float("inf"), "best_step": 0, "sums": {}, "curve": [],
        }  # fmt: skip

    @property
    def step(self) -> int:
        """Number of steps taken."""
        return self.state["step"]

    def to_save(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "kept": self.kept,
            "state": self.state,
        }

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `to_save` returned."""
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.kept, self.state = saved["kept"], saved["state"]

    def take_step(self, loss_of: StepLoss[Model], steps: int, seed: int) -> Tensor:
        """Move the weights down the gradient and the average after them; return the loss."""
        step, settings = self.step, self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = one_cycle(step, steps, settings.learning_rate)
        generator = torch.Generator().manual_seed(derive_seed(seed, step))
        loss, losses = loss_of(self.model, step, generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, settings.gradient_norm)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            shown = ", ".join(f"{key} {value.item():.3g}" for key, value in losses.items())
            raise FloatingPointError(
                f"Con-CDVAE stage {self.name}, step {step}: the loss or its gradient is not finite ({shown})"
                "; lower learning_rate or look for a strange training crystal or label"
            )
        self.optimiser.step()
        _follow(self.average, self.model, min(settings.average_decay, (1 + step) / (10 + step)))
        self.state["step"] = step + 1
        sums = self.state["sums"]
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + float(value.detach())
        return loss

    def look(self) -> None:
        """Note the mean losses since the last look and evaluate the average; keep it if it is the best."""
        state = self.state
        since = self.step - (state["curve"][-1]["step"] if state["curve"] else 0)
        entry: dict[str, Any] = {"step": self.step}
        entry["train"] = {key: value / since for key, value in state["sums"].items()}
        state["sums"] = {}
        if self.evaluate is not None:
            entry["validation"] = self.evaluate(self.average)
            heads = entry["validation"].get("heads", float("inf"))
            if self.patience is not None and heads < state["best"]:
                state["best"], state["best_step"] = heads, self.step
                self.kept = _copy(self.average)
        state["curve"].append(entry)

    def is_past_patience(self) -> bool:
        since_best = self.step - self.state["best_step"]
        return bool(self.kept) and self.patience is not None and since_best >= self.patience

    def finish(self, log: Log) -> dict[str, Any]:
        """Put the kept weights into the model; return them and the report."""
        state = self.state
        if not self.kept:
            self.kept, state["best_step"] = _copy(self.average), self.step
        self.model.load_state_dict(self.kept)
        self.model.eval()
        log(f"{self.name}: {self.step} steps, kept the weights of step {state['best_step']}")
        report = {"steps": self.step, "kept_step": state["best_step"], "curve": state["curve"]}
        return {"kept": self.kept, "report": report}


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)


@torch.no_grad()
def _posteriors(
    model: ConditionalAutoencoder, data: CrystalTensors, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return mean and log variance of z of every crystal, in the order of the data."""
    mean = torch.zeros(len(data), model.settings.latent_width, device=device)
    log_variance = torch.zeros_like(mean)
    for first in range(0, len(data), model.settings.batch_size):
        rows = np.arange(first, min(first + model.settings.batch_size, len(data)))
        batch = data.batch(rows, device)
        index = torch.from_numpy(batch.rows).to(device)
        mean[index], log_variance[index] = model.encoder(batch.graphs)
    return mean, log_variance


@torch.no_grad()
def _validation_losses(
    model: ConditionalAutoencoder, data: CrystalTensors, device: torch.device, seed: int
) -> dict[str, float]:
    """Return the losses at the posterior means, and 'heads', the weighted sum that judges the heads."""
    settings = model.settings
    sums: dict[str, float] = {}
    for first in range(0, len(data), settings.batch_size):
        rows = np.arange(first, min(first + settings.batch_size, len(data)))
        batch = data.batch(rows, device)
        mean, log_variance = model.encoder(batch.graphs)
        joined = model.joined(mean, batch.labels)
        losses = model.latent_losses(mean, log_variance, mean, batch.labels)
        losses |= model.head_losses(joined, batch)
        generator = torch.Generator().manual_seed(derive_seed(seed, first))
        losses |= model.decoder_losses(joined, batch, generator)
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + float(loss) * len(rows) / len(data)
    sums["heads"] = sum(
        getattr(settings, f"{name}_weight") * sums[name] for name in ("atom_count", "lattice", "composition")
    )
    return sums
