"""Generators and critics over the matrix of `matwheel.generators.matgan.representation`.

Three generators, all trained against a Wasserstein critic that sees nothing but matrices:

- `ConvolutionalGenerator`: as published (Dan et al. 2020, section 2.2), a sigmoid per cell.
- `DenseGenerator`: up to `PLACES` elements with their amounts, each drawn from a distribution; the matrix is
  zeros and ones from the first step, so that the critic cannot tell generated from real by grey cells.
- `InfillGenerator`: a known composition without one of its elements, and an element drawn for the empty
  place. What is learnt is which elements complete the others. Beside the critic's verdict it has a loss
  of its own, on the element that was taken, as in other conditional GANs (Isola et al., arXiv:1611.07004).

Draws are discrete; their gradients are those of a soft draw (straight-through Gumbel softmax, Jang et al.,
arXiv:1611.01144).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from matwheel.core.errors import InputError
from matwheel.generators.matgan.representation import MOST_ATOMS, decode
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.training import random_draws

PLACES = 8
"""Most elements that a `DenseGenerator` puts into a composition."""

_EXCLUDED = -1e4  # a logit that is never drawn


class GeneratorNetwork(nn.Module, ABC):
    """What training and sampling need of a generator."""

    @abstractmethod
    def forward(self, noise: Tensor, known: Tensor) -> Tensor:
        """Return matrices (n, 8, elements) from noise (n, latent width) and training rows (n, elements)."""

    @abstractmethod
    def compositions(self, noise: Tensor, known: Tensor, temperature: float) -> Tensor:
        """Return what the same inputs give as counts, int64, shape (n, elements).

        `temperature` divides the logits that 'infill' draws from; the others have none.
        """


def cells_of(counts: Tensor) -> Tensor:
    """Return the matrices of compositions (int64, shape (n, elements)) as floats, shape (n, 8, elements)."""
    return one_hot(counts, MOST_ATOMS + 1)[..., 1:].to(torch.get_default_dtype()).transpose(1, 2)


class InfillGenerator(GeneratorNetwork):
    """Replaces one element of a known composition, chosen at random, by one that it draws; the amount stays.

    The noise is that of the draw, so `noise` is not used.
    """

    def __init__(self, elements: int, settings: MatGANSettings) -> None:
        super().__init__()
        self.gumbel_temperature = settings.gumbel_temperature
        width = settings.width
        self.first = nn.Linear(MOST_ATOMS * (elements + 1), width)
        self.second = nn.Linear(width, width)
        self.element = nn.Linear(width, elements)
        self.dropout = random_draws.Dropout(settings.dropout)

    def forward(self, noise: Tensor, known: Tensor) -> Tensor:
        """Return the matrices of the completed compositions."""
        rest, _, amount, logits = self._complete(known)
        element = random_draws.hard_gumbel_softmax(logits, self.gumbel_temperature)
        return cells_of(rest) + one_hot(amount - 1, MOST_ATOMS)[:, :, None] * element[:, None, :]

    def compositions(self, noise: Tensor, known: Tensor, temperature: float) -> Tensor:
        """Return completed compositions, drawn at the temperature."""
        rest, _, amount, logits = self._complete(known)
        element = random_draws.category((logits / temperature).softmax(dim=1))
        return rest.scatter(1, element, amount[:, None])

    def reconstruction_loss(self, known: Tensor) -> Tensor:
        """Return how badly the elements that were taken are foreseen: their mean negative log-probability."""
        _, removed, _, logits = self._complete(known)
        return cross_entropy(logits, removed)

    def _complete(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take an element from each composition; return the rest, what was taken, how much, and logits."""
        removed = random_draws.category((known > 0).to(torch.get_default_dtype()))
        amount = known.gather(1, removed).squeeze(1)
        rest = known.scatter(1, removed, 0)
        place = one_hot(amount - 1, MOST_ATOMS).to(torch.get_default_dtype())
        hidden = self.first(torch.cat([cells_of(rest).flatten(1), place], dim=1)).relu()
        hidden = self.dropout(hidden)
        hidden = self.dropout(hidden + self.second(hidden).relu())
        return rest, removed.squeeze(1), amount, self.element(hidden).masked_fill(rest > 0, _EXCLUDED)


