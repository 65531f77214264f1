"""Where crystals lie: features of potentials, size and computed properties as one vector per crystal.

The squared distance of two crystals is a sum over blocks, each of which weighs what it is told to, whatever
its number of columns; so a machine on distances needs no more than scaled columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_geometry
from matwheel.predictors.latent_features import BLOCKS, LatentFeatures, block_columns

SIZE, PROPERTIES = "volume", "properties"
"""Names of two blocks: size, whatever it is measured by, and computed properties."""

# Features of crystals with atoms far too close reach 1e30; those of real crystals stay within 8.
_LARGEST_SCALED_FEATURE = 10.0
_TAIL_PERCENT = 1.0
# One of the 636 rows of jarvis2d_exfoliation is a wire.
_SMALLEST_SHARE_OF_LAYERS = 0.98


def layer_sizes(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return the logarithm of the area per atom (Å²) and the thickness (Å) of layers, shape (n, 2).

    Neither depends on the vacuum of the cell. NaN for what is no layer.

    Raises:
        ValueError: see `dimensionality.vacuum`.
    """
    sizes = np.full((len(crystals), 2), np.nan)
    for row, crystal in enumerate(crystals):
        layer = layer_geometry(crystal)
        if layer is not None:
            sizes[row] = np.log(layer.area_angstrom2 / len(crystal.species)), layer.thickness_angstrom
    return sizes


def are_layers(sizes: NDArray[np.float64]) -> bool:
    """Return whether crystals of these `layer_sizes` are layers, all but two in a hundred."""
    return bool(len(sizes)) and float(np.isfinite(sizes[:, 0]).mean()) >= _SMALLEST_SHARE_OF_LAYERS


def positive_scale(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(1 + max(value, 1)): for properties that are positive where they mean something."""
    return np.log1p(np.maximum(values, 1.0))


@dataclass(frozen=True, eq=False)
class Description:
    """Crystals as rows of numbers, not yet scaled.

    Attributes:
        matrix: shape (n, d); NaN where a number is not known.
        blocks: name of the block of each column, length d.
    """

    matrix: NDArray[np.float64]
    blocks: tuple[str, ...]


def described(
    features: Sequence[LatentFeatures],
    rows: NDArray[np.int64],
    layers: NDArray[np.float64] | None,
    properties: NDArray[np.float64] | None = None,
) -> Description:
    """Return crystals described by all that is known of them.

    Args:
        features: of the same crystals by one or more potentials.
        rows: which of these crystals.
        layers: their `layer_sizes`, which replace the volume per atom; None to take that.
        properties: their computed ones, on the scales that distances are measured on, shape (n, p).
    """
    parts, blocks = [], []
    for one in features:
        columns = block_columns(one.matrix.shape[1])
        for name in BLOCKS:
            if name != SIZE:
                parts.append(one.matrix[rows, columns[name]].astype(np.float64))
                blocks += [name] * parts[-1].shape[1]
    volume = features[0].matrix[rows, block_columns(features[0].matrix.shape[1])[SIZE]].astype(np.float64)
    parts.append(np.log(volume) if layers is None else layers)
    blocks += [SIZE] * parts[-1].shape[1]
    if properties is not None:
        parts.append(properties)
        blocks += [PROPERTIES] * properties.shape[1]
    return Description(np.concatenate(parts, axis=1), tuple(blocks))


@dataclass(frozen=True, eq=False)
class Scaling:
    """How numbers become coordinates whose squared differences add up to a squared distance.

    Attributes:
        location, scale: of each column over the training rows, shape (d,).
        factor: of each scaled column, for the weight of its block, shape (d,); 0 leaves it out.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    factor: NDArray[np.float64]

    def coordinates(self, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the columns that are not left out, ready for distances; what is not known is average."""
        used = np.flatnonzero(self.factor)
        values = (matrix[:, used] - self.location[used]) / self.scale[used]
        limited = np.clip(values, -_LARGEST_SCALED_FEATURE, _LARGEST_SCALED_FEATURE)
        return np.where(np.isnan(limited), 0.0, limited * self.factor[used]).astype(np.float32)

    def mixed(self, blocks: Sequence[str], weight: float) -> Scaling:
        """Return the scaling in which the computed properties weigh `weight`, all else 1 − `weight`."""
        computed = np.array([name == PROPERTIES for name in blocks])
        share = np.where(computed, np.sqrt(weight), np.sqrt(1.0 - weight))
        return Scaling(self.location, self.scale, self.factor * share)


def scaling_of(description: Description, scored: NDArray[np.bool_], weights: Mapping[str, float]) -> Scaling:
    """Return the scaling by the rows that are `scored`, of shape (n,).

    With it their mean squared distance is 2, to which each block contributes by its weight; the computed
    properties have a distance of their own, which is 2 too, and come in by `Scaling.mixed`. The tails beyond
    the first and the last percent count as their ends: one crystal with atoms far too close must not set the
    scale for all others.

    Args:
        weights: of the blocks of `BLOCKS`; those of several potentials share them.
    """
    values = _filled(description.matrix[scored])
    values = np.clip(values, *np.percentile(values, (_TAIL_PERCENT, 100.0 - _TAIL_PERCENT), axis=0))
    location, scale = values.mean(axis=0), values.std(axis=0)
    # A feature that varies no more than the potential's single precision says nothing.
    varies = scale > 1e-6 + 1e-5 * np.abs(location)
    factor = np.zeros_like(scale)
    for start, stop, name, copies in _runs(description.blocks):
        columns = slice(start, stop)
        share = 1.0 if name == PROPERTIES else weights[name] / sum(weights.values()) / copies
        factor[columns] = varies[columns] * np.sqrt(share / max(1, int(np.count_nonzero(varies[columns]))))
    return Scaling(location, np.where(varies, scale, 1.0), factor)


def squared_distances(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Return squared Euclidean distances of all pairs of rows, shape (n, m)."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    return np.maximum(lengths - 2.0 * (first @ second.T), 0.0)


def _filled(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix whose unknown numbers are the medians of their columns."""
    unknown = np.isnan(matrix)
    if not unknown.any():
        return matrix
    filled = matrix.copy()
    for column in np.flatnonzero(unknown.any(axis=0)):
        known = matrix[~unknown[:, column], column]
        filled[unknown[:, column], column] = np.median(known) if len(known) else 0.0
    return filled


def _runs(blocks: Sequence[str]) -> list[tuple[int, int, str, int]]:
    """Return first and last column of each block, its name, and how many blocks have that name."""
    starts = [place for place, name in enumerate(blocks) if place == 0 or name != blocks[place - 1]]
    names = [blocks[start] for start in starts]
    stops = [*starts[1:], len(blocks)]
    return [
        (start, stop, name, names.count(name)) for start, stop, name in zip(starts, stops, names, strict=True)
    ]
