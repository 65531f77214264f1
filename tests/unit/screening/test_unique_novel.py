"""Uniqueness and novelty verdicts, and the reference sets they compare with."""

import gzip
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition
from pymatgen.io.cif import CifWriter

from matwheel.compositions.formulas import ELEMENTS, parse_formulas, reduce_counts
from matwheel.core.errors import InputError
from matwheel.core.processes import map_in_order
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import crystal_table, crystals_of_table
from matwheel.generators.null import rattle_crystals
from matwheel.screening import uniqueness as unique
from matwheel.screening.novelty import novel_relaxed_verdicts, novelty, novelty_verdicts
from matwheel.screening.reference_sets import (
    formulas_of_csv,
    mp_mirror_table,
    reference_of_formulas,
    reference_of_table,
    spelled_formulas,
)
from matwheel.screening.uniqueness import (
    unique_relaxed_verdicts,
    unique_verdicts,
    uniqueness,
    uniqueness_curve,
)
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED

REFERENCES = Path(__file__).resolve().parents[2] / "data" / "references"
HALF = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])


def salt(name, length=5.64, species=("Na", "Cl")):
    return Crystal(name, species, length / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), HALF)


def caesium(name, length=3.5):
    return Crystal(name, ("Na", "Cl"), length * np.eye(3), HALF)


def disguised(crystal, kind):
    """The same crystal, written in another way."""
    name = f"{crystal.id}-{kind}"
    if kind == "supercell":
        structure = to_structure(crystal)
        structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        species = [site.specie.symbol for site in structure]
        return Crystal(name, species, structure.lattice.matrix, structure.frac_coords)
    if kind == "rotated":
        turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
        return Crystal(name, crystal.species, crystal.lattice @ turn, crystal.frac_coords)
    if kind == "permuted":
        order = np.random.default_rng(1).permutation(len(crystal.species))
        species = [crystal.species[i] for i in order]
        return Crystal(name, species, crystal.lattice, crystal.frac_coords[order] + [0.1, 0.2, 0.3])
    skew = np.array([[1, 0, 0], [1, 1, 0], [-2, 1, 1]])
    return Crystal(name, crystal.species, skew @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(skew))


def verdicts_of(verdicts):
    return {verdict.candidate_id: (verdict.verdict, verdict.reason) for verdict in verdicts}


@pytest.mark.parametrize("kind", ["supercell", "rotated", "permuted", "skewed"])
def test_a_crystal_in_disguise_is_a_copy_and_is_known(jarvis_crystals, poly_crystals, kind):
    originals = [c for c in [*jarvis_crystals[0], *poly_crystals[0][::2]] if len(c.species) <= 8]
    assert len(originals) > 30
    copies = [disguised(crystal, kind) for crystal in originals]
    table = uniqueness([*originals, *copies]).set_index("id")
    groups = uniqueness(originals).set_index("id")["group"]
    for original, copy in zip(originals, copies, strict=True):
        assert table.loc[copy.id, "group"] == groups[original.id]
    reference = reference_of_table("training", crystal_table(originals), "test data")
    for verdict in novelty_verdicts(copies, reference):
        assert verdict.verdict == FAIL and verdict.screen == "novel_training"
        assert verdict.reason.endswith(" of training")


def test_the_first_by_id_passes_and_its_copies_name_it():
    crystals = [salt("c", 5.7), caesium("d"), salt("b"), salt("a", 5.6), Crystal("e", (), np.eye(3), [])]
    verdicts = unique_verdicts(uniqueness(crystals))
    assert [v.candidate_id for v in verdicts] == ["c", "d", "b", "a", "e"]
    found = verdicts_of(verdicts)
    assert found["a"] == (PASS, "") == found["d"]
    assert found["b"] == (FAIL, "copy of a") == found["c"]
    assert found["e"][0] == ERROR and "no atoms" in found["e"][1]
    # The first that earlier screens let through stands for its group.
    found = verdicts_of(unique_verdicts(uniqueness(crystals), eligible={"c", "d"}))
    assert found["c"] == (PASS, "") and found["a"] == (FAIL, "copy of c") == found["b"]
    with pytest.raises(ValueError, match="'a'"):
        unique_verdicts(uniqueness([salt("a"), caesium("a")]))
    assert unique_verdicts(uniqueness([])) == []


