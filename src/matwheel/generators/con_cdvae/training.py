"""Training of Con-CDVAE in three stages of optimiser steps, each interruptible.

1. autoencoder: everything but the prior learns together. The heads overfit within a few dozen epochs, so
   the state with the smallest validation loss of the heads is kept.
2. decoder: encoder, condition, z_con and heads are frozen there; the decoder learns on.
3. prior: the diffusion model of z.

Random translations, which the published code uses as augmentation, are not applied: encoder and decoder see
distances and differences only, so a translated crystal is the same input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.core.progress import Log
from matwheel.core.seeds import derive_seed
from matwheel.generators.con_cdvae.crystal_tensors import CrystalBatch, CrystalTensors
from matwheel.generators.con_cdvae.diffusion_prior import DiffusionPrior
from matwheel.generators.con_cdvae.model import ConditionalAutoencoder
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.training_loop import Descent, Figures, Network, RunningAverage, TrainingLoop

_WARM_UP = 0.15
_FIRST_RATE = 1 / 25

Losses = dict[str, Tensor]
StepLosses = Callable[[int, torch.Generator], tuple[Tensor, Losses]]
"""Returns the loss of a step, and what it is made of."""


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
    stages = _Stages(autoencoder, train, validation, settings, device, seed, checkpoint, log)
    reports = {"autoencoder": stages.fit_autoencoder()}
    autoencoder.eval()
    posteriors = _posteriors(autoencoder, train, device)
    if settings.decoder_steps:
        reports["decoder"] = stages.fit_decoder(posteriors)
    reports["prior"] = stages.fit_prior(prior, posteriors)
    return {"settings": asdict(settings), "crystals": len(train), "stages": reports}


class _Stages:
    """The three trainings; each learns from what the last one left."""

    def __init__(
        self,
        autoencoder: ConditionalAutoencoder,
        train: CrystalTensors,
        validation: CrystalTensors | None,
        settings: ConCDVAESettings,
        device: torch.device,
        seed: int,
        checkpoint: TrainingCheckpoint | None,
        log: Log,
    ) -> None:
        self.autoencoder, self.train, self.validation = autoencoder, train, validation
        self.settings, self.device, self.seed = settings, device, seed
        self.checkpoint, self.log = checkpoint, log

    def fit_autoencoder(self) -> dict[str, Any]:
        """Train all parts but the prior; the state with the best heads is kept."""
        model, settings = self.autoencoder, self.settings

        def losses_of_step(step: int, generator: torch.Generator) -> tuple[Tensor, Losses]:
            batch = self._batch("autoencoder", step)
            mean, log_variance = model.encoder(batch.graphs)
            latent = mean + (0.5 * log_variance).exp() * _normal(mean, generator)
            joined = model.joined(latent, batch.labels)
            losses = model.latent_losses(mean, log_variance, latent, batch.labels)
            losses |= model.head_losses(joined, batch, generator)
            losses |= model.decoder_losses(model.dropped(joined, generator), batch, generator)
            return model.total_loss(losses), losses

        return self._run(
            "autoencoder",
            model,
            losses_of_step,
            settings.autoencoder_steps,
            self._validation_losses,
            # A state is looked at, and so may be left, every so many steps only.
            patience=math.ceil(settings.head_patience / settings.evaluate_every) * settings.evaluate_every,
        )

    def fit_decoder(self, posteriors: tuple[Tensor, Tensor]) -> dict[str, Any]:
        """Train the decoder alone on latent vectors that the encoder gave."""
        autoencoder = self.autoencoder

        def losses_of_step(step: int, generator: torch.Generator) -> tuple[Tensor, Losses]:
            batch = self._batch("decoder", step, graphs=False)
            with torch.no_grad():
                latent = _drawn(posteriors, torch.from_numpy(batch.rows).to(self.device), generator)
                joined = autoencoder.joined(latent, batch.labels)
            losses = autoencoder.decoder_losses(autoencoder.dropped(joined, generator), batch, generator)
            return autoencoder.total_loss(losses), losses

        def validation_losses(decoder: nn.Module) -> dict[str, float]:
            used, autoencoder.decoder = autoencoder.decoder, decoder
            losses = self._validation_losses(autoencoder)
            autoencoder.decoder = used
            return {name: losses[name] for name in ("coordinate", "type")}

        decoder: nn.Module = autoencoder.decoder
        return self._run("decoder", decoder, losses_of_step, self.settings.decoder_steps, validation_losses)

    def fit_prior(self, prior: DiffusionPrior, posteriors: tuple[Tensor, Tensor]) -> dict[str, Any]:
        """Train the diffusion model of the latent vectors."""
        labels, settings = self.train.labels.to(self.device), self.settings
        prior.set_ranges(*posteriors, labels)

        def losses_of_step(step: int, generator: torch.Generator) -> tuple[Tensor, Losses]:
            seed = derive_seed(self.seed, "prior")
            rows = rows_of_step(len(self.train), settings.prior_batch_size, step, seed)
            index = torch.from_numpy(rows).to(self.device)
            loss = prior.loss(_drawn(posteriors, index, generator), labels[index], generator)
            return loss, {"noise": loss}

        return self._run("prior", prior, losses_of_step, settings.prior_steps)

    def _batch(self, stage: str, step: int, *, graphs: bool = True) -> CrystalBatch:
        seed = derive_seed(self.seed, stage)
        rows = rows_of_step(len(self.train), self.settings.batch_size, step, seed)
        return self.train.batch(rows, self.device, graphs=graphs)

    def _validation_losses(self, model: ConditionalAutoencoder) -> dict[str, float]:
        assert self.validation is not None  # or nobody evaluates
        return _validation_losses(model, self.validation, self.device, derive_seed(self.seed, "validation"))

    def _run(
        self,
        stage: str,
        model: Network,
        losses_of_step: StepLosses,
        steps: int,
        evaluate: Callable[[Network], dict[str, float]] | None = None,
        *,
        patience: int | None = None,
    ) -> dict[str, Any]:
        """Train `model` and put the kept weights into it; return the stage's report.

        The kept weights are the moving average at the end or, with `patience` and validation crystals, at the
        smallest 'heads' of the evaluations.
        """
        settings, evaluates = self.settings, evaluate if self.validation is not None else None
        descent, noise_seed = self._descent(model, steps), derive_seed(self.seed, f"{stage} noise")

        def take_step(step: int) -> Figures:
            noise = torch.Generator().manual_seed(derive_seed(noise_seed, step))
            loss, losses = losses_of_step(step, noise)
            descent.follow(loss, **losses)
            return {name: float(value.detach()) for name, value in losses.items()}

        def look(judged: Network, since: list[Figures]) -> dict[str, Any]:
            entry = {"train": {name: _mean(name, since) for name in since[0]}}
            return entry if evaluates is None else entry | {"validation": evaluates(judged)}

        def heads(curve: Sequence[Mapping[str, Any]]) -> float | None:
            return curve[-1]["validation"]["heads"] if evaluates is not None and patience else None

        training = TrainingLoop(
            model,
            {"network": descent},
            take_step,
            look,
            name=f"Con-CDVAE stage {stage}",
            steps=steps,
            look_every=settings.evaluate_every,
            patience_steps=patience,
            score=heads,
            average=RunningAverage(model, settings.average_decay, warm_up=9),
            remedy="lower learning_rate or look for a strange training crystal or label",
        )
        course = training.run(self.checkpoint.stage(stage) if self.checkpoint else None, self.log)
        return {"steps": course.step, "kept_step": course.kept_step, "curve": course.curve}

    def _descent(self, model: nn.Module, steps: int) -> Descent:
        largest = self.settings.learning_rate
        optimiser = torch.optim.Adam(model.parameters(), lr=largest)
        return Descent(
            model, optimiser, lambda step: one_cycle(step, steps, largest), self.settings.gradient_norm
        )


def _drawn(posteriors: tuple[Tensor, Tensor], index: Tensor, generator: torch.Generator) -> Tensor:
    """Return latent vectors of some crystals, drawn from their posteriors."""
    mean, log_variance = (part[index] for part in posteriors)
    return mean + (0.5 * log_variance).exp() * _normal(mean, generator)


def _mean(name: str, since: Sequence[Figures]) -> float:
    """Return the mean of a figure, added up in the order of the steps."""
    return reduce(add, (figures[name] for figures in since), 0.0) / len(since)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)


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
