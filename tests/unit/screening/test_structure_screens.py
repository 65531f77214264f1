"""Structure verdicts, symmetry, and the structural edge cases that a generator produces."""

import numpy as np
import pytest

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.screening.structure_validity import (
    StructureSettings,
    density_g_per_cm3,
    largest_gap,
    minimum_distance,
    nets_spread,
    shortest_distances,
    smallest_scaled_distance,
    structure_validity,
    structure_verdicts,
)
from matwheel.screening.symmetry import identify_space_group, symmetry_verdicts
from matwheel.verdicts import ERROR, FAIL, PASS, verdict_table

HALF = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
SALT = Crystal("salt", ("Na", "Cl"), 2.82 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), HALF)


def boxed(name, species, positions_angstrom, box):
    lattice = np.diag(np.broadcast_to(box, 3)).astype(float)
    return Crystal(name, species, lattice, np.array(positions_angstrom) @ np.linalg.inv(lattice))


WATER = boxed("water", ("O", "H", "H"), [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], 20.0)
CHAIN = boxed("chain", ("Se",) * 2, [[0, 0, 0], [0.5, 1.9, 0]], (2.5, 20.0, 25.0))
LAYER = boxed("layer", ("C",) * 2, [[0, 0, 0], [1.2, 0.7, 0]], (2.46, 2.46, 20.0))


def by_id(verdicts):
    return {verdict.candidate_id: verdict for verdict in verdicts}


def grid_of(name, atoms_per_edge, species="Cu", spacing=2.5):
    steps = np.arange(atoms_per_edge) / atoms_per_edge
    positions = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return Crystal(name, (species,) * len(positions), spacing * atoms_per_edge * np.eye(3), positions)


@pytest.mark.parametrize(
    ("crystal", "verdict", "words"),
    [
        (SALT, PASS, ""),
        (LAYER, PASS, ""),
        (WATER, FAIL, "molecule or chain in a box"),
        (CHAIN, FAIL, "molecule or chain in a box"),
        (boxed("atom", ("Ar",), [[0, 0, 0]], 14.0), FAIL, "molecule or chain in a box"),
        (Crystal("same", ("Na", "Cl"), SALT.lattice, np.full((2, 3), 0.3)), FAIL, "Na1 and Cl2 at one place"),
        (Crystal("close", ("Na", "Cl"), 4 * np.eye(3), HALF * 0.2), FAIL, "Na1 and Cl2 0.693 Å apart"),
        (Crystal("thin", ("Cu",), np.diag([0.4, 5, 5]), HALF[:1]), FAIL, "Cu1 and its image 0.4 Å apart"),
        (Crystal("nan", ("Na", "Cl"), 4 * np.eye(3), [[0, 0, 0], [np.nan] * 3]), FAIL, "not finite"),
        (Crystal("infinite", ("Na",), np.diag([np.inf, 4, 4]), HALF[:1]), FAIL, "not finite"),
        (Crystal("flat", ("Na",), np.diag([4.0, 4.0, 0.0]), HALF[:1]), FAIL, "volume 0 Å³"),
        (Crystal("collapsed", ("Na", "Cl"), 0.3 * SALT.lattice, HALF), FAIL, "density"),
        (boxed("pressed layer", ("Os",), [[0, 0, 0]], (1.4, 1.4, 30.0)), FAIL, "a layer of 1.96 Å² and 3 Å"),
        (boxed("tall", ("C",) * 2, [[0, 0, 0], [1.2, 0.7, 0]], (2.46, 2.46, 900.0)), PASS, ""),
        (Crystal("pressed", ("Na", "Cl"), 0.45 * SALT.lattice, HALF), FAIL, "covalent radii"),
        (grid_of("500", 8), FAIL, "512 atoms"),
        (Crystal("none", (), np.eye(3), np.zeros((0, 3))), FAIL, "no atoms"),
        (Crystal("ghost", ("Xx", "Cl"), SALT.lattice, HALF), ERROR, "'Xx' is no element"),
        (Crystal("needle", ("Cu",), np.diag([1e9, 3, 3]), HALF[:1]), FAIL, "cell vector"),
    ],
    ids=lambda value: value.id if isinstance(value, Crystal) else "",
)  # fmt: skip
def test_each_defect_has_its_verdict_and_reason(crystal, verdict, words):
    judged = structure_verdicts([crystal], StructureSettings(minimum_distance_angstrom=0.7))[0]
    assert judged.candidate_id == crystal.id and judged.screen == "structure"
    assert judged.verdict == verdict, judged.reason
    assert words in judged.reason and bool(judged.reason) == (verdict != PASS)


