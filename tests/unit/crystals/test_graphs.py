"""Neighbour graphs: against a plain search, their invariances, ties at the cut, files."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from matwheel.core.files import sha256_of_file
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.graphs import (
    CrystalGraphs,
    GraphSettings,
    build_graphs,
    concatenate_graphs,
    load_graphs,
    save_graphs,
)


def square_net(length: float = 3.0) -> Crystal:
    """One atom with 4 neighbours at `length` in the layer, 4 at length·√2, 4 at 2·length, 8 at length·√5."""
    return Crystal("net", ("Cu",), np.diag([length, length, 40.0]), np.zeros((1, 3)))


def atoms_neighbourhoods(graphs: CrystalGraphs) -> list[list[tuple[int, float, float]]]:
    """For each atom: (source's atomic number, distance, weight) of its edges, equal edges joined, sorted."""
    rows = []
    for crystal in range(len(graphs)):
        first_atom, after_atom = graphs.atom_offsets[crystal : crystal + 2]
        found: list[dict] = [defaultdict(float) for _ in range(after_atom - first_atom)]
        for edge in range(*graphs.edge_offsets[crystal : crystal + 2]):
            number = int(graphs.atomic_numbers[first_atom + graphs.source[edge]])
            key = (number, round(float(graphs.distance[edge]), 2))
            found[graphs.target[edge]][key] += float(graphs.weight[edge])
        rows.extend(sorted((*key, round(weight, 3)) for key, weight in atom.items()) for atom in found)
    return rows


def crystal_neighbourhoods(crystal: Crystal) -> list:
    """The set of distinct neighbourhoods of a crystal: the same for every description of it."""
    graphs = build_graphs([crystal])
    own = [int(number) for number in graphs.atomic_numbers]
    return sorted(
        {(number, tuple(rows)) for number, rows in zip(own, atoms_neighbourhoods(graphs), strict=True)}
    )


def rotation(seed: int) -> np.ndarray:
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def permuted(crystal: Crystal, seed: int) -> Crystal:
    order = np.random.default_rng(seed).permutation(len(crystal.species))
    species = tuple(crystal.species[i] for i in order)
    return Crystal(crystal.id, species, crystal.lattice, crystal.frac_coords[order])


def supercell(crystal: Crystal) -> Crystal:
    structure = to_structure(crystal) * [[1, 1, 0], [0, 2, 0], [0, 0, 1]]
    species = tuple(site.specie.symbol for site in structure)
    return Crystal(crystal.id, species, structure.lattice.matrix, structure.frac_coords)


def other_descriptions(crystal: Crystal) -> dict[str, Crystal]:
    """The same crystal, described otherwise."""
    shift = np.array([0.31, -1.27, 0.77])
    return {
        "permutation": permuted(crystal, 1),
        "translation": Crystal(crystal.id, crystal.species, crystal.lattice, crystal.frac_coords + shift),
        "rotation": Crystal(
            crystal.id, crystal.species, crystal.lattice @ rotation(2).T, crystal.frac_coords
        ),
        "supercell": permuted(supercell(crystal), 3),
    }


def gaussians(distances):
    """Narrow Gaussians of distances (n,), shape (centres, n): a shift by 0.01 Å changes them by 0.02."""
    return np.exp(-(((np.arange(0, 12, 0.1)[:, None] - distances) / 0.2) ** 2))


def test_edges_equal_a_plain_search(jarvis_crystals):
    for crystal in jarvis_crystals[0][:8]:
        graphs = build_graphs([crystal])
        cartesian = crystal.frac_coords @ crystal.lattice
        # The number of cells needed along each axis follows from the spacing of its lattice planes.
        reach = np.ceil(8.0 * np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)).astype(int) + 1
        images = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach)))) @ crystal.lattice
        for atom, position in enumerate(cartesian):
            distances = np.array([np.linalg.norm(cartesian + image - position, axis=1) for image in images])
            distances[distances < 1e-8] = np.inf
            nearest = np.sort(distances.ravel())
            inside = distances < nearest[11] - 0.01
            shell = ~inside & (distances <= nearest[11] + 0.01)
            weights = inside + shell * (12 - inside.sum()) / shell.sum()
            mine = graphs.target == atom
            for source in range(len(cartesian)):
                edges, images_kept = mine & (graphs.source == source), weights[:, source] > 0
                # An edge stands for all images at its distance, so sums over edges and images are equal.
                of_edges = gaussians(graphs.distance[edges]) @ graphs.weight[edges]
                of_images = gaussians(distances[images_kept, source]) @ weights[images_kept, source]
                np.testing.assert_allclose(of_edges, of_images, atol=1e-4)


