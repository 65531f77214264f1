"""The symmetry of a CIF: named in every usual way, listed, both, or neither; the whole cell or a refusal.

What is right comes from spglib's table of operations and from the counts of the literature (`cif_texts`).
"""

import contextlib
import re
import time

import pytest
from cif_texts import (
    KNOWN,
    NAME,
    POSITION,
    REFUSED,
    RIGHT,
    RIGHT_OR_REFUSED,
    Known,
    axis_views,
    cases,
    check,
    cif,
    expanded,
    hall_number,
    named,
    operations,
    triplets,
)
from pymatgen.core import Lattice, Structure

MONOCLINIC = {
    "P21/n with blank": ("LaPO4", "P 21/n"),
    "P21/n": ("LaPO4", "P21/n"),
    "P 1 21/n 1": ("LaPO4", "P 1 21/n 1"),
    "P 2_1/n": ("LaPO4", "P 2_1/n"),
    "P2(1)/n": ("LaPO4", "P2(1)/n"),
    "P 21/c": ("Ag2S", "P 21/c"),
    "P21/c": ("Ag2S", "P21/c"),
    "P 1 21/c 1": ("Ag2S", "P 1 21/c 1"),
    "P121/c1": ("Ag2S", "P121/c1"),
    "P 21 / c": ("Ag2S", "P 21 / c"),
    "C 2/m": ("Ga2O3", "C 2/m"),
    "C2/m": ("Ga2O3", "C2/m"),
    "C 1 2/m 1": ("Ga2O3", "C 1 2/m 1"),
    "I 2/a": ("LaNbO4", "I 2/a"),
    "I2/a": ("LaNbO4", "I2/a"),
    "I 1 2/a 1": ("LaNbO4", "I 1 2/a 1"),
    "P 2/m": ("NaClO2", "P 2/m"),
    "P2/m": ("NaClO2", "P2/m"),
    "P 1 2/m 1": ("NaClO2", "P 1 2/m 1"),
    "P 2/c, almost orthogonal": ("NiWO4", "P 2/c"),
    "P 1 2/c 1": ("NiWO4", "P 1 2/c 1"),
    "P 21/m": ("ZrTe3", "P 21/m"),
    "P21/m": ("ZrTe3", "P21/m"),
    "P -1": ("CuWO4", "P -1"),
    "P-1": ("CuWO4", "P-1"),
    # unique axis c, as mineralogists and the tables of 1952 write it
    "B 2/b": ("Li2CO3", "B 2/b"),
    "B2/b": ("Li2CO3", "B2/b"),
    "B 1 1 2/b": ("Li2CO3", "B 1 1 2/b"),
    "I 2/b": ("BiVO4", "I 2/b"),
    "I 1 1 2/b": ("BiVO4", "I 1 1 2/b"),
    "I 112/b": ("BiVO4", "I112/b"),
}
ORTHORHOMBIC = {
    "Pnam": ("PbCl2 Pnam", "Pnam"),
    "P n a m": ("PbCl2 Pnam", "P n a m"),
    "P n m a": ("PbCl2 Pnma", "P n m a"),
    "Pbnm": ("CaTiO3", "Pbnm"),
    "P b n m": ("CaTiO3", "P b n m"),
    "Pmcn": ("aragonite", "P m c n"),
    "Cmca": ("black P", "Cmca"),
    "C m c a": ("black P", "C m c a"),
    "C m c e": ("black P", "C m c e"),
    "Cmce": ("black P", "Cmce"),
    "Bmab": ("La2CuO4", "B m a b"),
    "Bmeb": ("La2CuO4", "B m e b"),
    "Abm2": ("invented39", "A b m 2"),
    "Aem2": ("invented39", "A e m 2"),
    "Aba2": ("invented41", "A b a 2"),
    "Aea2": ("invented41", "Aea2"),
    "Imma": ("CeCu2", "Imma"),
    "I m m a": ("CeCu2", "I m m a"),
}
HEXAGONAL = {
    "P63/mmc": ("graphite", "P63/mmc"),
    "P6_3/mmc": ("graphite", "P6_3/mmc"),
    "P 63/m m c": ("MoS2", "P 63/m m c"),
    "P6(3)/mmc": ("MoS2", "P6(3)/mmc"),
    "P6_3/m m c": ("Mg", "P6_3/m m c"),
    "P63mc": ("ZnO", "P63mc"),
    "P 6_3 m c": ("ZnO", "P 6_3 m c"),
    "P6(3)mc": ("ZnO", "P6(3)mc"),
    "P -3 m 1": ("Ca(OH)2", "P -3 m 1"),
    "P-3m1": ("Ca(OH)2", "P-3m1"),
}
RHOMBOHEDRAL = {
    "hexagonal cell, no suffix": ("Bi2Te3", "R -3 m"),
    "rhombohedral cell, no suffix": ("Bi rhombohedral", "R -3 m"),
    "R-3m on the hexagonal cell": ("Bi hexagonal", "R-3m"),
    "R-3m on the rhombohedral cell": ("Bi rhombohedral", "R-3m"),
    "R -3 m :H": ("Bi2Te3", "R -3 m :H"),
    "R -3 m:H": ("LiCoO2", "R -3 m:H"),
    "R-3m:H": ("LiCoO2", "R-3m:H"),
    "R -3 m :R": ("Bi rhombohedral", "R -3 m :R"),
    "R-3m:R": ("Bi rhombohedral", "R-3m:R"),
    "R -3 m H": ("LiCoO2", "R -3 m H"),
    "R-3mH": ("LiCoO2", "R-3mH"),
    "R-3mR": ("Bi rhombohedral", "R-3mR"),
    "R -3 c HR": ("Cr2O3", "R -3 c HR"),
    "R -3 c H": ("Cr2O3", "R -3 c H"),
    "R 3 c": ("LiNbO3", "R 3 c"),
    "R3c:H": ("LiNbO3", "R3c:H"),
    "R 3 c H": ("LiNbO3", "R 3 c H"),
    "R -3 m RS": ("Bi rhombohedral", "R -3 m RS"),
}
ORIGINS = {
    "Fd-3m:1": ("Ge :1", "F d -3 m :1"),
    "Fd-3m:2": ("Ge :2", "F d -3 m :2"),
    "Fd-3m S": ("ZnAl2O4 :1", "F d -3 m S"),
    "Fd-3m Z": ("ZnAl2O4 :2", "F d -3 m Z"),
    "Fd-3mS": ("ZnAl2O4 :1", "Fd-3mS"),
    "Fd-3mZ": ("ZnAl2O4 :2", "Fd-3mZ"),
    "Fd-3m:1 without blanks": ("ZnAl2O4 :1", "Fd-3m:1"),
    "P4/nmm:1": ("PbO :1", "P 4/n m m :1"),
    "P4/nmm:2": ("PbO :2", "P4/nmm:2"),
    "P4/nmm S": ("PbO :1", "P 4/n m m S"),
    "P4/nmm Z": ("PbO :2", "P 4/n m m Z"),
    "I41/amd:1": ("TiO2 :1", "I 41/a m d :1"),
    "I41/amd:2": ("TiO2 :2", "I 41/a m d :2"),
    "I41/amd S": ("TiO2 :1", "I 41/a m d S"),
    "I41/amdZ": ("TiO2 :2", "I41/amdZ"),
    "Pn-3m:1": ("Cu2O :1", "P n -3 m :1"),
    "Pn-3m:2": ("Cu2O :2", "P n -3 m :2"),
    "Pn-3m Z": ("Cu2O :2", "P n -3 m Z"),
    "P4/n:2": ("MoPO5 :2", "P 4/n :2"),
    "P4/n Z": ("MoPO5 :2", "P 4/n Z"),
    "Fddd:2": ("Na2SO4 :2", "F d d d :2"),
    "Fddd Z": ("Na2SO4 :2", "F d d d Z"),
    "I41/a:1": ("CaWO4 :1", "I 41/a :1"),
    "I41/a:2": ("CaWO4 :2", "I 41/a :2"),
    "P42/nmc:1": ("ZrO2 :1", "P 42/n m c :1"),
    "P42/nmc:2": ("ZrO2 :2", "P 42/n m c :2"),
}
OLD_AND_FULL = {
    "P m 3 m": ("SrTiO3", "P m 3 m"),
    "Pm3m": ("CsCl", "Pm3m"),
    "I a 3 d": ("pyrope", "I a 3 d"),
    "Ia3d": ("pyrope", "Ia3d"),
    "Pa3": ("pyrite", "Pa3"),
    "P a 3": ("pyrite", "P a 3"),
    "I m 3": ("CoSb3", "I m 3"),
    "Ia3": ("Y2O3", "Ia3"),
    "P m 3 n": ("Nb3Sn", "P m 3 n"),
    "F m 3 m": ("CaF2", "F m 3 m"),
    "Fm3m": ("LiH", "Fm3m"),
    "P 4/m -3 2/m": ("CsCl", "P 4/m -3 2/m"),
    "F 4/m -3 2/m": ("CaF2", "F 4/m -3 2/m"),
    "P 21/n 21/m 21/a": ("PbCl2 Pnma", "P 21/n 21/m 21/a"),
    "P 42/m 21/n 2/m": ("rutile", "P 42/m 21/n 2/m"),
    "P 63/m 2/m 2/c": ("Mg", "P 63/m 2/m 2/c"),
    "I 4/m 2/m 2/m": ("In", "I 4/m 2/m 2/m"),
    "R -3 2/m": ("Bi hexagonal", "R -3 2/m"),
    "I 41/a -3 2/d": ("pyrope", "I 41/a -3 2/d"),
    "P 2/m -3 is another group": ("CoSb3", "I 2/m -3"),
}
DIGITS = {  # names whose digits run together
    "P3221": ("quartz", "P3221"),
    "P 32 2 1": ("quartz", "P 32 2 1"),
    "P3_221": ("quartz", "P3_221"),
    "P213": ("FeSi", "P213"),
    "P 21 3": ("FeSi", "P 21 3"),
    "P2(1)3": ("FeSi", "P2(1)3"),
    "P212121": ("NaCl P212121", "P212121"),
    "P 21 21 21": ("NaCl P212121", "P 21 21 21"),
    "P2(1)2(1)2(1)": ("NaCl P212121", "P2(1)2(1)2(1)"),
    "P2_12_12_1": ("NaCl P212121", "P2_12_12_1"),
    "I-42d": ("CuFeS2", "I-42d"),
    "I -4 2 d": ("CuFeS2", "I -4 2 d"),
    "P-421m": ("Ca2Al3O7", "P-421m"),
    "P -4 21 m": ("Ca2Al3O7", "P -4 21 m"),
    "P6/mmm": ("AlB2", "P6/mmm"),
    "P-62m": ("Fe2P", "P-62m"),
    "P42/mnm": ("rutile", "P42/mnm"),
}
NAMES = {**DIGITS, **MONOCLINIC, **ORTHORHOMBIC, **HEXAGONAL, **RHOMBOHEDRAL, **ORIGINS, **OLD_AND_FULL}


