"""The latent prior: a denoising diffusion model of z given the condition (Ho et al., NeurIPS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from matwheel.generators.con_cdvae.model import ConditionEmbedding, perceptron, sinusoidal
from matwheel.generators.con_cdvae.settings import ConCDVAESettings

_TIME_WIDTH = 64


class _Block(nn.Module):
    """A residual layer that time and condition shift and scale."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width)
        self.context = nn.Linear(context_width, 2 * width)
        self.layers = perceptron(width, width, width)

    def forward(self, values: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.context(context).chunk(2, dim=-1)
        return values + self.layers(self.normalise(values) * (1 + scale) + shift)


class DiffusionPrior(nn.Module):
    """Draws z (standardised per dimension inside) given labels."""

    mean: Tensor
    deviation: Tensor
    betas: Tensor
    kept: Tensor

    def __init__(self, settings: ConCDVAESettings) -> None:
        super().__init__()
        self.settings = settings
        width, latent = settings.prior_width, settings.latent_width
        self.condition = ConditionEmbedding(settings.condition_width, settings.condition_centres)
        self.context = perceptron(_TIME_WIDTH + settings.condition_width, width, width)
        self.first = nn.Linear(latent, width)
        self.blocks = nn.ModuleList(_Block(width, width) for _ in range(3))
        self.last = nn.Linear(width, latent)
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("deviation", torch.ones(latent))
        betas = torch.linspace(
            settings.prior_first_beta,
            settings.prior_last_beta,
            settings.prior_noise_steps,
            dtype=torch.float64,
        )
        self.register_buffer("betas", betas.float())
        self.register_buffer("kept", torch.cumprod(1 - betas, dim=0).float())

    def set_ranges(self, mean: Tensor, log_variance: Tensor, labels: Tensor) -> None:
        """Take the standardisations from the posteriors (crystals, latent_width) of training crystals."""
        self.condition.set_range(labels)
        self.mean.copy_(mean.mean(0))
        self.deviation.copy_((mean.var(0, correction=0) + log_variance.exp().mean(0)).sqrt().clamp(min=1e-4))

    def forward(self, noisy: Tensor, step: Tensor, labels: Tensor) -> Tensor:
        """Return the noise in `noisy` (n, latent_width) at diffusion steps (n,)."""
        time = sinusoidal(step.to(noisy.dtype) / len(self.betas), _TIME_WIDTH)
        context = functional.silu(self.context(torch.cat([time, self.condition(labels)], dim=-1)))
        values = self.first(noisy)
        for block in self.blocks:
            values = block(values, context)
        return self.last(functional.silu(values))

    def loss(self, latent: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error of the predicted noise (Ho et al., eq. 14)."""
        standard = (latent - self.mean) / self.deviation
        step = torch.randint(len(self.betas), (len(latent),), generator=generator).to(latent.device)
        noise = torch.randn(latent.shape, generator=generator).to(latent.device)
        kept = self.kept[step][:, None]
        return functional.mse_loss(
            self(kept.sqrt() * standard + (1 - kept).sqrt() * noise, step, labels), noise
        )

    @torch.no_grad()
    def sample(self, labels: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Return z (n, latent_width) for labels (n,) by ancestral sampling (Ho et al., algorithm 2).

        `noise` (n, steps + 1, latent_width): unit Gaussian draws, the start and one per step; `temperature`
        scales them.
        """
        values = noise[:, 0] * temperature
        for i in range(len(self.betas) - 1, -1, -1):
            beta, kept = self.betas[i], self.kept[i]
            step = torch.full((len(labels),), i, device=labels.device)
            predicted = self(values, step, labels)
            values = (values - beta / (1 - kept).sqrt() * predicted) / (1 - beta).sqrt()
            if i:
                variance = beta * (1 - self.kept[i - 1]) / (1 - kept)
                values = values + variance.sqrt() * temperature * noise[:, i]
        return values * self.deviation + self.mean
