"""Self-consistent harmonic phonons: the harmonic crystal nearest to the anharmonic one at a temperature.

The stochastic self-consistent harmonic approximation (Hooton, Phil. Mag. 46, 422, 1955; Errea, Calandra &
Mauri, PRB 89, 064302, 2014; by fits of force constants: van Roekeghem, Carrete & Mingo, Comput. Phys. Commun.
263, 107945, 2021), here with the cell and the mean positions of the atoms held fixed:

1. sample displacements of the current harmonic crystal at the temperature, zero-point motion included;
2. compute the forces of the potential;
3. fit harmonic force constants to them, symmetry imposed;
4. mix them with the current ones and go on until the fit returns what was sampled.

What makes it converge with few evaluations:

- Every iteration uses the same random numbers, so that the fit is a smooth function of the force constants
  and the iteration goes to a fixed point instead of wandering by the noise of the sample. The noise is there
  all the same, as a shift of that fixed point: `statistical_error_thz` estimates it.
- Displacements are the symmetric square root of the covariance times the noise, which does not depend on the
  basis that the eigensolver chose for degenerate vibrations.
- The first crystal has the |ω| of the one given. From there on a vibration below `lowest_sampled_thz`, or an
  imaginary one, is sampled as if it had that frequency: the softer, the further atoms move, without a fold at
  zero, and none stands still, since forces would then say nothing about it.
- A soft crystal moves far and is fitted stiff, a stiff one soft: the plain iteration oscillates (Ag3SBr at
  300 K, for ever, even with half of the fit). A few damped iterations bring it near, then Anderson's
  extrapolation (J. ACM 12, 547, 1965) from the last ones finds the fixed point.
- Snapshots are mirrored pairs u, -u, which cancels what cubic terms of the energy add to the fit.

An imaginary vibration in the end means that the mean positions are no minimum of the free energy at this
temperature, or that `lowest_sampled_thz` is too high; the result then counts as not converged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Positive, Seconds, ShareBelowOne, settings
from matwheel.core.time_limits import hung
from matwheel.potentials.atoms import to_atoms
from matwheel.vibrations.displacements import (
    ABSOLUTE,
    QUANTUM_KELVIN_PER_THZ,
    DisplacementSettings,
    Vibrations,
    amplitude_deviations,
    displaced_crystal,
    rms_displacement,
    vibrations,
)
from matwheel.vibrations.force_constants import ForceConstants, fitted_force_constants, supercell_at_rest

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from matwheel.crystals.crystal import Crystal

_BOLTZMANN_EV_PER_KELVIN = 1.380649e-23 / 1.602176634e-19
# amu Å² (2π THz)² in eV
_EV_PER_AMU_ANGSTROM2_THZ2 = 1.66053906660e-27 * 1e-20 * (2 * np.pi * 1e12) ** 2 / 1.602176634e-19


@settings
class SelfConsistentSettings:
    """How self-consistent phonons are computed."""

    snapshots: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 30
    """Displaced supercells per iteration; even, since they are pairs of opposite displacements."""
    largest_iterations: Annotated[int, Field(ge=1, le=10_000)] = 30
    """The end without convergence."""
    damping: ShareBelowOne = 0.7
    """Share of the current force constants in the next ones; 0 takes the fit as it is."""
    memory: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Iterations that the extrapolation looks back; 1 turns it off."""
    tolerance_thz: Positive = 0.05
    """Converged when no frequency of the fit differs by more from the one that was sampled."""
    lowest_sampled_thz: Positive = 0.2
    """Softer vibrations are sampled as if they had this frequency."""
    largest_energy_ev_per_atom: Positive = 1.0
    """A snapshot whose energy differs by more from the crystal at rest ends the computation: the potential or
    the harmonic crystal has left what is physical.
    """
    time_limit_seconds: Seconds = 7200.0
    """Wall time, a guard against a hang that ends the job; looked at between two evaluations of the
    potential.
    """


@dataclass(frozen=True)
class Iteration:
    """What one iteration found.

    Attributes:
        largest_change_thz, mean_change_thz: of the frequencies of the fit, in order of size, against the
            sampled ones; imaginary frequencies count as negative.
        lowest_frequency_thz: of the fit.
        energy_mev_per_atom: mean over the snapshots, above the crystal at rest.
        rms_displacement_angstrom: of an atom, over all snapshots.
        free_energy_mev_per_atom: F_harmonic + ⟨V - V_harmonic⟩ of the sampled crystal, an upper bound of the
            free energy (Gibbs & Bogoliubov), above the energy of the crystal at rest, up to the noise.
    """

    largest_change_thz: float
    mean_change_thz: float
    lowest_frequency_thz: float
    energy_mev_per_atom: float
    rms_displacement_angstrom: float
    free_energy_mev_per_atom: float


