from math import nan

import numpy as np
import pandas as pd
import pytest

from matwheel.candidates.ranking import (
    COLUMNS,
    OVERALL,
    JudgedCandidates,
    candidates_table,
    judge_candidate,
    ranked,
)
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table
from matwheel.screening.novelty import novel_relaxed_verdicts, novelty_verdicts
from matwheel.screening.reference_sets import reference_of_formulas, reference_of_table
from matwheel.verdicts import Verdict, verdict_table

SCREENS = ["structure", "unique", "relaxation", "unique_relaxed", "hull_dft", "phonons"]


def verdicts_of(name, dft=nan, potential=nan, **said):
    """All screens pass unless said otherwise; None leaves a screen out."""
    given = {**dict.fromkeys(SCREENS, "pass"), **said}
    values = {"hull_dft": dft, "hull_potential": potential, "phonons": -0.02}
    return [
        Verdict(
            name,
            screen,
            verdict,
            values.get(screen, nan),
            reason="" if verdict == "pass" else f"{screen} says",
        )
        for screen, verdict in given.items()
        if verdict is not None
    ]


def judged(verdicts, screens=SCREENS):
    table = verdict_table(verdicts).to_dict("records")
    return judge_candidate({row["screen"]: row for row in table}, screens)


@pytest.mark.parametrize(
    ("verdicts", "overall", "words"),
    [
        (verdicts_of("a", dft=-0.01), "stable", "-0.010 (DFT)"),
        (verdicts_of("a", dft=0.0, potential=0.0, hull_potential="pass"), "stable", "0.000 (potential)"),
        (verdicts_of("a", dft=0.05), "metastable", "0.050 (DFT)"),
        (
            verdicts_of("a", dft=-0.01, potential=0.06, hull_potential="pass"),
            "metastable",
            "0.060 (potential)",
        ),
        (verdicts_of("a"), "passed", "no energy above hull"),
        (verdicts_of("a", dft=0.01, hull="undecided"), "undecided", "hull: hull says"),
        (verdicts_of("a", dft=0.01, phonons="undecided"), "undecided", "phonons: phonons says"),
        (verdicts_of("a", dft=0.01, phonons=None), "unfinished", "not judged: phonons"),
        (
            verdicts_of("a", relaxation="error", unique_relaxed=None, hull_dft=None, phonons=None),
            "error",
            "relaxation: relaxation",
        ),
        (verdicts_of("a", relaxation="undecided", phonons="fail"), "rejected", "phonons: phonons says"),
        (
            verdicts_of("a", dft=-0.2, unique_relaxed="fail", phonons=None),
            "rejected",
            "unique relaxed: unique_relaxed says",
        ),
        (verdicts_of("a", structure="fail", unique="fail"), "rejected", "structure: structure says"),
        ([], "unfinished", "not judged: structure, unique, relaxation, unique relaxed, hull dft, phonons"),
    ],
)
def test_overall_verdict(verdicts, overall, words):
    judgement = judged(verdicts)
    assert judgement.overall == overall and words in judgement.reason


def test_how_far_a_candidate_came_and_what_was_not_tested():
    assert judged(verdicts_of("a", relaxation="fail")).passed == 2
    assert judged(verdicts_of("a", relaxation="fail")).decided_by == "relaxation"
    without = judged(verdicts_of("a", dft=0.01, phonons=None), SCREENS[:-1])
    assert without.overall == "metastable" and "dynamical stability not tested" in without.reason
    assert without.passed == 5


def crystal_rows(names, **columns):
    frame = pd.DataFrame({"id": names, "formula": [f"X{name}" for name in names], "space_group": 225})
    return frame.assign(**columns)


def test_the_table_is_ranked_by_class_then_energy_then_how_far_then_id():
    verdicts = [
        *verdicts_of("late", relaxation="fail", hull_dft=None, phonons=None),
        *verdicts_of("high", dft=0.3, hull_dft="fail"),
        *verdicts_of("early", structure="fail", unique=None, relaxation=None, hull_dft=None, phonons=None),
        *verdicts_of("meta", dft=-0.02, potential=0.02, hull_potential="pass"),
        *verdicts_of("stable-b", dft=-0.01),
        *verdicts_of("stable-a", dft=-0.01),
        *verdicts_of("best", dft=-0.2),
        *verdicts_of("open", dft=-0.5, phonons=None),
        *verdicts_of("unsure", dft=-0.9, phonons="undecided"),
        Verdict("row-7", "structure", "error", reason="no crystal"),
    ]
    names = [name for name in dict.fromkeys(verdict.candidate_id for verdict in verdicts) if name != "row-7"]
    one = JudgedCandidates("salts", crystal_rows(names, condition=2.5), verdict_table(verdicts), SCREENS)
    table = candidates_table([one])
    assert table["id"].tolist() == [
        "best", "stable-a", "stable-b", "meta", "unsure", "open", "row-7", "high", "late", "early",
    ]  # fmt: skip
    assert table["rank"].tolist() == list(range(1, 11)) and tuple(table.columns) == COLUMNS
    assert set(table["verdict"]) <= set(OVERALL)
    row = table.set_index("id").loc["row-7"]
    assert row["verdict"] == "error" and row["formula"] == "" and pd.isna(row["space_group"])
    # The order of the input does not matter.
    shuffled = JudgedCandidates(
        "salts", one.crystals.iloc[::-1], one.verdicts.sample(frac=1, random_state=0), SCREENS
    )
    pd.testing.assert_frame_equal(candidates_table([shuffled]), table)


