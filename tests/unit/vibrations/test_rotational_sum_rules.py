"""Rotational sum rules: they hold, with the smallest change, and move nothing but the bands of a picture."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase.calculators.emt import EMT

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_cell
from matwheel.potentials.potentials import make_calculator
from matwheel.vibrations import phonons, rotational_sum_rules
from matwheel.vibrations.force_constants import (
    ForceConstants,
    is_layer,
    modes_at,
    phonopy_of,
    supercell_at_rest,
)
from matwheel.vibrations.phonon_calculation import PhononCalculation
from matwheel.vibrations.phonon_figure import phonon_figure
from matwheel.vibrations.phonon_results import phonon_table
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonon_stability
from matwheel.vibrations.rotational_sum_rules import constants_to_draw, with_rotational_sum_rules

SETTINGS = PhononSettings(mesh_length_angstrom=30)


def quiet(_: str) -> None:
    pass


def hexagonal(symbols: tuple[str, ...], a: float, sites, height: float) -> Crystal:
    """A layer; sites as (thirds along a, thirds along b, height in Å)."""
    lattice = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(0.75), 0], [0, 0, height]])
    coordinates = [[x / 3, y / 3, 0.5 + z / height] for x, y, z in sites]
    return Crystal("-".join(symbols), symbols, lattice, coordinates)


def graphene() -> Crystal:
    return hexagonal(("C", "C"), 2.46, [(1, 2, 0), (2, 1, 0)], 20.0)


def molybdenite(height: float = 20.0) -> Crystal:
    return hexagonal(("Mo", "S", "S"), 3.18, [(1, 2, 0), (2, 1, 1.56), (2, 1, -1.56)], height)


@pytest.fixture(scope="module")
def sevennet():
    return make_calculator("7net-0", double_precision=True)


@pytest.fixture(scope="module")
def sampled(sevennet) -> dict[str, ForceConstants]:
    found = {}
    for name, crystal in (("graphene", graphene()), ("molybdenite", molybdenite())):
        calculation = PhononCalculation(sevennet, SETTINGS)
        minimum = calculation.relax(calculation.symmetric_cell(crystal)[0], keep_symmetry=True)
        found[name] = calculation.in_supercell(calculation.at_gamma(minimum.crystal)).constants
    return found


def shortest_images(constants: ForceConstants):
    """Vectors from each atom of the primitive cell to the nearest images of each of the supercell's."""
    supercell, _ = supercell_at_rest(constants)
    third = (0,) if is_layer(constants.crystal) else (-1, 0, 1)
    shifts = np.array(list(product((-1, 0, 1), (-1, 0, 1), third)))
    for row in phonopy_of(constants).primitive.p2s_map:
        steps = supercell.frac_coords - supercell.frac_coords[row]
        images = (steps[:, None] + shifts) @ supercell.lattice
        lengths = np.linalg.norm(images, axis=2)
        yield row, [of[near < near.min() + 1e-4] for of, near in zip(images, lengths, strict=True)]


def largest_violation(constants: ForceConstants) -> float:
    """The rules as they are written in books, by loops over the pairs."""
    matrix, worst, huang = constants.matrix_ev_per_angstrom2, 0.0, np.zeros((3, 3, 3, 3))
    for row, images in shortest_images(constants):
        means = np.array([vectors.mean(axis=0) for vectors in images])
        squares = np.array([vectors.T @ vectors / len(vectors) for vectors in images])
        torques = np.einsum("sab,sc->abc", matrix[row], means)
        huang += np.einsum("sab,scd->abcd", matrix[row], squares)
        worst = max(worst, np.abs(matrix[row].sum(axis=0)).max())
        worst = max(worst, np.abs(torques - np.swapaxes(torques, 1, 2)).max())
    worst = max(worst, np.abs(huang - np.transpose(huang, (2, 3, 0, 1))).max())
    return max(worst, np.abs(matrix - np.transpose(matrix, (1, 0, 3, 2))).max())


