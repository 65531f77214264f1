"""The atoms of a CIF: labels, type symbols, occupancies, positions; the right ones, or refused by name."""

import pytest
from cif_texts import (
    KNOWN,
    NAME,
    POSITION,
    REFUSED,
    RIGHT,
    RIGHT_OR_REFUSED,
    TYPED,
    Known,
    cases,
    check,
    cif,
    named,
    operations,
    triplets,
)
from pymatgen.core import Lattice, Structure

ROCK_SALT = f"{NAME} 'F m -3 m'"
PEROVSKITE = f"{NAME} 'P m -3 m'"
DEUTERIUM = ("deuterium", "isotope", "'D'", " D ")
SAME_PLACE = ("place", "on top", "overlap", "coincide", "occupan", "apart")


def rock_salt(first, second, further="", columns=POSITION, sites="{} 0 0 0\n{} .5 .5 .5"):
    """Two atoms of the rock-salt structure; first and second are what stands before the coordinates."""
    return cif("5 5 5 90 90 90", ROCK_SALT, sites.format(first, second), further, columns)


def truth_of(first, second):
    return Known("-F 4 2 3", "5 5 5 90 90 90", f"{first} 0 0 0\n{second} .5 .5 .5", f"{first}4 {second}4")


READABLE_LABELS = [
    ("Mg", "O", "Mg", "O"), ("Mg1", "O1", "Mg", "O"), ("Mg1", "O1A", "Mg", "O"), ("Mg(1)", "O(1)", "Mg", "O"),
    ("Mg1_2", "O2_1", "Mg", "O"), ("Mg2+", "O2-", "Mg", "O"), ("Na+", "Cl-", "Na", "Cl"),
    ("Na1+", "Cl1-", "Na", "Cl"),
    ("Fe3+", "N3-", "Fe", "N"), ("Mg01", "O002", "Mg", "O"), ("Mg1a", "O1b", "Mg", "O"),
    ("Fe+2", "O-2", "Fe", "O"),
    # symbols that begin like another element, or are a whole word elsewhere
    ("Co1", "O1", "Co", "O"), ("Ho1", "N1", "Ho", "N"), ("Hf1", "C1", "Hf", "C"), ("W1", "C1", "W", "C"),
    ("Cs1", "Cl1", "Cs", "Cl"), ("Sn1", "S1", "Sn", "S"), ("Sc1", "Sb1", "Sc", "Sb"), ("Y1", "N1", "Y", "N"),
    ("U1", "C1", "U", "C"), ("V1", "B1", "V", "B"), ("K1", "I1", "K", "I"), ("Pa1", "N1", "Pa", "N"),
    ("Pb1", "Po1", "Pb", "Po"), ("Yb1", "Se1", "Yb", "Se"), ("Np1", "P1", "Np", "P"),
    ("Ta1", "C1", "Ta", "C"),
    ("Li1", "H1", "Li", "H"), ("Th1", "S1", "Th", "S"), ("Tm1", "Te1", "Tm", "Te"), ("Os1", "C2", "Os", "C"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "metal", "other"), READABLE_LABELS)
def test_a_label_of_symbol_and_number_is_its_element(first, second, metal, other):
    check(rock_salt(first, second), RIGHT, truth_of(metal, other))


@pytest.mark.parametrize(
    ("first", "second", "metal", "other", "formula"),
    [
        ("MG1", "O1", "Mg", "O", "Mg O"), ("NA1", "CL1", "Na", "Cl", "Cl Na"),
        ("CA1", "O1", "Ca", "O", "Ca O"),
        ("CO1", "O1", "Co", "O", "Co O"), ("FE(1)", "O(1)", "Fe", "O", "Fe O"),
        ("CaM2", "O1", "Ca", "O", "Ca O"),
        ("Mg'", "O'", "Mg", "O", "Mg O"), ("Mg#1", "O*", "Mg", "O", "Mg O"), ("mg1", "o1", "Mg", "O", "Mg O"),
        ("24Mg", "16O", "Mg", "O", "Mg O"), ("Mg_a", "O_1", "Mg", "O", "Mg O"),
        ("CS1", "CL1", "Cs", "Cl", "Cl Cs"),
        ("LI1", "HO1", "Li", "H", "H Li"), ("Li1", "HLI", "Li", "H", "H Li"),
        ("AlT1", "PT2", "Al", "P", "Al P"),
    ],
)  # fmt: skip
def test_an_odd_label_is_its_element_or_refused_by_name(first, second, metal, other, formula):
    truth = truth_of(metal, other)
    for further in (
        f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z 4",
        f"_chemical_formula_sum '{formula}'",
    ):
        check(rock_salt(first, second, further), RIGHT_OR_REFUSED, truth)
    if first not in ("CO1", "CS1", "LI1"):  # carbon on O1, carbon on S1: without a formula nobody knows
        check(rock_salt(first, second), RIGHT_OR_REFUSED, truth)