def test_of_crystals_that_relaxed_to_one_structure_the_lowest_passes_in_any_order():
    crystals = [salt("c", 5.70), caesium("d"), salt("b", 5.62), salt("a", 5.6), salt("e"), caesium("f", 3.51)]
    energies = {"a": -3.50, "b": -3.75, "c": -3.75, "d": -3.0, "e": -3.25, "f": -3.125}
    wanted = {
        "a": (FAIL, "relaxes to the same crystal as b"),
        "b": (PASS, ""),  # as low as c, and before it by id
        "c": (FAIL, "relaxes to the same crystal as b"),
        "d": (FAIL, "relaxes to the same crystal as f"),
        "e": (FAIL, "relaxes to the same crystal as b"),
        "f": (PASS, ""),
    }
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(crystals))
        verdicts = unique_relaxed_verdicts(uniqueness([crystals[i] for i in order]), energies)
        assert [v.candidate_id for v in verdicts] == [crystals[i].id for i in order]
        assert verdicts_of(verdicts) == wanted and {v.screen for v in verdicts} == {"unique_relaxed"}
        assert {v.candidate_id: v.value for v in verdicts if v.verdict == FAIL} == {
            "a": 0.25, "c": 0.0, "d": 0.125, "e": 0.5,
        }  # fmt: skip
    # One that earlier screens rejected never stands for its group while another passed them.
    groups = uniqueness(crystals)
    found = verdicts_of(unique_relaxed_verdicts(groups, energies, eligible={"a", "e", "d"}))
    assert [name for name, (verdict, _) in found.items() if verdict == PASS] == ["d", "a"]
    assert found["b"] == (FAIL, "relaxes to the same crystal as a")
    assert unique_relaxed_verdicts(uniqueness([]), {}) == []
    with pytest.raises(ValueError, match="'d'"):
        unique_relaxed_verdicts(groups, {**energies, "d": np.nan})


def test_what_relaxed_to_a_known_crystal_names_it():
    reference = reference_of_table("training", crystal_table([salt("mp-22862")]), "test data")
    verdicts = novel_relaxed_verdicts([salt("a", 5.7), caesium("b"), salt("c", 6.6, ("K", "Br"))], reference)
    assert {verdict.screen for verdict in verdicts} == {"novel_relaxed"}
    assert verdicts_of(verdicts) == {
        "a": (FAIL, "relaxes to mp-22862 of training"), "b": (PASS, ""), "c": (PASS, ""),
    }  # fmt: skip
    with pytest.raises(ValueError, match="formulas only"):
        novel_relaxed_verdicts([salt("a")], reference_of_formulas("formula", ["NaCl"], "by hand"))


def test_verdict_is_undecided_where_the_limit_left_pairs_out():
    crystals = [salt("a"), salt("b", 5.7), caesium("c"), caesium("d", 3.6)]
    found = verdicts_of(unique_verdicts(uniqueness(crystals, comparisons_per_formula=2)))
    assert found["a"][0] == PASS and found["b"] == (FAIL, "copy of a")
    assert found["d"][0] == UNDECIDED and "comparison limit" in found["d"][1]
    # Crystals that are the same number for number need no comparison at all.
    same = [salt("a"), salt("b"), caesium("c"), caesium("d"), caesium("e")]
    table = uniqueness(same, comparisons_per_formula=1)
    assert table["group"].tolist() == ["a", "a", "c", "c", "c"] and not table["error"].any()


def test_groups_equal_those_of_all_pairs_in_any_order_and_any_number_of_processes(jarvis_crystals):
    base = [salt("s"), caesium("t"), *jarvis_crystals[0][:6]]
    crystals = rattle_crystals(base, 40, seed=3, id_prefix="r", displacement_angstrom=1.0, strain=0.1)
    items = unique.comparable(crystals)
    parent = list(range(len(items)))
    for i in range(len(items)):
        for j in range(i):
            if items[i].formula == items[j].formula and unique.same_structure(items[i], items[j]):
                parent = [parent[j] if p == parent[i] else p for p in parent]
    table = uniqueness(crystals)
    labels = table["group"].to_numpy()
    assert np.array_equal(labels[:, None] == labels, np.equal.outer(parent, parent))
    assert len(base) < len(set(parent)) < len(crystals)
    order = np.random.default_rng(0).permutation(len(crystals))
    shuffled = uniqueness([crystals[i] for i in order], processes=2)
    assert shuffled.equals(table.iloc[order].reset_index(drop=True))


