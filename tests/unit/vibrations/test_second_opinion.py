"""A second potential's opinion on dynamical stability: what two opinions make together, and two real ones."""

from __future__ import annotations

from itertools import product
from math import nan

import numpy as np
import pytest

from matwheel.crystals.crystal import Crystal
from matwheel.potentials.potentials import make_calculator, potential_card
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, VERDICTS, Verdict
from matwheel.vibrations.phonon_results import phonon_table
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonons_of
from matwheel.vibrations.second_opinion import join_opinions, with_second_opinion

FIRST, SECOND = potential_card("7net-0"), potential_card("7net-l3i5")
FIGURES = {PASS: 0.561, FAIL: -1.7, UNDECIDED: -0.3, ERROR: nan}
REASONS = {
    PASS: "",
    FAIL: "lowest mode -1.70 THz at q = (0.5, 0.5, 0)",
    UNDECIDED: "not relaxed: 0.3 eV/Å left",
    ERROR: "out of memory",
}
SAID = {
    PASS: "stable, lowest mode 0.56 THz",
    FAIL: "unstable, lowest mode -1.70 THz at q = (0.5, 0.5, 0)",
    UNDECIDED: "could not decide, lowest mode -0.30 THz, not relaxed: 0.3 eV/Å left",
    ERROR: "could not judge, out of memory",
}


def opinion(verdict: str, name: str, crystal: str = "a") -> Verdict:
    tool = f"phonopy with {name}"
    return Verdict(crystal, "phonons", verdict, FIGURES[verdict], -0.1, REASONS[verdict], tool, name, 2.0)


@pytest.mark.parametrize(("first", "second"), list(product(VERDICTS, VERDICTS)))
def test_a_second_opinion_takes_a_verdict_away_and_never_gives_one(first: str, second: str) -> None:
    joined = join_opinions(opinion(first, FIRST.name), opinion(second, SECOND.name), FIRST, SECOND)
    if {first, second} == {PASS, FAIL}:
        assert joined.verdict == UNDECIDED
        assert joined.reason == (f"the potentials disagree: 7net-0: {SAID[first]}; 7net-l3i5: {SAID[second]}")
    else:
        assert joined.verdict == first
        own = f"{REASONS[first]}; " if REASONS[first] else ""
        assert joined.reason == f"{own}second opinion, 7net-l3i5: {SAID[second]}"
    assert (joined.candidate_id, joined.screen, joined.threshold) == ("a", "phonons", -0.1)
    assert joined.value == FIGURES[first] or first == ERROR
    assert joined.seconds == 4.0
    assert joined.tool == "phonopy with 7net-0 and 7net-l3i5"
    assert joined.tool_version == "7net-0, 7net-l3i5"


def test_opinions_on_different_crystals_are_not_joined() -> None:
    with pytest.raises(ValueError, match="opinions on 'a' and on 'b'"):
        join_opinions(opinion(PASS, FIRST.name), opinion(PASS, SECOND.name, "b"), FIRST, SECOND)


@pytest.fixture(scope="module")
def tables():
    """Phonons of silicon, bcc zirconium and cubic strontium titanate by both potentials."""
    bcc = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
    diamond = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    oxygen = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    crystals = [
        Crystal("Si", ("Si", "Si"), diamond * 5.43, [[0, 0, 0], [0.25, 0.25, 0.25]]),
        Crystal("Zr", ("Zr",), bcc * 3.57, [[0, 0, 0]]),
        Crystal("SrTiO3", ("Sr", "Ti", "O", "O", "O"), np.eye(3) * 3.905, [[0, 0, 0], [0.5] * 3, *oxygen]),
    ]
    settings = PhononSettings(follow_unstable=False)
    return [
        phonon_table(phonons_of(crystals, make_calculator(card.name), settings, lambda _: None))
        for card in (FIRST, SECOND)
    ]


def test_two_potentials_agree_on_silicon_and_differ_on_bcc_zirconium(tables) -> None:
    joined, verdicts = with_second_opinion(*tables, FIRST, SECOND)
    silicon, zirconium, titanate = verdicts
    assert (silicon.verdict, zirconium.verdict, titanate.verdict) == (PASS, UNDECIDED, FAIL)
    figures = [[f"{value:.2f}" for value in table["lowest_frequency_thz"]] for table in tables]
    assert figures[0][1] == "0.56" and figures[1][1] == "-1.70"
    assert silicon.reason == f"second opinion, 7net-l3i5: stable, lowest mode {figures[1][0]} THz"
    for words in (
        "the potentials disagree: 7net-0: stable, lowest mode 0.56 THz, known weakness of 7net-0",
        "; 7net-l3i5: unstable, lowest mode -1.70 THz at q = (",
    ):
        assert words in zirconium.reason
    assert titanate.reason.startswith(f"lowest mode {figures[0][2]} THz at q = (0, 0, 0); second opinion, ")
    assert f"7net-l3i5: unstable, lowest mode {figures[1][2]} THz at q = (0, 0, 0)" in titanate.reason

    first, second = tables
    assert joined[first.columns].equals(first)
    added = joined.drop(columns=first.columns)
    assert added.columns.tolist() == [
        "second_potential", "second_verdict", "second_lowest_frequency_thz", "second_reason"
    ]  # fmt: skip
    assert added["second_potential"].eq("7net-l3i5").all()
    for name in ("verdict", "lowest_frequency_thz", "reason"):
        assert added[f"second_{name}"].tolist() == second[name].tolist()


def test_the_order_of_the_potentials_decides_nothing(tables) -> None:
    one_way = with_second_opinion(*tables, FIRST, SECOND)[1]
    other_way = with_second_opinion(*reversed(tables), SECOND, FIRST)[1]
    assert [one.verdict for one in one_way] == [other.verdict for other in other_way]


def test_no_crystals_have_no_opinions(tables) -> None:
    first, second = (table.head(0) for table in tables)
    joined, verdicts = with_second_opinion(first, second, FIRST, SECOND)
    assert verdicts == [] and len(joined) == 0 and "second_verdict" in joined