@dataclass(frozen=True, eq=False)
class SelfConsistentPhonons:
    """Force constants at a temperature, and how far they can be trusted.

    Attributes:
        constants: the converged ones; else, of those that were sampled, the ones of the lowest free energy,
            which the variational principle prefers; those given if none was.
        temperature_kelvin: the temperature.
        converged: whether they are self-consistent.
        reason: why not; empty where they are.
        history: one entry per iteration.
        evaluations: of the potential.
        statistical_error_thz: standard error of a frequency by the number of snapshots, from fits to either
            half of the last iteration's, root mean square over the vibrations; NaN without an iteration.
    """

    constants: ForceConstants = field(repr=False)
    temperature_kelvin: float
    converged: bool
    reason: str
    history: tuple[Iteration, ...]
    evaluations: int
    statistical_error_thz: float


class _Ended(Exception):
    """The computation cannot go on; the message says why."""


def self_consistent_phonons(
    constants: ForceConstants,
    calculator: Calculator,
    temperature_kelvin: float,
    seed: int = 0,
    settings: SelfConsistentSettings | None = None,
    *,
    report: Callable[[int, Iteration], None] = lambda number, iteration: None,
) -> SelfConsistentPhonons:
    """Return the force constants that are self-consistent at a temperature.

    A computation that does not converge raises nothing: `converged` is False and `reason` says why.

    Args:
        constants: where to start, e.g. from finite displacements; imaginary vibrations are allowed.
        calculator: ASE calculator with energies and forces.
        temperature_kelvin: 0 samples the zero-point motion.
        seed: same seed, same result.
        report: called with the number (from 1) and the findings of every iteration.

    Raises:
        InputError: a negative temperature, or one that is not finite.
        Hung: the iterations, whose number is limited, do not end.
    """
    settings = settings or SelfConsistentSettings()
    if not (isfinite(temperature_kelvin) and temperature_kelvin >= 0):
        raise InputError(f"temperature is {temperature_kelvin} K; give 0 (zero-point motion) or more")
    deadline = time.monotonic() + settings.time_limit_seconds  # of the guard; iterations are the budget
    at_rest, masses = supercell_at_rest(constants)
    noise = _mirrored_noise(settings.snapshots, len(masses), seed)
    potential = _Potential(calculator, at_rest, settings, deadline)
    current = constants
    mixer = _Mixer(settings.damping, settings.memory)
    history: list[Iteration] = []
    error_thz, lowest_free_energy, best = nan, inf, constants
    converged, reason = False, ""
    try:
        for number in range(1, settings.largest_iterations + 1):
            modes = vibrations(at_rest, current.matrix_ev_per_angstrom2, masses)
            if number == 1:
                modes = replace(modes, frequencies_thz=np.abs(modes.frequencies_thz))
                current = replace(current, matrix_ev_per_angstrom2=_matrix_of(modes, masses))
            displacements, free_energy = _sample(
                modes, masses, temperature_kelvin, noise, settings.lowest_sampled_thz
            )
            energies, forces = potential.evaluate(displacements)
            fit = _fitted(current, displacements, forces)
            found = _frequencies(fit, at_rest, masses)
            change = np.abs(found - np.sort(modes.frequencies_thz))
            history.append(
                Iteration(
                    float(change.max()),
                    float(change.mean()),
                    float(found[0]),
                    float(1e3 * energies.mean()),
                    float(np.sqrt((rms_displacement(displacements) ** 2).mean())),
                    float(1e3 * (energies.mean() + free_energy)),
                )
            )
            report(number, history[-1])
            if history[-1].free_energy_mev_per_atom < lowest_free_energy:
                lowest_free_energy, best = history[-1].free_energy_mev_per_atom, current
            if change.max() <= settings.tolerance_thz:
                converged, current = True, fit
                break
            current = mixer.next(current, fit)
        else:
            current = best
        lowest = float(_frequencies(current, at_rest, masses)[0])
        if not converged:
            reason = (
                f"not converged in {settings.largest_iterations} iterations: a frequency still changes by "
                f"{history[-1].largest_change_thz:.2f} THz"
            )
        elif lowest < 0:
            converged = False
            reason = (
                f"a vibration stays imaginary at {temperature_kelvin:g} K ({lowest:.2f} THz): the mean "
                "positions are no minimum of the free energy"
            )
        error_thz = _statistical_error(current, displacements, forces, at_rest, masses)
    except _Ended as end:
        current, reason = best, f"iteration {len(history) + 1}: {end}"
    return SelfConsistentPhonons(
        current,
        float(temperature_kelvin),
        converged,
        reason,
        tuple(history),
        potential.evaluations,
        error_thz,
    )