NO_ELEMENT = [
    "HO1", "HN2", "OW", "Ow1", "OW2", "Wat2", "Wa1", "WAT", "W_at1", "OH1", "Oh1", "OH", "O-H", "H2O1", "H2O",
    "T1", "T2", "T1o", "M1", "M2", "M(1)", "Me1", "A1", "X1", "X", "Q1", "R1", "RE1", "Ln1", "L1", "J1",
    "Z", "E1",
    "Va2", "Va", "Vac", "Vac1", "VAC", "□", "□1", "Sr/Ba", "Ca/Mg1", "Fe,Mg", "Fe+Mg", "Ca&Sr", "CaMg1",
    "FeMg",
    "NaK1", "AlSi", "NH4", "NO3", "SO4", "PO4", "OH2", "Site1", "atom1", "1", "?", ".", "Du1", "Dum",
    "Cation",
    "Xx1", "Aa1",
]  # fmt: skip


@pytest.mark.parametrize("label", NO_ELEMENT)
def test_a_label_that_is_no_element_is_refused_with_it(label):
    """As it stands: HO1 may be holmium or the hydrogen on O1, T1 a tetrahedral site, Va1 a vacancy."""
    # a sign outside ASCII is not CIF 1.1: its line may be named in place of the label
    words = [label] if label.isascii() else [(label, "line 15", "line 14")]
    check(rock_salt("Mg1", label), REFUSED, words=words)
    check(rock_salt(label, "O9"), REFUSED, words=words)


def test_a_label_that_is_no_element_is_refused_though_the_formula_would_let_it_be_one():
    """What the file states decides before what a label could be short for."""
    for label, formula in (("Va1", "O"), ("T1", "O Si"), ("Wa1", "H2 O Mg"), ("La/Sr", "La O")):
        further = f"_chemical_formula_sum '{formula}'"
        check(rock_salt(label, "O1", further), REFUSED)


def test_a_hydrogen_label_is_hydrogen_where_the_formula_says_so():
    known = KNOWN["Ca(OH)2"]
    for label in ("HO1", "H1", "H(1)", "H_O1"):
        sites = known.sites.replace("H1", label)
        further = "_chemical_formula_sum 'Ca H2 O2'\n_cell_formula_units_Z 1"
        expectation = RIGHT if label in ("H1", "H(1)") else RIGHT_OR_REFUSED
        check(cif(known.cell, f"{NAME} 'P -3 m 1'", sites, further), expectation, known, words=[label])


TYPE_SYMBOLS = [
    ("Mg", "O"), ("Mg2+", "O2-"), ("Fe3+", "N3-"), ("Fe+3", "N-3"), ("Al0+", "N0+"), ("Mg+2", "O-2"),
    ("Na+", "Cl-"),
    ("Na1+", "Cl1-"), ("Ti4+", "C4-"), ("Mg0", "O0"), ("U4+", "C4-"), ("Sn2+", "Se2-"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), TYPE_SYMBOLS)
def test_type_symbols_with_charges_are_their_elements(first, second):
    elements = [symbol.rstrip("0123456789+-") for symbol in (first, second)]
    text = rock_salt(f"{elements[0]}1 {first}", f"{elements[1]}1 {second}", columns=TYPED)
    check(text, RIGHT, truth_of(*elements))


def test_type_symbols_decide_against_labels():
    """A label is a name that the author is free to choose."""
    for label, symbol in (
        ("M1", "Mg"),
        ("T1", "Mg"),
        ("Va1", "Mg"),
        ("Wat1", "Mg"),
        ("A", "Mg"),
        ("1", "Mg"),
        ("HO1", "Ho"),
    ):
        check(rock_salt(f"{label} {symbol}", "X1 O", columns=TYPED), RIGHT_OR_REFUSED, truth_of(symbol, "O"))
    for label in ("Mg1", "Mg_A", "Mg1.2", "Mg"):
        check(rock_salt(f"{label} Mg", "O' O", columns=TYPED), RIGHT, truth_of("Mg", "O"))
    # unknown type symbols leave the labels
    for symbol in ("?", "."):
        check(rock_salt(f"Mg1 {symbol}", f"O1 {symbol}", columns=TYPED), RIGHT, truth_of("Mg", "O"))