class DenseGenerator(GeneratorNetwork):
    """Draws an element, or none, and an amount for each of `PLACES` places, from noise alone."""

    def __init__(self, elements: int, settings: MatGANSettings) -> None:
        super().__init__()
        width = settings.width
        self.elements, self.gumbel_temperature = elements, settings.gumbel_temperature
        self.body = nn.Sequential(
            nn.Linear(settings.latent_width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.element = nn.Linear(width, PLACES * (elements + 1))
        self.amount = nn.Linear(width, PLACES * MOST_ATOMS)

    def forward(self, noise: Tensor, known: Tensor) -> Tensor:
        """Return the matrices of the drawn compositions."""
        hidden = self.body(noise)
        logits = self.element(hidden).view(-1, PLACES, self.elements + 1)
        element = random_draws.hard_gumbel_softmax(logits, self.gumbel_temperature)[..., : self.elements]
        logits = self.amount(hidden).view(-1, PLACES, MOST_ATOMS)
        amount = random_draws.hard_gumbel_softmax(logits, self.gumbel_temperature)
        # An element drawn twice has two cells on or one cell at 2, which the critic learns to refuse.
        return torch.einsum("npr,npe->nre", amount, element)

    def compositions(self, noise: Tensor, known: Tensor, temperature: float) -> Tensor:
        """Return the drawn compositions."""
        return decode(self(noise, known)).long()


class ConvolutionalGenerator(GeneratorNetwork):
    """One fully connected and seven transposed-convolution layers, batch-normalised, from noise alone."""

    def __init__(self, elements: int, settings: MatGANSettings) -> None:
        super().__init__()
        widths = [math.ceil(elements / 2**halvings) for halvings in (3, 2, 1, 0)]
        channels = settings.channels
        self.first = (channels, 1, widths[0])
        self.body = nn.Sequential(
            nn.Linear(settings.latent_width, math.prod(self.first), bias=False),
            nn.Unflatten(1, self.first),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        plan = [False, True, False, True, False, True]
        level = 0
        for doubles in plan:
            following = channels if not doubles else max(channels // 2, 8)
            # 2 w - 1 or 2 w columns, as the next level has them.
            extra = (1, int(widths[level + 1] % 2 == 0)) if doubles else 0
            self.body.append(
                nn.ConvTranspose2d(
                    channels,
                    following,
                    3,
                    stride=2 if doubles else 1,
                    padding=1,
                    output_padding=extra,
                    bias=False,
                )
            )
            self.body.append(nn.BatchNorm2d(following))
            self.body.append(nn.ReLU())
            level += doubles
            channels = following
        self.body.append(nn.ConvTranspose2d(channels, 1, 3, padding=1))

    def forward(self, noise: Tensor, known: Tensor) -> Tensor:
        """Return matrices of values between 0 and 1."""
        return torch.sigmoid(self.body(noise).squeeze(1))

    def compositions(self, noise: Tensor, known: Tensor, temperature: float) -> Tensor:
        """Return the decoded compositions."""
        return decode(self(noise, known)).long()


def make_generator_network(elements: int, settings: MatGANSettings) -> GeneratorNetwork:
    """Return the generator of the settings.

    Raises:
        InputError: 'conv' with fewer than 8 elements, which it cannot halve three times.
    """
    if settings.network == "conv" and elements < MOST_ATOMS:
        raise InputError(
            f"MatGAN network conv needs {MOST_ATOMS} elements or more, not {elements}; use dense"
        )
    networks: dict[str, type[GeneratorNetwork]]
    networks = {"infill": InfillGenerator, "dense": DenseGenerator, "conv": ConvolutionalGenerator}
    return networks[settings.network](elements, settings)


def make_critic(elements: int, settings: MatGANSettings) -> nn.Module:
    """Return the critic: a number per matrix, shape (n, 1).

    Without batch normalisation under the gradient penalty, which is defined for each matrix by itself
    (Gulrajani et al., arXiv:1704.00028, section 4); the published one has it.
    """
    if settings.network != "conv":
        width = settings.width
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(MOST_ATOMS * elements, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )
    channels = max(settings.channels // 8, 8)
    critic = nn.Sequential(
        nn.Unflatten(1, (1, MOST_ATOMS)), nn.Conv2d(1, channels, 3, padding=1), nn.LeakyReLU(0.2)
    )
    columns, rows = elements, MOST_ATOMS
    for halves in (True, False, True, False, True, False):
        following = 2 * channels if halves else channels
        critic.append(nn.Conv2d(channels, following, 3, stride=1 + halves, padding=1))
        if settings.lipschitz == "clipping":
            critic.append(nn.BatchNorm2d(following))
        critic.append(nn.LeakyReLU(0.2))
        if halves:
            columns, rows = math.ceil(columns / 2), math.ceil(rows / 2)
        channels = following
    critic.append(nn.Flatten())
    critic.append(nn.Linear(channels * columns * rows, 1))
    return critic
