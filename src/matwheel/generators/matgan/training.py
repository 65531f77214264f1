"""Training of MatGAN: a Wasserstein game of critic and generator, judged by held-back compositions.

Losses as Dan et al. 2020, equations 1 and 2, with the gradient penalty of Gulrajani et al. (arXiv:1704.00028)
or weight clipping. Validity is not monotone in the steps and the losses say nothing of recovery, so the state
that is kept is the one whose samples recover most of the validation rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.core.progress import Log
from matwheel.core.seeds import derive_seed
from matwheel.generators.matgan.networks import GeneratorNetwork, InfillGenerator, cells_of, make_critic
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.training import random_draws
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.training_loop import Descent, Figures, RunningAverage, TrainingLoop

_BETAS = (0.5, 0.9)

Judgement = Callable[[GeneratorNetwork], tuple[float, float]]
"""Returns recovery of the validation rows and uniqueness of a generator's samples."""


def train(
    generator: GeneratorNetwork,
    counts: NDArray[np.uint8],
    settings: MatGANSettings,
    judge: Judgement,
    *,
    seed: int,
    checkpoint: TrainingCheckpoint | None,
    log: Log,
) -> dict[str, Any]:
    """Train a generator in place and leave it with the weights of the state that is kept.

    Every step draws its batches and noise from the seed and its own number, so that an interrupted training
    ends with the same bits.

    Args:
        generator: network of `matwheel.generators.matgan.networks`, on its device.
        counts: training rows, shape (n, elements).
        settings: losses and budgets.
        judge: what a state is judged by.
        seed: of batches, noise and draws.
        checkpoint: where the state is kept between interruptions.
        log: gets a line every few seconds.

    Returns:
        A report that JSON can hold: steps, kept_step, recovery, uniqueness, curve.

    Raises:
        FloatingPointError: a loss is not finite; the message names the step.
    """
    device = next(generator.parameters()).device
    rows = torch.from_numpy(counts.astype(np.int64)).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "critic"))
        critic = make_critic(rows.shape[1], settings).to(device)
    game = _Game(generator, critic, rows, settings, seed)

    def look(judged: GeneratorNetwork, since: list[Figures]) -> dict[str, float]:
        recovery, uniqueness = judge(judged)
        return {"distance": since[-1]["distance"], "recovery": recovery, "uniqueness": uniqueness}

    def score(curve: Sequence[Mapping[str, float]]) -> float:
        # A state that repeats itself too often is kept only while there is no other.
        return -curve[-1]["recovery"] - 2.0 * (curve[-1]["uniqueness"] >= settings.smallest_uniqueness)

    training = TrainingLoop(
        generator,
        game.descents,
        game.take_step,
        look,
        name="GAN",
        steps=settings.steps,
        look_every=settings.evaluate_every,
        score=score,
        average=RunningAverage(generator, settings.average_decay, warm_up=9),
        remedy="lower critic_rate or generator_rate",
    )
    course = training.run(checkpoint, log)
    return {"steps": course.step, "kept_step": course.kept_step, "curve": course.curve}


class _Game:
    """Critic and generator against each other."""

    def __init__(
        self,
        generator: GeneratorNetwork,
        critic: nn.Module,
        rows: Tensor,
        settings: MatGANSettings,
        seed: int,
    ) -> None:
        self.generator, self.critic, self.rows = generator, critic, rows
        self.settings, self.seed = settings, seed
        self.descents = {
            "generator": self._descent(generator, settings.generator_rate),
            "critic": self._descent(critic, settings.critic_rate),
        }

    def _descent(self, network: nn.Module, rate: float) -> Descent:
        def rate_of_step(step: int) -> float:
            return (0.5 + 0.5 * math.cos(math.pi * step / self.settings.steps)) * rate

        optimiser = torch.optim.Adam(network.parameters(), rate, betas=_BETAS)
        return Descent(network, optimiser, rate_of_step if self.settings.schedule == "cosine" else None)

    def _drawn_rows(self) -> Tensor:
        size = self.settings.batch_size
        return self.rows[random_draws.rows(len(self.rows), size, device=self.rows.device)]

    def _made(self) -> Tensor:
        size, width = self.settings.batch_size, self.settings.latent_width
        noise = random_draws.normal(size, width, device=self.rows.device)
        return self.generator(noise, self._drawn_rows())

    def take_step(self, step: int) -> Figures:
        """Update the critic several times and the generator once; return the critic's distance."""
        torch.manual_seed(derive_seed(self.seed, "step", step))
        distance = math.nan
        for _ in range(self.settings.critic_steps):
            distance = self._teach_critic()
        self.critic.requires_grad_(False)
        loss = -self.critic(self._made()).mean()
        if isinstance(self.generator, InfillGenerator):
            loss = self.settings.adversarial_weight * loss
            reconstruction = self.generator.reconstruction_loss(self._drawn_rows())
            loss = loss + self.settings.reconstruction_weight * reconstruction
        self.descents["generator"].follow(loss)
        self.critic.requires_grad_(True)
        return {"distance": distance}

    def _teach_critic(self) -> float:
        settings = self.settings
        real = cells_of(self._drawn_rows())
        with torch.no_grad():
            made = self._made()
        difference = self.critic(real).mean() - self.critic(made).mean()
        loss = -difference
        if settings.lipschitz == "penalty":
            loss = loss + settings.penalty_weight * _gradient_penalty(self.critic, real, made)
        self.descents["critic"].follow(loss)
        if settings.lipschitz == "clipping":
            with torch.no_grad():
                for weights in self.critic.parameters():
                    weights.clamp_(-settings.clipping_limit, settings.clipping_limit)
        return difference.item()


def _gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """Return the mean of (|∇ critic| - 1)² at points between real and generated matrices."""
    share = random_draws.uniform(len(real), 1, 1, device=real.device)
    between = (share * real + (1 - share) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()
