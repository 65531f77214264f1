"""Layers under vacuum are judged as layers: q-points in the plane, and stiffness against long waves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.emt import EMT

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_cell
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.potentials import make_calculator, potential_card
from matwheel.potentials.symmetric_relaxation import standard_primitive
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED
from matwheel.vibrations.force_constants import (
    bands_along_path,
    choose_supercell,
    commensurate_points,
    density_of_states,
    force_constants,
    load_force_constants,
    save_force_constants,
    supercell_at_rest,
    zone_boundary_points,
)
from matwheel.vibrations.known_weaknesses import weakness_note
from matwheel.vibrations.layer_elasticity import layer_stiffness
from matwheel.vibrations.phonon_calculation import PhononCalculation
from matwheel.vibrations.phonon_judgement import PASSING, SOFT, STABLE, UNSTABLE, Judgement, judge_stiffness
from matwheel.vibrations.phonon_results import phonon_table, phonon_verdict, phonon_verdicts
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonon_stability

HEXAGONAL = np.array([[1.0, 0, 0], [-0.5, np.sqrt(0.75), 0]])


def quiet(_: str) -> None:
    pass


def layer(symbols: tuple[str, ...], a: float, sites, height: float = 20.0) -> Crystal:
    """A hexagonal layer; sites as (thirds along a, thirds along b, height in Å)."""
    lattice = np.zeros((3, 3))
    lattice[:2], lattice[2, 2] = a * HEXAGONAL, height
    return Crystal(
        "-".join(symbols), symbols, lattice, [[x / 3, y / 3, 0.5 + z / height] for x, y, z in sites]
    )


def molybdenite(height: float = 20.0) -> Crystal:
    return layer(("Mo", "S", "S"), 3.18, [(1, 2, 0), (2, 1, 1.56), (2, 1, -1.56)], height)


def graphene() -> Crystal:
    return layer(("C", "C"), 2.46, [(1, 2, 0), (2, 1, 0)])


@pytest.fixture(scope="module")
def sevennet():
    return make_calculator("7net-0", double_precision=True)


@pytest.fixture(scope="module")
def molybdenite_phonons(sevennet):
    return phonon_stability(molybdenite(), sevennet, PhononSettings(mesh_length_angstrom=30), quiet)


def test_molybdenite_layer_is_stable(molybdenite_phonons) -> None:
    found = molybdenite_phonons
    assert found.verdict == STABLE, found.reason
    assert found.dimensionality == 2 and found.space_group == 187
    assert found.supercell[2] == (0, 0, 1) and found.q_point[2] == 0
    assert found.lowest_stiffness_n_per_m > 50
    # The lowest and highest optical modes of the layer by PBE, E'' and A2'': the potential is too soft.
    np.testing.assert_allclose(found.gamma_frequencies_thz[[3, -1]] / [8.4, 13.8], [0.79, 0.94], atol=0.03)
    assert all(np.abs(points[:, 2]).max() == 0 for points in found.bands.q_points)
    assert {label for segment in found.bands.segments for label in segment} == {"G", "M", "K"}
    row = phonon_table([found]).iloc[0]
    assert row["dimensionality"] == 2 and row["lowest_stiffness_n_per_m"] == found.lowest_stiffness_n_per_m


@pytest.mark.parametrize("case", ["taller", "along a", "skew"])
def test_cell_of_a_layer_does_not_matter(sevennet, molybdenite_phonons, case) -> None:
    crystal = molybdenite(26.0 if case == "taller" else 20.0)
    if case == "along a":
        order = [2, 0, 1]
        crystal = replace(
            crystal, lattice=crystal.lattice[order], frac_coords=crystal.frac_coords[:, order] + 0.45
        )
    if case == "skew":
        matrix = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]])
        crystal = replace(
            crystal, lattice=matrix @ crystal.lattice, frac_coords=crystal.frac_coords @ np.linalg.inv(matrix)
        )
    found = phonon_stability(crystal, sevennet, PhononSettings(mesh_length_angstrom=30), quiet)
    assert found.verdict == STABLE and found.space_group == 187
    assert found.lowest_frequency_thz == pytest.approx(molybdenite_phonons.lowest_frequency_thz, abs=0.02)
    assert found.lowest_stiffness_n_per_m == pytest.approx(
        molybdenite_phonons.lowest_stiffness_n_per_m, rel=0.01
    )


def test_nothing_is_doubled_or_sampled_along_the_vacuum(tmp_path) -> None:
    crystal = layer_cell(layer(("Cu", "Cu"), 2.5, [(0, 0, 0), (1, 2, 2.0)]))
    crystal = standard_primitive(crystal, 0.01)[0]
    choice = choose_supercell(crystal, 8.0, 200, 100)
    assert choice.matrix[2].tolist() == [0, 0, 1] and choice.long_enough and choice.zone_boundary
    assert not commensurate_points(choice.matrix)[:, 2].any()
    assert zone_boundary_points(crystal).tolist() == [[0, 0, 0], [0, 0.5, 0], [0.5, 0, 0], [0.5, 0.5, 0]]
    constants = force_constants(crystal, EMT(), choice.matrix)
    density = density_of_states(constants, 40.0)
    assert density.mesh_points == 18 * 18 or density.mesh_points == 19 * 19
    assert all(not points[:, 2].any() for points in bands_along_path(constants, 30).q_points)
    save_force_constants(constants, tmp_path / "layer.npz")
    again = load_force_constants(tmp_path / "layer.npz")
    assert again.crystal.pbc == crystal.pbc == supercell_at_rest(again)[0].pbc == (True, True, False)


def test_centred_layer_is_doubled_in_its_plane_only() -> None:
    """Of a centred rectangular plane the conventional cell is taken, whatever spglib calls its axes."""
    lattice = np.diag([3.0, 5.0, 20.0])
    sites = [[0, 0, 0.5], [0.5, 0.5, 0.5], [0.1, 0, 0.6], [0.6, 0.5, 0.6]]
    crystal = layer_cell(Crystal("centred", ("Cu", "Cu", "Au", "Au"), lattice, sites))
    primitive = standard_primitive(crystal, 0.01)[0]
    assert len(primitive.species) == 2 and primitive.pbc == (True, True, False)
    choice = choose_supercell(primitive, 8.0, 200)
    assert choice.long_enough and choice.matrix[2].tolist() == [0, 0, 1]
    assert np.linalg.det(choice.matrix) > 0 and not choice.matrix[:2, 2].any()


def gamma_matrix(crystal: Crystal, calculator) -> np.ndarray:
    return force_constants(crystal, calculator, (1, 1, 1)).matrix_ev_per_angstrom2


def forces_and_stress(calculator):
    def of(crystal: Crystal):
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        return atoms.get_forces(), atoms.get_stress(voigt=False)

    return of


def test_stiffness_of_graphene_and_its_symmetry(sevennet) -> None:
    calculation = PhononCalculation(sevennet, PhononSettings())
    minimum = calculation.relax(calculation.symmetric_cell(graphene())[0], keep_symmetry=True)
    found = layer_stiffness(
        minimum.crystal, calculation.forces_and_stress, gamma_matrix(minimum.crystal, sevennet), 0.005
    )
    # By PBE C11 = 353, C12 = 61 N/m; a hexagonal layer has C11 - C12 twice.
    c11, c12 = found.relaxed[0, 0], found.relaxed[0, 1]
    assert 250 < c11 < 420 and 0 < c12 < 150
    np.testing.assert_allclose(
        np.linalg.eigvalsh(found.relaxed), sorted([c11 - c12, c11 - c12, c11 + c12]), rtol=0.01
    )
    assert found.lowest_n_per_m == pytest.approx(c11 - c12, rel=0.01)


def test_relaxed_stiffness_is_the_curvature_of_the_relaxed_energy(sevennet) -> None:
    """The linear response agrees with strained cells whose ions are relaxed one by one."""
    from ase.optimize import BFGS

    calculation = PhononCalculation(sevennet, PhononSettings(fmax_ev_per_angstrom=0.001))
    rest = calculation.relax(calculation.symmetric_cell(molybdenite())[0], keep_symmetry=True).crystal
    found = layer_stiffness(rest, calculation.forces_and_stress, gamma_matrix(rest, sevennet), 0.005)

    def relaxed_energy(strain: float) -> float:
        x = rest.lattice[0] / np.linalg.norm(rest.lattice[0])
        atoms = to_atoms(replace(rest, lattice=rest.lattice @ (np.eye(3) + strain * np.outer(x, x))))
        atoms.calc = sevennet
        BFGS(atoms, logfile=None).run(fmax=1e-4, steps=100)
        return float(atoms.get_potential_energy())

    area = np.linalg.norm(np.cross(rest.lattice[0], rest.lattice[1]))
    curvature = (relaxed_energy(0.01) - 2 * relaxed_energy(0) + relaxed_energy(-0.01)) / 0.01**2 / area
    assert found.relaxed[0, 0] == pytest.approx(16.02177 * curvature, rel=0.03)
    assert found.relaxed[0, 0] < 0.95 * found.clamped[0, 0]


def test_square_sheet_gives_way_to_a_strain() -> None:
    calculation = PhononCalculation(EMT(), PhononSettings())
    sheet = Crystal("sheet", ("Cu",), np.diag([2.4, 2.4, 20.0]), [[0, 0, 0.5]])
    rest = calculation.relax(calculation.symmetric_cell(sheet)[0], keep_symmetry=True).crystal
    found = layer_stiffness(rest, forces_and_stress(EMT()), gamma_matrix(rest, EMT()), 0.005)
    assert found.lowest_n_per_m < -5
    verdict = phonon_stability(sheet, EMT(), PhononSettings(follow_unstable=False), quiet)
    assert verdict.verdict == UNSTABLE


def test_stiffness_decides_by_sign_and_error() -> None:
    passed = Judgement(STABLE, "", -0.1, 1.0, (0.5, 0, 0), 2.0)
    settings = PhononSettings(elastic_error_n_per_m=1.0)
    assert judge_stiffness(passed, 0.2, settings) is passed
    inside, below = (judge_stiffness(passed, value, settings) for value in (-0.4, -1.4))
    assert (inside.verdict, below.verdict) == (UNDECIDED, UNSTABLE)
    assert "-0.40 N/m, within its error of 1 N/m" in inside.reason
    assert below.reason.endswith("an in-plane stiffness of -1.40 N/m")


def test_strains_are_counted(sevennet) -> None:
    calculation = PhononCalculation(sevennet, PhononSettings())
    rest = calculation.relax(calculation.symmetric_cell(molybdenite())[0], keep_symmetry=True).crystal
    gamma = calculation.at_gamma(rest)
    before, atoms_before = calculation.evaluations, calculation.atom_evaluations
    found = calculation.in_supercell(gamma)
    displaced, atoms = found.constants.displacements, found.choice.atoms
    assert calculation.evaluations - before == 1 + displaced + 6
    assert calculation.atom_evaluations - atoms_before == 3 + displaced * atoms + 6 * 3


def test_wires_and_molecules_are_neither_stable_nor_unstable() -> None:
    for lengths, name in (((2.5, 20, 20), "a wire"), ((20, 20, 20), "a molecule")):
        crystal = Crystal("one", ("Cu",), np.diag(lengths), [[0, 0, 0]])
        found = phonon_stability(crystal, EMT(), PhononSettings(), quiet)
        assert found.verdict == ERROR and found.reason.startswith(name) and found.force_evaluations == 0


def test_soft_passes_by_name_and_unstable_layers_fail(sevennet, jarvis_crystals) -> None:
    """AsCl3 in molecules side by side is soft, CoO2 and 1T-TaS2 fall to other structures."""
    layers = {crystal.id: crystal for crystal in jarvis_crystals[0]}
    settings = PhononSettings(mesh_length_angstrom=30, follow_unstable=False)
    card = potential_card("7net-0")
    for crystal_id, verdict, outcome in (
        ("jarvis2d-0206", SOFT, PASS),
        ("jarvis2d-0159", UNSTABLE, FAIL),
        ("jarvis2d-0031", UNSTABLE, FAIL),
    ):
        found = phonon_stability(layers[crystal_id], sevennet, settings, quiet)
        assert found.verdict == verdict and (found.verdict in PASSING) == (outcome == PASS)
        assert phonon_verdict(crystal_id, found, settings, card).verdict == outcome
        assert ("soft, not unstable" in found.reason) == (verdict == SOFT)


def test_known_weaknesses_are_told_with_the_verdict(molybdenite_phonons) -> None:
    card = potential_card("7net-0")
    right = phonon_verdict("a", molybdenite_phonons, PhononSettings(), card)
    assert right.reason == ""
    octahedral = replace(molybdenite_phonons, space_group=164)
    wrong = phonon_verdict("a", octahedral, PhononSettings(), card)
    assert "known weakness of 7net-0: the 1T layer of MoS2 is unstable by PBE, not stable" in wrong.reason
    assert wrong.reason.endswith("(7net-l3i5 is right)")
    assert weakness_note("7net-l3i5", "TiO2", 136, 3).endswith("not unstable (7net-0 is wrong too)")
    assert weakness_note("7net-l3i5", "MoS2", 164, 2) == weakness_note("emt", "Cu", 225, 3) == ""
    assert phonon_verdicts(phonon_table([octahedral]), card)[0].reason == wrong.reason


def test_an_unstable_layer_falls_to_a_layer(sevennet) -> None:
    """Flat germanene buckles; its daughter keeps the vacuum and is judged as a layer too."""
    flat = layer(("Ge", "Ge"), 4.10, [(1, 2, 0), (2, 1, 0)])
    found = phonon_stability(flat, sevennet, PhononSettings(mesh_length_angstrom=30), quiet)
    assert found.verdict == UNSTABLE and found.space_group == 191
    daughter = found.daughter
    assert daughter.crystal.pbc == (True, True, False) and daughter.space_group == 164
    assert daughter.verdict in PASSING and np.ptp(daughter.crystal.frac_coords[:, 2]) * 20 > 0.3