@pytest.mark.parametrize(("known", "name"), cases(NAMES))
def test_a_name_alone_gives_the_whole_cell(known, name):
    check(named(KNOWN[known], name), RIGHT, KNOWN[known])


@pytest.mark.parametrize(
    ("known", "name"),
    cases(
        {
            "capitals of the old ICSD": ("CaF2", "FM3-M"),
            "bar behind the number": ("Bi hexagonal", "R3-MHR"),
            "P 63/MMC": ("graphite", "P63/MMC"),
            "lower case lattice letter": ("rutile", "p 42/m n m"),
            "number behind the name": ("PbCl2 Pnma", "P n m a (62)"),
            "No. behind the name": ("Ag2S", "P21/c (No. 14)"),
            "unique axis a": ("LaPO4", "P 21/n 1 1"),  # on a cell of unique axis b
            "markup": ("graphite", "P6<sub>3</sub>/mmc"),
            "LaTeX": ("Ca(OH)2", "P\\bar{3}m1"),
        }
    ),
)
def test_an_odd_spelling_gives_the_whole_cell_or_a_refusal_by_name(known, name):
    expectation = REFUSED if name == "P 21/n 1 1" else RIGHT_OR_REFUSED
    check(named(KNOWN[known], name), expectation, KNOWN[known], words=["space group"])