class _Potential:
    """Energies and forces of displaced supercells, with what must end the computation."""

    def __init__(
        self, calculator: Calculator, at_rest: Crystal, settings: SelfConsistentSettings, deadline: float
    ) -> None:
        self.calculator, self.at_rest = calculator, at_rest
        self.largest_energy = settings.largest_energy_ev_per_atom
        self.time_limit_seconds, self.deadline = settings.time_limit_seconds, deadline
        self.evaluations = 0
        self.rest_energy: float | None = None

    def evaluate(self, displacements: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return energies above rest, eV/atom, shape (n,), and forces, shape (n, atoms, 3), eV/Å.

        Raises:
            _Ended: the calculator fails, or its results are beyond sanity.
            Hung: the deadline has passed.
        """
        if self.rest_energy is None:
            self.rest_energy = self._evaluate(np.zeros(displacements.shape[1:]))[0]
        energies, forces = zip(*(self._evaluate(one) for one in displacements), strict=True)
        above = np.array(energies) - self.rest_energy
        worst = above[np.abs(above).argmax()]
        if abs(worst) > self.largest_energy:
            raise _Ended(
                f"the energy of a snapshot differs by {worst:.3g} eV/atom from the crystal at rest, more "
                f"than the {self.largest_energy:g} eV/atom that are allowed"
            )
        return above, np.array(forces)

    def _evaluate(self, displacement: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        if time.monotonic() > self.deadline:
            what = f"self-consistent phonons of {self.at_rest.id}"
            raise hung(self.time_limit_seconds, what, "self_consistent.time_limit_seconds")
        atoms = to_atoms(displaced_crystal(self.at_rest.id, self.at_rest, displacement))
        atoms.calc = self.calculator
        try:
            energy = float(atoms.get_potential_energy()) / len(atoms)
            forces = np.asarray(atoms.get_forces(), dtype=np.float64)
        except Exception as error:  # a library's way of saying that it cannot evaluate this geometry
            raise _Ended(f"the potential fails: {type(error).__name__}: {error}") from error
        self.evaluations += 1
        if not (isfinite(energy) and np.isfinite(forces).all()):
            raise _Ended("energy or forces are not finite")
        return energy, forces


def _mirrored_noise(snapshots: int, atoms: int, seed: int) -> NDArray[np.float64]:
    """Return normal noise, shape (snapshots, 3 atoms): pairs of opposite sign; pair i is (seed, i)'s own."""
    half = [
        np.random.default_rng(derive_seed(seed, "self_consistent", pair)).standard_normal(3 * atoms)
        for pair in range(snapshots // 2)
    ]
    return np.repeat(half, 2, axis=0) * np.tile([1.0, -1.0], snapshots // 2)[:, None]


def _sample(
    modes: Vibrations,
    masses_amu: NDArray[np.float64],
    temperature_kelvin: float,
    noise: NDArray[np.float64],
    lowest_thz: float,
) -> tuple[NDArray[np.float64], float]:
    """Return displacements, shape (n, atoms, 3), Å, and their F_harmonic - ⟨V_harmonic⟩, eV/atom."""
    sampled_thz = np.maximum(modes.frequencies_thz, lowest_thz)
    deviations = amplitude_deviations(sampled_thz, temperature_kelvin, DisplacementSettings(policy=ABSOLUTE))
    patterns = modes.patterns.reshape(len(sampled_thz), -1)
    eigenvectors = patterns * np.repeat(np.sqrt(masses_amu), 3)
    amplitudes = (noise @ eigenvectors.T) * deviations
    displacements = (amplitudes @ patterns).reshape(len(noise), -1, 3)
    harmonic = 0.5 * _EV_PER_AMU_ANGSTROM2_THZ2 * (amplitudes**2 @ sampled_thz**2).mean()
    free_energy = _harmonic_free_energy(sampled_thz, temperature_kelvin) - harmonic
    displacements -= displacements.mean(axis=1, keepdims=True)
    return displacements, float(free_energy) / len(masses_amu)


def _harmonic_free_energy(frequencies_thz: NDArray[np.float64], temperature_kelvin: float) -> float:
    """Return Σ ħω/2 + k_B T ln(1 - exp(-ħω / k_B T)), eV."""
    quanta_kelvin = QUANTUM_KELVIN_PER_THZ * frequencies_thz
    free_kelvin = quanta_kelvin.sum() / 2
    if temperature_kelvin > 0:
        free_kelvin += temperature_kelvin * np.log(-np.expm1(-quanta_kelvin / temperature_kelvin)).sum()
    return float(free_kelvin) * _BOLTZMANN_EV_PER_KELVIN


def _fitted(
    current: ForceConstants, displacements: NDArray[np.float64], forces: NDArray[np.float64]
) -> ForceConstants:
    """Return `fitted_force_constants`.

    Raises:
        _Ended: the snapshots do not determine them.
    """
    try:
        fit = fitted_force_constants(current, displacements, forces)
    except (np.linalg.LinAlgError, RuntimeError, ValueError) as error:
        raise _Ended(f"the fit of force constants fails ({error}); take more snapshots") from error
    if not np.isfinite(fit.matrix_ev_per_angstrom2).all():
        raise _Ended("the fit of force constants is not finite; take more snapshots")
    return fit


def _frequencies(
    constants: ForceConstants, at_rest: Crystal, masses_amu: NDArray[np.float64]
) -> NDArray[np.float64]:
    return vibrations(at_rest, constants.matrix_ev_per_angstrom2, masses_amu).frequencies_thz


def _matrix_of(modes: Vibrations, masses_amu: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the force constants that have these vibrations, shape (atoms, atoms, 3, 3), eV/Å²."""
    atoms = len(masses_amu)
    forces = modes.patterns.reshape(-1, 3 * atoms) * np.repeat(masses_amu, 3)
    curvature = _EV_PER_AMU_ANGSTROM2_THZ2 * np.sign(modes.frequencies_thz) * modes.frequencies_thz**2
    matrix = (forces.T * curvature) @ forces
    return np.ascontiguousarray(matrix.reshape(atoms, 3, atoms, 3).transpose(0, 2, 1, 3))


class _Mixer:
    """The next force constants from the last ones and their fits: damped at first, then extrapolated."""

    damped_iterations = 3

    def __init__(self, damping: float, memory: int) -> None:
        self.step, self.memory = 1.0 - damping, memory
        self.sampled: list[NDArray[np.float64]] = []
        self.residuals: list[NDArray[np.float64]] = []
        self.iterations = 0

    def next(self, current: ForceConstants, fit: ForceConstants) -> ForceConstants:
        sampled = current.matrix_ev_per_angstrom2
        residual = fit.matrix_ev_per_angstrom2 - sampled
        self.iterations += 1
        change = self.step * residual
        if self.iterations > self.damped_iterations:
            self.sampled = [*self.sampled, sampled][-self.memory :]
            self.residuals = [*self.residuals, residual][-self.memory :]
            if len(self.sampled) > 1:
                change = self._extrapolated()
        # The fit answers soft with stiff, so the fixed point is no further away than the fit.
        too_long = float(np.linalg.norm(change) / np.linalg.norm(residual))
        return replace(fit, matrix_ev_per_angstrom2=sampled + change / max(1.0, too_long))

    def _extrapolated(self) -> NDArray[np.float64]:
        """Return the step to where the residual would vanish were it linear in the force constants."""
        residual = self.residuals[-1]
        residual_changes = np.diff(np.array(self.residuals), axis=0).reshape(len(self.residuals) - 1, -1)
        sampled_changes = np.diff(np.array(self.sampled), axis=0).reshape(len(self.sampled) - 1, -1)
        weights = np.linalg.lstsq(residual_changes.T, residual.ravel(), rcond=1e-8)[0]
        change = self.step * residual.ravel() - weights @ (sampled_changes + self.step * residual_changes)
        return change.reshape(residual.shape)


def _statistical_error(
    constants: ForceConstants,
    displacements: NDArray[np.float64],
    forces: NDArray[np.float64],
    at_rest: Crystal,
    masses_amu: NDArray[np.float64],
) -> float:
    """Return the standard error of a frequency, THz: half the difference of the fits to half the pairs each.

    NaN where a half is too small to be fitted alone.
    """
    pairs = len(displacements) // 2
    if pairs < 2:
        return nan
    half = 2 * (pairs // 2)
    try:
        first, second = (
            _frequencies(_fitted(constants, displacements[part], forces[part]), at_rest, masses_amu)
            for part in (slice(0, half), slice(half, None))
        )
    except _Ended:
        return nan
    return float(np.sqrt(((first - second) ** 2).mean()) / 2)
