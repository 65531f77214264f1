import itertools
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import smact
from pymatgen.core import Composition

from matwheel.compositions.formulas import (
    ELEMENTS,
    MATGAN_ELEMENTS,
    formula_counts,
    parse_formulas,
    reduce_counts,
    reduced,
)
from matwheel.core.errors import InputError
from matwheel.crystals.table import reduced_formula

WELL_FORMED = [
    "NaCl", "HgPb2(ClO)2", "Ca(OH)2", "[Fe(CN)6]3K4", "{Al2[Si(O)2]2}3", "CH3COOH", "Li1 Fe1 P1 O4", "Li 2 O",
    "Co", "CO", "B12H12", "((Na))Cl", "H007", "B2.0Mg1.0", "Ca1.0 (O 1.00 H1)2.0", "Na10.0Cl010.000",
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
    formulas = [one for one in WELL_FORMED if "{" not in one] + real
    counts = formula_counts(formulas)
    for formula, row in zip(formulas, counts, strict=True):
        assert as_dict(row) == Composition(formula).as_dict(), formula
    assert as_dict(formula_counts(["{Al2[Si(O)2]2}3"])[0]) == {"Al": 6, "Si": 6, "O": 12}


@pytest.mark.parametrize(
    ("formula", "complaint"),
    [
        ("", "empty"), ("  ", "empty"), (None, "missing"),
        ("Xx2", "'Xx'"), ("NaClx2", "'Clx'"), ("D2O", "'D'"), ("Rf", "'Rf'"),
        ("Na2Cl0.5", "whole number"), ("Na1.0000001Cl", "whole number"),
        ("Ca(OH", "brackets"), ("CaOH)2", "brackets"), ("K(OH]2", "brackets"),
        ("(" * 20 + "H" + ")" * 20, "brackets"), ("2NaCl", "character 1"), ("na2Cl", "character 1"),
        ("Na2+Cl", "character 4"), ("Ná", "character 2"), ("Na2 3Cl", "character 3"), ("Na2(3)", "character"),
        ("nan", "character 1"),
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


@pytest.mark.parametrize(
    ("formula", "plain"),
    [
        ("CuSO4·5H2O", "CuSO4(H2O)5"), ("CuSO4*5H2O", "CuSO4(H2O)5"), ("CuSO4 • 5 H2O", "CuSO4(H2O)5"),
        ("CaSO4⋅2H2O", "CaSO4(H2O)2"), ("KAl(SO4)2·12(H2O)", "KAl(SO4)2(H2O)12"), ("Li0·5CoO2", None),
        ("Al2O3·2SiO2·2H2O", "Al2Si2O7(H2O)2"), ("K2SO4*Al2(SO4)3*24H2O", "K2Al2(SO4)4(H2O)24"),
        ("[Cu(NH3)4]SO4·H2O", "Cu(NH3)4SO4H2O"), ("NiSO4·6.0H2O", "NiSO4(H2O)6"),
        # a full stop that no number follows, or between blanks, or before water of a salt
        ("LiOH.H2O", "LiOHH2O"), ("MgO.Al2O3", "MgAl2O4"), ("CaSO4 . 2 H2O", "CaSO4(H2O)2"),
        ("CuSO4.5H2O", "CuSO4(H2O)5"), ("Na2CO3.10H2O", "Na2CO3(H2O)10"), ("MgCl2.6H2O", "MgCl2(H2O)6"),
        ("Ca(NO3)2.4H2O", "Ca(NO3)2(H2O)4"), ("NaBr.2H2O", "NaBr(H2O)2"), ("Na2B4O7.10H2O", "Na2B4O7(H2O)10"),
        ("KMgCl3.6(H2O)", "KMgCl3(H2O)6"), ("MgCl2 .6H2O", "MgCl2(H2O)6"),
        ("KCl.MgCl2.6H2O", "KMgCl3(H2O)6"), ("CaSO4.2.0H2O", "CaSO4(H2O)2"),
        # a whole number with decimals is one
        ("CuSO4.0H2O", "CuSO4H2O"), ("Fe2.O3.", None), ("Fe2.O3", "Fe2O3"),
        # subscripts, blanks
        ("H₂O", "H2O"), ("Na₂S₂O₃·5H₂O", "Na2S2O3(H2O)5"), ("Al₂O₃.3H₂O", "Al2O3(H2O)3"),
        ("  NaCl\t", "NaCl"), ("Na\u00a0Cl", "NaCl"), ("Mg₁₂Al₁₇", "Mg12Al17"),
    ],
)  # fmt: skip
def test_hydrates_subscripts_and_blanks(formula, plain):
    parsed = parse_formulas(["NaCl", formula])
    if plain is None:
        assert list(parsed.errors) == [1] and not parsed.counts[1].any()
    else:
        assert not parsed.errors and as_dict(parsed.counts[1]) == Composition(plain).as_dict()


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        # the fraction itself, where it stands, and the formula multiplied up where up to 100 does it
        ("Li0.5CoO2", ["amount 0.5 at character 3", "LiCo2O4"]),
        ("La1.85Sr0.15CuO4", ["amount 0.15 at character 9", "La37Sr3Cu20O80"]),
        ("Li0.333CoO2", ["amount 0.333 at character 3", "correct it"]),
        ("Mn2.9999999O4", ["amount 2.9999999 at character 3", "correct it"]),
        ("(Mg0.5Fe0.5)2SiO4", ["amount 0.5", "MgFeSiO4"]),
        ("Ca3(PO4)1.5", ["amount 1.5 at character 9", "Ca6P3O12"]),
        ("Na0.75[Mn0.5Fe0.5]1O2", ["write Na3Mn2Fe2O8"]),
        ("CaSO4·0.5H2O", ["0.5", "Ca2S2O9H2"]), ("CaSO4.0.5H2O", ["0.5", "Ca2S2O9H2"]),
        ("CaSO4*1/2H2O", ["1/2", "Ca2S2O9H2"]), ("V2O5.1.5H2O", ["1.5", "V4O13H6"]),
        # a full stop that may be either: both readings
        ("O4.5H2O", ["4.5", "O11H4", "O4·5H2O"]), ("Al2O3.3H2O", ["3.3", "Al20O43H20", "Al2O3·3H2O"]),
        ("WO2.9H2O", ["2.9", "W10O39H20", "WO2·9H2O"]), ("CaO.2SiO2", [".2", "Ca5O11Si5", "CaO·2SiO2"]),
        ("MoS2.5H2O", ["2.5", "MoS2·5H2O"]), ("Li.5CoO2", [".5", "LiCo2O4", "Li·5CoO2"]),
        ("NaOH.3H2O", [".3", "NaOH·3H2O"]),
        # amounts of zero
        ("Fe0O2", ["amount 0", "Fe", "character 3"]), ("H0", ["amount 0"]), ("(NaCl)0K", ["amount 0"]),
        ("Fe0.0O2", ["amount 0", "character 3"]), ("MgO000", ["amount 0"]), ("CuSO4·0H2O", ["amount 0"]),
        # charges, oxidation states
        ("Fe3+", ["charge", "character 4"]), ("SO4^2-", ["charge", "character 4"]), ("(NH4)+", ["charge"]),
        ("SO4²⁻", ["charge", "character 4"]), ("Ca(2+)F2", ["charge"]), ("O2−", ["charge"]),
        ("Fe(II)O", ["oxidation state", "(II)"]), ("Mn(IV)O2", ["oxidation state"]),
        ("Cu(I)2O", ["oxidation state"]), ("Fe[III]2O3", ["oxidation state"]),
        # isotopes
        ("D2O", ["'D'", "deuterium", "write H"]), ("LiT", ["'T'", "tritium", "write H"]),
        ("CuSO4·5D2O", ["'D'", "write H"]),
        # letter case
        ("nacl", ["character 1", "capital"]), ("NACL", ["'L'", "capital"]), ("CACO3", ["'A'", "capital"]),
        ("mgO", ["capital"]),
        # what is no part of a formula
        ("B2.0Mg1.0.", ["full stop"]), ("NaCl·", ["nothing"]), ("·5H2O", ["nothing"]), ("Fe..O", ["nothing"]),
        ("CuSO4·nH2O", ["'n'"]), ("(CuSO4·5H2O)2", ["bracket"]), ("2CaSO4·H2O", ["(CaSO4)2"]),
        ("2NaCl", ["character 1", "(NaCl)2"]), ("0.5Li2O·B2O3", ["character 1", "multiply"]),
        ("1/2H2O", ["character 1", "multiply"]), ("12", ["character 1"]), ("Li0,5CoO2", ["','"]),
        ("YBa2Cu3O7-x", ["'-'"]), ("Na1.01.0O", ["unexpected '.'"]),
        ("CuSO₄5H₂O", ["₄5 at character 5", "'·'"]),
        ("CuSO4·5Xx2O", ["'Xx'", "CuSO4·5Xx2O"]), ("H9000·9000H2O", ["10000 atoms"]),
        ("NaCl·99999999999999999999H2O", ["10000"]), ("  Xx", ["'Xx' of '  Xx'"]),
        ("CuSO4·Li0.5Xx", ["'Xx'"]), ("CuXx·Li0.5O", ["'Xx'"]), ("Cu)·Li0.5O", ["brackets"]),
        ("Li0.5O·CuXx", ["correct it"]), ("Mg10001.0", ["10000 atoms"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_formula_and_what_to_write(formula, said):
    parsed = parse_formulas([formula, "MgO"])
    assert list(parsed.errors) == [0] and not parsed.counts[0].any()
    assert [part for part in said if part not in parsed.errors[0]] == [], parsed.errors[0]
    assert "\n" not in parsed.errors[0] and formula in parsed.errors[0]


def test_numbers_of_any_length_are_faults():
    long = "9" * 5000
    texts = [
        f"NaCl·{long}H2O",
        f"Li0.{long}",
        f"O{long}.5H2O",
        f"NaCl·1/{long}H2O",
        f"{long}O",
        f"O0.{long}5H2O",
    ]
    errors = parse_formulas([*texts, "H" + "0" * 5000 + "2O", "H2." + "0" * 5000 + "O"]).errors
    assert (
        list(errors) == [0, 1, 2, 3, 4, 5] and "no whole number" in errors[1] and "10000 atoms" in errors[0]
    )


def test_a_remedy_is_a_formula_of_the_same_proportions():
    for formula in ["Li0.5CoO2", "Ca3(PO4)1.5", "CaSO4·0.5H2O", "YBa2Cu3O6.95", "Na0.35(Mn0.5Ni0.5)0.9O2"]:
        written = parse_formulas([formula]).errors[0].split("write ")[1].split()[0].strip(",;")
        whole = Composition(formula.replace("·0.5H2O", "H1O0.5"))
        assert as_dict(formula_counts([written])[0]) == pytest.approx(
            (whole * (Composition(written).num_atoms / whole.num_atoms)).as_dict()
        )


def test_many_hydrates_among_formulas():
    formulas = ["NaCl", "CuSO4·5H2O", "Fe0O2", "CuSO4.5H2O", "H2O"] * 1000
    parsed = parse_formulas(pa.array(formulas)[3:])
    assert list(parsed.errors) == list(range(4, 4997, 5))
    assert (parsed.counts[0] == parsed.counts[3]).all() and parsed.counts[0].sum() == 21


def test_no_string_of_few_characters_breaks_the_parser():
    alphabet = "NaO2(]0. é"
    texts = ["".join(letters) for n in range(5) for letters in itertools.product(alphabet, repeat=n)]
    parsed = parse_formulas(texts)
    unreadable = (parsed.counts == 0).all(axis=1)
    assert sorted(parsed.errors) == np.flatnonzero(unreadable).tolist()
    for row in np.flatnonzero(~unreadable)[::7]:
        # pymatgen does not know that a full stop without a digit behind it parts two formulas.
        assert as_dict(parsed.counts[row]) == Composition(re.sub("[.](?![0-9])", "", texts[row])).as_dict()


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
    with pytest.raises(InputError, match="list of formulas"):
        parse_formulas("NaCl")


def test_reduction_by_the_greatest_common_divisor():
    counts = np.array([[4, 4, 0], [2, 3, 0], [0, 6, 9], [0, 0, 0]], dtype=np.uint8)
    assert reduce_counts(counts).tolist() == [[1, 1, 0], [2, 3, 0], [0, 2, 3], [0, 0, 0]]
    assert reduce_counts(counts).dtype == np.uint8
    assert reduced({"Na": 4, "Cl": 6, "H": 0}) == {"Na": 2, "Cl": 3}