SETTINGS = {
    f"{name} as {hall}": (hall, view)
    for name in ("LaPO4", "LaNbO4", "ZrTe3", "NiWO4", "CaTiO3", "La2CuO4", "CeCu2")
    for hall, view in axis_views(KNOWN[name])
}


def _full_name(hall):
    import spglib

    return spglib.get_spacegroup_type(hall_number(hall)).international_full.replace("_", "")


@pytest.mark.parametrize(("hall", "view"), cases(SETTINGS))
def test_every_setting_of_the_axes_by_full_name_short_name_and_hall_symbol(hall, view):
    full = _full_name(hall)
    check(named(view, full), RIGHT, view)
    check(named(view, hall, tag="_symmetry_space_group_name_Hall"), RIGHT, view)
    if " 1" in full:  # monoclinic: the cell says which axis is the unique one
        short = full.replace(" 1", "")
        unique_b = hall.split()[1].startswith("2y")
        if unique_b or "90.03" not in view.cell:
            check(named(view, short), RIGHT if unique_b else RIGHT_OR_REFUSED, view, words=[short])
    else:
        import spglib

        short = spglib.get_spacegroup_type(hall_number(hall)).international_short
        check(named(view, short), RIGHT, view)


@pytest.mark.parametrize("tag", ["_symmetry_space_group_name_Hall", "_space_group_name_Hall"])
@pytest.mark.parametrize(
    "known",
    ["Ag2S", "PbCl2 Pnma", "Bi hexagonal", "Bi rhombohedral", "Ge :1", "TiO2 :2", "PbO :1", "Li2CO3",
     "quartz", "Ca(OH)2", "LiNbO3"],
)  # fmt: skip
def test_a_hall_symbol_alone(tag, known):
    """Some end in a double quote, which belongs to the symbol: P 3 2" is not P 3 2."""
    known = KNOWN[known]
    quote = '"' if '"' not in known.hall else "'"
    for hall in (known.hall, known.hall.replace(" ", "_")):
        check(cif(known.cell, f"{tag} {quote}{hall}{quote}", known.sites), RIGHT, known)


@pytest.mark.parametrize("tag", ["_space_group_IT_number", "_symmetry_Int_Tables_number"])
@pytest.mark.parametrize(
    ("known", "number"),
    [
        ("CaF2", 225), ("PbCl2 Pnma", 62), ("rutile", 136), ("ZnO", 186), ("Ag2S", 14), ("Ga2O3", 12),
        ("Bi hexagonal", 166), ("Bi rhombohedral", 166), ("LiNbO3", 161), ("CuWO4", 2), ("black P", 64),
    ],
)  # fmt: skip
def test_a_number_alone_is_the_standard_setting_that_fits_the_cell(tag, known, number):
    known = KNOWN[known]
    check(cif(known.cell, f"{tag} {number}", known.sites), RIGHT, known)


@pytest.mark.parametrize(
    "tag",
    [
        "_space_group_name_H-M_alt",
        "_space_group_name_H-M_full",
        "_symmetry_space_group_name_H-M",
        "_SYMMETRY_SPACE_GROUP_NAME_H-M",
        "_symmetry_space_group_name_h-m",
        "_Space_Group_Name_H-M_Alt",
    ],
)
def test_every_tag_of_the_name(tag):
    known = KNOWN["Ag2S"]
    check(named(known, "P 1 21/c 1", tag=tag), RIGHT, known)
    upper = named(known, "P 1 21/c 1", tag=tag).replace("_cell_", "_CELL_").replace("_atom_", "_Atom_")
    check(upper, RIGHT, known)


@pytest.mark.parametrize(
    "value",
    [
        "'P n m a'", '"P n m a"', "Pnma", "P_n_m_a", "\n;P n m a\n;", "\n'P n m a'", "'P n m a' # standard",
        "'P n m a '", "' P n m a'", "'P  n  m  a'",
    ],
)  # fmt: skip
def test_every_way_to_quote_a_name(value):
    known = KNOWN["PbCl2 Pnma"]
    check(cif(known.cell, f"{NAME} {value}", known.sites), RIGHT, known)


@pytest.mark.parametrize("unknown", ["?", ".", "'?'", "''", "' '"])
def test_a_name_that_is_not_given_leaves_the_others(unknown):
    known = KNOWN["Ag2S"]
    for other in (
        "_space_group_IT_number 14",
        "_symmetry_space_group_name_Hall '-P 2ybc'",
        "_space_group_name_H-M_alt 'P 21/c'",
        operations(triplets("-P 2ybc")),
    ):
        expectation = RIGHT if unknown in "?." else RIGHT_OR_REFUSED
        check(cif(known.cell, f"{NAME} {unknown}\n{other}", known.sites), expectation, known)


def test_no_symmetry_at_all_is_p1_when_nothing_speaks_against_it():
    known = KNOWN["NaClO2"]
    everything = Known(
        "P 1", known.cell, known.sites.replace("O .3 0 .45", "O .3 0 .45\nO -.3 0 -.45"), known.counts
    )
    for symmetry in ("", f"{NAME} ?", f"{NAME} .\n_space_group_IT_number ?"):
        check(cif(known.cell, symmetry, everything.sites), RIGHT, everything)
        further = "_chemical_formula_sum 'Na Cl O2'\n_cell_formula_units_Z 1"
        check(cif(known.cell, symmetry, everything.sites, further), RIGHT, everything)
    # the asymmetric unit of P 2/m, whose formula the file states
    further = "_chemical_formula_sum 'Cl Na O2'"
    check(cif(known.cell, "", known.sites, further), REFUSED, words=["O2"])


def test_no_symmetry_and_a_formula_or_z_that_p1_contradicts_is_refused():
    for known, formula, z in (("CaF2", "Ca F2", 4), ("rutile", "O2 Ti", 2), ("LaPO4", "La O4 P", 4)):
        further = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}"
        known = KNOWN[known]
        check(cif(known.cell, f"{NAME} ?", known.sites, further), REFUSED)