def test_verdicts_carry_the_figure_that_decided():
    crystals = [SALT, WATER, grid_of("500", 8), Crystal("collapsed", ("Na", "Cl"), 0.3 * SALT.lattice, HALF)]
    verdicts = by_id(structure_verdicts(crystals))
    assert list(verdicts) == [crystal.id for crystal in crystals]
    assert verdicts["salt"].value == pytest.approx(2.82) and verdicts["salt"].threshold == 0.5
    assert verdicts["500"].value == 512 and verdicts["500"].threshold == 200
    assert verdicts["water"].value > verdicts["water"].threshold == 10.0
    assert verdicts["collapsed"].value == pytest.approx(density_g_per_cm3(SALT) / 0.3**3)
    assert len(verdict_table(verdicts.values())) == 4


def test_no_real_crystal_is_lost(jarvis_crystals, poly_crystals):
    crystals = [*jarvis_crystals[0], *poly_crystals[0]]
    assert {verdict.verdict for verdict in structure_verdicts(crystals)} == {PASS}
    # 3 dimensions refuse exactly the layers under vacuum.
    strict = structure_verdicts(crystals, StructureSettings(net_dimensions=3))
    assert sum(v.verdict == FAIL for v in strict) >= 30
    assert {v.verdict for v in strict[len(jarvis_crystals[0]) :]} == {PASS}