def test_weights_of_every_atom_add_up_to_twelve(jarvis_crystals, poly_crystals):
    graphs = build_graphs([*jarvis_crystals[0], *poly_crystals[0]])
    atom = graphs.target + np.repeat(graphs.atom_offsets[:-1], np.diff(graphs.edge_offsets))
    np.testing.assert_allclose(np.bincount(atom, graphs.weight), 12, atol=1e-5)
    assert (graphs.weight % 1 > 0.01).any(), "no tie at the cut: this data cannot show the rule"
    assert len(graphs.weight) < 0.8 * graphs.weight.sum(), "equal edges are merged"


def test_a_tie_at_the_cut_keeps_the_whole_shell():
    graphs = build_graphs([square_net()], GraphSettings(neighbours=6))
    # Four neighbours at one distance, and four more that share the two places left.
    np.testing.assert_allclose(graphs.weight, [4, 2])
    np.testing.assert_allclose(graphs.distance, [3.0, 3.0 * 2**0.5], atol=1e-6)


@pytest.mark.parametrize("change", ["permutation", "translation", "rotation", "supercell"])
def test_neighbourhoods_do_not_depend_on_the_description(jarvis_crystals, poly_crystals, change):
    for crystal in [*jarvis_crystals[0][:10], *poly_crystals[0][:10], square_net()]:
        other = other_descriptions(crystal)[change]
        one, two = crystal_neighbourhoods(crystal), crystal_neighbourhoods(other)
        assert len(one) == len(two), crystal.id
        for (number, rows), (other_number, other_rows) in zip(one, two, strict=True):
            assert number == other_number
            np.testing.assert_allclose(rows, other_rows, atol=0.011)


def test_the_radius_grows_for_a_sparse_crystal():
    sparse = Crystal("sparse", ("Ar",), np.diag([9.0, 11.0, 13.0]), np.zeros((1, 3)))
    graphs = build_graphs([sparse])
    assert graphs.weight.sum() == pytest.approx(12, abs=1e-5)
    assert graphs.distance.min() == pytest.approx(9.0)


def test_crystals_without_a_graph_are_named():
    alone = Crystal("alone", ("Ar",), np.eye(3) * 90, np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"crystal alone: atom 0 has no neighbour within 41 Å"):
        build_graphs([square_net(), alone])
    flat = Crystal("flat", ("Ar",), np.diag([3.0, 3.0, 0.0]), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="crystal flat: the cell has no volume"):
        build_graphs([flat])
    with pytest.raises(ValueError, match="crystal empty: no atoms"):
        build_graphs([Crystal("empty", (), np.eye(3) * 3, np.zeros((0, 3)))])
    with pytest.raises(ValueError, match=r"crystal broken: .*not finite"):
        build_graphs([Crystal("broken", ("Ar",), np.eye(3) * 3, np.full((1, 3), np.nan))])
    with pytest.raises(ValueError, match="crystal odd: unknown element 'Xx'"):
        build_graphs([Crystal("odd", ("Xx",), np.eye(3) * 3, np.zeros((1, 3)))])


def test_a_collapsed_cell_costs_no_more_than_others():
    collapsed = Crystal("collapsed", ("H", "H"), np.eye(3) * 0.15, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    graphs = build_graphs([collapsed])
    assert len(graphs.distance) < 60


def test_selecting_and_joining(jarvis_crystals):
    crystals = jarvis_crystals[0][:6]
    graphs = build_graphs(crystals)
    joined = concatenate_graphs([build_graphs(crystals[:2]), build_graphs(crystals[2:])])
    wanted = [crystals[i].id for i in (4, 0, 5)]
    direct = build_graphs([crystals[i] for i in (4, 0, 5)])
    for name in CrystalGraphs.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(joined, name), getattr(graphs, name))
        np.testing.assert_array_equal(getattr(graphs.select(wanted), name), getattr(direct, name))
    with pytest.raises(ValueError, match="no graph for crystal stranger"):
        graphs.select(["stranger"])
    assert len(build_graphs([])) == 0 == len(concatenate_graphs([]))


def test_files_hold_the_same_graphs_in_the_same_bytes(jarvis_crystals, tmp_path):
    graphs = build_graphs(jarvis_crystals[0][:6])
    for name in ("one.npz", "two.npz"):
        save_graphs(graphs, tmp_path / name)
    assert sha256_of_file(tmp_path / "one.npz") == sha256_of_file(tmp_path / "two.npz")
    loaded = load_graphs(tmp_path / "one.npz")
    for name in CrystalGraphs.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(graphs, name))