@pytest.mark.parametrize(
    ("symbol", "element"),
    [("FE", "Fe"), ("fe", "Fe"), ("FE3+", "Fe"), ("Fe(III)", "Fe"), ("Fe3", "Fe"), ("26Fe", "Fe")],
)
def test_an_odd_type_symbol_is_its_element_or_refused_by_name(symbol, element):
    text = rock_salt(f"Fe1 {symbol}", "O1 O", columns=TYPED)
    check(text, RIGHT_OR_REFUSED, truth_of(element, "O"), words=[("Fe1", symbol)])


@pytest.mark.parametrize(
    "symbol",
    ["'0.8Nb + 0.2Zr'", "OH", "OH-", "Wat", "WAT", "H2O", "M", "X", "Vac", "Va", "Q", "Du", "Nb/Zr",
    "(Fe,Mg)", "NH4+", "Xx",
     "A", "'Na K'", "Me", "R", "□", "CH3", "T2O"],
)  # fmt: skip
def test_a_type_symbol_that_is_no_element_is_refused_with_it(symbol):
    words = [symbol.strip("'")] if symbol.isascii() else [(symbol, "loop", "line")]
    check(rock_salt("Mg1 Mg", f"O1 {symbol}", columns=TYPED), REFUSED, words=words)
    check(rock_salt(f"Nb1 {symbol}", "O1 O", columns=TYPED), REFUSED, words=words)


@pytest.mark.parametrize("symbol", ["D", "T", "2H", "3H", "D+", "D1+", "D-", "d"])
def test_heavy_hydrogen_is_hydrogen_with_a_note_or_refused(symbol):
    text = rock_salt("Li1 Li", f"D1 {symbol}", columns=TYPED)
    check(
        text,
        RIGHT_OR_REFUSED,
        truth_of("Li", "H"),
        words=[("D1", *DEUTERIUM)],
        notes=[("deuterium", "tritium", "isotope")],
    )


@pytest.mark.parametrize("label", ["D1", "D", "D(1)", "D1A", "D2+"])
def test_a_deuterium_label_is_hydrogen_with_a_note_or_refused(label):
    reading = check(
        rock_salt("Li1", label),
        RIGHT_OR_REFUSED,
        truth_of("Li", "H"),
        words=[label],
        notes=[("deuterium", "isotope")],
    )
    for formula in ("D Li", "H Li"):
        further = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z 4"
        again = check(rock_salt("Li1", label, further), RIGHT_OR_REFUSED, truth_of("Li", "H"), words=[label])
        assert (reading is None) == (again is None)


# Hydrogens that a file has and does not list.
@pytest.mark.parametrize(
    ("columns", "first", "second", "words"),
    [
        (POSITION + " attached_hydrogens", "0", "1", ["hydrogen"]),
        (POSITION + " attached_hydrogens", "0", "2", ["hydrogen"]),
        (POSITION + " attached_hydrogens", "3", "?", ["hydrogen"]),
    ],
)
def test_attached_hydrogens_are_missing_atoms(columns, first, second, words):
    text = rock_salt("Mg1", "O1", columns=columns, sites=f"{{}} 0 0 0 {first}\n{{}} .5 .5 .5 {second}")
    check(text, REFUSED, words=words)


@pytest.mark.parametrize("values", [("0", "0"), ("?", "?"), (".", "."), ("0", ".")])
def test_no_attached_hydrogens_are_no_missing_atoms(values):
    sites = f"{{}} 0 0 0 {values[0]}\n{{}} .5 .5 .5 {values[1]}"
    check(
        rock_salt("Mg1", "O1", columns=POSITION + " attached_hydrogens", sites=sites),
        RIGHT,
        truth_of("Mg", "O"),
    )


@pytest.mark.parametrize("flag", ["d", "calc", "c", "R", "."])
def test_calculated_positions_are_atoms(flag):
    sites = f"{{}} 0 0 0 d\n{{}} .5 .5 .5 {flag}"
    check(rock_salt("Li1", "H1", columns=POSITION + " calc_flag", sites=sites), RIGHT, truth_of("Li", "H"))


