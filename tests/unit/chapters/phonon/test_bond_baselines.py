from dataclasses import replace

import numpy as np
import pytest

from matwheel.chapters.phonon.bond_baselines import (
    BondLengthRidge,
    ConstantBaseline,
    NearestShell,
    nearest_shells,
    shell_descriptors,
)
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal

AT_REST = np.array([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]])
SPECIES = ("Ag", "Ag", "Ag", "S", "Br")


def displaced(index: int, size_angstrom: float = 0.2) -> Crystal:
    shift = np.random.default_rng(index).normal(0, size_angstrom, (5, 3))
    return Crystal(f"c{index}", SPECIES, 4.9 * np.eye(3), AT_REST + shift / 4.9)


CRYSTALS = [displaced(index) for index in range(30)]


def test_nearest_shells_are_those_of_the_antiperovskite() -> None:
    shells = {shell.name: shell.size for shell in nearest_shells(CRYSTALS)}
    assert shells["S-Ag"] == 6
    assert shells["Br-Ag"] == 12
    assert shells["Ag-Ag"] == 8
    assert shells["Br-S"] == 8


def test_descriptors_of_the_crystal_at_rest() -> None:
    at_rest = Crystal("rest", SPECIES, 4.9 * np.eye(3), AT_REST)
    shells = (NearestShell("S", "Ag", 6), NearestShell("Br", "Ag", 12))
    expected = [2.45, 0.0, 2.45, 4.9 / np.sqrt(2), 0.0, 4.9 / np.sqrt(2)]
    assert shell_descriptors([at_rest], shells)[0] == pytest.approx(expected, abs=1e-5)


def test_descriptors_do_not_depend_on_atom_order_or_origin() -> None:
    shells = nearest_shells(CRYSTALS)
    order = [4, 2, 0, 3, 1]
    coords = CRYSTALS[0].frac_coords[order] + np.array([0.3, 0.1, -0.6])
    same = Crystal("same", tuple(SPECIES[place] for place in order), 4.9 * np.eye(3), coords)
    assert shell_descriptors([same], shells) == pytest.approx(
        shell_descriptors(CRYSTALS[:1], shells), abs=1e-5
    )


def test_ridge_finds_a_line_through_a_bond_length() -> None:
    means = shell_descriptors(CRYSTALS, (NearestShell("S", "Ag", 6),))[:, 0]
    noise = np.random.default_rng(0).normal(size=30)
    labels = np.stack([3.0 * means - 1.0, noise], axis=1)
    model = BondLengthRidge()
    report = model.fit(CRYSTALS[:22], labels[:22])
    predicted = model.predict(CRYSTALS[22:])
    error = np.abs(predicted[:, 0] - labels[22:, 0]).mean()
    assert error < 0.1 * labels[:, 0].std()
    # Noise asks for a much stronger ridge than a line does.
    assert report["strengths"][1] > 100 * report["strengths"][0]
    coefficients = model.coefficients()
    assert max(coefficients, key=lambda name: abs(coefficients[name][0])) == "S-Ag mean"


def test_unknown_labels_are_left_out() -> None:
    labels = shell_descriptors(CRYSTALS, (NearestShell("S", "Ag", 6),))[:, :1]
    holed = np.concatenate([labels, labels], axis=1)
    holed[:10, 1] = np.nan
    model = BondLengthRidge()
    model.fit(CRYSTALS, holed)
    only_known = BondLengthRidge()
    only_known.fit(CRYSTALS[10:], labels[10:])
    # The shells are the same, so the second target is the model of the known rows alone.
    assert model.shells == only_known.shells
    assert np.array_equal(model.predict(CRYSTALS)[:, 1], only_known.predict(CRYSTALS)[:, 0])


def test_constant_is_the_mean_of_the_known_labels() -> None:
    model = ConstantBaseline()
    model.fit(CRYSTALS[:3], np.array([[1.0, np.nan], [2.0, 4.0], [6.0, 5.0]]))
    assert model.predict(CRYSTALS[:2]).tolist() == [[3.0, 4.5], [3.0, 4.5]]


@pytest.mark.parametrize("make", [ConstantBaseline, BondLengthRidge])
def test_wrong_rows_are_named(make: type) -> None:
    with pytest.raises(InputError, match="3 crystals but labels of shape"):
        make().fit(CRYSTALS[:3], np.zeros((2, 1)))
    with pytest.raises(InputError, match="target 1: 0 known labels"):
        make().fit(CRYSTALS[:5], np.array([[1.0, np.nan]] * 5))
    with pytest.raises(InputError, match="crystal c1 has an infinite label"):
        make().fit(CRYSTALS[:3], np.array([[1.0], [np.inf], [2.0]]))
    with pytest.raises(RuntimeError, match="fit or load"):
        make().predict(CRYSTALS)


def test_one_row_is_too_few_for_a_line_and_enough_for_a_constant() -> None:
    ConstantBaseline().fit(CRYSTALS[:1], np.ones((1, 1)))
    with pytest.raises(InputError, match="at least 3"):
        BondLengthRidge().fit(CRYSTALS[:1], np.ones((1, 1)))


def test_another_compound_is_refused() -> None:
    iodide = replace(CRYSTALS[0], id="iodide", species=("Ag", "Ag", "Ag", "S", "I"))
    with pytest.raises(InputError, match="iodide has the atoms"):
        BondLengthRidge().fit([*CRYSTALS[:4], iodide], np.ones((5, 1)))
    model = BondLengthRidge()
    model.fit(CRYSTALS, np.arange(30.0)[:, None])
    with pytest.raises(InputError, match="crystal iodide: fewer than"):
        model.predict([iodide])


def test_equal_labels_and_no_rows() -> None:
    model = BondLengthRidge()
    model.fit(CRYSTALS, np.full((30, 1), 0.7))
    assert model.predict(CRYSTALS[:2]) == pytest.approx(0.7)
    assert model.predict([]).shape == (0, 1)