def with_springs(crystal: Crystal, repeats: tuple[int, int, int], range_angstrom: float) -> ForceConstants:
    """Force constants of springs at rest between all atoms within a range: no energy in any rotation."""
    bare = ForceConstants(crystal, np.diag(repeats), np.zeros(0), 0.01, 0, 0.0, 0.0)
    atoms = len(crystal.species) * int(np.prod(repeats))
    bare = replace(bare, matrix_ev_per_angstrom2=np.zeros((atoms, atoms, 3, 3)))
    supercell, _ = supercell_at_rest(bare)
    shifts = np.array(list(product((-1, 0, 1), (-1, 0, 1), (0,))))
    matrix = np.zeros((atoms, atoms, 3, 3))
    for a, b in product(range(atoms), repeat=2):
        for vector in (supercell.frac_coords[b] - supercell.frac_coords[a] + shifts) @ supercell.lattice:
            length = np.linalg.norm(vector)
            if 0.1 < length < range_angstrom:
                spring = 20 * np.exp(-length) * np.outer(vector, vector) / length**2
                matrix[a, b] -= spring
                matrix[a, a] += spring
    return replace(bare, matrix_ev_per_angstrom2=matrix)


def with_noise(constants: ForceConstants) -> ForceConstants:
    """Force constants with an error that keeps translations of the lattice, but not of the layer."""
    generator, primitive = np.random.default_rng(0), phonopy_of(constants).primitive
    matrix = np.array(constants.matrix_ev_per_angstrom2)
    error = 0.05 * generator.standard_normal((len(primitive), *matrix.shape[1:]))
    for moved in primitive.atomic_permutations:
        matrix[np.ix_(moved[primitive.p2s_map], moved)] += error
    return replace(constants, matrix_ev_per_angstrom2=(matrix + matrix.transpose(1, 0, 3, 2)) / 2)


def slab(height: float = 20.0) -> ForceConstants:
    return with_springs(layer_cell(molybdenite(height)), (4, 4, 1), 3.5)


@pytest.mark.parametrize("name", ["graphene", "molybdenite"])
def test_rules_hold(sampled, name) -> None:
    assert largest_violation(sampled[name]) > 0.1
    assert largest_violation(with_rotational_sum_rules(sampled[name])) < 1e-8


@pytest.mark.parametrize("name", ["graphene", "molybdenite"])
def test_flexural_band_is_quadratic(sampled, name) -> None:
    """Along Γ–M the band that bends the layer goes as q², where it went as q, or as i q."""
    q_points = np.array([0.005, 0.01, 0.02, 0.04])[:, None] * [0.5, 0, 0]

    def exponents(constants: ForceConstants) -> np.ndarray:
        lowest = np.abs(modes_at(constants, q_points).frequencies_thz).min(axis=1)
        return np.diff(np.log(lowest)) / np.log(2)

    before, after = exponents(sampled[name]), exponents(with_rotational_sum_rules(sampled[name]))
    assert (before < 1.2).all()
    assert (after > 1.9).all() and (after < 2.1).all()
    assert modes_at(sampled[name], q_points).frequencies_thz.min() < -0.02
    assert modes_at(with_rotational_sum_rules(sampled[name]), q_points).frequencies_thz.min() > 0


def test_what_obeys_the_rules_is_left_alone() -> None:
    springs = slab()
    assert largest_violation(springs) < 1e-10
    found = with_rotational_sum_rules(springs)
    np.testing.assert_allclose(
        found.matrix_ev_per_angstrom2, springs.matrix_ev_per_angstrom2, rtol=0, atol=1e-6
    )


def test_change_is_the_smallest() -> None:
    """The change is at right angles to all that obeys the rules, and made once."""
    springs = slab()
    noisy = with_noise(springs)
    assert largest_violation(noisy) > 0.1
    found = with_rotational_sum_rules(noisy)
    assert largest_violation(found) < 1e-8
    change, along = (
        (one.matrix_ev_per_angstrom2 - found.matrix_ev_per_angstrom2).ravel() for one in (noisy, springs)
    )
    assert abs(change @ along) < 1e-8 * np.linalg.norm(change) * np.linalg.norm(along)
    again = with_rotational_sum_rules(found)
    np.testing.assert_allclose(
        again.matrix_ev_per_angstrom2, found.matrix_ev_per_angstrom2, rtol=0, atol=1e-9
    )