@pytest.mark.parametrize("dummy", ["Mg9 .25 .25 .25 dum", "Cg1 .25 .25 .25 dum", "X1 .25 .25 .25 dum"])
def test_a_dummy_position_is_no_atom(dummy):
    sites = f"{{}} 0 0 0 d\n{{}} .5 .5 .5 d\n{dummy}"
    text = rock_salt("Mg1", "O1", columns=POSITION + " calc_flag", sites=sites)
    check(text, RIGHT_OR_REFUSED, truth_of("Mg", "O"), words=[dummy.split()[0]], notes=[("dummy", "dum")])


# Occupancies.
OCCUPIED = POSITION + " occupancy"


def occupied(first, second, sites="{} 0 0 0 {}\n{} .5 .5 .5 {}"):
    return cif("5 5 5 90 90 90", ROCK_SALT, sites.format("Mg1", first, "O1", second), columns=OCCUPIED)


@pytest.mark.parametrize(
    "value", ["1", "1.0", "1.000", "1.0(2)", "1.00(1)", "0.9999", "1.0000(0)", "1.", "+1", "1E0", "0.99999"]
)
def test_a_full_occupancy_in_every_spelling(value):
    check(occupied("1", value), RIGHT, truth_of("Mg", "O"))
    check(occupied(value, value), RIGHT, truth_of("Mg", "O"))


@pytest.mark.parametrize("value", [".", "?"])
def test_an_occupancy_that_is_not_given_is_full_or_refused(value):
    check(occupied("1", value), RIGHT_OR_REFUSED, truth_of("Mg", "O"), words=["occupancy", "O1"])
    check(occupied(value, value), RIGHT_OR_REFUSED, truth_of("Mg", "O"), words=["occupancy"])


@pytest.mark.parametrize(
    "value", ["0", "0.0", "0.5", "0.25(2)", "0.98", "1.2", "2", "-1", "nan", "inf", "full", "0.0208", "1/2"]
)
def test_an_occupancy_that_is_not_one_is_refused_with_the_site(value):
    check(occupied("1", value), REFUSED, words=["occupancy", "O1"])
    check(occupied(value, "1"), REFUSED, words=["occupancy", "Mg1"])


SHARED = "{} 0 0 0 {}\n{} .5 .5 .5 {}"


@pytest.mark.parametrize(
    "sites",
    [
        "Ga1 0 0 0 0.5\nAl1 0 0 0 0.5\nAs1 .5 .5 .5 1",
        "Nb1 0 0 0 0.8\nZr1 0 0 0 0.2\nC1 .5 .5 .5 1",
        "Nb1 0 0 0 1\nZr1 0 0 0 0.2\nC1 .5 .5 .5 1",
        "Na1 0 0 0 0.7\nK1 0 0 0 0.7\nCl1 .5 .5 .5 1",
        "Na1 0 0 0 1\nK1 0 0 0 1\nCl1 .5 .5 .5 1",
        "Na1 0 0 0 1\nK1 0 0 0.001 1\nCl1 .5 .5 .5 1",
        "Na1 0 0 0 .3\nK1 0 0 0 .3\nRb1 0 0 0 .4\nCl1 .5 .5 .5 1",
        "Na1 0 0 0 1\nCl1 .5 .5 .5 1\nBr1 .5 .5 -.5 1",  # the same place, another period
        "Na1 0 0 0 1\nCl1 .5 .5 .5 1\nBr1 0 0 .5 1",  # the same place by symmetry
    ],
)
def test_two_elements_at_one_place_are_refused(sites):
    check(cif("5 5 5 90 90 90", ROCK_SALT, sites, columns=OCCUPIED), REFUSED, words=[SAME_PLACE])


@pytest.mark.parametrize(
    "sites",
    [
        "Mg1 0 0 0 1\nMg2 0 0 0 1\nO1 .5 .5 .5 1",
        "Mg1 0 0 0 1\nMg2 0 .5 .5 1\nO1 .5 .5 .5 1",  # an image of the first
        "Mg1 0 0 0 1\nO1 .5 .5 .5 1\nO2 0 0 .5 1",
        "Mg1 0 0 0 0.5\nMg2 0 0 0 0.5\nO1 .5 .5 .5 1",
    ],
)
def test_one_atom_listed_twice_is_one_atom_or_refused(sites):
    check(
        cif("5 5 5 90 90 90", ROCK_SALT, sites, columns=OCCUPIED),
        RIGHT_OR_REFUSED,
        truth_of("Mg", "O"),
        words=[SAME_PLACE],
    )


