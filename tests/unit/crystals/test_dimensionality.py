"""Crystals, layers, wires and molecules are told by the empty space between their images."""

from __future__ import annotations

import time

import numpy as np
import pytest

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_cell, layer_geometry, vacuum, with_vacuum

GRAPHENE = np.array([[2.46, 0, 0], [-1.23, 2.46 * np.sqrt(3) / 2, 0], [0, 0, 20.0]])


def graphene(lattice: np.ndarray = GRAPHENE, height: float = 0.0) -> Crystal:
    positions = np.array([[1 / 3, 2 / 3, height], [2 / 3, 1 / 3, height]])
    return Crystal("graphene", ("C", "C"), lattice, positions)


def in_another_basis(crystal: Crystal, matrix: np.ndarray) -> Crystal:
    """The same crystal in a cell of the same volume, turned in space, atoms wrapped into the cell."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    frac_coords = crystal.frac_coords @ np.linalg.inv(matrix)
    return Crystal(crystal.id, crystal.species, matrix @ crystal.lattice @ turn, frac_coords % 1.0)


def box(crystal_id: str, lengths: tuple[float, float, float], atoms: int = 1) -> Crystal:
    positions = np.random.default_rng(1).uniform(-0.5, 0.5, (atoms, 3)) / np.array(lengths)
    return Crystal(crystal_id, ("Cu",) * atoms, np.diag(lengths), positions)


@pytest.mark.parametrize(
    ("lengths", "dimensionality", "name"),
    [
        ((3.0, 3.0, 3.0), 3, "crystal"),
        ((3.0, 20.0, 3.0), 2, "layer"),
        ((3.0, 20.0, 20.0), 1, "wire"),
        ((20.0, 21.0, 22.0), 0, "molecule"),
    ],
)
def test_dimensionality_is_counted_by_gaps(lengths, dimensionality, name) -> None:
    found = vacuum(box("copper", lengths, 2), 5.0)
    assert (found.dimensionality, found.name) == (dimensionality, name)


def test_gap_is_compared_with_the_threshold() -> None:
    crystal = Crystal("two", ("Cu", "Cu"), np.diag([3.0, 3.0, 8.1]), [[0, 0, 0], [0, 0, 3 / 8.1]])
    assert vacuum(crystal, 5.0).dimensionality == 2
    assert vacuum(crystal, 5.0).gap_angstrom == pytest.approx(5.1)
    assert vacuum(crystal, 5.2).dimensionality == 3


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[1, 0, 0], [2, 1, 0], [1, 1, 1]],
        [[1, 0, 1], [0, 1, 0], [-1, 3, 0]],
    ],
)
def test_layer_is_found_in_any_basis(matrix) -> None:
    """Skewed cells, vacuum along any axis or along none: the plane and its figures are the same."""
    crystal = in_another_basis(graphene(height=0.97), np.array(matrix))
    found = vacuum(crystal, 5.0)
    assert found.dimensionality == 2
    assert found.gap_angstrom == pytest.approx(20.0)
    cell = layer_cell(crystal, 5.0)
    assert cell.pbc == (True, True, False)
    lengths = np.linalg.norm(cell.lattice, axis=1)
    np.testing.assert_allclose(lengths, [2.46, 2.46, 20.0])
    np.testing.assert_allclose(cell.lattice[:2] @ cell.lattice[2], 0, atol=1e-9)
    assert np.linalg.det(cell.lattice) > 0
    across = cell.frac_coords[1] - cell.frac_coords[0]
    assert np.linalg.norm(across[:2]) > 0.3 and abs(across[2]) < 1e-9


def test_stacked_in_a_shifted_cell_a_layer_has_its_own_symmetry() -> None:
    """How cells under vacuum are shifted against each other says nothing: a skew c is put upright."""
    from matwheel.crystals.table import space_group

    skew = GRAPHENE + np.array([[0, 0, 0], [0, 0, 0], [0.7, 0.4, 0]])
    crystal = graphene(skew, 0.5)
    assert space_group(crystal) < 191
    assert space_group(layer_cell(crystal, 5.0)) == 191


def test_layer_that_crosses_the_cell_wall_is_put_together() -> None:
    heights = np.array([0.98, 0.02])
    crystal = Crystal("pair", ("Cu", "Cu"), np.diag([3.0, 3.1, 25.0]), [[0, 0, h] for h in heights])
    cell = layer_cell(crystal, 5.0)
    assert np.ptp(cell.frac_coords[:, 2]) * 25 == pytest.approx(1.0)
    assert layer_geometry(crystal, 5.0).thickness_angstrom == pytest.approx(1.0)
    assert layer_geometry(crystal, 5.0).area_angstrom2 == pytest.approx(9.3)


def test_layer_with_a_long_plane_cell_is_no_crystal() -> None:
    """In a cell of 40 × 3 Å under 12 Å the reduced vectors may all leave the plane."""
    plane = np.array([[40.0, 0, 0], [0, 3.0, 0], [19.0, 0, 12.0]])
    positions = [[x, 0, 0.0] for x in np.arange(0, 1, 0.075)]
    crystal = Crystal("strip", ("Cu",) * len(positions), plane, positions)
    found = vacuum(crystal, 5.0)
    assert found.dimensionality == 2 and found.gap_angstrom == pytest.approx(12.0)


def test_flags_say_what_gaps_do_not() -> None:
    """An axis that is not periodic is empty space whatever the length of the cell; it is made long enough."""
    crystal = Crystal("thin", ("Cu", "Cu"), np.diag([2.6, 2.6, 4.0]), [[0, 0, 0], [0.5, 0.5, 0.45]],
                      pbc=(True, True, False))  # fmt: skip
    assert vacuum(crystal, 5.0).dimensionality == 2
    wide = with_vacuum(crystal, 5.0)
    assert vacuum(Crystal("wide", wide.species, wide.lattice, wide.frac_coords), 5.0).dimensionality == 2
    np.testing.assert_allclose(wide.frac_coords @ wide.lattice, crystal.frac_coords @ crystal.lattice)
    assert wide.pbc == crystal.pbc and with_vacuum(wide, 5.0) is wide
    assert (
        vacuum(Crystal("wire", ("Cu",), np.eye(3) * 3, [[0, 0, 0]], pbc=(True, False, False)), 5.0).name
        == "wire"
    )


def test_broken_cells_are_refused_by_name() -> None:
    for lattice, positions in ((np.diag([3.0, 3.0, 0.0]), [[0, 0, 0]]), (np.eye(3), [[0, 0, np.nan]])):
        with pytest.raises(ValueError, match="flat: "):
            vacuum(Crystal("flat", ("Cu",), lattice, positions), 5.0)


def test_real_layers_are_layers_and_real_crystals_are_not(jarvis_crystals, poly_crystals) -> None:
    started = time.process_time()
    layers = [vacuum(crystal, 5.0) for crystal in jarvis_crystals[0]]
    assert {found.dimensionality for found in layers} == {2}
    assert {vacuum(crystal, 5.0).dimensionality for crystal in poly_crystals[0]} == {3}
    assert (time.process_time() - started) / 80 < 0.02