def test_curve_counts_distinct_structures_in_generation_order():
    crystals = [
        salt("1"),
        salt("2", 5.7),
        caesium("3"),
        salt("4", 5.6),
        caesium("5", 3.6),
        salt("6", 6, ("K", "Br")),
    ]
    curve = uniqueness_curve(uniqueness(crystals))
    assert curve["n"].tolist() == [1, 2, 3, 4, 5, 6]
    assert curve["unique"].tolist() == [1, 1, 2, 2, 2, 3]
    assert curve["fraction_unique"].iloc[-1] == curve["fraction_expected"].iloc[-1] == 0.5
    # The mean over all orders, by going through all pairs: groups of 3, 2 and 1.
    labels = [0, 0, 0, 1, 1, 2]
    pairs = [len({labels[i], labels[j]}) for i in range(6) for j in range(i)]
    assert curve["fraction_expected"].iloc[1] == pytest.approx(np.mean(pairs) / 2)
    assert len(uniqueness_curve(uniqueness(crystals), points=3)) == 3
    assert len(uniqueness_curve(uniqueness([]))) == 0


def test_a_pair_of_cells_that_would_take_minutes_is_refused_at_once():
    random = np.random.default_rng(0)
    needles = [
        Crystal(f"{i}", ("Na",) * 2, np.diag([1.0, 1.01, 190.0]) * (1 + i / 50), random.random((2, 3)))
        for i in range(2)
    ]
    started = time.process_time()
    table = uniqueness(needles)
    assert time.process_time() - started < 20
    assert table["error"].str.contains("ComparisonTooLarge").tolist() == [False, True]
    assert table["comparable"].all()
    assert verdicts_of(unique_verdicts(table))["1"][0] == UNDECIDED
    reference = reference_of_table("training", crystal_table(needles[:1]), "test")
    verdict = novelty_verdicts(needles[1:], reference)[0]
    assert verdict.verdict == UNDECIDED and "0: ComparisonTooLarge" in verdict.reason


def test_the_bound_on_a_comparison_is_in_force(monkeypatch):
    monkeypatch.setattr(unique, "_MOST_CHECKS", 1000)
    one, other = unique.comparable([salt("a"), salt("b", 6.0)])
    assert len(one.reduced) == 2
    with pytest.raises(unique.ComparisonTooLarge, match="lay one cell"):
        unique.same_structure(one, other)


def test_broken_crystals_get_verdicts_and_stop_nothing():
    broken = [
        Crystal("flat", ("Na", "Cl"), np.diag([4.0, 4.0, 0.0]), HALF),
        Crystal("nan", ("Na", "Cl"), np.full((3, 3), np.nan), HALF),
        Crystal("empty", (), np.eye(3), np.zeros((0, 3))),
        Crystal("large", ("Na",) * 500, 30 * np.eye(3), np.random.default_rng(0).random((500, 3))),
    ]
    reference = reference_of_table(
        "training", crystal_table([salt("known"), salt("k", 6.3, ("K", "Cl"))]), "test"
    )
    for judged in (unique_verdicts(uniqueness([*broken, salt("new")])),
                   novelty_verdicts([*broken, salt("new")], reference)):  # fmt: skip
        assert [v.verdict for v in judged[:4]] == [ERROR] * 4
        assert all(v.reason for v in judged[:4])
        words = ("volume", "finite", "no atoms", "500 atoms")
        assert all(word in v.reason for v, word in zip(judged[:4], words, strict=True))
    assert judged[4].reason == "is known of training"