def test_all_atoms_listed_beside_all_operations_are_counted_once():
    for name in ("CaF2", "rutile", "Ag2S"):
        known = KNOWN[name]
        sites = "\n".join(
            f"{s.specie.symbol}{i} {s.a:.5f} {s.b:.5f} {s.c:.5f}" for i, s in enumerate(known.structure)
        )
        check(
            cif(known.cell, operations(triplets(known.hall)), sites),
            RIGHT_OR_REFUSED,
            known,
            words=[SAME_PLACE],
        )


# Positions to a few digits: an atom on a special position must not be multiplied.
ROUNDED = {
    "three digits, rounded": ("MoS2", "P 63/m m c", "Mo .333 .667 .25\nS .333 .667 .621", RIGHT),
    "three digits, cut": ("MoS2", "P 63/m m c", "Mo .333 .666 .25\nS .333 .666 .621", RIGHT_OR_REFUSED),
    "four digits": ("MoS2", "P 63/m m c", "Mo .3333 .6667 .25\nS .3333 .6667 .6211", RIGHT),
    "four digits, cut": ("Mg", "P 63/m m c", "Mg1 .3333 .6666 .25", RIGHT),
    "five digits": ("Mg", "P 63/m m c", "Mg1 .33333 .66667 .25", RIGHT),
    "two digits": ("Mg", "P 63/m m c", "Mg1 .33 .67 .25", RIGHT_OR_REFUSED),
    "the other way round": ("Mg", "P 63/m m c", "Mg1 .667 .333 .25", RIGHT),
    "trigonal": ("Ca(OH)2", "P -3 m 1", "Ca1 0 0 0\nO1 .333 .667 .2341\nH1 .333 .667 .4248", RIGHT),
    "boride": ("AlB2", "P 6/m m m", "Al 0 0 0\nB .333 .667 .5", RIGHT),
    "polar": ("ZnO", "P 63 m c", "Zn .333 .667 0\nO .333 .667 .382", RIGHT),
    "phosphide": ("Fe2P", "P -6 2 m", "Fe1 .257 0 0\nFe2 .595 0 .5\nP1 0 0 .5\nP2 .333 .667 0", RIGHT),
}  # fmt: skip


@pytest.mark.parametrize(("known", "name", "sites", "expectation"), cases(ROUNDED))
def test_thirds_of_few_digits_stay_one_atom(known, name, sites, expectation):
    known = KNOWN[known]
    text = cif(known.cell, f"{NAME} '{name}'", sites)
    reading = check(text, expectation, known, tolerance_angstrom=0.05)
    listed = cif(known.cell, operations(triplets(known.hall)), sites)
    check(listed, expectation, known, tolerance_angstrom=0.05)
    if reading is not None and ".333 .667" in sites:
        assert reading.notes, "merged without a word"


SIXTHS = Known("-P 6c 2c", "6.1 6.1 4.2 90 90 120", "Na1 .166667 .833333 .25", "Na6")


@pytest.mark.parametrize(
    ("sites", "expectation"),
    [
        ("Na1 .167 .833 .25", RIGHT),
        ("Na1 .1667 .8333 .25", RIGHT),
        ("Na1 .1667 -.1667 .25", RIGHT),
        ("Na1 .166 .833 .25", RIGHT_OR_REFUSED),
        ("Na1 .166 .834 .25", RIGHT),
    ],
)
def test_sixths_of_few_digits_stay_one_atom(sites, expectation):
    """(x, -x, 1/4) of P 63/m m c, six atoms; a free parameter that only looks like a fraction."""
    check(cif(SIXTHS.cell, f"{NAME} 'P 63/m m c'", sites), expectation, SIXTHS, tolerance_angstrom=0.05)


