"""Crystals built from Wyckoff genes."""

import time

import numpy as np
import pytest

from matwheel.core.errors import InputError
from matwheel.core.time_limits import Hung
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.potentials import make_calculator
from matwheel.wyckoff.gene_crystals import (
    BUILT,
    NOT_BUILT,
    GeneCrystalSettings,
    realise_gene,
    realise_genes,
)
from matwheel.wyckoff.gene_ranking import (
    best_realisation,
    build_verdicts,
    chosen_crystals,
    rank_realisations,
)
from matwheel.wyckoff.lattice_shapes import lattice_shapes, load_lattice_shapes
from matwheel.wyckoff.space_group_operations import has_operations, is_supergroup
from matwheel.wyckoff.wyckoff_genes import gene_of_crystal, make_gene, parse_gene
from matwheel.wyckoff.wyckoff_positions import LETTERS, wyckoff_positions

ROCK_SALT = parse_gene("225 Na:a Cl:b")
RUTILE = parse_gene("136 Ti:a O:f")
SETTINGS = GeneCrystalSettings(realisations=3)
EMT = {"tool": "emt", "tool_version": "1"}
PYXTAL = GeneCrystalSettings(realisations=3, placement="pyxtal")


def _rutile(name="rutile", stretch=1.0):
    u = 0.305
    lattice = np.diag([4.594, 4.594, 2.959 * stretch])
    oxygen = [[u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    coords = [[0, 0, 0], [0.5, 0.5, 0.5], *oxygen]
    return Crystal(name, ("Ti", "Ti", "O", "O", "O", "O"), lattice, np.array(coords) % 1)


def _bits(result):
    return [(c.species, c.lattice.tobytes(), c.frac_coords.tobytes()) for c in result.crystals]


def test_a_gene_without_freedom_has_one_crystal_the_right_one():
    result = realise_gene("x", ROCK_SALT, 22.43, SETTINGS, seed=0)
    assert result.status == BUILT and result.space_groups == (225,)
    assert result.genes == ("225 Na:a Cl:b",)
    (crystal,) = result.crystals
    assert sorted(crystal.species) == ["Cl", "Na"]  # the primitive cell
    assert crystal.volume_angstrom3 == pytest.approx(2 * 22.43)
    cartesian = (crystal.frac_coords[1] - crystal.frac_coords[0]) @ crystal.lattice
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ crystal.lattice
    assert np.linalg.norm(images + cartesian, axis=1).min() == pytest.approx(5.640 / 2, abs=2e-3)


@pytest.mark.parametrize("settings", [SETTINGS, PYXTAL])
@pytest.mark.parametrize("text", ["136 Ti:a O:f", "62 Ca:c Ti:b O:cd", "14 Zr:e O:e2", "166 Li:a Co:b O:c"])
def test_every_crystal_has_the_group_of_its_gene_or_a_supergroup(settings, text):
    gene = parse_gene(text)
    result = realise_gene("x", gene, 12.0, settings, seed=1)
    assert result.status == BUILT, result.reason
    assert len(result.crystals) == len(result.space_groups) == len(result.genes)
    for crystal, group, own in zip(result.crystals, result.space_groups, result.genes, strict=True):
        assert is_supergroup(group, gene.space_group)
        assert own == str(gene_of_crystal(crystal))
        assert len(crystal.species) * 12.0 == pytest.approx(crystal.volume_angstrom3)
        counts = np.array(list(crystal.element_counts.values()))
        expected = np.array([count for _, count in sorted(gene.atoms.items())])
        assert (counts * expected.sum() == expected * counts.sum()).all()


def test_general_positions_of_all_groups_are_built():
    """One atom on the general position and one volume: nothing but the tables of the group is at work."""
    settings = GeneCrystalSettings(realisations=1, draws=20, smallest_distance_factor=0.05)
    for group in range(1, 231, 7):
        letter = LETTERS[int(wyckoff_positions().exists[group].sum()) - 1]
        result = realise_gene("x", make_gene(group, [("Si", letter, 1)]), 60.0, settings, seed=0)
        assert result.status == BUILT, f"{group}: {result.reason}"
        assert is_supergroup(result.space_groups[0], group)


@pytest.mark.parametrize("settings", [SETTINGS, PYXTAL])
def test_same_seed_same_bits_whatever_ran_before(settings):
    gene = parse_gene("62 Ca:c Ti:b O:cd")
    first = realise_gene("x", gene, 12.0, settings, seed=1)
    np.random.seed(7)  # the global state must not matter
    realise_gene("y", RUTILE, 10.0, settings, seed=3)
    again = realise_gene("x", gene, 12.0, settings, seed=1)
    assert _bits(first) == _bits(again) and len(first.crystals) > 1
    assert _bits(realise_gene("x", gene, 12.0, settings, seed=2)) != _bits(first)
    assert _bits(realise_gene("z", gene, 12.0, settings, seed=1)) != _bits(first)


def test_shapes_of_the_same_group_are_drawn_at_the_volume_asked_for(tmp_path):
    shapes = lattice_shapes([_rutile(f"r{i}", 1 + 0.01 * i) for i in range(6)])
    shapes.save(tmp_path / "shapes.npz")
    shapes = load_lattice_shapes(tmp_path / "shapes.npz")
    assert shapes.space_group.tolist() == [136] * 6 and shapes.atoms.tolist() == [6] * 6
    result = realise_gene("x", RUTILE, 10.0, GeneCrystalSettings(realisations=8), 0, shapes)
    known = {round(2.959 * (1 + 0.01 * i) / 4.594, 6) for i in range(6)}
    found = set()
    for crystal in result.crystals:
        lengths = np.sort(np.linalg.norm(crystal.lattice, axis=1))
        assert lengths[1] == pytest.approx(lengths[2])
        found.add(round(float(lengths[0] / lengths[2]), 6))
        assert crystal.volume_angstrom3 == pytest.approx(60.0)
    assert found <= known and len(found) > 1
    # Groups with few shapes borrow from their crystal system; another system has none at all.
    assert len(shapes.like(parse_gene("123 Ti:a O:b"))) == 6
    assert len(shapes.like(ROCK_SALT)) == 0
    (tmp_path / "bad.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.npz"):
        load_lattice_shapes(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("text", "volume", "reason"),
    [
        ("225 Na:a Cl:a", 20.0, "fixed"),
        ("225 Na:a Cl:b", float("nan"), "volume"),
        ("225 Na:a Cl:b", 0.5, "no room"),
        ("227 Na:i3", 20.0, "576 atoms"),
    ],
)
def test_what_cannot_be_built_fails_with_a_reason(text, volume, reason):
    result = realise_gene("x", parse_gene(text), volume, SETTINGS, seed=0)
    assert result.status == NOT_BUILT and reason in result.reason and not result.crystals
    (verdict,) = build_verdicts([result], **EMT).to_dict("records")
    assert verdict["verdict"] == "fail" and reason in verdict["reason"]


def test_an_element_without_radii_in_pyxtal_fails_there_and_is_built_here():
    gene = parse_gene("225 Lr:a Cl:b")
    assert realise_gene("x", gene, 30.0, SETTINGS, seed=0).status == BUILT
    failed = realise_gene("x", gene, 30.0, PYXTAL, seed=0)
    assert failed.status == NOT_BUILT and "no radii of Lr" in failed.reason


def test_a_gene_that_hangs_ends_the_job():
    settings = GeneCrystalSettings(realisations=500, realisations_per_degree=500, time_limit_seconds=0.3)
    started = time.process_time()
    with pytest.raises(Hung, match=r"crystals of x .* 0.3 s"):
        realise_gene("x", parse_gene("19 Ca:a3 Ti:a3 O:a6"), 12.0, settings, seed=0)
    assert time.process_time() - started < 5


def test_operations_are_those_of_the_crystal():
    assert has_operations(_rutile(), 136)
    assert has_operations(_rutile(), 58)  # a subgroup in the same setting
    assert not has_operations(_rutile(), 225)
    shaken = _rutile()
    shaken.frac_coords[2] += 0.01
    assert not has_operations(shaken, 136) and has_operations(shaken, 1)
    sheared = Crystal("s", shaken.species, np.diag([4.6, 4.5, 2.9]), _rutile().frac_coords)
    assert not has_operations(sheared, 136) and has_operations(sheared, 58)


def test_supergroups():
    assert is_supergroup(225, 225) and is_supergroup(225, 1) and is_supergroup(221, 123)
    assert is_supergroup(221, 225) and is_supergroup(225, 221)  # each within the other, in larger cells
    assert is_supergroup(136, 58) and not is_supergroup(58, 136) and not is_supergroup(225, 194)
    with pytest.raises(ValueError, match="no space group 0"):
        is_supergroup(0, 1)


def test_best_realisation():
    assert best_realisation([2.0, float("nan"), 1.0, 1.0]) == 2
    assert best_realisation([float("nan")]) is None and best_realisation([]) is None


def _copper(name, a):
    return Crystal(name, ("Cu",), a / 2 * (np.ones((3, 3)) - np.eye(3)), np.zeros((1, 3)))


def test_ranking_takes_the_lowest_sane_energy_and_survives_bad_crystals():
    calculator = make_calculator("emt")
    crowded = Crystal("c", ("Cu", "Cu"), np.eye(3) * 4, np.array([[0, 0, 0], [0.01, 0, 0]]))
    foreign = Crystal("f", ("Xe",), np.eye(3) * 4, np.zeros((1, 3)))
    table = rank_realisations(
        {"a": [crowded, _copper("1", 4.0), _copper("2", 3.61), foreign], "b": [crowded], "c": [foreign]},
        calculator,
        log=lambda _: None,
    )
    assert table.loc[table["chosen"], ["id", "realisation"]].to_numpy().tolist() == [["a", 2]]
    assert table["problem"].astype(bool).tolist() == [True, False, False, True, True, True]
    assert np.isnan(table["energy_ev_per_atom"]).tolist()[3:] == [True, False, True]


def test_from_genes_to_verdicts():
    genes = [
        parse_gene("225 Cu:a"),
        parse_gene("123 Cu:a Au:d"),
        parse_gene("225 Cu:a2"),
        parse_gene("225 Xe:a"),
    ]
    ids = [f"g-{i}" for i in range(4)]
    results = realise_genes(ids, genes, [11.8, 14.0, 12.0, 40.0], SETTINGS, 0, log=lambda _: None)
    ranking = rank_realisations(
        {r.candidate_id: r.crystals for r in results if r.crystals},
        make_calculator("emt"),
        log=lambda _: None,
    )
    verdicts = build_verdicts(results, ranking, **EMT)
    assert verdicts["verdict"].tolist() == ["pass", "pass", "fail", "error"]
    assert set(verdicts["tool"]) == {"emt"} and set(verdicts["tool_version"]) == {"1"}
    crystals = chosen_crystals(results, ranking)
    assert [crystal.id for crystal in crystals] == ids[:2]
    lowest = ranking[ranking["id"] == "g-1"]["energy_ev_per_atom"].min()
    assert verdicts["value"][1] == lowest
    assert [len(result.crystals) for result in results] == [1, 3, 0, 1]
    assert list(results[0].genes) == [str(results[0].gene)] and results[2].status == NOT_BUILT
    assert all(result.seconds > 0 for result in results)


def test_wrong_batches_and_settings_are_refused():
    with pytest.raises(InputError, match="give one each"):
        realise_genes(["a", "a"], [ROCK_SALT, RUTILE], [10, 10], SETTINGS, 0)
    for wrong in ({"placement": "best"}, {"realisations": 0}, {"draws": 1.5}, {"time_limit_seconds": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            GeneCrystalSettings(**wrong)
