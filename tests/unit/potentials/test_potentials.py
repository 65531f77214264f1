"""Potentials by name, and SevenNet on the CPU against its package and against finite differences."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from matwheel.core.errors import InputError
from matwheel.potentials import potentials
from matwheel.potentials.atoms import from_atoms, to_atoms
from matwheel.potentials.potentials import (
    ENERGY_KINDS,
    POTENTIALS,
    definition,
    has_double_precision,
    make_calculator,
    potential_card,
    supports,
    weights_path,
)
from matwheel.potentials.sevennet import spherical_harmonics, spherical_harmonics_gradient

SEVENNETS = ("7net-0", "7net-l3i5")


@pytest.fixture(scope="module")
def sevennets():
    return {name: make_calculator(name) for name in SEVENNETS}


def package_calculator(name):
    from sevenn.calculator import SevenNetCalculator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SevenNetCalculator(str(weights_path(name)), device="cpu")


def test_atoms_and_back_is_the_same_crystal(poly_crystals):
    for crystal in poly_crystals[0][:5]:
        back = from_atoms(crystal.id, to_atoms(crystal))
        assert back.species == crystal.species
        np.testing.assert_array_equal(back.lattice, crystal.lattice)
        np.testing.assert_allclose(back.frac_coords, crystal.frac_coords, atol=1e-12)


def test_atoms_that_are_not_periodic_are_no_crystal():
    atoms = bulk("Cu")
    atoms.pbc = (True, True, False)
    with pytest.raises(ValueError, match="periodic"):
        from_atoms("slab", atoms)


@pytest.mark.parametrize("name", POTENTIALS)
def test_card_records_version_and_hash_of_the_weights(name):
    card = potential_card(name)
    assert card.name == name and card.package_version and card.energy_kind in ENERGY_KINDS
    if POTENTIALS[name].weights:
        assert card.weights_sha256 == hashlib.sha256(weights_path(name).read_bytes()).hexdigest()
        assert card.weights_sha256[:12] in card.version
    else:
        assert card.weights_sha256 == ""


@pytest.mark.parametrize("name", POTENTIALS)
def test_every_potential_computes_a_metal_in_silence(name, capfd):
    known = POTENTIALS[name].elements
    atoms = bulk("Cu" if "Cu" in known else min(known), cubic="Cu" in known)
    atoms.calc = make_calculator(name)
    assert capfd.readouterr().out == ""
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    assert np.isfinite(energy) and np.abs(forces).max() < 1e-4 and np.isfinite(stress).all()
    if "Cu" in known:
        assert np.abs(stress).max() < 0.05
        # PBE gives −3.7 eV/atom; EMT counts from the crystal at rest.
        assert energy / 4 == pytest.approx(0 if name == "emt" else -3.7, abs=0.5)


def test_raw_and_corrected_energies_are_told_apart():
    kinds = {name: potential.energy_kind for name, potential in POTENTIALS.items()}
    assert kinds["7net-0"] == kinds["7net-l3i5"] == "raw_pbe"
    assert kinds["chgnet:0.3.0"] == "mp2020_corrected" and kinds["emt"] == "arbitrary"


def test_supported_elements_are_those_of_the_weights(sevennets):
    from ase.data import chemical_symbols

    for name, calculator in sevennets.items():
        known = {chemical_symbols[number] for number in calculator.network.atomic_numbers}
        assert known == POTENTIALS[name].elements
    assert supports("7net-0", ["Na", "Rn", "Xe", "X"]) == {"Rn", "X"}
    assert supports("emt", ["Cu", "Na"]) == {"Na"}


def test_unknown_potential_names_the_known_ones():
    for function in (make_calculator, potential_card, weights_path, definition):
        with pytest.raises(InputError, match=r"7net-0, 7net-l3i5, chgnet:0\.3\.0, emt"):
            function("mace")
    with pytest.raises(InputError, match="unknown potential"):
        supports("mace", ["Na"])


def test_precision_and_device_that_a_potential_lacks_are_refused():
    assert all(has_double_precision(name) for name in SEVENNETS) and not has_double_precision("emt")
    with pytest.raises(InputError, match="double precision"):
        make_calculator("emt", double_precision=True)
    with pytest.raises(InputError, match="CPU only"):
        make_calculator("emt", device="cuda")
    with pytest.raises(InputError, match="device is 'gpu'"):
        make_calculator("7net-0", device="gpu")


def test_potential_whose_package_is_missing_says_what_to_install(monkeypatch):
    absent = potentials.Potential(
        "no_such_package", "no_such_package.ase", "Calculator", "raw_pbe", frozenset({"Cu"}), weights="w.pt"
    )
    monkeypatch.setitem(POTENTIALS, "absent", absent)
    for function in (make_calculator, potential_card, weights_path):
        with pytest.raises(InputError, match="no_such_package"):
            function("absent")


def test_one_line_of_the_registry_is_a_new_potential(monkeypatch):
    lennard_jones = potentials.Potential(
        "ase", "ase.calculators.lj", "LennardJones", "arbitrary", frozenset({"Ar"}), {"epsilon": 0.01}
    )
    monkeypatch.setitem(POTENTIALS, "lj", lennard_jones)
    assert make_calculator("lj").parameters["epsilon"] == 0.01
    assert potential_card("lj").package == "ase"
    before = definition("lj")
    assert definition("lj") == before != definition("emt")
    monkeypatch.setitem(POTENTIALS, "lj", replace(lennard_jones, arguments={"epsilon": 0.02}))
    assert definition("lj") != before


@pytest.mark.parametrize("name", SEVENNETS)
def test_sevennet_agrees_with_its_package(name, sevennets, jarvis_crystals, poly_crystals):
    package = package_calculator(name)
    crystals = sorted([*jarvis_crystals[0][::5], *poly_crystals[0][::5]], key=lambda c: len(c.species))
    for crystal in crystals[:8]:
        atoms = to_atoms(crystal)
        atoms.rattle(0.1, seed=1)
        results = []
        for calculator in (sevennets[name], package):
            atoms.calc = calculator
            virial = atoms.get_stress() * atoms.get_volume() / len(atoms)
            results.append((atoms.get_potential_energy() / len(atoms), atoms.get_forces(), virial))
        (energy, forces, virial), (energy_package, forces_package, virial_package) = results
        assert energy == pytest.approx(energy_package, abs=1e-5)
        np.testing.assert_allclose(forces, forces_package, atol=3e-4)
        np.testing.assert_allclose(virial, virial_package, atol=3e-4)


@pytest.mark.parametrize("name", SEVENNETS)
def test_sevennet_in_double_precision_has_exact_derivatives(name, poly_crystals):
    atoms = to_atoms(min(poly_crystals[0], key=lambda crystal: len(crystal.species)))
    atoms.rattle(0.1, seed=2)
    atoms.calc = make_calculator(name, double_precision=True)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    np.testing.assert_allclose(calculate_numerical_forces(atoms, 1e-4), forces, atol=1e-6)
    np.testing.assert_allclose(calculate_numerical_stress(atoms, 1e-5), stress, atol=1e-8)
    assert np.abs(forces.sum(axis=0)).max() < 1e-12


def test_sevennet_energy_knows_no_cell_rotation_or_wrapping(sevennets, poly_crystals):
    crystal = poly_crystals[0][3]
    calculator = make_calculator("7net-0", double_precision=True)
    atoms = to_atoms(crystal)
    expected = calculator.get_potential_energy(atoms) / len(atoms)
    supercell = atoms * (2, 1, 1)
    supercell.rotate(37, (1, 2, 3), rotate_cell=True)
    supercell.positions += 3.7
    supercell.wrap()
    assert calculator.get_potential_energy(supercell) / len(supercell) == pytest.approx(expected, abs=1e-10)


def test_sevennet_of_isolated_atoms_has_no_forces(sevennets):
    atoms = bulk("Xe", cubic=True, a=40.0)
    atoms.calc = sevennets["7net-0"]
    assert np.isfinite(atoms.get_potential_energy())
    assert np.abs(atoms.get_forces()).max() == 0 and np.abs(atoms.get_stress()).max() == 0


def test_sevennet_refuses_what_it_cannot_compute(sevennets):
    radon, slab = bulk("Rn", "fcc", a=5.0), bulk("Cu")
    slab.pbc = (True, True, False)
    with pytest.raises(ValueError, match="86"):
        sevennets["7net-0"].get_potential_energy(radon)
    with pytest.raises(ValueError, match="periodic"):
        sevennets["7net-0"].get_potential_energy(slab)


def test_sevennet_gives_the_same_bits_again(sevennets, poly_crystals):
    def forces():
        found = []
        for crystal in poly_crystals[0][:4]:
            atoms = to_atoms(crystal)
            atoms.calc = sevennets["7net-0"]
            found.append(atoms.get_forces())
        return found

    for once, again in zip(forces(), forces(), strict=True):
        np.testing.assert_array_equal(once, again)


def test_spherical_harmonics_are_orthonormal_and_their_gradient_is_right():
    # A quadrature exact to degree 6: Gauss-Legendre in cos θ, even steps in φ.
    nodes, weights = np.polynomial.legendre.leggauss(8)
    angles = np.arange(16) * np.pi / 8
    cosine, angle = (grid.ravel() for grid in np.meshgrid(nodes, angles, indexing="ij"))
    sine = np.sqrt(1 - cosine**2)
    directions = np.stack([sine * np.cos(angle), cosine, sine * np.sin(angle)], axis=1)
    values = spherical_harmonics(directions, 3)
    overlaps = np.einsum("e,ea,eb->ab", np.repeat(weights, 16) / 32, values, values)
    np.testing.assert_allclose(overlaps, np.eye(16), atol=1e-12)

    gradient = np.random.default_rng(0).normal(size=values.shape)
    analytic = spherical_harmonics_gradient(directions, 3, gradient)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-6
        difference = spherical_harmonics(directions + step, 3) - spherical_harmonics(directions - step, 3)
        numeric = (difference * gradient).sum(axis=1) / 2e-6
        np.testing.assert_allclose(analytic[:, axis], numeric, atol=1e-7)
