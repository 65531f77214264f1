"""Atoms displaced as lattice vibrations displace them, or at random: configurations of one crystal.

A harmonic crystal at temperature T moves each vibration k of angular frequency ω with a Gaussian amplitude of
variance ħ/(2ω) coth(ħω / 2 k_B T) (amplitude times √mass; zero-point motion included). An imaginary vibration
has no such amplitude; what is done about it is the *policy*:

    absolute          it is sampled with |ω| (what phonopy does without a word)
    cutoff            the same, but vibrations with |ω| below `cutoff_thz` stand still
    clip              the same as absolute, but no atom moves further than `largest_displacement_angstrom`
                      (but for the mean of all atoms, which is taken away after that)
    freeze            imaginary vibrations stand still
    self_consistent   the force constants are those of `self_consistent_phonons`, sampled as they are

Configuration i depends on the seed, the kind of set, the temperature and i only, so that a set can grow
without a change to what is there. (Degenerate vibrations are taken as the eigensolver gives them: another
build of it may draw another, equally probable configuration.) Displacements are measured after the mean
displacement of all atoms, which moves the crystal as a whole, has been taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Positive, settings
from matwheel.crystals.crystal import Crystal

Policy = Literal["absolute", "cutoff", "clip", "freeze", "self_consistent"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
ABSOLUTE, CUTOFF, CLIP, FREEZE, SELF_CONSISTENT = POLICIES
THERMAL = "thermal"
UNIFORM_ONE_SIDED, UNIFORM_SYMMETRIC, UNIFORM_SCALED = RANDOM_SETS = (
    "uniform_one_sided",
    "uniform_symmetric",
    "uniform_scaled",
)
SETS = (THERMAL, *RANDOM_SETS)

# ħ/(2ω) = HALF_QUANTUM / frequency in amu Å² THz, and ħω / k_B = QUANTUM_KELVIN × frequency (CODATA 2018).
HALF_QUANTUM_AMU_ANGSTROM2_THZ = 1.054571817e-34 / (4 * np.pi * 1e12) / 1.66053906660e-27 * 1e20
QUANTUM_KELVIN_PER_THZ = 6.62607015e-34 * 1e12 / 1.380649e-23
# √(eV/(Å² amu)) / 2π in THz
_THZ = np.sqrt(1.602176634e-19 / 1e-20 / 1.66053906660e-27) / (2 * np.pi) / 1e12
_TRANSLATIONS = 3
_ROWS_OF_PRODUCT = 4
_SMALLEST_FREQUENCY_THZ = 0.01  # below it a vibration is rounding, and its amplitude without bound
# Force constants, dynamical matrix, eigenvectors, patterns and the work space of the eigensolver, measured.
_MATRICES_IN_MEMORY = 11


class NoVibrationLeft(ValueError):
    """The policy for imaginary vibrations leaves none to displace."""


@settings
class DisplacementSettings:
    """How displaced configurations are made."""

    policy: Policy = CUTOFF
    """What is done about imaginary vibrations."""
    cutoff_thz: Positive = 0.5
    """Vibrations with |ω| / 2π below it stand still, for the policy cutoff."""
    largest_displacement_angstrom: Positive = 0.5
    """Of an atom, for the policy clip."""
    uniform_angstrom: Positive = 0.4
    """The d of the uniform sets: each coordinate moves by U(0, d), one-sided as published, or by U(-d, d)."""
    largest_memory_gb: Positive = 2.0
    """A supercell whose dynamical matrix needs more is refused."""


@dataclass(frozen=True, eq=False)
class Vibrations:
    """All vibrations of a supercell at its Γ point, rigid translations left out.

    Attributes:
        supercell: the crystal at rest.
        frequencies_thz: ascending, imaginary ones negative, shape (modes,).
        patterns: displacement of each atom per unit of amplitude, e / √m, shape (modes, atoms, 3), 1/√amu.
    """

    supercell: Crystal
    frequencies_thz: NDArray[np.float64]
    patterns: NDArray[np.float64]

    @property
    def imaginary_fraction(self) -> float:
        """Share of the vibrations that are imaginary."""
        return float((self.frequencies_thz < 0).mean()) if len(self.frequencies_thz) else 0.0


def memory_of_vibrations_gb(atoms: int) -> float:
    """Return what `vibrations` of a supercell of so many atoms holds in memory at its peak, GB."""
    return _MATRICES_IN_MEMORY * 8 * (3 * atoms) ** 2 / 1e9


def refuse_large_supercell(atoms: int, largest_memory_gb: float) -> None:
    """Raise InputError where the dynamical matrix of a supercell would not fit.

    Raises:
        InputError: it would not; the message says how much it needs.
    """
    needed = memory_of_vibrations_gb(atoms)
    if needed > largest_memory_gb:
        raise InputError(
            f"a supercell of {atoms} atoms needs {needed:.1f} GB for its dynamical matrix, more than the "
            f"{largest_memory_gb:g} GB of displacements.largest_memory_gb; take a smaller supercell"
        )


def vibrations(
    supercell: Crystal, force_constants: NDArray[np.float64], masses_amu: NDArray[np.float64]
) -> Vibrations:
    """Diagonalise the dynamical matrix of a supercell.

    These are the vibrations at all q-points that fit into the supercell, exactly, as real patterns.

    Args:
        force_constants: shape (atoms, atoms, 3, 3), eV/Å².
        masses_amu: shape (atoms,).

    Raises:
        ValueError: shapes do not fit the supercell, or force constants are not finite.
    """
    atoms = len(supercell.species)
    if force_constants.shape != (atoms, atoms, 3, 3) or masses_amu.shape != (atoms,):
        raise ValueError(f"force constants of shape {force_constants.shape} for {atoms} atoms")
    if not np.isfinite(force_constants).all():
        raise ValueError("force constants are not finite")
    root_mass = np.repeat(np.sqrt(masses_amu), 3)
    matrix = force_constants.transpose(0, 2, 1, 3).reshape(3 * atoms, 3 * atoms)
    dynamical = (matrix + matrix.T) / 2 / np.outer(root_mass, root_mass)
    # A shift moves rigid translations out of the way of soft vibrations, which they would mix with.
    translations = np.kron(np.sqrt(masses_amu / masses_amu.sum())[:, None], np.eye(3))
    shift = 2 * np.abs(dynamical).sum(axis=1).max() + 1.0
    projector = np.eye(3 * atoms) - translations @ translations.T
    values, vectors = np.linalg.eigh(
        projector @ dynamical @ projector + shift * translations @ translations.T
    )
    values, vectors = values[:-_TRANSLATIONS], vectors[:, :-_TRANSLATIONS]
    # The sign of an eigenvector is the solver's choice; its largest component is made positive.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    patterns = (vectors / root_mass[:, None]).T.reshape(-1, atoms, 3)
    return Vibrations(supercell, np.sign(values) * np.sqrt(np.abs(values)) * _THZ, patterns)


def amplitude_deviations(
    frequencies_thz: NDArray[np.float64], temperature_kelvin: float, settings: DisplacementSettings
) -> NDArray[np.float64]:
    """Return the standard deviation of each vibration's amplitude, √amu Å, shape (modes,).

    At 0 K it is that of the zero-point motion. Vibrations that the policy leaves out have 0.

    Raises:
        InputError: a negative temperature, or one that is not finite.
        NoVibrationLeft: every vibration stands still under the policy.
    """
    if not (isfinite(temperature_kelvin) and temperature_kelvin >= 0):
        raise InputError(f"temperature is {temperature_kelvin} K; give 0 (zero-point motion) or more")
    size = np.abs(frequencies_thz)
    moves = size > _SMALLEST_FREQUENCY_THZ
    if settings.policy == CUTOFF:
        moves &= size >= settings.cutoff_thz
    elif settings.policy == FREEZE:
        moves &= frequencies_thz > 0
    if not moves.any():
        raise NoVibrationLeft(
            f"the policy {settings.policy!r} for imaginary vibrations leaves none to displace"
        )
    variance = np.zeros(len(size))
    variance[moves] = HALF_QUANTUM_AMU_ANGSTROM2_THZ / size[moves]
    if temperature_kelvin > 0:
        variance[moves] /= np.tanh(QUANTUM_KELVIN_PER_THZ * size[moves] / (2 * temperature_kelvin))
    return np.sqrt(variance)


def thermal_displacements(
    modes: Vibrations,
    temperature_kelvin: float,
    indices: Sequence[int],
    seed: int,
    settings: DisplacementSettings,
) -> NDArray[np.float64]:
    """Return the displacements of configurations `indices` at a temperature, shape (n, atoms, 3), Å.

    Raises:
        InputError, NoVibrationLeft: see `amplitude_deviations`.
    """
    deviations = amplitude_deviations(modes.frequencies_thz, temperature_kelvin, settings)
    flat = modes.patterns.reshape(len(deviations), -1)
    rows = np.empty((len(indices), flat.shape[1]))
    for place, index in enumerate(indices):
        noise = _generator(seed, THERMAL, temperature_kelvin, index).standard_normal(len(deviations))
        # Products of one row, few rows and many rounded differently: the shape is always the same.
        rows[place] = (np.tile(noise * deviations, (_ROWS_OF_PRODUCT, 1)) @ flat)[0]
    displaced = rows.reshape(len(indices), -1, 3)
    return _without_mean(_clipped(displaced, settings) if settings.policy == CLIP else displaced)


def random_displacements(
    kind: str,
    atoms: int,
    temperature_kelvin: float,
    indices: Sequence[int],
    seed: int,
    settings: DisplacementSettings,
    rms_angstrom: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return displacements that know no physics, shape (n, atoms, 3), Å.

    Args:
        kind: one of `RANDOM_SETS`.
        temperature_kelvin: no more than a name here: of the thermal set that a scaled one belongs to.
        rms_angstrom: of each configuration, for uniform_scaled, shape (n,).

    Raises:
        ValueError: an unknown kind, or uniform_scaled without lengths.
    """
    if kind not in RANDOM_SETS:
        raise ValueError(f"unknown random set {kind!r}; choose one of {', '.join(RANDOM_SETS)}")
    if (kind == UNIFORM_SCALED) != (rms_angstrom is not None):
        raise ValueError("rms_angstrom belongs to uniform_scaled")
    lowest = 0.0 if kind == UNIFORM_ONE_SIDED else -1.0
    uniform = [
        _generator(seed, kind, temperature_kelvin, index).uniform(lowest, 1.0, (atoms, 3))
        for index in indices
    ]
    displaced = _without_mean(np.array(uniform).reshape(-1, atoms, 3))
    if rms_angstrom is None:
        return settings.uniform_angstrom * displaced
    return displaced * (rms_angstrom / rms_displacement(displaced))[:, None, None]


