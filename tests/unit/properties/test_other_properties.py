"""Bulk modulus, formation energy, highest phonon and the size of layers against known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from layered_crystals import graphene, molybdenum_disulfide

from matwheel.crystals.connectivity import connected_pieces
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.atoms import from_atoms, to_atoms
from matwheel.potentials.elemental_structures import elemental_structures
from matwheel.potentials.potentials import POTENTIALS
from matwheel.properties.bulk_modulus import GPA_PER_EV_PER_ANGSTROM3, BulkModulus
from matwheel.properties.formation_energy import FormationEnergy
from matwheel.properties.highest_phonon import HighestPhonon, HighestPhononSettings
from matwheel.properties.interface import OK, REFUSED
from matwheel.properties.layer_geometry import LayerGeometry

CUAU = Crystal("CuAu", ("Cu", "Au"), np.diag([2.8, 2.8, 3.7]), [[0, 0, 0], [0.5, 0.5, 0.5]])


def copper(cubic: bool = False) -> Crystal:
    return from_atoms("Cu", bulk("Cu", cubic=cubic))


def equation_of_state(symbol: str) -> tuple[float, float]:
    """Return energy (eV/atom) and bulk modulus (GPa) of an fcc metal at its minimum."""
    atoms = bulk(symbol)
    atoms.calc = EMT()
    cell, volumes, energies = atoms.cell.array.copy(), [], []
    for scale in np.linspace(0.97, 1.03, 9):
        atoms.set_cell(scale * cell, scale_atoms=True)
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    _, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return energy, modulus * GPA_PER_EV_PER_ANGSTROM3


def test_the_bulk_modulus_is_that_of_an_equation_of_state() -> None:
    _, modulus = equation_of_state("Cu")
    table = BulkModulus().compute([copper(), copper(cubic=True)], EMT(), print)
    assert list(table["status"]) == [OK, OK] and list(table["reason"]) == ["", ""]
    assert table["bulk_modulus_gpa"].to_numpy() == pytest.approx(modulus, rel=0.01)


def test_free_ions_make_a_crystal_softer() -> None:
    sites = [[0.0, 0, 0], [0.5, 0, 0.4], [0.1, 0.5, 0.45], [0.6, 0.5, 0.05]]
    crooked = Crystal("crooked", ("Cu", "Au", "Cu", "Pt"), np.diag([4.0, 3.9, 3.9]), sites)
    table = BulkModulus().compute([crooked], EMT(), print)
    assert 0 < table["bulk_modulus_gpa"][0] < table["clamped_bulk_modulus_gpa"][0] - 0.001


def test_layers_have_no_bulk_modulus() -> None:
    assert list(BulkModulus().compute([graphene()], EMT(), print)["status"]) == [REFUSED]


def test_formation_energies_are_against_the_minima_of_the_elements() -> None:
    table = FormationEnergy().compute([copper(), CUAU, replace(CUAU, id="again")], EMT(), print)
    atoms = to_atoms(CUAU)
    atoms.calc = EMT()
    elements = equation_of_state("Cu")[0] + equation_of_state("Au")[0]
    expected = (atoms.get_potential_energy() - elements) / 2
    found = table["formation_energy_ev_per_atom"].to_numpy()
    assert abs(found[0]) < 0.002  # copper in ASE's cell is not quite at the minimum of EMT
    assert found[1:] == pytest.approx(expected, abs=2e-4)


def test_an_element_that_the_potential_cannot_compute_refuses_its_compounds_only() -> None:
    oxide = Crystal("oxide", ("Cu", "Fe"), 3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]])
    table = FormationEnergy().compute([oxide, CUAU], EMT(), print)
    assert list(table["status"]) == [REFUSED, OK] and "Fe has no reference" in table["reason"][0]


def test_every_element_of_the_potentials_has_a_structure_with_sane_distances() -> None:
    from ase.data import atomic_numbers, covalent_radii
    from matscipy.neighbours import neighbour_list

    elements = POTENTIALS["7net-0"].elements
    structures = elemental_structures(elements)
    assert [one.species[0] for one in structures] == sorted(elements)
    for one in structures:
        positions = one.frac_coords @ one.lattice
        nearest = neighbour_list("d", cell=one.lattice, positions=positions, pbc=[True] * 3, cutoff=6.0).min()
        ratio = nearest / (2 * covalent_radii[atomic_numbers[one.species[0]]])
        noble = one.species[0] in ("He", "Ne", "Ar", "Kr", "Xe")
        assert ratio > 1.5 if noble else 0.65 < ratio < 1.25, (one.species[0], nearest)


def test_phonons_at_gamma_of_a_larger_cell_are_those_of_a_supercell() -> None:
    gamma = HighestPhonon().compute([copper(), copper(cubic=True)], EMT(), print)
    assert gamma["highest_frequency_thz"][0] == pytest.approx(0, abs=0.01)
    assert list(gamma["q_points"]) == [1, 1]
    settings = HighestPhononSettings(shortest_length_angstrom=5.0)
    wide = HighestPhonon(settings).compute([copper()], EMT(), print)
    assert wide["q_points"][0] > 1
    assert wide["highest_frequency_thz"][0] >= gamma["highest_frequency_thz"][1] - 0.02
    assert gamma["highest_frequency_thz"][1] > 5  # X of copper: 7.3 THz measured


def test_the_size_of_a_layer_does_not_know_its_vacuum() -> None:
    table = LayerGeometry().compute([molybdenum_disulfide(), molybdenum_disulfide(30.0)])
    assert table["vacuum_angstrom"][1] == pytest.approx(table["vacuum_angstrom"][0] + 10)
    for name in ("log_area_angstrom2_per_atom", "thickness_angstrom", "sheets"):
        assert table[name][1] == pytest.approx(table[name][0], abs=1e-9)
    assert np.exp(table["log_area_angstrom2_per_atom"][0]) == pytest.approx(3.18**2 * 3**0.5 / 2 / 3)
    assert table["thickness_angstrom"][0] == pytest.approx(3.12)


def test_sheets_are_counted() -> None:
    one = molybdenum_disulfide()
    assert connected_pieces(one) == 1
    shifted = one.frac_coords + np.array([0, 0, 6.15 / 20])
    two = Crystal("two", one.species * 2, one.lattice, np.concatenate([one.frac_coords, shifted]))
    assert connected_pieces(two) == 2
    assert connected_pieces(Crystal("far", ("Ar",), 6 * np.eye(3), [[0, 0, 0]])) == 1
