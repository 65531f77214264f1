"""Displaced crystals: the variances of statistical mechanics, phonopy's own generator, and every policy."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase.calculators.emt import EMT
from scipy import constants as si

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.vibrations.displacements import (
    ABSOLUTE,
    CLIP,
    CUTOFF,
    FREEZE,
    POLICIES,
    RANDOM_SETS,
    SELF_CONSISTENT,
    UNIFORM_ONE_SIDED,
    UNIFORM_SCALED,
    UNIFORM_SYMMETRIC,
    DisplacementSettings,
    Vibrations,
    amplitude_deviations,
    displaced_crystal,
    memory_of_vibrations_gb,
    random_displacements,
    refuse_large_supercell,
    rms_displacement,
    thermal_displacements,
    vibrations,
)
from matwheel.vibrations.force_constants import (
    ForceConstants,
    commensurate_points,
    force_constants,
    phonopy_of,
    supercell_at_rest,
)

FREE = DisplacementSettings(policy=ABSOLUTE)


@cache
def copper() -> ForceConstants:
    """16 atoms: 2×2×2 of a doubled cell, so that optical and zone-boundary vibrations are in."""
    lattice = np.diag([2.54, 2.54, 3.59])
    crystal = Crystal("Cu", ("Cu", "Cu"), lattice, [[0, 0, 0], [0.5, 0.5, 0.5]])
    return force_constants(crystal, EMT(), [2, 2, 2])


@cache
def alloy() -> ForceConstants:
    """Two masses: CuAu of the L1_0 type, 16 atoms."""
    crystal = Crystal("CuAu", ("Cu", "Au"), np.diag([2.70, 2.70, 3.82]), [[0, 0, 0], [0.5, 0.5, 0.5]])
    return force_constants(crystal, EMT(), [2, 2, 2])


def modes_of(constants: ForceConstants) -> Vibrations:
    at_rest, masses = supercell_at_rest(constants)
    return vibrations(at_rest, constants.matrix_ev_per_angstrom2, masses)


def with_imaginary(modes: Vibrations) -> Vibrations:
    """The same with frequencies from -3 to 5 THz, none zero; some below the cut-off."""
    frequencies = np.linspace(-3, 5, len(modes.frequencies_thz))
    return replace(modes, frequencies_thz=np.where(frequencies == 0, 0.01, frequencies))


def covariance(modes: Vibrations, temperature: float, settings: DisplacementSettings) -> np.ndarray:
    """The covariance that displacements without their mean should have, from first principles in SI units."""
    flat = modes.patterns.reshape(len(modes.frequencies_thz), -1)
    deviations = amplitude_deviations(modes.frequencies_thz, temperature, settings)
    exact = (flat.T * deviations**2) @ flat
    atoms = len(modes.supercell.species)
    remove = np.eye(3 * atoms) - np.kron(np.full((atoms, atoms), 1 / atoms), np.eye(3))
    return remove @ exact @ remove


def test_variance_is_that_of_a_quantum_oscillator():
    thz = np.array([0.7, 3.0, 12.0])
    omega = 2 * np.pi * 1e12 * thz
    for temperature in (0.0, 20.0, 300.0):
        expected = si.hbar / (2 * omega)
        if temperature:
            expected = expected / np.tanh(si.hbar * omega / (2 * si.k * temperature))
        expected *= 1e20 / si.atomic_mass
        found = amplitude_deviations(thz, temperature, FREE) ** 2
        assert np.allclose(found, expected, rtol=1e-7)


def test_variance_at_high_temperature_is_the_classical_one():
    thz = np.array([0.7, 3.0, 12.0])
    classical = si.k * 3e4 / (2 * np.pi * 1e12 * thz) ** 2 * 1e20 / si.atomic_mass
    assert np.allclose(amplitude_deviations(thz, 3e4, FREE) ** 2, classical, rtol=1e-4)
    # Quantum fluctuations only ever add to the classical ones.
    assert (amplitude_deviations(thz, 50, FREE) ** 2 > classical * 50 / 3e4).all()


def test_low_temperature_goes_to_zero_point_motion_without_a_jump():
    thz = np.array([0.7, 3.0])
    assert np.allclose(amplitude_deviations(thz, 1e-3, FREE), amplitude_deviations(thz, 0, FREE), rtol=1e-12)


@pytest.mark.parametrize("constants", [copper, alloy])
def test_frequencies_are_those_of_phonopy_at_all_points_that_fit(constants):
    constants = constants()
    phonopy = phonopy_of(constants)
    points = commensurate_points(constants.supercell_matrix)
    theirs = np.sort(np.concatenate([phonopy.get_frequencies(point) for point in points]))
    # Of phonopy's 3N the three rigid translations are left out here.
    theirs = np.delete(theirs, np.sort(np.argsort(np.abs(theirs))[:3]))
    assert np.allclose(modes_of(constants).frequencies_thz, theirs, atol=2e-5)


def test_patterns_diagonalise_mass_and_force_constants():
    constants = alloy()
    _, masses = supercell_at_rest(constants)
    modes = modes_of(constants)
    flat = modes.patterns.reshape(len(modes.frequencies_thz), -1)
    assert len(set(masses)) == 2
    assert np.allclose((flat * np.repeat(masses, 3)) @ flat.T, np.eye(len(flat)), atol=1e-10)
    matrix = constants.matrix_ev_per_angstrom2.transpose(0, 2, 1, 3).reshape(flat.shape[1], -1)
    omega2 = np.sign(modes.frequencies_thz) * (2 * np.pi * 1e12 * modes.frequencies_thz) ** 2
    omega2 *= si.atomic_mass * 1e-20 / si.e
    assert np.allclose(flat @ matrix @ flat.T, np.diag(omega2), atol=1e-6)
    # The centre of mass stays where it is.
    assert np.abs(np.einsum("a,kai->ki", masses, modes.patterns)).max() < 1e-9


def test_the_light_atom_moves_more_at_zero_kelvin_and_masses_do_not_matter_when_hot():
    constants = alloy()
    at_rest, masses = supercell_at_rest(constants)
    cold, hot = [], []
    for scale in (1.0, 4.0):
        modes = vibrations(at_rest, constants.matrix_ev_per_angstrom2, scale * masses)
        cold.append(np.trace(covariance(modes, 0, FREE)))
        hot.append(np.trace(covariance(modes, 3000, FREE)))
    # Zero-point variance goes as 1/√m, the classical one as k_B T times the inverse force constants.
    assert np.isclose(cold[0] / cold[1], 2.0, rtol=1e-6)
    assert np.isclose(hot[0] / hot[1], 1.0, rtol=2e-3)


@pytest.mark.parametrize("temperature", [0.0, 300.0])
def test_covariance_of_a_sample_is_the_exact_one_and_that_of_phonopy(temperature):
    constants = alloy()
    modes = modes_of(constants)
    assert modes.imaginary_fraction == 0
    exact = covariance(modes, temperature, FREE)
    sample = thermal_displacements(modes, temperature, range(1500), 5, FREE).reshape(1500, -1)
    phonopy = phonopy_of(constants)
    phonopy.init_random_displacements(cutoff_frequency=0.01)
    theirs = phonopy.get_random_displacements_at_temperature(temperature, 1500, random_seed=3)
    theirs = (theirs - theirs.mean(axis=1, keepdims=True)).reshape(1500, -1)
    # The relative error of a variance of n normal numbers is √(2/n); the same scale bounds the rest.
    largest = exact.diagonal().max()
    for displacements in (sample, theirs):
        found = displacements.T @ displacements / len(displacements)
        assert np.abs(found - exact).max() < 5 * np.sqrt(2 / 1500) * largest
        assert np.isclose(np.trace(found), np.trace(exact), rtol=0.03)
    ours, other = (rms_displacement(one.reshape(1500, -1, 3)).mean() for one in (sample, theirs))
    assert np.isclose(ours, other, rtol=0.01)


def test_covariance_follows_from_the_force_constants_alone_in_the_classical_limit():
    """⟨u uᵀ⟩ = k_B T Φ⁺, without frequencies, eigenvectors or units of them."""
    constants = copper()
    at_rest, _ = supercell_at_rest(constants)
    atoms = len(at_rest.species)
    matrix = constants.matrix_ev_per_angstrom2.transpose(0, 2, 1, 3).reshape(3 * atoms, -1)
    expected = si.k / si.e * 3000 * np.linalg.pinv(matrix, rcond=1e-8)
    assert np.allclose(covariance(modes_of(constants), 3000, FREE), expected, atol=1e-3 * expected.max())


def test_the_energy_of_a_sample_is_half_k_t_per_vibration():
    constants = copper()
    matrix = constants.matrix_ev_per_angstrom2
    displaced = thermal_displacements(modes_of(constants), 2000, range(400), 0, FREE)
    energies = 0.5 * np.einsum("nai,abij,nbj->n", displaced, matrix, displaced)
    vibrations_moving = 3 * displaced.shape[1] - 3
    assert np.isclose(energies.mean(), 0.5 * vibrations_moving * si.k / si.e * 2000, rtol=0.04)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_configuration_depends_on_seed_and_index_only(policy):
    modes = with_imaginary(modes_of(copper()))
    settings = DisplacementSettings(policy=policy)
    six = thermal_displacements(modes, 300, range(6), 1, settings)
    assert np.allclose(thermal_displacements(modes, 300, range(3), 1, settings), six[:3], rtol=0, atol=1e-12)
    assert np.allclose(thermal_displacements(modes, 300, [4], 1, settings), six[4:5], rtol=0, atol=1e-12)
    assert np.array_equal(thermal_displacements(modes, 300, range(6), 1, settings), six)
    assert not np.allclose(thermal_displacements(modes, 300, range(6), 2, settings), six)


@pytest.mark.parametrize("kind", RANDOM_SETS)
def test_a_random_configuration_depends_on_seed_and_index_only(kind):
    settings = DisplacementSettings()
    lengths = np.linspace(0.1, 0.6, 6) if kind == UNIFORM_SCALED else None
    head = None if lengths is None else lengths[:3]
    six = random_displacements(kind, 16, 300, range(6), 1, settings, lengths)
    assert np.array_equal(random_displacements(kind, 16, 300, range(3), 1, settings, head), six[:3])
    assert not np.allclose(random_displacements(kind, 16, 300, range(6), 2, settings, lengths), six)
    assert np.abs(six.mean(axis=1)).max() < 1e-12


def test_sets_and_temperatures_have_noise_of_their_own():
    modes = modes_of(copper())
    cold, hot = (thermal_displacements(modes, kelvin, [0], 1, FREE).ravel() for kelvin in (1000, 1001))
    assert abs(np.corrcoef(cold, hot)[0, 1]) < 0.9
    sets = [random_displacements(kind, 500, 300, [0], 1, DisplacementSettings()) for kind in RANDOM_SETS[:2]]
    assert abs(np.corrcoef(*(one.ravel() for one in sets))[0, 1]) < 0.2


def test_what_each_policy_leaves_standing_still():
    thz = np.array([-3.0, -0.3, 0.0, 0.3, 3.0])
    moves = {
        policy: (amplitude_deviations(thz, 300, DisplacementSettings(policy=policy)) > 0).tolist()
        for policy in POLICIES
    }
    assert moves[ABSOLUTE] == moves[CLIP] == moves[SELF_CONSISTENT] == [True, True, False, True, True]
    assert moves[CUTOFF] == [True, False, False, False, True]
    assert moves[FREEZE] == [False, False, False, True, True]
    both = amplitude_deviations(np.array([-3.0, 3.0]), 300, FREE)
    assert both[0] == both[1]
    wide = DisplacementSettings(policy=CUTOFF, cutoff_thz=0.2)
    assert (amplitude_deviations(thz, 300, wide) > 0).sum() == 4


def test_displacements_have_no_part_along_a_vibration_that_stands_still():
    constants = copper()
    _, masses = supercell_at_rest(constants)
    modes = with_imaginary(modes_of(constants))
    displaced = thermal_displacements(modes, 300, range(5), 0, DisplacementSettings(policy=FREEZE))
    amplitudes = np.einsum("nai,a,kai->nk", displaced, masses, modes.patterns)
    imaginary = modes.frequencies_thz < 0
    assert np.abs(amplitudes[:, imaginary]).max() < 1e-9 < np.abs(amplitudes[:, ~imaginary]).min()
    assert np.isclose(modes.imaginary_fraction, imaginary.mean())
    assert 0.3 < modes.imaginary_fraction < 0.45


def test_clip_shortens_long_displacements_and_leaves_others():
    modes = with_imaginary(modes_of(copper()))
    # A crystal this soft moves by about an ångström.
    free = thermal_displacements(modes, 600, range(20), 0, FREE)
    settings = DisplacementSettings(policy=CLIP, largest_displacement_angstrom=0.4)
    clipped = thermal_displacements(modes, 600, range(20), 0, settings)
    # Of equal masses, so that the mean is zero before atoms are held back.
    lengths = np.linalg.norm(free, axis=2, keepdims=True)
    assert (lengths > 0.4).any() and (lengths < 0.3).any()
    held = free * np.minimum(1, 0.4 / lengths)
    assert np.allclose(clipped, held - held.mean(axis=1, keepdims=True))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_crystal_as_a_whole_does_not_move(policy):
    modes = with_imaginary(modes_of(alloy()))
    displaced = thermal_displacements(modes, 300, range(5), 0, DisplacementSettings(policy=policy))
    assert np.abs(displaced.mean(axis=1)).max() < 1e-12


def test_uniform_sets_are_uniform():
    settings = DisplacementSettings(uniform_angstrom=0.4)
    for kind, width in ((UNIFORM_ONE_SIDED, 0.4), (UNIFORM_SYMMETRIC, 0.8)):
        displaced = random_displacements(kind, 400, np.nan, range(20), 0, settings)
        # Without the mean both are centred; the range tells U(0, d) from U(-d, d).
        assert np.isclose(np.ptp(displaced), width, rtol=0.2)
        assert np.isclose(displaced.var(), width**2 / 12, rtol=0.05)
        assert np.allclose(rms_displacement(displaced).mean(), np.sqrt(3 * width**2 / 12), rtol=0.02)


def test_scaled_set_has_the_rms_of_the_thermal_one():
    thermal = thermal_displacements(modes_of(copper()), 300, range(8), 0, FREE)
    lengths = rms_displacement(thermal)
    scaled = random_displacements(UNIFORM_SCALED, 16, 300, range(8), 0, DisplacementSettings(), lengths)
    assert np.allclose(rms_displacement(scaled), lengths, rtol=1e-12)
    assert np.isclose(lengths[0], np.sqrt((thermal[0] ** 2).sum() / 16))


def test_displaced_crystal_moves_atoms_by_cartesian_vectors():
    crystal = Crystal("x", ("Cu", "Au"), [[3, 0, 0], [1, 4, 0], [0.5, 0.2, 5]], [[0, 0, 0], [0.9, 0.5, 0.5]])
    displacement = np.array([[0.1, -0.2, 0.3], [0.4, 0.1, -0.2]])
    moved = displaced_crystal("y", crystal, displacement)
    assert moved.id == "y" and moved.species == crystal.species
    change = (moved.frac_coords - crystal.frac_coords) @ crystal.lattice
    assert np.allclose(change, displacement)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(InputError, match="temperature"):
        amplitude_deviations(np.array([1.0]), temperature, FREE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "ignore"},
        {"cutoff_thz": 0.0},
        {"largest_displacement_angstrom": -0.5},
        {"uniform_angstrom": float("nan")},
        {"largest_memory_gb": float("inf")},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DisplacementSettings(**wrong)


@pytest.mark.parametrize(("policy", "thz"), [(FREEZE, [-1.0, -2.0]), (CUTOFF, [-0.1, 0.2]), (ABSOLUTE, [])])
def test_a_policy_that_leaves_nothing_says_so(policy, thz):
    with pytest.raises(ValueError, match=policy):
        amplitude_deviations(np.array(thz), 300, DisplacementSettings(policy=policy))


def test_a_supercell_that_would_not_fit_is_refused():
    refuse_large_supercell(1000, 2.0)
    with pytest.raises(InputError, match="10000 atoms"):
        refuse_large_supercell(10_000, 2.0)
    assert np.isclose(memory_of_vibrations_gb(1000), 0.792)


def test_wrong_arrays_are_refused():
    constants = copper()
    at_rest, masses = supercell_at_rest(constants)
    matrix = constants.matrix_ev_per_angstrom2
    with pytest.raises(ValueError, match="shape"):
        vibrations(at_rest, matrix[:4, :4], masses)
    with pytest.raises(ValueError, match="finite"):
        vibrations(at_rest, np.where(matrix == matrix.max(), np.nan, matrix), masses)
    with pytest.raises(ValueError, match="unknown random set"):
        random_displacements("gaussian", 16, 300, [0], 0, DisplacementSettings())
    with pytest.raises(ValueError, match="uniform_scaled"):
        random_displacements(UNIFORM_SCALED, 16, 300, [0], 0, DisplacementSettings())


def test_soft_vibrations_do_not_mix_with_rigid_translations():
    """Two atoms whose force constant is almost zero: one soft vibration per direction, nothing else."""
    crystal = Crystal("x", ("Cu", "Au"), 3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]])
    stiffness, masses = 1e-9, np.array([63.5, 197.0])
    matrix = stiffness * np.einsum("ab,ij->abij", np.array([[1.0, -1], [-1, 1]]), np.eye(3))
    modes = vibrations(crystal, matrix, masses)
    reduced = masses.prod() / masses.sum()
    expected = np.sqrt(stiffness * si.e / 1e-20 / (reduced * si.atomic_mass)) / (2 * np.pi) / 1e12
    assert np.allclose(modes.frequencies_thz, expected, rtol=1e-4)
    assert np.abs(np.einsum("a,kai->ki", masses, modes.patterns)).max() < 1e-9
