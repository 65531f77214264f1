"""What the generic stages ask of a set of candidates, and who makes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from matwheel.candidates.candidate_set import CandidateSet, CandidateSets
from matwheel.core.errors import InputError

CRYSTALS = CandidateSet(
    "matwheel/mine/random/seed0/full",
    "mine",
    screens={
        "structure": "structure",
        "symmetry": "structure",
        "charge_neutrality": "composition",
        "unique": "uniqueness",
        "novel_training": "novelty",
        "novel_formula": "novelty",
    },
    required=["structure", "charge_neutrality", "unique", "novel_training"],
    unique="unique",
    novel=["novel_training", "novel_relaxed"],
    references={"training": ["crystals.parquet"], "formula": ["phases.csv"]},
    references_after={"training": ["crystals.parquet"]},
    relax_at_most=500,
    phonons_at_most=50,
)


def test_files_of_verdicts_are_named_once_in_the_order_of_the_funnel() -> None:
    folder = "results/matwheel/mine/random/seed0/full/verdicts"
    assert CRYSTALS.verdict_files("relaxation", "hull") == [
        f"{folder}/{name}.parquet"
        for name in ("structure", "composition", "uniqueness", "novelty", "relaxation", "hull")
    ]


def test_what_was_required_before_holds_after_relaxation() -> None:
    assert CRYSTALS.required_of_relaxed == ["unique_relaxed", "novel_relaxed"]
    assert CRYSTALS.funnel == [
        "structure", "charge_neutrality", "unique", "novel_training", "single_point", "relaxation",
        "unique_relaxed", "novel_relaxed", "hull", "phonons",
    ]  # fmt: skip
    copies_stay = replace(CRYSTALS, required=["structure"])
    assert copies_stay.required_of_relaxed == []
    # S.U.N. asks for unique and novel crystals, required or not.
    assert copies_stay.before_relaxation == ["structure", "unique", "novel_training"]


def test_a_set_without_training_rows_is_not_asked_for_what_was_not_judged() -> None:
    without = replace(
        CRYSTALS, screens={"structure": "structure", "unique": "uniqueness"}, required=["structure"]
    )
    assert without.before_relaxation == ["structure", "unique"]


def test_further_screens_of_relaxed_candidates_come_last() -> None:
    genes = replace(CRYSTALS, novel=["novel_gene"], required_after=["band_gap"])
    assert genes.required_of_relaxed == ["unique_relaxed", "band_gap"]


def test_sets_are_made_by_their_family_and_once() -> None:
    made = []

    def make(name: str) -> CandidateSet:
        made.append(name)
        return replace(CRYSTALS, name=name)

    sets = CandidateSets()
    sets.register(r"real/\w+", make)
    sets.register(r"wycryst/round\d+", make)
    assert sets["wycryst/round2"].name == "wycryst/round2"
    assert sets["wycryst/round2"] is sets["wycryst/round2"] and made == ["wycryst/round2"]
    assert sets.pattern == r"real/\w+|wycryst/round\d+"


@pytest.mark.parametrize("name", ["wycryst/round2", "real/", "a/real/x", "real/x/y"])
def test_a_name_of_no_family_is_refused(name: str) -> None:
    sets = CandidateSets()
    with pytest.raises(InputError, match="no set of candidates"):
        sets[name]
    sets.register(r"real/\w+", lambda name: replace(CRYSTALS, name=name))
    with pytest.raises(InputError, match=r"names match real"):
        sets[name]