# The origin is not given: what the file says of its content decides, or nothing does.
UNDECIDED = "F d -3 m", "P 4/n m m", "I 41/a m d", "P n -3 m", "P 42/n m c", "I 41/a"
DECIDING = {
    "Ge at 1": ("Ge :1", "F d -3 m", "Ge", 8),
    "Ge at 2": ("Ge :2", "F d -3 m", "Ge", 8),
    "spinel at 1": ("ZnAl2O4 :1", "F d -3 m", "Al2 O4 Zn", 8),
    "spinel at 2": ("ZnAl2O4 :2", "Fd-3m", "Al2 O4 Zn", 8),
    "PbO at 1": ("PbO :1", "P 4/n m m", "O Pb", 2),
    "PbO at 2": ("PbO :2", "P4/nmm", "O Pb", 2),
    "anatase at 1": ("TiO2 :1", "I 41/a m d", "O2 Ti", 4),
    "anatase at 2": ("TiO2 :2", "I 41/a m d", "O2 Ti", 4),
    "cuprite at 1": ("Cu2O :1", "P n -3 m", "Cu2 O", 2),
    "cuprite at 2": ("Cu2O :2", "P n -3 m", "Cu2 O", 2),
    "old symbol": ("ZnAl2O4 :1", "F d 3 m", "Al2 O4 Zn", 8),
    "full symbol": ("Ge :1", "F 41/d -3 2/m", "Ge", 8),
}


@pytest.mark.parametrize(("known", "name", "formula", "z"), cases(DECIDING))
def test_formula_and_z_decide_the_origin(known, name, formula, z):
    known = KNOWN[known]
    further = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}"
    for symmetry in (f"{NAME} '{name}'", f"_space_group_IT_number {_number(known.hall)}"):
        check(cif(known.cell, symmetry, known.sites, further), RIGHT, known)


@pytest.mark.parametrize(
    ("known", "name", "multiplicities"),
    [
        ("Ge :2", "F d -3 m", [8]),
        ("ZnAl2O4 :2", "F d -3 m", [8, 16, 32]),
        ("ZnAl2O4 :1", "F d -3 m", [8, 16, 32]),
        ("PbO :2", "P 4/n m m", [2, 2]),
        ("TiO2 :1", "I 41/a m d", [4, 8]),
        ("Cu2O :2", "P n -3 m", [4, 2]),
    ],
)
def test_multiplicities_decide_the_origin(known, name, multiplicities):
    known = KNOWN[known]
    lines = zip(known.sites.splitlines(), multiplicities, strict=True)
    sites = "\n".join(f"{line} {multiplicity}" for line, multiplicity in lines)
    columns = POSITION + " symmetry_multiplicity"
    check(cif(known.cell, f"{NAME} '{name}'", sites, columns=columns), RIGHT, known)


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ("Ge :1", "F d -3 m"), ("Ge :2", "F d -3 m"), ("ZnAl2O4 :2", "F d -3 m"), ("PbO :1", "P 4/n m m"),
        ("TiO2 :2", "I 41/a m d"), ("Cu2O :1", "P n -3 m"), ("ZrO2 :2", "P 42/n m c"),
    ],
)  # fmt: skip
def test_an_origin_that_nothing_decides_is_guessed_right_or_refused(known, name):
    check(named(KNOWN[known], name), RIGHT_OR_REFUSED, KNOWN[known], words=[("origin", "setting")])


@pytest.mark.parametrize(
    ("name", "cell", "sites", "formula", "z"),
    [
        ("P 4/n", "8 8 7 90 90 90", "Xe .1 .15 .2", "Xe", 8),
        ("P n n n", "7 8 9 90 90 90", "Xe .1 .15 .2", "Xe", 8),
        ("F d d d", "24 26 28 90 90 90", "Xe .1 .22 .03", "Xe", 32),
    ],
)
def test_an_origin_that_the_formula_leaves_open_is_refused(name, cell, sites, formula, z):
    """A general position has the same multiplicity at both origins, and is another crystal."""
    further = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}"
    check(cif(cell, f"{NAME} '{name}'", sites, further), REFUSED, words=[("origin", "setting")])


def test_a_hall_symbol_beside_the_name_decides_the_origin():
    for known, name in (("Ge :2", "F d -3 m"), ("Ge :1", "F d -3 m"), ("PbO :2", "P 4/n m m")):
        known = KNOWN[known]
        symmetry = f"{NAME} '{name}'\n_symmetry_space_group_name_Hall '{known.hall}'"
        check(cif(known.cell, symmetry, known.sites), RIGHT, known)
        swapped = "\n".join(reversed(symmetry.split("\n")))
        check(cif(known.cell, swapped, known.sites), RIGHT, known)


@pytest.mark.parametrize(
    "name",
    [
        "banana",
        "P 7/m",
        "Q m m m",
        "F m -3 x",
        "P 21/q",
        "F m -3 m :7",
        "R -3 m :3",
        "P 1 21/c",
        "X -1",
        "mmm",
    ],
)
def test_a_name_that_is_none_is_refused_with_it(name):
    for known in ("CaF2", "Ag2S", "Bi hexagonal"):
        if name == "P 1 21/c":  # one 1 forgotten: the meaning is plain
            check(named(KNOWN["Ag2S"], name), RIGHT_OR_REFUSED, KNOWN["Ag2S"], words=[name])
            continue
        check(named(KNOWN[known], name), REFUSED, words=[name])


