import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import smact
from pymatgen.core import Composition

from matwheel.crystals.table import reduced_formula
from matwheel.errors import InputError
from matwheel.screening.charge_balance import CHUNK_ROWS, formula_balance
from matwheel.screening.formulas import (
    ELEMENTS,
    MATGAN_ELEMENTS,
    formula_counts,
    parse_formulas,
    reduce_counts,
    reduced,
)

WELL_FORMED = [
    "NaCl", "HgPb2(ClO)2", "Ca(OH)2", "[Fe(CN)6]3K4", "{Al2[Si(O)2]2}3", "CH3COOH", "Li1 Fe1 P1 O4", "Li 2 O",
    "Co", "CO", "Cf2Og0F", "B12H12", "((Na))Cl", "H007", "(NaCl)0K",
]  # fmt: skip


def as_dict(row):
    return {ELEMENTS[column]: int(row[column]) for column in np.flatnonzero(row)}


def test_elements_are_those_of_smact():
    assert list(ELEMENTS) == smact.ordered_elements(1, 103)
    assert len(MATGAN_ELEMENTS) == 85 and set(MATGAN_ELEMENTS) < set(ELEMENTS)
    assert {"Xe", "Pm", "Bi", "Ac", "Pu"} <= set(MATGAN_ELEMENTS)
    assert not {"He", "Ne", "Ar", "Kr", "Po", "Ra", "Am"} & set(MATGAN_ELEMENTS)


def test_formulas_are_read_as_pymatgen_reads_them(jarvis_crystals, poly_crystals):
    real = [reduced_formula(crystal) for crystal in (*jarvis_crystals[0], *poly_crystals[0])]
    formulas = [one for one in WELL_FORMED if "{" not in one and "Og" not in one] + real
    counts = formula_counts(formulas)
    for formula, row in zip(formulas, counts, strict=True):
        assert as_dict(row) == Composition(formula).as_dict(), formula
    assert as_dict(formula_counts(["{Al2[Si(O)2]2}3"])[0]) == {"Al": 6, "Si": 6, "O": 12}


@pytest.mark.parametrize(
    ("formula", "complaint"),
    [
        ("", "empty"), ("  ", "empty"), ("H0", "empty"), (None, "missing"),
        ("Xx2", "'Xx'"), ("NaClx2", "'Clx'"), ("D2O", "'D'"), ("Rf", "'Rf'"),
        ("Na2Cl0.5", "whole number"), ("Na1.0Cl", "whole number"),
        ("Ca(OH", "brackets"), ("CaOH)2", "brackets"), ("K(OH]2", "brackets"),
        ("(" * 20 + "H" + ")" * 20, "brackets"), ("2NaCl", "character 1"), ("na2Cl", "character 1"),
        ("Na2+Cl", "character 4"), ("Ná", "character 2"), ("Na2 3Cl", "character 3"), ("Na2(3)", "character"),
        ("Na\u2082O", "character 3"), ("nan", "character 1"),
        ("H10001", "10000 atoms"), ("(H5000)3", "10000 atoms"), ("H9000OH9000", "10000 atoms"),
        ("H9999999999999999999999", "10000 atoms"), ("(((H100)100)100)100", "10000 atoms"),
    ],
)  # fmt: skip
def test_bad_formulas_are_named_and_stop_nobody(formula, complaint):
    parsed = parse_formulas(["NaCl", formula, "MgO"])
    assert list(parsed.errors) == [1] and complaint in parsed.errors[1]
    assert not parsed.counts[1].any()
    assert [as_dict(row) for row in parsed.counts[[0, 2]]] == [{"Na": 1, "Cl": 1}, {"Mg": 1, "O": 1}]
    with pytest.raises(InputError, match=r"list\.csv, row 2: .*remove the row"):
        formula_counts(["NaCl", formula, "MgO"], source="list.csv")


def test_no_string_of_few_characters_breaks_the_parser():
    alphabet = "NaO2(]0. é"
    texts = ["".join(letters) for n in range(5) for letters in itertools.product(alphabet, repeat=n)]
    parsed = parse_formulas(texts)
    unreadable = (parsed.counts == 0).all(axis=1)
    assert sorted(parsed.errors) == np.flatnonzero(unreadable).tolist()
    for row in np.flatnonzero(~unreadable)[::7]:
        assert as_dict(parsed.counts[row]) == Composition(texts[row]).as_dict()


def test_columns_may_be_fewer():
    parsed = parse_formulas(["NaCl", "XeF2", "KrF2"], MATGAN_ELEMENTS)
    assert list(parsed.errors) == [2] and parsed.counts.shape == (3, 85)
    assert parsed.counts[0, MATGAN_ELEMENTS.index("Cl")] == 1
    with pytest.raises(InputError, match="column 2"):
        parse_formulas(["NaCl"], ["Na", "Clx"])


def test_every_kind_of_string_column_is_taken():
    formulas = ["NaCl", "MgO", "Mg2SiO4"]
    expected = formula_counts(formulas)
    arrow = pa.array(["XX", *formulas])
    for given in (
        tuple(formulas),
        iter(formulas),
        np.array(formulas),
        np.array(formulas, dtype=object),
        pd.Series(formulas),
        pd.Series(formulas, dtype="category"),
        arrow[1:],
        pa.chunked_array([arrow[1:2], arrow[2:]]),
        arrow.dictionary_encode()[1:],
    ):
        assert np.array_equal(formula_counts(given), expected)
    assert parse_formulas([]).counts.shape == (0, 103)
    assert list(parse_formulas(pd.Series(["NaCl", None, float("nan")])).errors) == [1, 2]
    with pytest.raises(InputError, match="strings"):
        parse_formulas(["NaCl", 3])
    for whole in (parse_formulas, formula_balance):
        with pytest.raises(InputError, match="list of formulas"):
            whole("NaCl")


def test_many_formulas_are_worked_through_in_pieces():
    formulas = ["NaCl", "NaCl2", "Xx"] * (CHUNK_ROWS // 2)
    for given in (formulas, pa.array(formulas), (one for one in formulas)):
        balance = formula_balance(given)
        assert len(balance.errors) == CHUNK_ROWS // 2 and max(balance.errors) == len(formulas) - 1
        assert balance.neutral.tolist() == [True, False, False] * (CHUNK_ROWS // 2)
        assert np.array_equal(balance.balanced, balance.neutral)


def test_reduction_by_the_greatest_common_divisor():
    counts = np.array([[4, 4, 0], [2, 3, 0], [0, 6, 9], [0, 0, 0]], dtype=np.uint8)
    assert reduce_counts(counts).tolist() == [[1, 1, 0], [2, 3, 0], [0, 2, 3], [0, 0, 0]]
    assert reduce_counts(counts).dtype == np.uint8
    assert reduced({"Na": 4, "Cl": 6, "H": 0}) == {"Na": 2, "Cl": 3}