@pytest.mark.parametrize(
    ("known", "name", "sites"),
    [
        ("Ge :2", "F d -3 m :2", "Ge .12 .12 .12"),
        ("Ge :2", "F d -3 m :2", "Ge .13 .13 .13"),
        ("ZnAl2O4 :2", "F d -3 m :2", "Zn .12 .12 .12\nAl .5 .5 .5\nO .2637 .2637 .2637"),
        ("Cu2O :2", "P n -3 m :2", "Cu 0 0 0\nO .25 .25 .251"),
    ],
)
def test_an_atom_a_tenth_of_an_angstrom_off_a_special_position_is_never_multiplied(known, name, sites):
    """Two atoms that close are one; whether 0.12 may stand for 1/8 is for the reader to say."""
    check(
        cif(KNOWN[known].cell, f"{NAME} '{name}'", sites),
        RIGHT_OR_REFUSED,
        KNOWN[known],
        tolerance_angstrom=0.1,
    )


@pytest.mark.parametrize(
    ("hall", "name", "cell", "site", "counts"),
    [
        ("-P 4 2", "P 4/m m m", "3.6 3.6 3.6 90 90 90", "Mg1 0 0 .05", "Mg2"),  # 0.36 Å across the mirror
        ("-P 2 2", "P m m m", "4 5 6 90 90 90", "Mg1 0 0 .0300", "Mg2"),
        ("-P 2yb", "P 21/m", "4 5 6 90 97 90", "Mg1 .1 .2150 .3", "Mg4"),
        ("-P 1", "P -1", "4 5 6 91 97 93", "Mg1 .03 .02 .025", "Mg2"),
    ],
)
def test_a_position_near_a_special_one_is_kept_or_refused_but_never_merged(hall, name, cell, site, counts):
    """0.3 Å and more apart in four digits: a split site, not rounding."""
    from cif_texts import table_operations

    rotations, translations = table_operations(hall)
    position = [float(number) for number in site.split()[1:]]
    images = {tuple((image % 1).round(6)) for image in rotations @ position + translations}
    truth = Structure(
        Lattice.from_parameters(*map(float, cell.split())), ["Mg"] * len(images), sorted(images)
    )
    assert truth.formula == counts
    check(cif(cell, f"{NAME} '{name}'", site), RIGHT_OR_REFUSED, truth, words=[SAME_PLACE])


@pytest.mark.parametrize(
    ("hall", "name", "cell", "sites", "counts"),
    [
        ("-P 6c 2c", "P 63/m m c", "3.77 3.77 6.16 90 90 120", "H1 .333333 .666667 .3105", "H4"),  # 0.74 Å
        ("-F 4 2 3", "F m -3 m", "5.6 5.6 5.6 90 90 90", "K1 0 0 0\nO1 .5 .5 .378", "K4 O24"),
        ("-I 4 2", "I 4/m m m", "3.87 3.87 6.37 90 90 90", "Ca1 0 0 0\nC1 0 0 .4068", "Ca2 C4"),  # 1.19 Å
        ("-P 2ac 2ab 3", "P a -3", "5.66 5.66 5.66 90 90 90", "N1 .0560 .0560 .0560", "N8"),  # 1.10 Å
    ],
)
def test_bonds_across_a_symmetry_element_are_no_rounding(hall, name, cell, sites, counts):
    truth = Known(hall, cell, sites, counts)
    if "O1" in sites:  # six atoms of an octahedron 0.97 Å apart: close, and as stated
        check(named(truth, name), RIGHT_OR_REFUSED, truth)
    else:
        check(named(truth, name), RIGHT, truth)


def test_small_displacements_in_p1_are_kept():
    for shift in (0.001, 0.004, 0.01):
        sites = f"Ba1 0 0 0\nTi1 .5 .5 {0.5 + shift}\nO1 .5 .5 {-shift:.4f}\nO2 .5 0 .5\nO3 0 .5 .5"
        truth = Known("P 1", "4 4 4.03 90 90 90", sites, "Ba Ti O3")
        check(named(truth, "P 1"), RIGHT, truth, tolerance_angstrom=0.001)
        polar = Known("P 4 -2", truth.cell, sites.replace("\nO3 0 .5 .5", ""), "Ba Ti O3")
        check(named(polar, "P 4 m m"), RIGHT, truth, tolerance_angstrom=0.001)


# Coordinates.
@pytest.mark.parametrize(
    "value", ["?", ".", "nan", "NaN", "inf", "-inf", "half", "0..5", "0.5.1", "''", "0.5(", "1e999", "0x1"]
)
def test_a_coordinate_that_is_no_number_is_refused_with_the_site(value):
    for place in range(3):
        numbers = [".5", ".5", ".5"]
        numbers[place] = value
        expectation = RIGHT_OR_REFUSED if value == "0.5(" else REFUSED
        text = rock_salt("Mg1", "O1", sites=f"{{}} 0 0 0\n{{}} {' '.join(numbers)}")
        check(text, expectation, truth_of("Mg", "O"), words=["O1"])