def test_verdicts_agree_with_the_criterion_of_cdvae_on_what_both_judge(jarvis_crystals):
    crystals = [SALT, WATER, *jarvis_crystals[0][:5]]
    crystals += [Crystal(f"{c.id}*", c.species, 0.2 * c.lattice, c.frac_coords) for c in crystals]
    base = structure_validity(crystals)
    unlimited = StructureSettings(
        minimum_density_g_per_cm3=0, maximum_density_g_per_cm3=np.inf, minimum_scaled_distance=0,
        largest_gap_angstrom=np.inf, largest_atoms=10**9,
    )  # fmt: skip
    verdicts = structure_verdicts(crystals, unlimited)
    assert [v.verdict == PASS for v in verdicts] == base["structure_valid"].tolist()
    assert 0 < base["structure_valid"].sum() < len(crystals)


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"minimum_distance_angstrom": -1}, {"largest_atoms": np.nan}, {"net_dimensions": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            StructureSettings(**wrong)


def test_scaled_distance_is_the_smallest_over_all_pairs_even_in_a_skewed_cell(jarvis_crystals):
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    skew = np.array([[1, 0, 0], [5, 1, 0], [-4, 6, 1]])
    for crystal in jarvis_crystals[0][:8]:
        grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
        difference = crystal.frac_coords[:, None] - crystal.frac_coords[None]
        distances = np.linalg.norm((difference[:, :, None] + grid) @ crystal.lattice, axis=-1)
        distances = np.where(distances > 1e-9, distances, np.inf).min(axis=-1)
        radii = np.array([CovalentRadius.radius[symbol] for symbol in crystal.species])
        expected = (distances / (radii[:, None] + radii)).min()
        skewed = Crystal(
            "", crystal.species, skew @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(skew)
        )
        for cell in (crystal, skewed):
            assert smallest_scaled_distance(cell)[0] == pytest.approx(expected, abs=1e-6)
            found = shortest_distances(cell.lattice, cell.frac_coords)
            assert np.allclose(found, found.T)
            assert found.min() == minimum_distance(cell.lattice, cell.frac_coords)


def test_the_gap_is_the_step_that_no_way_avoids():
    assert largest_gap(SALT) == pytest.approx(2.82, abs=1e-6)
    assert largest_gap(LAYER) == pytest.approx(20.0, abs=1e-3)
    assert largest_gap(LAYER, dimensions=2) < 2.5
    assert largest_gap(CHAIN, dimensions=1) == pytest.approx(2.5)
    assert 15 < largest_gap(CHAIN, dimensions=2) < 20
    # A guest far from the walls of its cage is not joined by what joins the cage.
    cage = grid_of("cage", 5, spacing=2.5)
    centre = np.linalg.norm((cage.frac_coords - 0.4 + 0.5) % 1 - 0.5, axis=1) * 12.5
    keep = (centre == 0) | (centre > 5.1)
    guest = Crystal("guest", np.array(cage.species)[keep], cage.lattice, cage.frac_coords[keep])
    assert not nets_spread(guest, 2.6) and nets_spread(guest, 6.0)
    assert largest_gap(guest) == pytest.approx(centre[keep & (centre > 0)].min(), abs=1e-6)


def test_the_gap_does_not_depend_on_the_cell(jarvis_crystals):
    skew = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    for crystal in jarvis_crystals[0][:5]:
        positions = crystal.frac_coords @ np.linalg.inv(skew) + 0.37
        skewed = Crystal("", crystal.species[::-1], skew @ crystal.lattice, positions[::-1])
        for dimensions in (2, 3):
            assert largest_gap(skewed, dimensions) == pytest.approx(
                largest_gap(crystal, dimensions), abs=1e-6
            )


def test_space_groups_are_named_at_both_tolerances():
    shaken = Crystal(
        "shaken", ("Na", "Cl"), SALT.lattice, HALF + np.array([[0, 0, 0], [0.005, 0.003, 0.002]])
    )
    bent = Crystal("bent", ("Na", "Cl", "K"), np.array([[4, 0, 0], [1, 5, 0], [0.5, 1.2, 6]]),
                   np.array([[0, 0, 0], [0.3, 0.4, 0.6], [0.7, 0.1, 0.35]]))  # fmt: skip
    verdicts = by_id(symmetry_verdicts([SALT, shaken, bent], smallest_space_group=2))
    assert verdicts["salt"].verdict == PASS and verdicts["salt"].value == 225
    assert verdicts["salt"].reason == "Fm-3m (225) at 0.1 Å, Fm-3m (225) at 0.01 Å"
    assert verdicts["shaken"].value == 225 and "(225) at 0.01" not in verdicts["shaken"].reason
    assert (
        verdicts["bent"].verdict == FAIL
        and verdicts["bent"].value == 1
        and "P1 (1)" in verdicts["bent"].reason
    )
    assert symmetry_verdicts([bent])[0].verdict == PASS
    assert verdicts["salt"].tool_version


def test_symmetry_survives_broken_crystals():
    broken = [
        Crystal("place", ("Na", "Na"), 4 * np.eye(3), np.full((2, 3), 0.3)),
        Crystal("nan", ("Na",), 4 * np.eye(3), [[np.nan] * 3]),
        Crystal("flat", ("Na",), np.diag([4.0, 4.0, 0.0]), HALF[:1]),
        Crystal("none", (), np.eye(3), np.zeros((0, 3))),
    ]
    verdicts = symmetry_verdicts([*broken, SALT])
    assert [v.verdict for v in verdicts] == [ERROR] * 4 + [PASS]
    assert all("no space group" in v.reason for v in verdicts[:4])
    assert identify_space_group(SALT, 0.01) == (225, "Fm-3m")
    assert symmetry_verdicts([]) == [] and structure_verdicts([]) == []


def test_symmetry_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="symprec"):
        symmetry_verdicts([SALT], symprec_angstrom=0)
    with pytest.raises(InputError, match="231"):
        symmetry_verdicts([SALT], smallest_space_group=231)