def test_a_broken_reference_crystal_leaves_its_formula_undecided():
    flat = Crystal("flat", ("Na", "Cl"), np.diag([4.0, 4.0, 0.0]), HALF)
    reference = reference_of_table("mp", crystal_table([flat, caesium("known")]), "test")
    found = verdicts_of(
        novelty_verdicts([salt("a"), caesium("b"), salt("c", species=("K", "Br"))], reference)
    )
    assert found["a"][0] == UNDECIDED and "flat" in found["a"][1]
    assert found["b"] == (FAIL, "is known of mp") and found["c"] == (PASS, "")


def test_novelty_is_the_same_in_several_processes(jarvis_crystals):
    training = jarvis_crystals[0][:20]
    made = rattle_crystals(
        jarvis_crystals[0], 40, seed=1, id_prefix="r", displacement_angstrom=0.2, strain=0.05
    )
    table = novelty(made, training)
    assert table.equals(novelty(made, training, processes=2))
    assert 0 < table["structure_novel"].sum() < 40


def test_a_formula_set_knows_formulas_only():
    reference = reference_of_formulas("formula", ["Na1 Cl1", "CaTiO3", "NaN"], "a list")
    assert reference.formulas == {"NaCl", "CaTiO3", "NaN"} and len(reference) == 3
    crystals = [caesium("a"), salt("b", species=("Na", "N")), salt("c", species=("K", "Cl"))]
    verdicts = novelty_verdicts([*crystals, Crystal("d", (), np.eye(3), [])], reference)
    assert {v.screen for v in verdicts} == {"novel_formula"}
    found = verdicts_of(verdicts)
    assert found["a"] == (FAIL, "formula NaCl is known in formula; structure not compared")
    assert found["b"][0] == FAIL and found["c"] == (PASS, "") and found["d"][0] == ERROR
    with pytest.raises(InputError, match="row 2: 'Qq' in 'Qq2'"):
        reference_of_formulas("formula", ["NaCl", "Qq2"], "a list")
    with pytest.raises(InputError, match="no formulas"):
        reference_of_formulas("formula", [], "a list")


def test_formulas_of_a_csv_keep_sodium_nitride():
    assert formulas_of_csv(b"formula,target\nNaN,1\nNaCl,2\n", "f.csv") == ["NaN", "NaCl"]
    with pytest.raises(InputError, match=r"f\.csv: no column 'formula'; it has composition"):
        formulas_of_csv(b"composition\nNaCl\n", "f.csv")
    with pytest.raises(InputError, match="line 3"):
        formulas_of_csv(b"formula,target\nNaCl,1\n,2\n", "f.csv")


def test_formulas_are_spelled_as_pymatgen_spells_those_of_crystals():
    generator = np.random.default_rng(4)
    known = pd.read_csv(REFERENCES / "archive_phases.csv")["formula"]
    counts = [parse_formulas(known).counts]
    for elements in (1, 2, 3, 4, 5):
        drawn = np.zeros((800, len(ELEMENTS)), dtype=np.int32)
        for row in drawn:
            # Light and common ones too, of which polyanions and peroxides are made.
            common = [ELEMENTS.index(symbol) for symbol in ("H", "Li", "Na", "K", "O", "N", "C", "S", "F")]
            pool = common if generator.random() < 0.5 else np.arange(len(ELEMENTS))
            row[generator.choice(pool, size=elements, replace=False)] = generator.integers(1, 9, elements)
        counts.append(drawn)
    reduced = reduce_counts(np.concatenate(counts))
    spelled = spelled_formulas(reduced)
    for row, formula in zip(reduced, spelled, strict=True):
        amounts = {ELEMENTS[place]: int(row[place]) for place in np.flatnonzero(row)}
        assert formula == Composition(amounts).reduced_formula
    assert {"H2O2", "O2", "Na2O2"} <= set(spelled) and any("(" in formula for formula in spelled)