@pytest.mark.parametrize("missing", ["fract_x", "fract_y", "fract_z"])
def test_a_missing_column_of_coordinates_is_refused_with_it(missing):
    columns = POSITION.replace(" " + missing, "")
    check(rock_salt("Mg1", "O1", columns=columns, sites="{} 0 0\n{} .5 .5"), REFUSED, words=[missing])


@pytest.mark.parametrize(
    "position",
    ["0.5 0.5 0.5", ".5 .5 .5", "0.5000(2) 0.5000(12) 0.5(1)", "1.5 -0.5 2.5", "-.5 -.5 -.5",
    "5.0E-1 5e-1 0.5E0", "+.5 +0.5 0.50",
     "'0.5' \"0.5\" 0.5", "100.5 -99.5 .5"],
)  # fmt: skip
def test_a_coordinate_in_every_spelling(position):
    check(rock_salt("Mg1", "O1", sites=f"{{}} 0 0 0\n{{}} {position}"), RIGHT, truth_of("Mg", "O"))


@pytest.mark.parametrize("position", ["1/2 1/2 1/2", "0,5 0,5 0,5", ".5000(2 .5 .5"])
def test_an_odd_coordinate_is_read_right_or_refused(position):
    check(
        rock_salt("Mg1", "O1", sites=f"{{}} 0 0 0\n{{}} {position}"),
        RIGHT_OR_REFUSED,
        truth_of("Mg", "O"),
        words=["O1"],
    )


def test_cartesian_coordinates_alone_are_read_right_or_refused():
    columns = "label Cartn_x Cartn_y Cartn_z"
    text = cif("5 5 5 90 90 90", ROCK_SALT, "Mg1 0 0 0\nO1 2.5 2.5 2.5", columns=columns)
    check(text, RIGHT_OR_REFUSED, truth_of("Mg", "O"))


def test_columns_in_any_order_and_more_columns():
    columns = "fract_z occupancy U_iso_or_equiv label adp_type fract_x type_symbol disorder_group "
    columns += "disorder_assembly fract_y"
    sites = "0 1 0.01(1) A1 Uiso 0 Mg . . 0\n.5 1.0 ? B1 Uani .5 O2- . . .5"
    check(cif("5 5 5 90 90 90", ROCK_SALT, sites, columns=columns), RIGHT, truth_of("Mg", "O"))


def test_disorder_groups_are_refused_or_all_of_them_are_partial():
    """Two alternatives of one atom, both written as full: the cell cannot hold both."""
    columns = POSITION + " disorder_assembly disorder_group"
    for occupancy in ("", " occupancy"):
        value = " 0.5" if occupancy else ""
        sites = f"Mg1 0 0 0 . .{value and ' 1'}\nO1 .5 .5 .48 A 1{value}\nO2 .5 .5 .40 A 2{value}"
        check(cif("5 5 5 90 90 90", PEROVSKITE, sites, columns=columns + occupancy), REFUSED)


def test_a_site_without_label_or_type_is_refused():
    for columns in ("fract_x fract_y fract_z", "fract_x fract_y fract_z occupancy"):
        sites = "0 0 0 1\n.5 .5 .5 1" if "occupancy" in columns else "0 0 0\n.5 .5 .5"
        check(cif("5 5 5 90 90 90", ROCK_SALT, sites, columns=columns), REFUSED)


def test_type_symbols_alone_are_enough():
    columns = "type_symbol fract_x fract_y fract_z"
    check(
        cif("5 5 5 90 90 90", ROCK_SALT, "Mg 0 0 0\nO .5 .5 .5", columns=columns), RIGHT, truth_of("Mg", "O")
    )


def test_charges_of_a_loop_of_types_are_dropped_with_a_note():
    further = "loop_\n_atom_type_symbol\n_atom_type_oxidation_number\nMg2+ 2\nO2- -2"
    text = rock_salt("Mg1 Mg2+", "O1 O2-", further, columns=TYPED)
    check(text, RIGHT, truth_of("Mg", "O"), notes=[("charge", "oxidation")])
