"""Wyckoff positions of the space groups, against the tables of pymatgen and spglib."""

import numpy as np
import pytest
import spglib
from pymatgen.analysis.prototypes import WYCKOFF_MULTIPLICITY_DICT, WYCKOFF_POSITION_PARAM_DICT
from pymatgen.symmetry.groups import SpaceGroup
from pyxtal.symmetry import Group

from matwheel.wyckoff.wyckoff_positions import (
    CRYSTAL_SYSTEMS,
    LETTERS,
    crystal_system,
    pyxtal_version,
    wyckoff_positions,
)

GROUPS = range(1, 231)


def row_of(table, space_group):
    """A dictionary of pymatgen, letter to number, as a row of 27."""
    own = table[str(space_group)]
    assert set(own) <= set(LETTERS)
    return [int(own.get(letter, 0)) for letter in LETTERS]


def test_multiplicities_and_free_coordinates_are_those_of_pymatgen():
    positions = wyckoff_positions()
    assert positions.exists.sum() == 1731  # International Tables A
    for group in GROUPS:
        assert positions.multiplicity[group].tolist() == row_of(WYCKOFF_MULTIPLICITY_DICT, group), group
        assert positions.free_coordinates[group].tolist() == row_of(WYCKOFF_POSITION_PARAM_DICT, group), group


def test_general_position_and_centring_are_those_of_spglib():
    positions = wyckoff_positions()
    for group in GROUPS:
        operations = spglib.get_symmetry_from_database(Group(group).hall_number)
        general = int(positions.exists[group].sum()) - 1
        assert positions.multiplicity[group, general] == len(operations["rotations"])
        assert positions.free_coordinates[group, general] == 3
        assert positions.multiplicity[group].max() == len(operations["rotations"])
        pure = np.all(operations["rotations"] == np.eye(3), axis=(1, 2)).sum()
        assert positions.centring[group] == pure, group


def test_each_group_has_its_letters_without_gaps_and_group_47_has_27():
    exists = wyckoff_positions().exists
    assert not exists[0].any()
    assert (exists[1:, 0]).all()
    assert (np.diff(exists[1:].astype(int), axis=1) <= 0).all()
    assert np.flatnonzero(exists.sum(axis=1) == 27).tolist() == [47]
    assert LETTERS[26] == "A"


def test_the_fixed_positions_of_rock_salt_and_of_perovskite():
    positions = wyckoff_positions()
    assert "".join(LETTERS[place] for place in np.flatnonzero(positions.is_fixed[225])) == "abcd"
    assert "".join(LETTERS[place] for place in np.flatnonzero(positions.is_fixed[62])) == "ab"
    assert not (positions.is_fixed & ~positions.exists).any()


def test_arrays_cannot_be_changed():
    positions = wyckoff_positions()
    for array in (positions.multiplicity, positions.free_coordinates, positions.centring):
        with pytest.raises(ValueError, match="read-only"):
            array[1] = 5


def test_crystal_systems_are_those_of_pymatgen():
    for group in GROUPS:
        assert CRYSTAL_SYSTEMS[crystal_system(group)] == SpaceGroup.from_int_number(group).crystal_system


@pytest.mark.parametrize("number", [0, 231, -1, 2.5])
def test_a_number_that_is_no_space_group_is_refused(number):
    with pytest.raises(ValueError, match=r"1 … 230"):
        crystal_system(number)


def test_pyxtal_has_a_version():
    assert pyxtal_version().split(".")[0].isdigit()