def test_hash_of_a_set_is_that_of_its_content(jarvis_crystals):
    crystals = jarvis_crystals[0][:6]
    table = crystal_table(crystals)
    whole = reference_of_table("training", table, "test")
    assert whole.sha256 == reference_of_table("x", crystal_table(crystals[::-1]), "").sha256
    part = reference_of_table("training", table, "test", ids=[c.id for c in crystals[:3]])
    assert part.sha256 == reference_of_table("x", crystal_table(crystals[:3]), "").sha256 != whole.sha256
    moved = [Crystal(c.id, c.species, c.lattice, c.frac_coords + 1e-6) for c in crystals]
    assert reference_of_table("x", crystal_table(moved), "").sha256 != whole.sha256
    assert [c.id for c in part.crystals_of(set(part.formulas))] == [c.id for c in crystals[:3]]
    assert part.crystals_of({"Xe"}) == []
    formulas = [
        reference_of_formulas("f", order, "").sha256 for order in (["NaCl", "KBr"], ["Br1K1", "NaCl"])
    ]
    assert formulas[0] == formulas[1]
    with pytest.raises(InputError, match="'missing'"):
        reference_of_table("training", table, "test", ids=["missing"])


def test_mirror_files_become_one_crystal_table(tmp_path, poly_crystals):
    crystals = poly_crystals[0][:4]
    cifs = [str(CifWriter(to_structure(crystal))) for crystal in crystals]
    first, second = tmp_path / "mp20_biternary_val.csv.gz", tmp_path / "mpts52_val.csv.gz"
    frame = pd.DataFrame({"material_id": ["mp-3", "mp-1"], "e_above_hull": [0.1, 0.0], "cif": cifs[:2]})
    first.write_bytes(gzip.compress(frame.assign(formation_energy_per_atom=[-1.0, -2.0]).to_csv().encode()))
    frame = pd.DataFrame({"material_id": ["mp-1", "mp-2"], "energy_above_hull": [9.0, 0.2], "cif": cifs[2:]})
    second.write_bytes(gzip.compress(frame.to_csv().encode()))
    said: list[str] = []
    table = mp_mirror_table([first, second], said.append)
    assert [line.split(", ")[0] for line in said] == [
        f"crystals of {path.name} 2/2" for path in (first, second)
    ]
    assert "space_group" not in table
    assert table["id"].tolist() == ["mp-1", "mp-2", "mp-3"]
    assert table["e_above_hull_ev_per_atom"].tolist() == [0.0, 0.2, 0.1]
    assert table["formation_energy_ev_per_atom"].tolist()[::2] == [-2.0, -1.0]
    assert table["source_file"].tolist() == [first.name, second.name, first.name]
    reference = reference_of_table("mp", table, "mirror")
    found = [v.reason for v in novelty_verdicts([crystals[1], crystals[3], crystals[0]], reference)]
    assert found == ["is mp-1 of mp", "is mp-2 of mp", "is mp-3 of mp"]
    assert len(crystals_of_table(table)) == 3

    frame.assign(cif=["data_x\n", cifs[0]]).to_csv(tmp_path / "broken.csv")
    with pytest.raises(InputError, match=r"broken\.csv: mp-1 \(up to line"):
        mp_mirror_table([tmp_path / "broken.csv"])
    frame.drop(columns="cif").to_csv(tmp_path / "short.csv")
    with pytest.raises(InputError, match=r"short\.csv: no column 'cif'"):
        mp_mirror_table([tmp_path / "short.csv"])
    with pytest.raises(InputError, match=r"gone\.csv"):
        mp_mirror_table([tmp_path / "gone.csv"])


def test_work_in_processes_keeps_its_order():
    tasks = list(range(40))
    costs = [float(task % 7) for task in tasks]
    assert map_in_order(abs, tasks, costs, processes=2) == tasks
    assert map_in_order(abs, [], [], processes=2) == []
    with pytest.raises(TypeError):
        map_in_order(abs, [1, "text", 2], [1.0, 1.0, 1.0], processes=2)


@pytest.mark.parametrize("text", ["Fe0O2", "Fe(II)O", "D2O", "Li0.5CoO2", "Qq2", ""])
def test_what_is_no_formula_never_becomes_another_one(text):
    with pytest.raises(InputError, match=r"row 2: "):
        reference_of_formulas("formula", ["NaCl", text, "KBr"], "a list")


def test_all_wrong_formulas_of_a_list_are_named_together():
    with pytest.raises(InputError, match="2 rows cannot be used") as refusal:
        reference_of_formulas("formula", ["NaCl", "Fe0O2", "KBr", "D2O"], "a list")
    assert "row 2: " in str(refusal.value) and "row 4: " in str(refusal.value)
