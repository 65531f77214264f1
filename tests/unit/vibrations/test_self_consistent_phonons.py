"""Self-consistent phonons: a solvable anharmonic crystal, fixed points, and ends that are no convergence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from scipy import constants as si
from scipy.optimize import brentq

from matwheel.core.errors import InputError
from matwheel.core.time_limits import Hung
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.atoms import to_atoms
from matwheel.vibrations.displacements import vibrations
from matwheel.vibrations.force_constants import ForceConstants, force_constants, supercell_at_rest
from matwheel.vibrations.self_consistent_phonons import (
    SelfConsistentPhonons,
    SelfConsistentSettings,
    self_consistent_phonons,
)

MANY = SelfConsistentSettings(snapshots=400, tolerance_thz=0.002, largest_energy_ev_per_atom=20)


class TwoSublattices(Calculator):
    """E = ½ k r² + ¼ q r⁴ + c xyz per cell of two atoms, r = (x, y, z) from one to the other.

    In the self-consistent harmonic approximation the Gaussian mean of the force gives k + 5 q ⟨x²⟩, whatever
    c, and ⟨x²⟩ is that of an oscillator of the reduced mass.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, linear: float, quartic: float, cubic: float = 0.0) -> None:
        super().__init__()
        self.linear, self.quartic, self.cubic = linear, quartic, cubic

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        fractional = atoms.get_scaled_positions(wrap=False)
        r = (fractional[1] - fractional[0] - 0.5) @ atoms.cell.array
        x, y, z = r
        length2 = r @ r
        force = -(self.linear + self.quartic * length2) * r - self.cubic * np.array([y * z, x * z, x * y])
        energy = self.linear * length2 / 2 + self.quartic * length2**2 / 4 + self.cubic * x * y * z
        self.results = {"energy": energy, "forces": np.array([-force, force])}