@pytest.mark.parametrize(
    ("symmetry", "word"),
    [
        ("_symmetry_space_group_name_Hall '-P 9 2'", "-P 9 2"),
        ("_space_group_name_Hall 'nonsense'", "nonsense"),
        ("_space_group_IT_number 0", "0"),
        ("_space_group_IT_number 231", "231"),
        ("_symmetry_Int_Tables_number cubic", "cubic"),
    ],
)
def test_a_hall_symbol_or_number_that_is_none_is_refused_with_it(symmetry, word):
    check(cif(KNOWN["CaF2"].cell, symmetry, KNOWN["CaF2"].sites), REFUSED, words=[word])


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("F m -3 m", "4.2 4.5 4.9 90 90 90"),
        ("P m -3 m", "4.2 4.2 4.9 90 90 90"),
        ("P 4/m m m", "4.2 4.5 4.9 90 90 90"),
        ("P 63/m m c", "4.2 4.2 4.9 90 90 90"),
        ("P 63/m m c", "4.2 4.5 4.9 90 90 120"),
        ("P n m a", "4.2 4.5 4.9 90 97 90"),
        ("P 21/c", "4.2 4.5 4.9 85 97 92"),
        ("P 21/c", "4.2 4.5 4.9 90 90 97"),  # a glide along the unique axis there is none
        ("C 2/m", "4.2 4.5 4.9 90 90 97"),  # C 1 1 2/m is no lattice of its own
        ("R -3 m :H", "4.2 4.2 4.2 57 57 57"),
        ("R -3 m :R", "4.2 4.2 12.2 90 90 120"),
    ],
)
def test_a_name_that_does_not_fit_the_cell_is_refused_with_it(name, cell):
    check(cif(cell, f"{NAME} '{name}'", "Mg1 0 0 0\nO1 .5 .5 .5"), REFUSED, words=[name])


@pytest.mark.parametrize(
    ("name", "known", "cell"),
    [
        ("F m -3 m", "CaF2", "5.463 5.463 5.4631 90 90 90"),
        ("P 63/m m c", "Mg", "3.209 3.209 5.211 90 90 119.99"),
        ("P 42/m n m", "rutile", "4.594 4.5941 2.959 90 90 90"),
    ],
)
def test_a_cell_that_misses_its_system_by_rounding_is_read(name, known, cell):
    known = KNOWN[known]
    check(cif(cell, f"{NAME} '{name}'", known.sites), RIGHT, known)


# Only x,y,z is listed beside the name of another group.
def _alone(known, name, sites=None, further="", columns=POSITION):
    symmetry = f"{NAME} '{name}'\n{operations(['x,y,z'])}"
    return cif(known.cell, symmetry, known.sites if sites is None else sites, further, columns)


def _all_sites(known):
    return "\n".join(
        f"{site.specie.symbol}{i} {site.a:.6f} {site.b:.6f} {site.c:.6f}"
        for i, site in enumerate(known.structure, 1)
    )


FULLY_LISTED = {
    "fluorite": ("CaF2", "F m -3 m", "Ca F2", 4),
    "rutile": ("rutile", "P 42/m n m", "O2 Ti", 2),
    "monazite": ("LaPO4", "P 21/n", "La O4 P", 4),
    "bismuth": ("Bi hexagonal", "R -3 m", "Bi", 6),
}


@pytest.mark.parametrize(("known", "name", "formula", "z"), cases(FULLY_LISTED))
def test_all_atoms_under_x_y_z_are_all_atoms(known, name, formula, z):
    known = KNOWN[known]
    check(_alone(known, name, _all_sites(known)), RIGHT, known)
    further = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}"
    check(_alone(known, name, _all_sites(known), further), RIGHT, known)


@pytest.mark.parametrize(("known", "name", "formula", "z"), cases(FULLY_LISTED))
def test_an_asymmetric_unit_under_x_y_z_gets_its_group_when_that_reconciles_all(known, name, formula, z):
    known = KNOWN[known]
    further = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}"
    check(_alone(known, name, further=further), RIGHT, known)
    # neither statement: P 1 is what the file lists and not what it means
    check(_alone(known, name), RIGHT_OR_REFUSED, known, words=[name])
    # a Z that neither P 1 nor the group gives
    wrong = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z + 1}"
    check(_alone(known, name, further=wrong), REFUSED)


def test_a_primitive_cell_beside_the_name_of_its_group_is_what_it_lists():
    """The name cannot be applied to these axes; x,y,z is listed, and all atoms are there."""
    cells = {
        "F m -3 m": ("3.863 3.863 3.863 60 60 60", "Ca1 0 0 0\nF1 .25 .25 .25\nF2 .75 .75 .75", "Ca F2"),
        "F d -3 m": ("4.001 4.001 4.001 60 60 60", "Ge1 0 0 0\nGe2 .25 .25 .25", "Ge2"),
        "I m -3 m": ("2.48 2.48 2.48 109.4712 109.4712 109.4712", "Fe1 0 0 0", "Fe"),
    }
    for name, (cell, sites, counts) in cells.items():
        truth = Known("P 1", cell, sites, counts)
        stated = f"_chemical_formula_sum '{counts}'\n_cell_formula_units_Z 1"
        check(_alone(truth, name, further=stated), RIGHT, truth)
        check(_alone(truth, name), RIGHT_OR_REFUSED, truth, words=[name])
        check(named(truth, name), RIGHT_OR_REFUSED, truth, words=[name])


def test_multiplicities_reconcile_an_asymmetric_unit_under_x_y_z():
    for known, name, multiplicities in (
        ("CaF2", "F m -3 m", [4, 8]),
        ("rutile", "P 42/m n m", [2, 4]),
        ("Ga2O3", "C 2/m", [4, 4, 4, 4, 4]),
    ):
        known = KNOWN[known]
        lines = zip(known.sites.splitlines(), multiplicities, strict=True)
        sites = "\n".join(f"{line} {multiplicity}" for line, multiplicity in lines)
        columns = POSITION + " symmetry_multiplicity"
        check(_alone(known, name, sites, columns=columns), RIGHT, known)


def test_a_stale_name_does_not_change_a_relaxed_crystal():
    """All atoms of a cell that lost its symmetry: formula and Z say that nothing is missing."""
    for shift in ("0.02", "0.05", "-0.03"):
        sites = f"Sr1 .5 .5 .5\nTi1 0 0 {shift}\nO1 .5 0 .01\nO2 0 .5 .01\nO3 0 .02 .5"
        truth = Known("P 1", KNOWN["SrTiO3"].cell, sites, "Sr Ti O3")
        further = "_chemical_formula_sum 'O3 Sr Ti'\n_cell_formula_units_Z 1"
        check(_alone(truth, "P m -3 m", further=further), RIGHT_OR_REFUSED, truth, words=["P m -3 m"])