def rms_displacement(displacements: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the root mean square displacement of an atom in each configuration, Å, shape (n,).

    Args:
        displacements: shape (n, atoms, 3), Å, without the mean.
    """
    return np.sqrt((displacements**2).sum(axis=2).mean(axis=1))


def displaced_crystal(crystal_id: str, at_rest: Crystal, displacement: NDArray[np.float64]) -> Crystal:
    """Return the crystal with each atom moved; coordinates are not wrapped.

    Args:
        displacement: shape (atoms, 3), Å.
    """
    frac_coords = at_rest.frac_coords + displacement @ np.linalg.inv(at_rest.lattice)
    return Crystal(crystal_id, at_rest.species, at_rest.lattice, frac_coords, at_rest.pbc)


def _generator(seed: int, kind: str, temperature_kelvin: float, index: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, kind, f"{float(temperature_kelvin):g}", index))


def _without_mean(displacements: NDArray[np.float64]) -> NDArray[np.float64]:
    return displacements - displacements.mean(axis=1, keepdims=True)


def _clipped(displacements: NDArray[np.float64], settings: DisplacementSettings) -> NDArray[np.float64]:
    lengths = np.linalg.norm(displacements, axis=2, keepdims=True)
    limit = settings.largest_displacement_angstrom
    return displacements * np.minimum(1.0, limit / np.maximum(lengths, limit))
