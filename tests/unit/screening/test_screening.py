import numpy as np
import pytest

from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.graphs import build_graphs
from matwheel.generators.null import rattle_crystals
from matwheel.screening.novelty import novelty
from matwheel.screening.structure_validity import minimum_distance, structure_validity
from matwheel.screening.uniqueness import uniqueness

CUBE = 4.0 * np.eye(3)


def rock_salt(name="salt", length=5.64, species=("Na", "Cl")):
    lattice = length / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(name, species, lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def broken_crystals():
    return [
        Crystal("flat", ("Na", "Cl"), np.array([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), np.zeros((2, 3))),
        Crystal("nan", ("Na",), np.full((3, 3), np.nan), np.zeros((1, 3))),
        Crystal("empty", (), CUBE, np.zeros((0, 3))),
        Crystal("huge", ("Na",), np.diag([1e9, 1.0, 1.0]), np.zeros((1, 3))),
        Crystal("unknown", ("Xx", "Cl"), CUBE, np.array([[0, 0, 0], [0.5, 0.5, 0.5]])),
    ]


def test_minimum_distance_equals_a_search_over_many_images(jarvis_crystals):
    for crystal in jarvis_crystals[0][:12]:
        grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
        difference = crystal.frac_coords[:, None] - crystal.frac_coords[None]
        distances = np.linalg.norm((difference[:, :, None] + grid) @ crystal.lattice, axis=-1)
        expected = distances[distances > 1e-9].min()
        assert minimum_distance(crystal.lattice, crystal.frac_coords) == pytest.approx(expected, abs=1e-9)
        # The same crystal in a badly skewed cell.
        skew = np.array([[1, 0, 0], [7, 1, 0], [-5, 9, 1]])
        positions = crystal.frac_coords @ np.linalg.inv(skew)
        assert minimum_distance(skew @ crystal.lattice, positions) == pytest.approx(expected, abs=1e-6)


def test_images_of_an_atom_itself_count():
    thin = Crystal("thin", ("Cu",), np.diag([0.4, 5.0, 5.0]), np.zeros((1, 3)))
    row = structure_validity([thin]).iloc[0]
    assert not row.structure_valid and row.min_distance_angstrom == pytest.approx(0.4)


def test_structure_validity_names_each_reason_and_survives_broken_cells():
    close = Crystal("close", ("Na", "Cl"), CUBE, np.array([[0, 0, 0.98], [0, 0, 0.05]]))  # 0.28 Å
    table = structure_validity([rock_salt(), close, *broken_crystals()]).set_index("id")
    assert table.index[0] == "salt" and table.loc["salt", "structure_valid"]
    assert table.loc["salt", "min_distance_angstrom"] == pytest.approx(5.64 / 2)
    assert table.loc["salt", "volume_angstrom3"] == pytest.approx(5.64**3 / 4)
    assert table.loc["salt", "reason"] == ""
    assert table.loc["close", "min_distance_angstrom"] == pytest.approx(0.28)
    for name, reason in [
        ("close", "apart"), ("flat", "volume"), ("nan", "finite"), ("empty", "no atoms"),
        ("huge", "cell vector"),
    ]:  # fmt: skip
        assert not table.loc[name, "structure_valid"] and reason in table.loc[name, "reason"]


def test_uniqueness_groups_copies_whatever_their_cell_and_order(jarvis_crystals):
    base = jarvis_crystals[0][:8]
    copies = rattle_crystals(base, 12, seed=0, id_prefix="copy", displacement_angstrom=0.01, strain=0.002)
    double = to_structure(base[0])
    double.make_supercell([2, 1, 1])
    supercell = Crystal(
        "double", [site.specie.symbol for site in double], double.lattice.matrix, double.frac_coords
    )
    crystals = [*base, *copies, supercell]
    table = uniqueness(crystals).set_index("id")
    assert table["group"].nunique() == uniqueness(base)["group"].nunique()
    assert table.loc["double", "group"] == table.loc[base[0].id, "group"]
    backwards = uniqueness(crystals[::-1]).set_index("id").loc[table.index]
    assert backwards["group"].equals(table["group"])
    assert table["first_of_group"].sum() == table["group"].nunique()


def test_uniqueness_tells_polymorphs_apart_and_counts_broken_crystals():
    salt = rock_salt()
    caesium = Crystal("cscl", ("Na", "Cl"), 3.5 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    table = uniqueness([salt, caesium, *broken_crystals()]).set_index("id")
    assert table["group"].nunique() == 7
    assert (table["error"] != "").sum() == 4  # 'unknown' is a cell like any other
    assert uniqueness([])["group"].nunique() == 0


def test_a_cell_that_would_keep_the_matcher_busy_for_ever_is_not_compared():
    positions = np.linspace(0, 0.9, 8)[:, None] * np.array([1.0, 0.7, 0.3])
    needles = [
        Crystal(f"{i}", ("Na", "Cl") * 4, np.diag([24.2, 0.15, 0.14 + i / 500]), positions) for i in (0, 1)
    ]
    table = uniqueness(needles)
    assert table["group"].nunique() == 2 and table["error"].str.contains("0.5 Å").all()


def test_a_cell_whose_atoms_may_have_no_neighbour_is_refused():
    sparse = Crystal("sparse", ("Ar",), np.diag([45.0, 50.0, 60.0]), np.zeros((1, 3)))
    row = structure_validity([sparse]).iloc[0]
    assert not row["structure_valid"]
    assert "no neighbour" in row["reason"]
    # What passes has a neighbour graph: one vector of 40 Å is enough.
    layered = Crystal("layered", ("Ar",), np.diag([40.0, 50.0, 60.0]), np.zeros((1, 3)))
    assert structure_validity([layered])["structure_valid"].all()
    assert len(build_graphs([layered]).source)
    with pytest.raises(ValueError, match="no neighbour"):
        build_graphs([sparse])


def test_uniqueness_stops_at_the_comparison_limit():
    crystals = [rock_salt(f"{i}", 5.6 + 0.01 * i) for i in range(3)] + [
        Crystal(f"c{i}", ("Na", "Cl"), (3.5 + 0.01 * i) * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
        for i in range(2)
    ]
    assert uniqueness(crystals)["group"].nunique() == 2
    limited = uniqueness(crystals, comparisons_per_formula=1)
    assert limited["group"].nunique() > 2 and "comparison limit" in set(limited["error"])


def test_novelty_against_training(jarvis_crystals):
    training, unseen = jarvis_crystals[0][:20], rock_salt(species=("Cs", "I"))
    copies = rattle_crystals(training, 10, seed=0, id_prefix="copy", displacement_angstrom=0.01, strain=0.002)
    swapped = Crystal(
        "swap", training[0].species, training[0].lattice * 1.0, training[0].frac_coords[::-1] * 0.37
    )
    table = novelty([*copies, unseen, swapped, *broken_crystals()], training).set_index("id")
    assert not table.loc["copy-00000":"copy-00009", "structure_novel"].any()
    assert not table.loc["copy-00000":"copy-00009", "formula_novel"].any()
    assert set(table.loc["copy-00000":"copy-00009", "known_as"]) <= {crystal.id for crystal in training}
    assert table.loc["salt", "structure_novel"] and table.loc["salt", "formula_novel"]
    assert table.loc["swap", "structure_novel"] and not table.loc["swap", "formula_novel"]
    assert table.loc["nan", "structure_novel"] and table.loc["nan", "error"]