# Operations.
LISTED = "CaF2", "LaPO4", "MoS2", "TiO2 :2", "pyrite", "Bi rhombohedral"


@pytest.mark.parametrize("known", LISTED)
@pytest.mark.parametrize("tag", ["_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"])
@pytest.mark.parametrize(
    "dress", ["plain", "capitals", "blanks", "decimals", "shift first", "numbered", "twice"]
)
def test_operations_in_every_dress(known, tag, dress):
    known = KNOWN[known]
    texts = triplets(known.hall)
    if dress == "capitals":
        texts = [text.upper() for text in texts]
    elif dress == "blanks":
        texts = [text.replace(",", ", ").replace("+", " + ") for text in texts]
    elif dress == "decimals":
        decimals = {"1/2": "0.5", "1/3": "0.33333", "2/3": "0.66667", "1/4": ".25", "3/4": "0.75"}
        texts = [
            re.sub(r"\d/\d", lambda part: decimals.get(part.group(), part.group()), text) for text in texts
        ]
    elif dress == "shift first":
        texts = [re.sub(r"([-+xyz]+)\+(\d/\d)", _shift_first, text) for text in texts]
    elif dress == "twice":
        texts = [*texts, *texts]
    loop = operations(texts, tag)
    if dress == "numbered":
        rows = "\n".join(f"{i} '{text}'" for i, text in enumerate(texts, 1))
        loop = (
            f"loop_\n{tag.rsplit('_', 1)[0].replace('_as', '').replace('_operation', '')}_id\n{tag}\n{rows}"
        )
    check(cif(known.cell, loop, known.sites), RIGHT, known)


def _shift_first(part):
    letters = part.group(1)
    return part.group(2) + (letters if letters.startswith("-") else "+" + letters)


def test_operations_without_a_loop_or_without_quotes():
    truth = Known("P 1", "4 4.2 4.4 91 92 93", "Cs1 0 0 0\nCl1 .5 .5 .45", "Cs Cl")
    for symmetry in (
        "_symmetry_equiv_pos_as_xyz x,y,z",
        "_space_group_symop_operation_xyz 'x, y, z'",
        "_symmetry_equiv_pos_as_xyz 'X,Y,Z'",
        f"{NAME} P1\n_symmetry_Int_Tables_number 1\n_space_group_symop_operation_xyz 'x,y,z'",
        "loop_ _symmetry_equiv_pos_as_xyz x,y,z",
        "loop_\n_symmetry_equiv_pos_as_xyz\n+x,+y,+z",
    ):
        check(cif(truth.cell, symmetry, truth.sites), RIGHT, truth)


def test_operations_with_blanks_and_no_quotes():
    """Written by hand: each row has three values where the loop has one tag."""
    known = KNOWN["Ag2S"]
    rows = "\n".join(text.replace(",", ", ") for text in triplets(known.hall))
    text = cif(known.cell, f"loop_\n_symmetry_equiv_pos_as_xyz\n{rows}", known.sites)
    check(text, RIGHT_OR_REFUSED, known)
    check(
        cif(known.cell, f"loop_\n_symmetry_equiv_pos_as_xyz\n{rows}\n{NAME} 'P 21/c'", known.sites),
        RIGHT_OR_REFUSED,
        known,
    )


@pytest.mark.parametrize(
    ("name", "shift", "counts"), [("C -1", (0.5, 0.5, 0), "Na4 Cl4"), ("I -1", (0.5, 0.5, 0.5), "Na4 Cl4")]
)
def test_a_centred_triclinic_cell_of_the_mineralogists(name, shift, counts):
    """Albite is described in C -1, anorthite in I -1; no table of the 530 settings has them."""
    half = Known("-P 1", "8.1 12.8 7.2 94 116 88", "Na .27 .01 .13\nCl .1 .17 .4", "Na2 Cl2").structure
    sites = [(site.specie, site.frac_coords + move) for site in half for move in ((0, 0, 0), shift)]
    truth = Structure(half.lattice, *zip(*sites, strict=True))
    assert truth.formula.replace(" ", "") == counts.replace(" ", "")
    text = cif("8.1 12.8 7.2 94 116 88", f"{NAME} '{name}'", "Na1 .27 .01 .13\nCl1 .1 .17 .4")
    check(text, RIGHT_OR_REFUSED, truth, words=[name])


def test_a_name_p1_beside_listed_operations_leaves_the_operations():
    for known in ("CaF2", "Ag2S", "rutile"):
        known = KNOWN[known]
        check(
            cif(known.cell, f"{NAME} 'P 1'\n{operations(triplets(known.hall))}", known.sites),
            RIGHT_OR_REFUSED,
            known,
        )


GENERAL = {"LaPO4": "P 21/n", "pyrite": "P a -3", "CaWO4 :2": "I 41/a :2", "pyrope": "I a -3 d"}


@pytest.mark.parametrize("known", GENERAL)
@pytest.mark.parametrize("kept", ["all but the last", "all but one in the middle", "all but the second half"])
def test_an_incomplete_list_never_loses_atoms(known, kept):
    """With the name the list can be completed; without it nothing says what is missing."""
    name, known = GENERAL[known], KNOWN[known]
    texts = triplets(known.hall)
    count = len(texts)
    texts = {
        "all but the last": texts[:-1],
        "all but one in the middle": texts[: count // 2] + texts[count // 2 + 1 :],
        "all but the second half": texts[: count // 2],
    }[kept]
    check(cif(known.cell, f"{NAME} '{name}'\n{operations(texts)}", known.sites), RIGHT_OR_REFUSED, known)
    if len(texts) == count - 1 and count > 2:
        check(cif(known.cell, operations(texts), known.sites), REFUSED, words=["operation"])


def test_the_half_of_the_operations_that_is_a_group_is_not_the_named_group():
    """Eight of the sixteen operations of P 4/m m m: atoms of a general position would be lost."""
    truth = Known("-P 4 2", "6 6 7 90 90 90", "Xe1 .14 .27 .21", "Xe16")
    eight = operations(triplets("P 4 2"))
    check(cif(truth.cell, f"{NAME} 'P 4/m m m'\n{eight}", truth.sites), RIGHT_OR_REFUSED, truth)
    further = "_chemical_formula_sum Xe\n_cell_formula_units_Z 16"
    check(cif(truth.cell, eight, truth.sites, further), REFUSED)
    # the centring is left out
    fluorite = KNOWN["CaF2"]
    primitive = operations(triplets("-P 4 2 3"))
    check(cif(fluorite.cell, f"{NAME} 'F m -3 m'\n{primitive}", fluorite.sites), RIGHT_OR_REFUSED, fluorite)


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("4.2 4.5 4.9 90 90 90", ["x,y,z", "-y,x,z", "-x,-y,z", "y,-x,z"]),
        ("4.2 4.2 4.9 90 90 90", ["x,y,z", "-y,x-y,z", "-x+y,-x,z"]),
        ("4.2 4.5 4.9 90 97 90", ["x,y,z", "-x,-y,z"]),
        ("4.2 4.3 4.4 90 90 90", ["x,y,z", "z,x,y", "y,z,x"]),
    ],
)
def test_operations_that_do_not_fit_the_cell_are_refused(cell, texts):
    check(cif(cell, operations(texts), "Mg1 .1 .2 .3\nO1 .6 .7 .9"), REFUSED, words=["cell"])


