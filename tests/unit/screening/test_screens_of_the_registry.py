"""Every screen of the registry keeps the promises of `screening.registry.Screen`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.screening.registry import SCREENS, make_screen
from matwheel.verdicts import ERROR, FAIL, PASS, verdict_table


def crystal(name: str, *species: str) -> Crystal:
    return Crystal(name, species, 5 * np.eye(3), np.arange(3 * len(species)).reshape(-1, 3) / 20)


ODD = [
    crystal("no element", "Xx", "O"),
    crystal("no atoms"),
    Crystal("no numbers", ("Na", "Cl"), np.full((3, 3), np.nan), np.full((2, 3), np.nan)),
    Crystal("no volume", ("Na", "Cl"), np.zeros((3, 3)), np.zeros((2, 3))),
]


@pytest.mark.parametrize("name", SCREENS)
def test_one_verdict_per_crystal_and_the_same_again(name: str, poly_crystals) -> None:
    crystals = [*poly_crystals[0][:10], *ODD]
    screen = make_screen(name)
    assert screen.name == name
    verdicts = screen.judge(crystals)
    assert [verdict.candidate_id for verdict in verdicts] == [one.id for one in crystals]
    assert {verdict.screen for verdict in verdicts} == {name}
    assert all(verdict.reason for verdict in verdicts if verdict.verdict in (FAIL, ERROR))
    assert all(verdict.tool and verdict.seconds >= 0 for verdict in verdicts)
    again = [dataclasses.replace(verdict, seconds=0.0) for verdict in make_screen(name).judge(crystals)]
    first = [dataclasses.replace(verdict, seconds=0.0) for verdict in verdicts]
    assert verdict_table(first).equals(verdict_table(again))
    alone = [dataclasses.replace(make_screen(name).judge([one])[0], seconds=0.0) for one in crystals]
    assert verdict_table(alone).equals(verdict_table(first)), "a verdict depends on its own crystal only"
    assert screen.judge([]) == []


@pytest.mark.parametrize("name", SCREENS)
def test_wrong_settings_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no_such_setting"):
        make_screen(name, {"no_such_setting": 1})


def test_unknown_screen_is_refused() -> None:
    with pytest.raises(InputError, match=r"'no_such'.*radioactivity"):
        make_screen("no_such")


def test_radioactive_elements_fail_unless_tolerated() -> None:
    crystals = [
        crystal("salt", "Na", "Cl"),
        crystal("fuel", "U", "O", "O"),
        crystal("alloy", "Bi", "Tc", "Pu"),
    ]
    salt, fuel, alloy, odd = make_screen("radioactivity").judge([*crystals, ODD[0]])
    assert [one.verdict for one in (salt, fuel, alloy, odd)] == [PASS, FAIL, FAIL, ERROR]
    assert fuel.reason == "no stable isotope of U" and alloy.value == 2
    assert alloy.reason == "no stable isotope of Pu, Tc"
    tolerant = make_screen("radioactivity", {"tolerated": ["U", "Tc"]}).judge(crystals)
    assert [verdict.verdict for verdict in tolerant] == [PASS, PASS, FAIL]
    with pytest.raises(InputError, match="'Xx', which is no element"):
        make_screen("radioactivity", {"tolerated": ["Xx"]})