class Broken(TwoSublattices):
    """The same, until an atom has moved; then not a number, or an exception."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(1.0, 0.0)
        self.error = error

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if np.abs(self.results["forces"]).max() > 1e-6:
            if self.error is not None:
                raise self.error
            self.results["forces"] = np.full((2, 3), np.nan)


def crystal() -> Crystal:
    return Crystal("CuAu", ("Cu", "Au"), 3.2 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]])


def harmonic(calculator: Calculator) -> ForceConstants:
    return force_constants(crystal(), calculator, [1, 1, 1])


def frequencies(constants: ForceConstants) -> np.ndarray:
    at_rest, masses = supercell_at_rest(constants)
    return vibrations(at_rest, constants.matrix_ev_per_angstrom2, masses).frequencies_thz


def reduced_mass_kg() -> float:
    _, masses = supercell_at_rest(harmonic(TwoSublattices(1, 0)))
    return masses.prod() / masses.sum() * si.atomic_mass


def exact_frequency_thz(linear: float, quartic: float, kelvin: float) -> float:
    """Solve k_eff = k + 5 q ⟨x²⟩ for the quantum oscillator."""

    def omega(stiffness: float) -> float:
        return np.sqrt(stiffness * si.e * 1e20 / reduced_mass_kg())

    def mean_square(stiffness: float) -> float:
        quantum = si.hbar * omega(stiffness)
        thermal = 1 / np.tanh(quantum / (2 * si.k * kelvin)) if kelvin else 1.0
        return quantum / (2 * stiffness * si.e) * thermal

    stiffness = brentq(lambda k: k - linear - 5 * quartic * mean_square(k), 1e-4, 1e4)
    return omega(stiffness) / (2e12 * np.pi)


def test_a_harmonic_crystal_returns_its_own_force_constants_at_once():
    calculator = TwoSublattices(2.0, 0.0)
    constants = harmonic(calculator)
    settings = SelfConsistentSettings(snapshots=6, tolerance_thz=1e-4)
    result = self_consistent_phonons(constants, calculator, 300, settings=settings)
    assert result.converged and result.reason == ""
    assert len(result.history) == 1
    # One of the crystal at rest.
    assert result.evaluations == 7
    found, given = result.constants.matrix_ev_per_angstrom2, constants.matrix_ev_per_angstrom2
    assert np.allclose(found, given, atol=1e-6)
    assert result.statistical_error_thz < 1e-6


def test_free_energy_of_a_harmonic_crystal_is_that_of_its_oscillators():
    calculator = TwoSublattices(2.0, 0.0)
    settings = SelfConsistentSettings(snapshots=6)
    for kelvin in (0.0, 300.0):
        result = self_consistent_phonons(harmonic(calculator), calculator, kelvin, settings=settings)
        quantum = si.h * 1e12 * frequencies(harmonic(calculator)) / si.e
        expected = quantum.sum() / 2
        if kelvin:
            beta = si.e / (si.k * kelvin)
            expected += np.log(1 - np.exp(-beta * quantum)).sum() / beta
        assert np.isclose(result.history[0].free_energy_mev_per_atom, 1000 * expected / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("linear", "quartic", "kelvin"),
    [(1.0, 3.0, 300.0), (1.0, 3.0, 0.0), (-0.5, 10.0, 300.0), (-1.0, 5.0, 600.0)],
)
def test_the_frequency_is_the_exact_one_of_a_quartic_crystal(linear, quartic, kelvin):
    calculator = TwoSublattices(linear, quartic)
    constants = harmonic(calculator)
    assert (frequencies(constants) < 0).all() == (linear < 0)
    result = self_consistent_phonons(constants, calculator, kelvin, 1, MANY)
    assert result.converged, result.reason
    exact = exact_frequency_thz(linear, quartic, kelvin)
    found = frequencies(result.constants)
    assert np.ptp(found) < 1e-3
    assert np.isclose(found.mean(), exact, rtol=0.04)
    # The error that it claims has the size of the true one.
    assert abs(found.mean() - exact) < 5 * result.statistical_error_thz
    # The bound of the free energy does not get worse, up to the noise.
    energies = [iteration.free_energy_mev_per_atom for iteration in result.history]
    assert energies[-1] <= energies[0] + 0.5


def test_cubic_terms_cancel_in_mirrored_pairs():
    settings = replace(MANY, snapshots=40)
    results = [
        self_consistent_phonons(harmonic(TwoSublattices(2, 0)), TwoSublattices(2, 0, cubic), 300, 0, settings)
        for cubic in (0.0, 3.0)
    ]
    matrices = [result.constants.matrix_ev_per_angstrom2 for result in results]
    assert np.allclose(*matrices, atol=1e-8)


def small(seed: int = 0, **changes: float) -> SelfConsistentPhonons:
    calculator = TwoSublattices(-0.5, 10.0)
    settings = replace(SelfConsistentSettings(snapshots=20, largest_energy_ev_per_atom=20), **changes)
    return self_consistent_phonons(harmonic(calculator), calculator, 300, seed, settings)


def test_same_seed_same_result_to_the_bit():
    first, second = small(), small()
    assert first.history == second.history
    one, two = (result.constants.matrix_ev_per_angstrom2 for result in (first, second))
    assert np.array_equal(one, two)
    assert small(seed=1).history != first.history


def test_one_iteration_is_no_convergence():
    result = small(largest_iterations=1)
    assert not result.converged
    assert "1 iterations" in result.reason
    assert len(result.history) == 1 and result.evaluations == 21


def test_report_gets_every_iteration():
    seen = []
    calculator = TwoSublattices(-0.5, 10.0)
    settings = SelfConsistentSettings(snapshots=20, largest_energy_ev_per_atom=20)
    result = self_consistent_phonons(
        harmonic(calculator), calculator, 300, 0, settings, report=lambda *found: seen.append(found)
    )
    assert seen == list(enumerate(result.history, start=1))


def test_a_crystal_without_restoring_force_stays_imaginary_and_says_so():
    calculator = TwoSublattices(-0.5, 0.0)
    settings = SelfConsistentSettings(snapshots=20, largest_energy_ev_per_atom=1e9)
    result = self_consistent_phonons(harmonic(calculator), calculator, 300, 0, settings)
    assert not result.converged
    assert result.reason
    assert frequencies(result.constants).min() < 0


def test_energies_beyond_sanity_end_with_a_reason():
    result = small(largest_energy_ev_per_atom=1e-3)
    assert not result.converged
    assert "eV/atom" in result.reason and "iteration 1" in result.reason
    assert result.history == () and np.isnan(result.statistical_error_thz)
    given = harmonic(TwoSublattices(-0.5, 10.0)).matrix_ev_per_angstrom2
    assert np.array_equal(result.constants.matrix_ev_per_angstrom2, given)


@pytest.mark.parametrize(
    ("error", "reason"), [(None, "not finite"), (RuntimeError("atoms too close"), "atoms too close")]
)
def test_a_potential_that_fails_ends_with_a_reason(error, reason):
    result = self_consistent_phonons(harmonic(TwoSublattices(1.0, 0.0)), Broken(error), 300)
    assert not result.converged
    assert reason in result.reason


def test_a_hang_ends_the_job():
    with pytest.raises(Hung, match=r"self_consistent\.time_limit_seconds"):
        small(time_limit_seconds=1e-9)


def test_the_rest_position_of_the_model_is_the_crystal():
    atoms = to_atoms(crystal())
    atoms.calc = TwoSublattices(1.0, 1.0)
    assert np.abs(atoms.get_forces()).max() < 1e-12


@pytest.mark.parametrize("kelvin", [-1.0, float("nan")])
def test_impossible_temperatures_are_refused(kelvin):
    calculator = TwoSublattices(1.0, 0.0)
    with pytest.raises(InputError, match="temperature"):
        self_consistent_phonons(harmonic(calculator), calculator, kelvin)


@pytest.mark.parametrize(
    "wrong",
    [
        {"snapshots": 0},
        {"snapshots": 31},
        {"snapshots": 30.5},
        {"largest_iterations": 0},
        {"damping": 1.0},
        {"damping": -0.1},
        {"memory": 0},
        {"tolerance_thz": 0.0},
        {"lowest_sampled_thz": float("nan")},
        {"largest_energy_ev_per_atom": float("inf")},
        {"time_limit_seconds": -1.0},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SelfConsistentSettings(**wrong)