@pytest.mark.parametrize(
    "wrong", ["x,y", "x,y,q", "x+1/0,y,z", "x,y,z,", "a+b", "2*x,y,z", "x,x,z", "x,y,z+0.13"]
)
def test_an_operation_that_is_none_is_refused_with_it(wrong):
    symmetry = operations(["x,y,z", wrong])
    check(
        cif("4.2 4.5 4.9 90 90 90", symmetry, "Mg1 .1 .2 .3\nO1 .6 .7 .9"),
        REFUSED,
        words=[("operation", wrong)],
    )


@pytest.mark.parametrize(
    ("operation", "image"),
    [
        ("-x,-y,-z+1/5", (-0.1, -0.2, 0.2 - 0.3)),
        ("-x,y,-z+0.3", (-0.1, 0.2, 0)),
        ("x,-y+0.3,z", (0.1, 0.1, 0.3)),
        ("-x+1/7,-y,-z", (1 / 7 - 0.1, -0.2, -0.3)),
    ],
)
def test_an_operation_about_an_odd_origin_is_followed_or_refused(operation, image):
    """A translation that is no 24th must not be rounded to one: the second atom would stand elsewhere."""
    truth = Structure(Lattice.orthorhombic(5, 6, 20), ["Mg", "Mg"], [(0.1, 0.2, 0.3), image])
    text = cif("5 6 20 90 90 90", operations(["x,y,z", operation]), "Mg1 .1 .2 .3")
    check(text, RIGHT_OR_REFUSED, truth, words=["operation"])


@pytest.mark.parametrize("parts", [5, 7, 9])
def test_translations_of_a_supercell_are_followed_or_refused(parts):
    texts = ["x,y,z", *(f"x,y,z+{i}/{parts}" for i in range(1, parts))]
    places = [[0, 0, i / parts] for i in range(parts)]
    truth = Structure(Lattice.tetragonal(4, 4 * parts), ["Mg"] * parts, places)
    text = cif(f"4 4 {4 * parts} 90 90 90", operations(texts), "Mg1 0 0 0")
    check(text, RIGHT_OR_REFUSED, truth, words=["operation"])


def test_operations_without_the_identity_are_refused_or_completed():
    truth = KNOWN["Ag2S"]
    texts = triplets(truth.hall)
    assert texts[0] == "x,y,z"
    check(cif(truth.cell, operations(texts[1:]), truth.sites), RIGHT_OR_REFUSED, truth)


@pytest.mark.parametrize(
    ("symmetry", "words"),
    [
        (f"{NAME} 'P m -3 m'\n_space_group_IT_number 225", ["225"]),
        (f"{NAME} 'F m -3 m'\n_symmetry_space_group_name_Hall '-P 4 2 3'", ["-P 4 2 3"]),
        (f"_space_group_IT_number 216\n{operations(triplets('-F 4 2 3'))}", ["216"]),
        (f"{NAME} 'F -4 3 m'\n{operations(triplets('-F 4 2 3'))}", ["F -4 3 m"]),
    ],
)
def test_two_statements_of_different_groups_are_never_followed_in_silence(symmetry, words):
    """Fluorite has F m -3 m; a file that also names another group is refused, or read as that with a note."""
    known = KNOWN["CaF2"]
    further = "_chemical_formula_sum 'Ca F2'\n_cell_formula_units_Z 4"
    for statements in ("", further):
        reading = check(cif(known.cell, symmetry, known.sites, statements), RIGHT_OR_REFUSED, known)
        assert reading is None or reading.notes, "read without a word"


