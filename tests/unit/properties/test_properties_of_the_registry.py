"""Every property of the registry keeps the promises of `properties.interface.Property`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from layered_crystals import graphene, hexagonal

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.properties.interface import FAILED, OK, REFUSED, STATUSES
from matwheel.properties.registry import PROPERTIES, make_property

METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
FCC = 1.85 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])


def unfit() -> list[Crystal]:
    """Crystals that no property can be computed of."""
    return [
        Crystal("no element", ("Xx", "Cu"), 4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Crystal("no atoms", (), 4 * np.eye(3), np.zeros((0, 3))),
        Crystal("no numbers", ("Cu", "Au"), np.full((3, 3), np.nan), np.zeros((2, 3))),
        Crystal("no volume", ("Cu", "Au"), np.zeros((3, 3)), np.zeros((2, 3))),
        Crystal("too many", ("Cu",) * 300, 30 * np.eye(3), np.random.default_rng(0).random((300, 3))),
        Crystal("not fitted", ("Cu", "O"), 4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ]


def fit() -> list[Crystal]:
    """A crystal and a layer; of each property one or both make sense."""
    copper_gold = Crystal("CuAu", ("Cu", "Au"), 2.85 * np.diag([1, 1, 1.35]), [[0, 0, 0], [0.5, 0.5, 0.5]])
    layer = hexagonal("layer", ("Au", "Cu"), 2.8, 20.0, [[0, 0, 5], [1 / 3, 2 / 3, 7.1]])
    return [copper_gold, layer]


class Broken(Calculator):
    """A potential that breaks, or answers what is no number."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, answer: float | None) -> None:
        super().__init__()
        self._answer = answer

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self._answer is None:
            raise RuntimeError("the potential is broken")
        forces = np.full((len(self.atoms), 3), self._answer)
        self.results = {"energy": self._answer, "forces": forces, "stress": np.full(6, self._answer)}


@pytest.mark.parametrize("name", PROPERTIES)
def test_one_row_per_crystal_and_the_same_again(name: str) -> None:
    crystals = [*fit(), *unfit()]
    made = make_property(name)
    assert made.name == name and set(made.estimates) <= set(made.values)
    table = made.compute(crystals, EMT(), print, elements=METALS)
    assert list(table) == ["id", *made.values, "status", "reason", "seconds"]
    assert list(table["id"]) == [one.id for one in crystals]
    assert set(table["status"]) <= set(STATUSES) and (table["status"] == OK).any()
    computed = table["status"] == OK
    assert np.isfinite(table.loc[computed, list(made.values)]).all(axis=None)
    assert table.loc[~computed, list(made.values)].isna().all(axis=None)
    assert (table.loc[~computed, "reason"] != "").all()
    assert (table.loc[2:, "status"] == REFUSED).all()
    assert (table["seconds"] >= 0).all()
    again = make_property(name).compute(crystals, EMT(), print, elements=METALS)
    same = table.drop(columns="seconds")
    pd.testing.assert_frame_equal(same, again.drop(columns="seconds"), check_exact=True)
    alone = [make_property(name).compute([one], EMT(), print, elements=METALS) for one in crystals]
    pd.testing.assert_frame_equal(same, pd.concat(alone, ignore_index=True).drop(columns="seconds"))
    assert len(made.compute([], EMT(), print)) == 0


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("answer", [None, float("nan")])
def test_a_potential_that_breaks_fails_crystals_not_batches(name: str, answer: float | None) -> None:
    made = make_property(name)
    table = made.compute(fit(), Broken(answer), print)
    if not made.uses_potential:
        return
    assert set(table["status"]) <= {FAILED, REFUSED} and len(table) == 2
    assert (table["reason"] != "").all()


@pytest.mark.parametrize("name", PROPERTIES)
def test_settings_are_checked(name: str) -> None:
    made = make_property(name, {"max_atoms": 1})
    table = made.compute(fit(), EMT(), print)
    assert set(table["status"]) == {REFUSED} and table["reason"].str.contains("max_atoms").all()
    with pytest.raises(InputError, match="no_such_setting"):
        make_property(name, {"no_such_setting": 1})
    with pytest.raises(InputError, match="max_atoms"):
        make_property(name, {"max_atoms": 0})


@pytest.mark.parametrize("name", PROPERTIES)
def test_without_a_potential_where_one_is_needed(name: str) -> None:
    made = make_property(name)
    if made.uses_potential:
        with pytest.raises(InputError, match="give a calculator"):
            made.compute([graphene()])
    else:
        assert list(made.compute([graphene()])["status"]) == [OK]


def test_an_unknown_property_is_refused() -> None:
    with pytest.raises(InputError, match=r"'no_such'.*exfoliation_energy"):
        make_property("no_such")