def test_every_figure_is_where_it_belongs():
    verdicts = [
        *verdicts_of("a", dft=0.02, potential=0.03, hull_potential="pass", hull="pass"),
        *verdicts_of("b", structure="fail", unique=None, relaxation=None, hull_dft=None, phonons=None),
    ]
    one = JudgedCandidates(
        "salts",
        crystal_rows(["a", "b"], condition=[1.5, 2.5], species=[["Na"], ["K"]]),
        verdict_table(verdicts),
        SCREENS,
        predicted={"a": 1.25},
        relaxed_space_groups={"a": 12},
        cif_archive="candidates.zip",
        archived=frozenset({"a"}),
    )
    table = candidates_table([one]).set_index("id")
    a = table.loc["a"]
    assert (a["dataset"], a["formula"], a["space_group"], a["condition"]) == ("salts", "Xa", 12, 1.5)
    assert (a["predicted_property"], a["e_hull_dft_ev_per_atom"]) == (1.25, 0.02)
    assert (a["e_hull_potential_ev_per_atom"], a["lowest_frequency_thz"]) == (0.03, -0.02)
    assert (a["hull_verdict"], a["dynamical_verdict"], a["verdict"]) == ("pass", "pass", "metastable")
    assert a["cif"] == "candidates.zip/a.cif" and a["screens_passed"] == 6
    b = table.loc["b"]
    assert b["cif"] == "" and b["space_group"] == 225 and b["hull_verdict"] == ""
    assert np.isnan(b["predicted_property"]) and b["reason"] == "structure: structure says"


def test_without_named_screens_both_hulls_together_decide():
    """A test of names against a column, which asks its index, once let each hull reject by itself."""
    verdicts = verdicts_of(
        "a", dft=0.2, potential=0.01, hull_dft="fail", hull_potential="pass", hull="undecided"
    )
    (row,) = candidates_table(
        [JudgedCandidates("salts", crystal_rows(["a"]), verdict_table(verdicts))]
    ).to_dict("records")
    assert (row["verdict"], row["reason"]) == ("undecided", "hull: hull says")


def test_tables_of_several_sets_are_ranked_as_one(tmp_path):
    sets = []
    for name, x, y in (("one", 0.02, -0.1), ("two", 0.02, 0.01)):
        verdicts = verdict_table([*verdicts_of("x", dft=x), *verdicts_of("y", dft=y)])
        sets.append(JudgedCandidates(name, crystal_rows(["x", "y"]), verdicts, SCREENS))
    together = candidates_table(sets)
    paths = [tmp_path / f"{one.dataset}.csv" for one in sets]
    for path, one in zip(paths, sets, strict=True):
        candidates_table([one]).to_csv(path, index=False)
    joined = ranked([pd.read_csv(path) for path in paths])
    assert together[["dataset", "id"]].to_numpy().tolist() == [
        ["one", "y"], ["two", "y"], ["one", "x"], ["two", "x"],
    ]  # fmt: skip
    assert joined[["rank", "dataset", "id"]].equals(together[["rank", "dataset", "id"]])
    assert candidates_table([]).empty and tuple(candidates_table([]).columns) == COLUMNS


def test_a_known_candidate_names_what_it_is_known_as():
    """By what the screens of novelty themselves say."""

    def rock_salt(name, cation, edge):
        places = [[0, 0, 0], [0.5, 0.5, 0.5]]
        return Crystal(name, (cation, "Cl"), edge * (np.ones((3, 3)) - np.eye(3)) / 2, np.array(places))

    salt, near, other = rock_salt("a", "Na", 5.64), rock_salt("b", "Na", 9.5), rock_salt("c", "K", 6.3)
    near = Crystal("b", near.species, np.diag([4.0, 4.0, 9.0]), near.frac_coords)
    structures = reference_of_table("mp", crystal_table([rock_salt("mp-22862", "Na", 5.6)]), "here")
    verdicts = [
        *novelty_verdicts([salt, near, other], structures),
        *novelty_verdicts([salt, near, other], reference_of_formulas("formula", ["NaCl"], "here")),
        *novel_relaxed_verdicts([rock_salt("d", "Na", 5.5)], structures),
        Verdict("e", "novel_gene", "fail", reason="the gene is known in training"),
        Verdict("f", "novel_mp", "error", reason="not comparable: no atoms"),
        Verdict("g", "unique", "fail", reason="is a copy of a"),
    ]
    table = candidates_table(
        [JudgedCandidates("salts", crystal_rows([]), verdict_table(verdicts), ["novel_mp"])]
    )
    known = table.set_index("id")["known_as"].to_dict()
    assert known == {
        "a": "mp-22862 of mp",
        "b": "formula NaCl",
        "c": "",
        "d": "mp-22862 of mp",
        "e": "gene of training",
        "f": "",
        "g": "",
    }