def test_cell_around_a_layer_does_not_matter() -> None:
    """Nor that the layer lies across its face, is thicker than half of it, or lies in another plane."""
    noisy = with_noise(slab())
    expected = with_rotational_sum_rules(noisy).matrix_ev_per_angstrom2
    rest = noisy.crystal
    raised = replace(rest, frac_coords=(rest.frac_coords + np.array([0, 0, 0.45])) % 1.0)
    assert np.ptp(raised.frac_coords[:, 2]) > 0.5
    low = layer_cell(molybdenite(5.5), 2.0)
    assert np.ptp(low.frac_coords[:, 2]) > 0.5
    low = replace(low, frac_coords=np.column_stack([rest.frac_coords[:, :2], low.frac_coords[:, 2]]))
    for crystal in (raised, replace(low, lattice=np.array([*rest.lattice[:2], low.lattice[2]]))):
        found = with_rotational_sum_rules(replace(noisy, crystal=crystal)).matrix_ev_per_angstrom2
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    turn = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    turned = replace(
        noisy,
        crystal=replace(rest, lattice=rest.lattice @ turn.T),
        matrix_ev_per_angstrom2=np.einsum("ac,rscd,bd->rsab", turn, noisy.matrix_ev_per_angstrom2, turn),
    )
    found = with_rotational_sum_rules(turned).matrix_ev_per_angstrom2
    np.testing.assert_allclose(found, np.einsum("ac,rscd,bd->rsab", turn, expected, turn), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["graphene", "molybdenite"])
def test_symmetry_is_kept(sampled, name) -> None:
    found = with_rotational_sum_rules(sampled[name])
    rotations = phonopy_of(found).primitive_symmetry.pointgroup_operations
    assert len(rotations) >= 12
    images = np.array([rotation.T @ [0.13, 0.05, 0] for rotation in rotations])
    frequencies = modes_at(found, images).frequencies_thz
    np.testing.assert_allclose(frequencies, frequencies[:1].repeat(len(images), axis=0), rtol=0, atol=1e-6)


def deciding(result) -> tuple[bytes, ...]:
    table = phonon_table([result]).drop(columns="seconds")
    density = result.density
    return (
        table.to_csv().encode(),
        density.frequencies_thz.tobytes(),
        density.states_per_thz.tobytes(),
        result.gamma_frequencies_thz.tobytes(),
    )


def heading(result) -> str:
    return " ".join(text.get_text() for text in phonon_figure(result).texts)


def test_rules_move_the_bands_and_nothing_else(sevennet, monkeypatch) -> None:
    with_rules = phonon_stability(graphene(), sevennet, SETTINGS, quiet)
    monkeypatch.setattr(phonons, "constants_to_draw", lambda constants, _: (constants, float("nan")))
    without = phonon_stability(graphene(), sevennet, SETTINGS, quiet)
    assert deciding(with_rules) == deciding(without)
    lowest = [min(one.min() for one in found.bands.frequencies_thz) for found in (with_rules, without)]
    assert lowest[0] > -1e-3 > -0.05 > lowest[1]

    shift = with_rules.rotational_shift_thz
    assert 0.01 < shift < 0.5 and np.isnan(without.rotational_shift_thz)
    said = f"Bands with rotational sum rules, which move frequencies by up to {shift:.2f} THz; verdict and"
    assert said in heading(with_rules)
    far = heading(replace(with_rules, rotational_shift_thz=0.7))
    assert "Bands without rotational sum rules" in far and "0.70 THz: too much for this supercell." in far
    assert "rotational" not in heading(without)


def test_crystals_are_drawn_as_they_are(monkeypatch) -> None:
    monkeypatch.setattr(rotational_sum_rules, "with_rotational_sum_rules", None)
    copper = Crystal("Cu", ("Cu",), 1.8 * (1 - np.eye(3)), [[0, 0, 0]])
    found = phonon_stability(copper, EMT(), replace(SETTINGS, shortest_length_angstrom=5.0), quiet)
    assert found.bands is not None and np.isnan(found.rotational_shift_thz)
    assert "rotational" not in heading(found)


def test_bands_without_rules_where_they_move_too_much_or_cannot_be_met(sampled) -> None:
    plain = sampled["graphene"]
    ruled, shift = constants_to_draw(plain, 0.5)
    assert ruled is not plain and 0.1 < shift < 0.5
    assert constants_to_draw(plain, 0.1) == (plain, shift)
    broken = replace(plain, matrix_ev_per_angstrom2=np.full_like(plain.matrix_ev_per_angstrom2, np.nan))
    with pytest.raises(ArithmeticError, match="rotational sum rules"):
        with_rotational_sum_rules(broken)
    drawn, shift = constants_to_draw(broken, 0.5)
    assert drawn is broken and np.isnan(shift)
