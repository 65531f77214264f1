"""Null generators: what training rows give with no learning at all; a generator is judged against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal

DISPLACEMENT_ANGSTROM = 0.1
STRAIN = 0.03


def resample_elements(crystals: Sequence[Crystal], n: int, *, seed: int, id_prefix: str) -> list[Crystal]:
    """Return n training rows, drawn with replacement, with their elements replaced.

    Within a crystal each element becomes one other draw, without repetition, from the elements of the
    training set weighted by the number of crystals that hold them (a draw may be the element itself). So the
    stoichiometry, the cell and the positions stay those of a real crystal.

    Raises:
        InputError: no crystals, or n below 0.
    """
    _check(crystals, n)
    generator = np.random.default_rng(seed)
    frequency = Counter(element for crystal in crystals for element in set(crystal.species))
    elements = sorted(frequency)
    weights = np.array([frequency[element] for element in elements], dtype=np.float64)
    weights /= weights.sum()
    result = []
    for i, row in enumerate(generator.integers(len(crystals), size=n)):
        crystal = crystals[row]
        present = sorted(set(crystal.species))
        drawn = generator.choice(len(elements), size=len(present), replace=False, p=weights)
        replacement = {old: elements[new] for old, new in zip(present, drawn, strict=True)}
        species = tuple(replacement[element] for element in crystal.species)
        result.append(Crystal(f"{id_prefix}-{i:05d}", species, crystal.lattice, crystal.frac_coords))
    return result


def rattle_crystals(
    crystals: Sequence[Crystal],
    n: int,
    *,
    seed: int,
    id_prefix: str,
    displacement_angstrom: float = DISPLACEMENT_ANGSTROM,
    strain: float = STRAIN,
) -> list[Crystal]:
    """Return n training rows, drawn with replacement, with rattled positions and strained cells.

    Args:
        crystals: training crystals.
        n: number of crystals to return.
        seed: seed of the draws.
        id_prefix: the ids are f"{id_prefix}-{i:05d}".
        displacement_angstrom: standard deviation of each Cartesian displacement component, Å.
        strain: standard deviation of each component of the symmetric strain tensor ε; cell (I + ε).

    Raises:
        InputError: no crystals, n, displacement or strain below 0.
    """
    _check(crystals, n)
    if not (displacement_angstrom >= 0 and strain >= 0):
        raise InputError(f"displacement {displacement_angstrom} Å and strain {strain} must be at least 0")
    generator = np.random.default_rng(seed)
    result = []
    for i, row in enumerate(generator.integers(len(crystals), size=n)):
        crystal = crystals[row]
        components = generator.normal(0.0, strain, size=(3, 3))
        upper = np.triu(components)
        tensor = upper + np.triu(components, 1).T
        lattice = crystal.lattice @ (np.eye(3) + tensor)
        steps = generator.normal(0.0, displacement_angstrom, size=crystal.frac_coords.shape)
        frac_coords = (crystal.frac_coords + steps @ np.linalg.inv(lattice)) % 1.0
        result.append(Crystal(f"{id_prefix}-{i:05d}", crystal.species, lattice, frac_coords))
    return result


def _check(crystals: Sequence[Crystal], n: int) -> None:
    if not crystals:
        raise InputError("no training crystals to draw from; the training part of the split is empty")
    if n < 0:
        raise InputError(f"{n} crystals asked for; give a number of at least 0")
