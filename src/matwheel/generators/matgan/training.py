"""Training of MatGAN: a Wasserstein game of critic and generator, judged by held-back compositions.

Losses as Dan et al. 2020, equations 1 and 2, with the gradient penalty of Gulrajani et al. (arXiv:1704.00028)
or weight clipping. Validity is not monotone in the steps and the losses say nothing of recovery, so the state
that is kept is the one whose samples recover most of the validation rows.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from matwheel.core.progress import Log, Progress
from matwheel.core.seeds import derive_seed
from matwheel.generators.matgan.networks import GeneratorNetwork, InfillGenerator, cells_of, make_critic
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.training import random_draws
from matwheel.training.checkpoints import TrainingCheckpoint

_CHECKPOINT_SECONDS = 20.0
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
    average = copy.deepcopy(generator)
    optimisers: dict[str, torch.optim.Optimizer] = {
        "generator": torch.optim.Adam(generator.parameters(), settings.generator_rate, betas=_BETAS),
        "critic": torch.optim.Adam(critic.parameters(), settings.critic_rate, betas=_BETAS),
    }
    stateful: dict[str, nn.Module | torch.optim.Optimizer]
    stateful = {"generator": generator, "critic": critic, "average": average}
    stateful |= {f"{name}_optimiser": optimiser for name, optimiser in optimisers.items()}
    state: dict[str, Any] = {"step": 0, "curve": [], "best": [-1.0, -1.0], "kept_step": 0}
    kept = copy.deepcopy(average.state_dict())
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is not None:
        for name, part in stateful.items():
            part.load_state_dict(saved[name])
        state, kept = saved["state"], saved["kept"]
        log(f"resume at step {state['step']}")
    progress = Progress("GAN step", settings.steps, log, done=state["step"])
    saved_at = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        while state["step"] < settings.steps:
            step = state["step"]
            torch.manual_seed(derive_seed(seed, "step", step))
            if settings.schedule == "cosine":
                share = 0.5 + 0.5 * math.cos(math.pi * step / settings.steps)
                optimisers["generator"].param_groups[0]["lr"] = share * settings.generator_rate
                optimisers["critic"].param_groups[0]["lr"] = share * settings.critic_rate
            distance = _step(generator, critic, optimisers, rows, settings)
            if not math.isfinite(distance):
                raise FloatingPointError(
                    f"GAN step {step}: the critic's loss is not finite; lower critic_rate or generator_rate"
                )
            _average(average, generator, min(settings.average_decay, (step + 1) / (step + 10)))
            state["step"] = step + 1
            if state["step"] % settings.evaluate_every == 0 or state["step"] == settings.steps:
                recovery, uniqueness = judge(average)
                state["curve"].append(
                    {"step": step + 1, "distance": distance, "recovery": recovery, "uniqueness": uniqueness}
                )
                # A state that repeats itself too often is kept only while there is no other.
                rank = [float(uniqueness >= settings.smallest_uniqueness), recovery]
                if rank > state["best"]:
                    state["best"], state["kept_step"] = rank, step + 1
                    kept = copy.deepcopy(average.state_dict())
                log(f"GAN step {step + 1}: recovery {recovery:.4f}, uniqueness {uniqueness:.4f}")
            progress.report(state["step"], distance=distance)
            if checkpoint is not None and time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
                states = {name: part.state_dict() for name, part in stateful.items()}
                checkpoint.save({**states, "state": state, "kept": kept})
                saved_at = time.monotonic()
    generator.load_state_dict(kept)
    return {"steps": state["step"], "kept_step": state["kept_step"], "curve": state["curve"]}


def _step(
    generator: GeneratorNetwork,
    critic: nn.Module,
    optimisers: dict[str, torch.optim.Optimizer],
    rows: Tensor,
    settings: MatGANSettings,
) -> float:
    """Update the critic several times and the generator once; return the critic's distance."""
    size = settings.batch_size

    def drawn_rows() -> Tensor:
        return rows[random_draws.rows(len(rows), size, device=rows.device)]

    def drawn() -> Tensor:
        noise = random_draws.normal(size, settings.latent_width, device=rows.device)
        return generator(noise, drawn_rows())

    distance = math.nan
    for _ in range(settings.critic_steps):
        real = cells_of(drawn_rows())
        with torch.no_grad():
            made = drawn()
        difference = critic(real).mean() - critic(made).mean()
        loss = -difference
        if settings.lipschitz == "penalty":
            loss = loss + settings.penalty_weight * _gradient_penalty(critic, real, made)
        optimisers["critic"].zero_grad(set_to_none=True)
        loss.backward()
        optimisers["critic"].step()
        if settings.lipschitz == "clipping":
            with torch.no_grad():
                for weights in critic.parameters():
                    weights.clamp_(-settings.clipping_limit, settings.clipping_limit)
        distance = difference.item()
    critic.requires_grad_(False)
    loss = -critic(drawn()).mean()
    if isinstance(generator, InfillGenerator):
        loss = settings.adversarial_weight * loss
        loss = loss + settings.reconstruction_weight * generator.reconstruction_loss(drawn_rows())
    optimisers["generator"].zero_grad(set_to_none=True)
    loss.backward()
    optimisers["generator"].step()
    critic.requires_grad_(True)
    return distance if math.isfinite(loss.item()) else math.nan


def _gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """Return the mean of (|∇ critic| - 1)² at points between real and generated matrices."""
    share = random_draws.uniform(len(real), 1, 1, device=real.device)
    between = (share * real + (1 - share) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


@torch.no_grad()
def _average(average: nn.Module, generator: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the generator's; running statistics are taken as they are."""
    for mean, value in zip(average.parameters(), generator.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for kept, latest in zip(average.buffers(), generator.buffers(), strict=True):
        kept.copy_(latest)
