"""Latent vectors on a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def latent_plane(latents: NDArray[np.floating]) -> tuple[NDArray[np.float64], list[float]]:
    """Return the first two principal components of latent vectors and the share of variance on each.

    Args:
        latents: shape (n, width), n at least 1 and width at least 2.

    Returns:
        Shape (n, 2); the sign of a component is that of its largest loading, so that it does not depend on
        the linear algebra. Two shares, 0 where all vectors are alike.
    """
    centred = np.asarray(latents, dtype=np.float64)
    # From the first vector on: the mean of vectors that are alike is not exactly theirs.
    centred = centred - centred[0]
    centred = centred - centred.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    values = np.maximum(values, 0)
    axes = vectors[:, ::-1][:, :2]
    # Of loadings that are equal but for rounding the first decides.
    axes = axes * np.sign(axes[np.abs(axes).round(6).argmax(axis=0), [0, 1]])
    total = values.sum()
    shares = values[::-1][:2] / total if total > 0 else np.zeros(2)
    return centred @ axes, [float(share) for share in shares]