@pytest.mark.parametrize("known", ["CaF2", "LaPO4", "rutile"])
def test_two_lists_of_operations_that_differ_are_never_followed_in_silence(known):
    """Under the old tag and the new one; x,y,z in one of them would leave the asymmetric unit."""
    known = KNOWN[known]
    old, new = "_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"
    texts = triplets(known.hall)
    for first, second in ((texts, ["x,y,z"]), (["x,y,z"], texts), (texts, texts[: len(texts) // 2])):
        text = cif(known.cell, f"{operations(first, old)}\n{operations(second, new)}", known.sites)
        check(text, RIGHT_OR_REFUSED, known)
    check(
        cif(known.cell, f"{operations(texts, old)}\n{operations(texts[::-1], new)}", known.sites),
        RIGHT,
        known,
    )


@pytest.mark.parametrize(("known", "number"), [("LaPO4", 14), ("LaNbO4", 15), ("CaTiO3", 62)])
def test_a_number_whose_setting_is_only_a_convention_is_noted_or_refused(known, number):
    """These are not in the standard setting, which fits their cells too and makes another crystal of them."""
    from matwheel.crystals.reader import UnreadableCrystal, read_crystal

    known = KNOWN[known]
    text = cif(known.cell, f"_space_group_IT_number {number}", known.sites)
    with contextlib.suppress(UnreadableCrystal):
        reading = read_crystal(text, "cif", "number")
        assert any("setting" in note for note in reading.notes), (
            reading.crystal.element_counts,
            reading.notes,
        )


def test_a_hall_symbol_of_another_origin_than_the_name_is_noted_or_refused():
    for known, name in (
        ("ZnAl2O4 :2", "F d -3 m :1"),
        ("PbO :1", "P 4/n m m :2"),
        ("TiO2 :2", "I 41/a m d :1"),
        ("Bi rhombohedral", "R -3 m :H"),
    ):
        known = KNOWN[known]
        quote = '"' if '"' not in known.hall else "'"
        symmetry = f"{NAME} '{name}'\n_symmetry_space_group_name_Hall {quote}{known.hall}{quote}"
        reading = check(cif(known.cell, symmetry, known.sites), RIGHT_OR_REFUSED, known)
        assert reading is None or reading.notes, f"{name} and {known.hall} without a word"


def test_names_and_numbers_beside_operations_of_another_setting_are_no_contradiction():
    """A file in P 21/n says number 14, whose standard setting is P 21/c; its operations are its own."""
    for known, name, number in (
        ("LaPO4", "P 21/c", 14),
        ("CaTiO3", "P n m a", 62),
        ("TiO2 :2", "I 41/a m d", 141),
    ):
        known = KNOWN[known]
        for symmetry in (f"_space_group_IT_number {number}", f"{NAME} '{name}'"):
            text = cif(known.cell, f"{symmetry}\n{operations(triplets(known.hall))}", known.sites)
            check(text, RIGHT if "IT_number" in symmetry else RIGHT_OR_REFUSED, known)


def _number(hall):
    import spglib

    return spglib.get_spacegroup_type(hall_number(hall)).number


# Magnetic CIFs: the operations carry a time reversal.
MOMENTS = """
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
"""


def _magnetic(known, texts, centring, moment):
    symmetry = ["loop_", "_space_group_symop_magn_operation.id", "_space_group_symop_magn_operation.xyz"]
    symmetry += [f"{i} {text}" for i, text in enumerate(texts, 1)]
    symmetry += ["loop_", "_space_group_symop_magn_centering.id", "_space_group_symop_magn_centering.xyz"]
    symmetry += [f"{i} {text}" for i, text in enumerate(centring, 1)]
    return cif(known.cell, "\n".join(symmetry), known.sites) + MOMENTS.lstrip() + moment + "\n"


MAGNETIC = {
    "MnF2, its operations in full": (
        Known("-P 4n 2n", "4.873 4.873 3.31 90 90 90", "Mn1 0 0 0\nF1 .305 .305 0", "Mn2 F4"),
        [f"{text},{'-1' if '+1/2' in text else '+1'}" for text in triplets("-P 4n 2n")],
        ["x,y,z,+1"],
        "Mn1 0 0 4.6",
    ),
    "antiferromagnetic Cr, centred with time reversal": (
        Known("-I 4 2 3", "2.88 2.88 2.88 90 90 90", "Cr1 0 0 0", "Cr2"),
        ["x,y,z,+1", "-x,-y,z,+1", "-x,-y,-z,+1", "x,y,-z,+1"],
        ["x,y,z,+1", "x+1/2,y+1/2,z+1/2,-1"],
        "Cr1 0 0 0.6",
    ),
    "a doubled cell": (
        Known("-P 4 2", "4.2 4.2 8.4 90 90 90", "Mn1 0 0 0\nO1 .5 .5 0", "Mn O"),
        ["x,y,z,+1", "-x,-y,-z,+1"],
        ["x,y,z,+1", "x,y,z+1/2,-1"],
        "Mn1 0 0 4.5",
    ),
}


@pytest.mark.parametrize("case", MAGNETIC)
def test_a_magnetic_cif_gives_its_atoms_and_says_that_the_moments_are_dropped(case):
    known, texts, centring, moment = MAGNETIC[case]
    if case == "a doubled cell":
        truth = Structure(known.structure.lattice, ["Mn", "Mn", "O", "O"],
                          [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5]])  # fmt: skip
    else:
        truth = expanded(known.hall, known.cell, known.sites, known.counts)
    check(_magnetic(known, texts, centring, moment), RIGHT, truth, notes=[("moment", "magnetic")])


def test_a_magnetic_cif_with_underscored_tags_in_a_file(tmp_path):
    from matwheel.crystals.imported import read_imported

    known, texts, centring, moment = MAGNETIC["MnF2, its operations in full"]
    text = _magnetic(known, texts, centring, moment)
    for number, replaced in enumerate(
        (text, text.replace("operation.", "operation_").replace("centering.", "centering_"))
    ):
        path = tmp_path / f"MnF2-{number}.mcif"
        path.write_text(replaced)
        crystals, verdicts = read_imported(path)
        assert [verdict.verdict for verdict in verdicts] == ["pass"], verdicts[0].reason
        assert crystals[0].element_counts == {"F": 4, "Mn": 2}
        assert "moment" in verdicts[0].reason or "magnetic" in verdicts[0].reason


LARGE = {
    "an origin to be decided": (
        "60 60 60 90 90 90",
        f"{NAME} 'F d -3 m'",
        "Xe1 .63696 .26979 .04097\nXe2 .01653 .81327 .91276\nXe3 .60664 .72950 .54362\n"
        "Xe4 .93507 .81585 .00274",
    ),
    "a thousand atoms beside x,y,z": (
        "40 40 40 90 90 90",
        f"{NAME} 'P m -3 m'\n{operations(['x,y,z'])}",
        "\n".join(f"Xe{i} .{i % 10}1 .{i // 10 % 10}1 .{i // 100}1" for i in range(1000)),
    ),
    "fifteen thousand atoms by symmetry": (
        "90 90 90 90 90 90",
        f"{NAME} 'F m -3 m'",
        "\n".join(f"Xe{i} .{i % 10}3 .{i // 10}7 .11" for i in range(80)),
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_cells_take_seconds(case):
    from matwheel.crystals.reader import UnreadableCrystal, read_crystal

    started = time.process_time()
    with contextlib.suppress(UnreadableCrystal):
        read_crystal(cif(*LARGE[case]), "cif", "large")
    assert time.process_time() - started < 5
