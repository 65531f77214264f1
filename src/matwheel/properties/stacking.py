"""How close a layer comes to its image beside a sideways shift, by atomic radii alone."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.connectivity import (
    atomic_numbers_of,
    covalent_radii_angstrom,
    van_der_waals_radii_angstrom,
)
from matwheel.properties.layers import Layer

GRID = 12
"""Shifts along each vector of the plane."""
CONTACT_SHARE = 0.95
"""Atoms of two layers in contact are this share of the sum of their van der Waals radii apart."""
COVALENT_SHARE = 0.7
"""Atoms nearer than this share of the sum of their covalent radii are where potentials know nothing."""
_COVALENT_TO_VAN_DER_WAALS_ANGSTROM = 0.9  # for the six elements without a van der Waals radius
_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=2)))


class Stacking:
    """A layer and the image that is stacked on it.

    Args:
        layer: the layer.
        lowest_height_angstrom: shifts are compared at this height of the image or above.
    """

    def __init__(self, layer: Layer, lowest_height_angstrom: float) -> None:
        self._layer = layer
        numbers = atomic_numbers_of(layer.species)
        covalent = covalent_radii_angstrom()[numbers]
        contact = van_der_waals_radii_angstrom()[numbers]
        contact = np.where(np.isnan(contact), covalent + _COVALENT_TO_VAN_DER_WAALS_ANGSTROM, contact)
        z = layer.positions_angstrom[:, 2]
        self._lowest = lowest_height_angstrom
        self._covalent = covalent[:, None] + covalent[None, :]
        self._contact = CONTACT_SHARE * (contact[:, None] + contact[None, :])
        # An atom of the image may be above one of the layer (rows) by its height and this.
        self._above = z[None, :] - z[:, None]
        positions = layer.positions_angstrom[:, :2]
        self._beside = positions[None, :, :] - positions[:, None, :]

    def closest_packings(self, most: int, apart_angstrom: float) -> list[tuple[float, float, float]]:
        """Return shifts (x, y) where layers come closest, with the height of contact there, Å, best first.

        They are local minima on a grid of shifts, no two of them nearer than `apart_angstrom`.
        """
        steps = np.arange(GRID) / GRID
        shifts = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        shifts = shifts @ self._layer.plane_angstrom
        heights = self.contact_heights(shifts)
        grid = np.round(heights.reshape(GRID, GRID), 6)  # equal by symmetry, not quite by arithmetic
        around = np.min([np.roll(grid, step, (0, 1)) for step in _NEIGHBOURS], axis=0)
        minima = np.flatnonzero((grid <= around).ravel())
        chosen: list[int] = []
        for place in minima[np.argsort(grid.ravel()[minima], kind="stable")]:
            if len(chosen) < most and all(
                self._distances(shifts[place] - shifts[other]) >= apart_angstrom for other in chosen
            ):
                chosen.append(int(place))
        return [(float(shifts[place, 0]), float(shifts[place, 1]), float(heights[place])) for place in chosen]

    def contact_heights(self, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the height at which the image touches, shape (shifts,), for shifts of shape (shifts, 2)."""
        # Of all pairs only those that may touch at the lowest height or above.
        first, second = np.nonzero(self._contact - self._above > self._lowest)
        reach = self._contact[first, second]
        distances = self._distances(self._beside[first, second][None] + shifts[:, None, :])
        touching = np.sqrt(np.maximum(reach**2 - distances**2, 0.0)) - self._above[first, second]
        touching[distances >= reach] = self._lowest
        return np.maximum(touching.max(axis=1, initial=self._lowest), self._lowest)

    def covalent_contact(self, x: float, y: float, height: float) -> tuple[float, float]:
        """Return the shortest distance to the image in units of the sum of covalent radii; and the smallest
        distance beyond 0.7 of that sum, Å.
        """
        beside = self._distances(self._beside + np.array([x, y]))
        distances = np.hypot(beside, height + self._above)
        slack = distances - COVALENT_SHARE * self._covalent
        return float((distances / self._covalent).min()), float(slack.min())

    def _distances(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the length of the shortest image of vectors in the plane, shape (…, 2) → (…)."""
        plane = self._layer.plane_angstrom
        fractions = vectors @ np.linalg.inv(plane)
        wrapped = (fractions - np.round(fractions)) @ plane
        images = wrapped[..., None, :] + _NEIGHBOURS @ plane
        return np.sqrt((images**2).sum(axis=-1).min(axis=-1))
