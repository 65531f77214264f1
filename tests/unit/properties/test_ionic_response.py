"""Ionic response: limits that can be computed by hand, a real salt, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.emt import EMT

from matwheel.crystals.crystal import Crystal
from matwheel.potentials.potentials import make_calculator
from matwheel.properties.formal_charges import BOND_VALENCE, ELECTRONEGATIVITY, FORMULA, formal_charges
from matwheel.properties.interface import OK
from matwheel.properties.ionic_response import (
    E2_OVER_EPSILON0_EV_ANGSTROM,
    THZ_PER_ROOT,
    IonicResponse,
    lattice_response,
)

NAMES = IonicResponse.values


def salt(length: float = 5.64) -> Crystal:
    """Return rock salt in its primitive cell."""
    lattice = length / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal("NaCl", ("Na", "Cl"), lattice, [[0, 0, 0], [0.5, 0.5, 0.5]])


def two_ions(stiffness: float, *, charge: float = 1.0, masses=(23.0, 35.5), volume: float = 45.0) -> dict:
    constants = stiffness * np.kron(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.eye(3))
    figures = lattice_response(constants, np.array(masses), charge * np.array([1.0, -1.0]), volume)
    return dict(zip(NAMES, figures, strict=True))


def test_the_constants_are_those_of_scipy() -> None:
    from scipy.constants import angstrom, atomic_mass, e, epsilon_0

    assert np.isclose(E2_OVER_EPSILON0_EV_ANGSTROM, e / epsilon_0 / angstrom, rtol=1e-6)
    root = (e / angstrom**2 / atomic_mass) ** 0.5 / (2 * np.pi) / 1e12
    assert np.isclose(THZ_PER_ROOT, root, rtol=1e-6)


def test_two_ions_on_a_spring() -> None:
    # q²/(ε₀ V k), whatever the masses: each ion moves until the spring holds the field.
    expected = E2_OVER_EPSILON0_EV_ANGSTROM * 4 / 45.0 / 2.5
    for masses in ((23.0, 35.5), (1.0, 200.0)):
        found = two_ions(2.5, charge=2.0, masses=masses)
        assert found["ionic_dielectric_constant"] == pytest.approx(expected)
        reduced = masses[0] * masses[1] / sum(masses)
        assert found["lowest_frequency_thz"] == pytest.approx(THZ_PER_ROOT * (2.5 / reduced) ** 0.5)
        for floor in ("0_5_thz", "1_thz", "0_3_ev_per_angstrom2", "1_ev_per_angstrom2"):
            assert np.exp(found[f"log_ionic_dielectric_floor_{floor}"]) == pytest.approx(expected + 0.01)
    # ω_LO² − ω_TO² is the plasma frequency of the ions squared: with ε∞ = 1, ε₀/ε∞ = ω_LO²/ω_TO².
    plasma = np.exp(found["log_plasma_frequency_thz"]) - 0.01
    ratio = 1 + plasma**2 / found["lowest_frequency_thz"] ** 2
    assert ratio == pytest.approx(1 + found["ionic_dielectric_constant"])


def test_soft_and_unstable_modes_stop_at_the_floor() -> None:
    soft, unstable = two_ions(1e-6), two_ions(-1e-6)
    assert soft["ionic_dielectric_constant"] == pytest.approx(unstable["ionic_dielectric_constant"])
    assert unstable["lowest_frequency_thz"] < 0 < soft["lowest_frequency_thz"]
    floor = E2_OVER_EPSILON0_EV_ANGSTROM / 45.0 * 2 / 0.3  # κ = 2 k, and the charge of its mode √2 q
    stiff = np.exp(soft["log_ionic_dielectric_floor_0_3_ev_per_angstrom2"]) - 0.01
    assert stiff == pytest.approx(floor)
    assert two_ions(-2.5)["ionic_dielectric_constant"] == pytest.approx(
        two_ions(2.5)["ionic_dielectric_constant"]
    )


def test_without_charges_nothing_responds() -> None:
    found = two_ions(2.5, charge=0.0)
    assert found["ionic_dielectric_constant"] == 0 and all(np.isfinite(list(found.values())))
    assert found["lowest_polar_frequency_thz"] == found["lowest_frequency_thz"]


def test_rock_salt_and_its_conventional_cell() -> None:
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cube = Crystal(
        "cube", ("Na",) * 4 + ("Cl",) * 4, 5.64 * np.eye(3), np.concatenate([corners, corners + 0.5])
    )
    calculator = make_calculator("7net-0", double_precision=True)
    table = IonicResponse().compute([salt(), cube], calculator, print)
    assert list(table["status"]) == [OK, OK] and list(table["reason"]) == ["", ""]
    # Measured: ε₀ − ε∞ = 5.9 − 2.3 = 3.6, transverse modes at 4.9 THz (Ashcroft and Mermin, table 27.2).
    first, second = table["ionic_dielectric_constant"]
    assert 2.5 < first < 5.0 and 4.0 < table["lowest_polar_frequency_thz"][0] < 6.0
    assert second == pytest.approx(first, rel=0.01)


def test_one_atom_and_metals_get_values_too() -> None:
    copper = Crystal("Cu", ("Cu",), 1.81 * (1 - np.eye(3)), [[0, 0, 0]])
    alloy = Crystal("CuAu", ("Cu", "Au"), 2.85 * np.diag([1, 1, 1.35]), [[0, 0, 0], [0.5, 0.5, 0.5]])
    table = IonicResponse().compute([copper, alloy], EMT(), print)
    assert list(table["status"]) == [OK, OK]
    assert table["ionic_dielectric_constant"][0] == 0


def test_charges_are_neutral_and_say_where_they_come_from() -> None:
    found = formal_charges(salt())
    assert found.source == BOND_VALENCE and list(found.charges_e) == [1, -1]
    # Bond valence sums have no parameters of osmium, so the formula speaks.
    oxide = formal_charges(Crystal("OsO", ("Os", "O"), 3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert oxide.source == FORMULA and list(oxide.charges_e) == [2, -2]
    alloy = formal_charges(Crystal("PuO", ("Pu", "O"), 3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert alloy.source == ELECTRONEGATIVITY and abs(alloy.charges_e.sum()) < 1e-12
    assert alloy.charges_e[0] > 0 > alloy.charges_e[1]
