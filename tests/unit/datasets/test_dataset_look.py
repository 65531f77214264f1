"""A user's own dataset is looked at before anything is planned."""

import re

import numpy as np
import pandas as pd
import pytest

from matwheel.datasets.dataset_look import look_at_dataset, look_at_formula_set
from matwheel.datasets.registry import parse_registry
from matwheel.datasets.sources import DatasetError

ROCK_SALT = """data_x
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{sites}
"""
MGO = ROCK_SALT.format(a=4.2, sites="Mg1 0 0 0\nO1 .5 .5 .5")
# 192 atoms on a general position, and 24 on another one.
LARGE = ROCK_SALT.format(a=22.0, sites="Si1 .05 .11 .21\nO1 .31 0 0")


def look(tmp_path, targets, cifs=None, **settings):
    path = tmp_path / "mine.csv"
    cifs = [MGO] * len(targets) if cifs is None else cifs
    ids = [f"m{place}" for place in range(len(targets))]
    pd.DataFrame({"id": ids, "cif": cifs, "gap": targets}).to_csv(path, index=False)
    entry = parse_registry({"mine": {"target": {"column": "gap"}, "path": str(path)}})["mine"]
    settings = {"fractions": (0.7, 0.15, 0.15), "labelled_fraction": 0.1, "relaxed_atoms": 200, **settings}
    return look_at_dataset(entry, **settings)


def test_a_sound_dataset_is_silent(tmp_path):
    assert look(tmp_path, [0.1 * place for place in range(200)]) == []


@pytest.mark.parametrize("value", [0.0, 1.5, -7])
def test_a_constant_target_is_refused(tmp_path, value):
    with pytest.raises(DatasetError, match=rf"target gap is {value:g} in all 30 rows.*name the right column"):
        look(tmp_path, [value] * 30)


@pytest.mark.parametrize("odd", [5.0e4, -2.1e5, 1.0e12])
def test_a_value_a_thousand_times_the_others_is_named(tmp_path, odd):
    said = look(tmp_path, [1.0, 2.0, 3.0] * 50 + [odd])
    assert len(said) == 1 and re.search(
        rf"{re.escape(f'{odd:g}')} \(row 151, id m150\), over 1000 times the typical 2", said[0]
    )


def test_a_spread_over_orders_of_magnitude_is_no_mistake(tmp_path):
    assert look(tmp_path, [10.0 ** (place / 50) for place in range(200)]) == []


def test_too_few_rows_are_refused_and_few_labelled_ones_are_counted(tmp_path):
    with pytest.raises(DatasetError, match=r"3 rows are too few for the split.*no validation rows"):
        look(tmp_path, [1, 2, 3])
    with pytest.raises(DatasetError, match=r"12 rows are too few for the split.*labelled_fraction"):
        look(tmp_path, list(range(12)))
    (said,) = look(tmp_path, list(range(60)))
    assert "60 rows leave 4 labelled ones" in said
    assert look(tmp_path, list(range(60)), labelled_fraction=0.5) == []


def test_cells_too_large_for_generator_and_relaxation_are_counted(tmp_path):
    cifs = [MGO] * 199 + [LARGE]
    generated, relaxed = look(tmp_path, list(range(200)), cifs)
    assert "1 cells have more than the 60 atoms that the generator was tried on" in generated
    assert "more than the 200 atoms that relaxation takes; the largest is m199 with 216" in relaxed
    assert len(look(tmp_path, list(range(200)), cifs, relaxed_atoms=216)) == 1


def test_wrong_rows_are_all_named(tmp_path):
    with pytest.raises(DatasetError, match="50 of 60 rows cannot be used") as refusal:
        look(tmp_path, list(range(10)) + ["x"] * 50)
    said = str(refusal.value)
    assert "row 11 (id m10): target gap is 'x'" in said and said.count("\n") == 21 and "and 30 more" in said


@pytest.mark.parametrize(
    ("target", "cif", "words"),
    [
        (3.0, "data_nothing\n_cell_length_a x\n", ("row 31", "_cell_length_a")),
        ("n/a", MGO, ("row 31", "gap")),
        ("high", MGO, ("row 31", "'high'", "not a number")),
    ],
)
def test_one_wrong_row_is_named_with_its_fault(tmp_path, target, cif, words):
    with pytest.raises(DatasetError) as refusal:
        look(tmp_path, [*range(30), target], [*[MGO] * 30, cif])
    said = str(refusal.value)
    assert all(word in said for word in ("mine.csv", *words)), said


def test_a_file_without_rows_or_the_target_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    entry = parse_registry({"mine": {"target": {"column": "gap"}, "path": str(path)}})["mine"]
    for text, words in (("", ("empty",)), ("id,cif,energy\na,b,1\n", ("gap", "energy"))):
        path.write_text(text)
        with pytest.raises(DatasetError) as refusal:
            look_at_dataset(entry, fractions=(0.7, 0.15, 0.15), labelled_fraction=0.1, relaxed_atoms=200)
        assert all(word in str(refusal.value) for word in ("mine.csv", *words)), refusal.value


@pytest.mark.parametrize("mark", [-9999.0, -999.0, 9999.0])
def test_marks_of_missing_values_are_named(tmp_path, mark):
    (said,) = look(tmp_path, [60 + 0.1 * place for place in range(150)] + [mark])
    assert f"target gap is {mark:g} in 1 rows, the first row 151" in said
    assert look(tmp_path, [-12000.0 + 90 * place for place in range(150)] + [-9999.0]) == []


def test_an_own_formula_set_is_looked_at(tmp_path):
    formulas = [f"Na{a}Cl{b}O{c}" for a in (1, 2, 3) for b in (1, 2, 3) for c in (1, 2, 3, 4)]
    path = tmp_path / "formulas.csv"

    def said(*more):
        path.write_text("formula\n" + "\n".join([*formulas, *more]) + "\n")
        return look_at_formula_set(entry)

    entry = parse_registry({"mine": {"kind": "formulas", "path": str(path)}})["mine"]
    assert said() == []
    (warning,) = said("CuSO4·5H2O", "MgCl2.6H2O", "Fe")
    assert "of 39 formulas" in warning and "are used, left out are" in warning
    assert "1 with one element only" in warning and "2 with more than 8 atoms of an element" in warning
    with pytest.raises(DatasetError, match="3 rows cannot be used"):
        said("Li0.5CoO2", "Fe0O2", "D2O")
    for wrong in ("Li0.5CoO2", "Qq2O", '""'):
        with pytest.raises(DatasetError, match=r"formulas\.csv, row 37"):
            said(wrong, "NaCl")


@pytest.mark.parametrize(("largest", "mark"), [(98.0, 99.0), (900.0, 999.0), (9000.0, 9999.0)])
def test_a_largest_value_that_looks_like_a_mark_is_a_value(tmp_path, largest, mark):
    assert look(tmp_path, [*np.linspace(1, largest, 150), mark]) == []
    (said,) = look(tmp_path, [*np.linspace(1, largest, 150), -mark])
    assert f"target gap is {-mark:g} in 1 rows" in said
