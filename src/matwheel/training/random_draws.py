"""Random numbers that are the same on every device: drawn by the CPU's generator, then moved.

CUDA's own generator gives other numbers for the same seed, so a model trained there could not be compared
with one trained on a CPU. All draws of networks and trainings go through here or through a `torch.Generator`
of their own; the bits on a CPU are those of the functions of torch that are named below.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def normal(*shape: int, device: torch.device) -> Tensor:
    """Return unit Gaussian numbers, as `torch.randn`."""
    return _moved(torch.randn(shape), device)


def uniform(*shape: int, device: torch.device) -> Tensor:
    """Return numbers in [0, 1), as `torch.rand`."""
    return _moved(torch.rand(shape), device)


def rows(below: int, number: int, *, device: torch.device) -> Tensor:
    """Return `number` rows of `below`, with replacement, as `torch.randint`."""
    return _moved(torch.randint(below, (number,)), device)


def gumbel_noise(like: Tensor) -> Tensor:
    """Return Gumbel noise in the shape of logits; the largest of logits + noise is a draw of a category."""
    return _moved(-_exponential(like).log(), like.device)


def category(weights: Tensor) -> Tensor:
    """Draw a category per row of weights (n, k), shape (n, 1), as `torch.multinomial`."""
    return (weights / _moved(_exponential(weights), weights.device)).argmax(1, keepdim=True)


def hard_gumbel_softmax(logits: Tensor, temperature: float) -> Tensor:
    """Draw a category per row as zeros and a one, with the gradient of a soft draw.

    As `torch.nn.functional.gumbel_softmax(hard=True)` (Jang et al., arXiv:1611.01144).
    """
    soft = ((logits + gumbel_noise(logits)) / temperature).softmax(-1)
    hard = torch.zeros_like(logits).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` whose choice of units does not depend on the device."""

    def forward(self, values: Tensor) -> Tensor:
        """Return values with a share of them at zero, in training."""
        if not self.training or self.p == 0:
            return values
        kept = torch.empty(values.shape, dtype=values.dtype).bernoulli_(1 - self.p)
        return values * _moved(kept.div_(1 - self.p), values.device)


def _exponential(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype).exponential_()


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """Return values on a device; to CUDA from pinned memory, or the CPU would wait for all work before it."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
