"""What a CIF states beside its sites (formula, Z, multiplicities, density, volume), and its syntax.

A contradiction is refused with both sides; rounding, a missing statement and another Z are none.
"""

import re

import pytest
from cif_texts import (
    KNOWN,
    NAME,
    POSITION,
    REFUSED,
    RIGHT,
    RIGHT_OR_REFUSED,
    Known,
    cases,
    check,
    cif,
    named,
    operations,
    triplets,
)
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

SYMBOLS = {
    "MgO": "F m -3 m", "CaF2": "F m -3 m", "rutile": "P 42/m n m", "Mg(OH)2": "P -3 m 1",
    "Ca(OH)2": "P -3 m 1",
    "LaPO4": "P 21/n", "SrTiO3": "P m -3 m", "Cr2O3": "R -3 c :H", "H2O VIII": "I 41/a m d :2",
    "CsCl": "P m -3 m",
    "NaClO2": "P 2/m", "Ag2S": "P 21/c", "Fe2P": "P -6 2 m", "black P": "C m c e",
    "Bi rhombohedral": "R -3 m :R",
    "NiWO4": "P 2/c",
}  # fmt: skip


def stated(known, *lines, sites=None):
    """The CIF of a known crystal with its symmetry by name and further lines."""
    known_crystal = KNOWN[known]
    symmetry = f"{NAME} '{SYMBOLS[known]}'"
    return cif(known_crystal.cell, symmetry, sites or known_crystal.sites, "\n".join(lines))


def formula(text):
    return f"_chemical_formula_sum '{text}'"


def without(known, element):
    """The sites of a known crystal but one element's."""
    lines = KNOWN[known].sites.splitlines()
    return "\n".join(line for line in lines if re.match("[A-Z][a-z]?", line).group() != element)


AGREEING = {
    "units and Z": ("rutile", ["O2 Ti"], 2),
    "whole cell and Z 1": ("rutile", ["O4 Ti2"], 1),
    "whole cell and Z as pymatgen writes them": ("rutile", ["Ti2 O4"], 2),
    "units without Z": ("LaPO4", ["La O4 P"], None),
    "cell without Z": ("LaPO4", ["La4 O16 P4"], None),
    "another multiple without Z": ("LaPO4", ["La2 O8 P2"], None),
    "ones written": ("LaPO4", ["La1 O4 P1"], 4),
    "decimals": ("LaPO4", ["La1.0 O4.00 P1."], 4),
    "no blanks": ("CaF2", ["CaF2"], 4),
    "other order": ("CaF2", ["F2 Ca"], 4),
    "hydrogens there": ("Mg(OH)2", ["H2 Mg O2"], 1),
    "molecules": ("H2O VIII", ["H2 O"], 8),
    "corundum": ("Cr2O3", ["Cr2 O3"], 6),
}


@pytest.mark.parametrize(("known", "formulas", "z"), cases(AGREEING))
def test_an_agreeing_formula_is_no_obstacle(known, formulas, z):
    for text in formulas:
        lines = [formula(text)] + ([f"_cell_formula_units_Z {z}"] if z else [])
        check(stated(known, *lines), RIGHT, KNOWN[known])


# known, its sites, the formula, a word of the formula and one of what the sites give
MISSING = {
    "brucite without its hydrogens": ("Mg(OH)2", without("Mg(OH)2", "H"), "H2 Mg O2", ["H2", "Mg"]),
    "portlandite without its hydrogens": ("Ca(OH)2", without("Ca(OH)2", "H"), "Ca H2 O2", ["H2", "Ca"]),
    "ice without its hydrogens": ("H2O VIII", without("H2O VIII", "H"), "H2 O", ["H2"]),
    "ruby of another metal": ("Cr2O3", None, "Al2 O3", ["Al2", "Cr"]),
    "iron oxide": ("MgO", "Fe1 0 0 0\nO1 .5 .5 .5", "Fe2 O3", ["Fe2", "O3"]),
    "fluorite called rock salt": ("CaF2", None, "Ca F", ["Ca F", ("F2", "F8")]),
    "an element too many": ("rutile", None, "O2 Ti Zr", ["Zr"]),
    "an element too few": ("LaPO4", None, "La O4", ["La", "P"]),
    "amounts turned round": ("rutile", None, "O Ti2", ["Ti2", "O"]),
    "a hydrate": ("LaPO4", None, "H2 La O5 P", ["H2", "O5"]),
    "wustite with vacancies": ("MgO", "Fe1 0 0 0\nO1 .5 .5 .5", "Fe0.9 O", ["Fe0.9"]),
}


@pytest.mark.parametrize(("known", "sites", "text", "words"), cases(MISSING))
def test_a_formula_that_contradicts_the_sites_is_refused_with_both(known, sites, text, words):
    check(stated(known, formula(text), sites=sites), REFUSED, words=words)
    check(stated(known, formula(text), "_cell_formula_units_Z ?", sites=sites), REFUSED, words=words)
    check(stated(known, formula(text.replace(" ", "")), sites=sites), REFUSED)


@pytest.mark.parametrize(
    ("known", "text", "z"),
    [
        ("MgO", "Mg O", 8),
        ("MgO", "Mg O", 3),
        ("rutile", "O2 Ti", 4),
        ("LaPO4", "La O4 P", 2),
        ("CsCl", "Cl Cs", 2),
    ],
)
def test_a_z_that_contradicts_formula_and_sites_is_refused_with_it(known, text, z):
    check(stated(known, formula(text), f"_cell_formula_units_Z {z}"), REFUSED, words=[str(z)])


@pytest.mark.parametrize("value", ["?", ".", "4(0)", "4.0", "'4'"])
def test_a_z_of_an_odd_spelling_is_no_contradiction(value):
    check(stated("MgO", formula("Mg O"), f"_cell_formula_units_Z {value}"), RIGHT, KNOWN["MgO"])


ROUNDED = {
    "thirds": ("CaF2", "Ca0.333 F0.667", RIGHT),
    "halves": ("MgO", "Mg0.5 O0.5", RIGHT),
    "sixths": ("LaPO4", "La0.167 O0.667 P0.167", RIGHT),
    "fifths": ("SrTiO3", "O0.6 Sr0.2 Ti0.2", RIGHT),
    "thirds of two digits": ("CaF2", "Ca0.33 F0.67", RIGHT),
    "three digits": ("Cr2O3", "Cr2.000 O3.000", RIGHT),
    "refined amounts": ("Cr2O3", "Cr1.99 O3.01", RIGHT_OR_REFUSED),
    "almost whole": ("rutile", "O1.999 Ti", RIGHT_OR_REFUSED),
    "a tenth too little": ("rutile", "O1.8 Ti", REFUSED),
    "doped": ("MgO", "Fe0.1 Mg0.9 O", REFUSED),
}  # fmt: skip


@pytest.mark.parametrize(("known", "text", "expectation"), cases(ROUNDED))
def test_a_rounded_formula_is_no_contradiction(known, text, expectation):
    check(stated(known, formula(text)), expectation, KNOWN[known], words=text.split()[:1])


@pytest.mark.parametrize(
    "text",
    [
        "?",
        ".",
        "",
        "n/a",
        "unknown",
        "Mg2+ O2-",
        "Mg +2 O -2",
        "(Mg O)4",
        "Mg (O)",
        "{Mg} {O}",
        "MgO.",
        "mg o",
        "Mg1 O1 (calc)",
        "magnesium oxide",
        "Mg O *",
        "Mg O;",
    ],
)
def test_a_formula_that_cannot_be_read_is_no_contradiction(text):
    check(stated("MgO", formula(text)), RIGHT, KNOWN["MgO"])


def test_a_formula_that_cannot_be_read_leaves_a_note():
    for text in ("magnesium oxide", "Mg{x} O{y}", "Mg O x"):
        reading = check(stated("MgO", formula(text)), RIGHT, KNOWN["MgO"])
        assert any("formula" in note for note in reading.notes), reading.notes


@pytest.mark.parametrize("text", ["Mg (O H)2", "Mg (OH)2", "H2 O2 Mg", "Mg O2 H2"])
def test_a_formula_with_groups_is_read_or_left_with_a_note(text):
    check(stated("Mg(OH)2", formula(text)), RIGHT, KNOWN["Mg(OH)2"])
    reading = check(
        stated("Mg(OH)2", formula(text), sites=without("Mg(OH)2", "H")), RIGHT_OR_REFUSED, _no_hydrogens()
    )
    assert reading is None or (reading.notes and "(" in text)


def _no_hydrogens():
    structure = KNOWN["Mg(OH)2"].structure
    structure.remove_species(["H"])
    return structure


def test_deuterium_in_the_formula_is_hydrogen():
    for text in ("D2 Mg O2", "D Mg O H", "H2 Mg O2"):
        for label in ("D1", "H1"):
            sites = KNOWN["Mg(OH)2"].sites.replace("H1", label)
            expectation = RIGHT if text.startswith("H2") and label == "H1" else RIGHT_OR_REFUSED
            check(stated("Mg(OH)2", formula(text), sites=sites), expectation, KNOWN["Mg(OH)2"])


def test_other_formulas_of_the_block_are_no_obstacle():
    for lines in (
        ["_chemical_formula_structural 'Mg O'", "_chemical_formula_moiety 'Mg 2+, O 2-'"],
        ["_chemical_formula_weight 40.30", "_chemical_name_systematic 'Magnesium oxide'"],
        ["_chemical_formula_analytical 'Mg0.99 O'", "_chemical_name_mineral Periclase"],
    ):
        check(stated("MgO", *lines), RIGHT, KNOWN["MgO"])


# Multiplicities.
def multiplied(known, values, column="symmetry_multiplicity"):
    lines = zip(KNOWN[known].sites.splitlines(), values, strict=True)
    sites = "\n".join(f"{line} {value}" for line, value in lines)
    return cif(KNOWN[known].cell, f"{NAME} '{SYMBOLS[known]}'", sites, columns=f"{POSITION} {column}")


@pytest.mark.parametrize(
    ("known", "right", "wrong"),
    [
        ("MgO", [4, 4], [8, 4]), ("rutile", [2, 4], [2, 8]), ("Cr2O3", [12, 18], [12, 12]),
        ("LaPO4", [4] * 6, [2] + [4] * 5),
        ("Ca(OH)2", [1, 2, 2], [1, 2, 6]),
    ],
)  # fmt: skip
def test_multiplicities_are_held_against_the_symmetry(known, right, wrong):
    labels = [line.split()[0] for line in KNOWN[known].sites.splitlines()]
    faulty = next(label for label, one, other in zip(labels, right, wrong, strict=True) if one != other)
    for column in ("symmetry_multiplicity", "site_symmetry_multiplicity"):
        check(multiplied(known, right, column), RIGHT, KNOWN[known])
        check(multiplied(known, wrong, column), REFUSED, words=[faulty])
    check(multiplied(known, ["?", *right[1:]]), RIGHT, KNOWN[known])
    check(multiplied(known, ["."] * len(right)), RIGHT, KNOWN[known])


@pytest.mark.parametrize(
    ("known", "orders"),
    [
        ("LaPO4", [1] * 6),
        ("Ag2S", [1] * 3),
        ("MgO", [48, 48]),
        ("rutile", [8, 4]),
        ("NaClO2", [4, 4, 2]),
        ("Ca(OH)2", [12, 6, 6]),
    ],
)
def test_the_order_of_the_site_symmetry_is_no_contradiction(known, orders):
    """SHELX wrote it under the tag of the multiplicity: the group's operations over the multiplicity."""
    check(multiplied(known, orders), RIGHT, KNOWN[known])
    check(multiplied(known, orders, "site_symmetry_order"), RIGHT, KNOWN[known])


# Density and volume.
def density(known):
    """g/cm3"""
    return float(KNOWN[known].structure.density)


@pytest.mark.parametrize("known", ["MgO", "rutile", "LaPO4", "Ca(OH)2"])
def test_the_density_is_held_against_the_cell(known):
    right = density(known)
    for value in (f"{right:.3f}", f"{right:.2f}(2)", f"{right * 1.004:.3f}", f"{right:.1f}", "?", "."):
        check(stated(known, f"_exptl_crystal_density_diffrn {value}"), RIGHT, KNOWN[known])
    for factor in (2, 0.5, 1.3):
        check(
            stated(known, f"_exptl_crystal_density_diffrn {right * factor:.3f}"), REFUSED, words=["density"]
        )
    check(
        stated(known, f"_exptl_crystal_density_diffrn {right * 1000:.0f}"), RIGHT_OR_REFUSED, KNOWN[known]
    )  # kg/m3
    check(stated(known, f"_exptl_crystal_density_diffrn {right * 1.04:.3f}"), RIGHT_OR_REFUSED, KNOWN[known])
    for value in ("'not measured'", f"{right * 0.8:.2f}", "?"):
        check(stated(known, f"_exptl_crystal_density_meas {value}"), RIGHT, KNOWN[known])


def test_a_density_shows_that_hydrogens_are_missing():
    """Oxygen alone is eight ninths of ice."""
    ice = stated(
        "H2O VIII", f"_exptl_crystal_density_diffrn {density('H2O VIII'):.3f}", sites=without("H2O VIII", "H")
    )
    check(ice, REFUSED, words=["density"])


@pytest.mark.parametrize("known", ["MgO", "LaPO4", "Cr2O3", "Bi rhombohedral"])
def test_the_volume_is_held_against_the_cell(known):
    right = KNOWN[known].structure.volume
    for value in (f"{right:.3f}", f"{right:.1f}(3)", f"{right:.0f}", f"{right * 1.002:.2f}", "?", "."):
        check(stated(known, f"_cell_volume {value}"), RIGHT, KNOWN[known])
    for factor in (10, 2, 0.25, 1.2):
        check(stated(known, f"_cell_volume {right * factor:.2f}"), REFUSED, words=[("volume", "Å³")])


# Cell.
def altered(known, tag, value):
    """The CIF of a known crystal with one cell parameter replaced, or left out where value is None."""
    text = stated(known)
    return re.sub(rf"_cell_{tag} .*\n", f"_cell_{tag} {value}\n" if value is not None else "", text)


@pytest.mark.parametrize("tag", ["length_a", "length_b", "length_c"])
@pytest.mark.parametrize("value", [None, "0", "?", ".", "nan", "-4.2", "inf", "long", "0.0(1)"])
def test_a_cell_length_that_is_none_is_refused_with_it(tag, value):
    for known in ("LaPO4", "NaClO2", "Ag2S"):
        check(altered(known, tag, value), REFUSED, words=[tag])


@pytest.mark.parametrize("value", ["0", "nan", "-90", "180", "400", "flat"])
def test_a_cell_angle_that_is_none_is_refused_with_it(value):
    for known, tag in (("LaPO4", "angle_beta"), ("Ca(OH)2", "angle_gamma"), ("MgO", "angle_alpha")):
        check(altered(known, tag, value), REFUSED, words=[("angle", "cell")])


@pytest.mark.parametrize("value", [None, "?", "."])
def test_a_missing_angle_is_the_right_one_or_refused(value):
    """The dictionary's default is 90°; a hexagonal group says 120."""
    check(altered("MgO", "angle_gamma", value), RIGHT_OR_REFUSED, KNOWN["MgO"], words=["angle_gamma"])
    check(
        altered("Ca(OH)2", "angle_gamma", value),
        RIGHT_OR_REFUSED,
        KNOWN["Ca(OH)2"],
        words=[("angle_gamma", "gamma", "P -3 m 1")],
    )
    if value is not None:
        check(altered("LaPO4", "angle_beta", value), RIGHT_OR_REFUSED, _orthogonal(), words=["angle_beta"])


def _orthogonal():
    known = KNOWN["LaPO4"]
    return Known(known.hall, known.cell.replace("103.27", "90"), known.sites, known.counts)


def test_a_cell_with_uncertainties_exponents_and_quotes():
    for known in ("LaPO4", "Ca(OH)2", "NaClO2"):
        crystal = KNOWN[known]
        for dress in ("{}(3)", "{}(12)", "'{}'", '"{}"', "+{}"):
            text = cif(
                " ".join(dress.format(number) for number in crystal.cell.split()),
                f"{NAME} '{SYMBOLS[known]}'",
                crystal.sites,
            )
            check(text, RIGHT, crystal)


def test_three_angles_that_close_no_cell_are_refused():
    for angles in ("150 150 150", "30 30 120", "60 60 120"):
        check(
            cif(f"4 5 6 {angles}", f"{NAME} 'P 1'", "Mg1 0 0 0\nO1 .5 .5 .5"),
            REFUSED,
            words=[("cell", "angle")],
        )


# Blocks.
GLOBAL = """data_global
_audit_creation_method 'by hand'
_publ_contact_author_name 'A. Author'
loop_
_publ_author_name
'A. Author'
'B. Author'
"""


def test_a_block_without_a_crystal_is_passed_over():
    text = stated("LaPO4")
    for together in (
        GLOBAL + text,
        text + GLOBAL,
        GLOBAL + text + "data_end\n",
        f"# by hand\n\n{GLOBAL}\n{text}",
    ):
        check(together, RIGHT, KNOWN["LaPO4"])


def test_a_block_without_a_name_is_read_right_or_refused():
    for known in ("LaPO4", "MgO", "rutile"):
        check(stated(known).replace("data_x", "data_"), RIGHT_OR_REFUSED, KNOWN[known], words=["data_"])


def test_several_crystals_in_one_text_are_refused_with_their_number():
    one, other = stated("LaPO4"), stated("rutile").replace("data_x", "data_y")
    check(one + other, REFUSED, words=["2"])
    check(one + other + stated("MgO").replace("data_x", "data_z"), REFUSED, words=["3"])
    check(one + one, REFUSED)


def test_several_crystals_of_a_file_are_several_entries(tmp_path):
    from matwheel.crystals.imported import read_imported

    names = ("LaPO4", "rutile", "MgO")
    path = tmp_path / "three.cif"
    path.write_text(
        GLOBAL + "".join(stated(name).replace("data_x", f"data_{i}") for i, name in enumerate(names))
    )
    crystals, verdicts = read_imported(path)
    assert [verdict.verdict for verdict in verdicts] == ["pass"] * 3
    assert [len(crystal.species) for crystal in crystals] == [24, 6, 8]


def test_a_crystal_in_two_blocks_is_refused_or_read_whole():
    """Powder CIFs keep cell and atoms apart at times."""
    text = stated("LaPO4")
    at = text.index("loop_")
    check(text[:at] + "data_atoms\n" + text[at:], RIGHT_OR_REFUSED, KNOWN["LaPO4"])


# Two loops of atoms in one block: invalid, and written by programs.
def test_two_loops_of_atoms_are_refused_or_read_both():
    head = "\n".join(["loop_", *(f"_atom_site_{column}" for column in POSITION.split())])
    for known, position in (("MgO", 1), ("LaPO4", 2), ("NaClO2", 1)):
        sites = KNOWN[known].sites.splitlines()
        together = "\n".join([*sites[:position], head, *sites[position:]])
        check(stated(known, sites=together), RIGHT_OR_REFUSED, KNOWN[known])


@pytest.mark.parametrize(
    "loop",
    [
        "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\nMg1 .01\nO1 .01",
        "loop_\n_geom_bond_atom_site_label_1\n_geom_bond_atom_site_label_2\n_geom_bond_distance\nMg1 O1 2.1",
        "loop_\n_atom_type_symbol\n_atom_type_description\nMg Mg\nO O",
        "loop_\n_refln_index_h\n_refln_index_k\n_refln_index_l\n1 1 1\n2 0 0",
    ],
)
def test_other_loops_about_atoms_are_no_atoms(loop):
    check(stated("MgO", loop), RIGHT, KNOWN["MgO"])
    check(stated("MgO") + loop + "\n", RIGHT, KNOWN["MgO"])


# Syntax.
QUOTED = {
    "another CIF": "data_quoted\nloop_\n_atom_site_label\n_atom_site_fract_x\nFe1 0.5\n",
    "a shelx file": "TITL x\nCELL 0.71 4 4 4 90 90 90\nloop_\n_cell_length_a 9\nEND\n",
    "operations": "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n",
    "a name": "_symmetry_space_group_name_H-M 'P 1'\n_cell_formula_units_Z 77\n",
    "quotes": "it's \"quoted\nsave_frame\nglobal_\nstop_\n",
    "semicolons within lines": "a; b\n ;not at the beginning\n",
}


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_text_field_is_text(quoted):
    field = f"_refine_special_details\n;\n{QUOTED[quoted]};"
    check(stated("LaPO4", field), RIGHT, KNOWN["LaPO4"])
    check(stated("LaPO4") + field + "\n", RIGHT, KNOWN["LaPO4"])
    check(stated("LaPO4").replace("data_x\n", f"data_x\n{field}\n"), RIGHT, KNOWN["LaPO4"])


def test_comments_and_strange_letters(tmp_path):
    from matwheel.crystals.imported import read_imported

    for comment in (
        "# a in Å, T = 20 °C",
        "# β-Ga2O3",
        "_publ_author_name 'Müller, Å.'",
        "_exptl_crystal_colour 'weiß'",
    ):
        check(stated("LaPO4", comment), RIGHT, KNOWN["LaPO4"])
        for encoding in ("utf-8", "latin-1", "cp1252", "utf-8-sig", "utf-16"):
            if encoding in ("latin-1", "cp1252") and "β" in comment:
                continue
            path = tmp_path / f"{encoding}.cif"
            path.write_bytes(stated("LaPO4", comment).encode(encoding))
            crystals, verdicts = read_imported(path)
            if encoding != "utf-16" or verdicts[0].verdict == "pass":
                assert len(crystals) == 1 and len(crystals[0].species) == 24, (encoding, verdicts[0].reason)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n", "\n \n", "\n# comment\n"])
def test_line_ends_blank_lines_and_comments_between_lines(end):
    text = stated("LaPO4", formula("La O4 P"), "_cell_formula_units_Z 4")
    check(text.replace("\n", end), RIGHT_OR_REFUSED if end == "\r" else RIGHT, KNOWN["LaPO4"])


def test_white_space_is_free():
    text = stated("LaPO4")
    for changed in (
        text.replace(" ", "   "),
        text.replace(" ", "\t"),
        "\n".join("  " + line for line in text.splitlines()),
        text.rstrip("\n"),
        text + "\n\n\n",
        "\n\n" + text,
        "﻿" + text,
        text.replace("\n", " \n"),
    ):
        check(changed, RIGHT, KNOWN["LaPO4"])
    head, atoms = text.split("loop_\n")
    check(head + "loop_ " + " ".join(atoms.split()) + "\n", RIGHT, KNOWN["LaPO4"])


def test_a_loop_with_a_missing_or_an_extra_value_is_refused():
    for known in ("LaPO4", "MgO", "Ca(OH)2"):
        text = stated(known)
        check(text.rstrip("\n").rsplit(" ", 1)[0] + "\n", REFUSED, words=[("loop", "value", "line")])
        check(text + "0.5\n", REFUSED, words=[("loop", "value", "line")])
        lines = text.splitlines()
        broken = lines[-2].rsplit(" ", 1)[0]
        check("\n".join([*lines[:-2], broken, lines[-1]]), REFUSED, words=[("loop", "value", "line")])


@pytest.mark.parametrize(
    "line",
    ["_publ_section_title 'never ended", '_chemical_name_common "one', "_refine_details\n;\nnever ended"],
)
def test_an_unterminated_quote_is_refused_or_costs_nothing(line):
    check(stated("MgO", line), RIGHT_OR_REFUSED, KNOWN["MgO"], words=[("line", "quote", "text", "parse")])
    check(stated("MgO") + line + "\n", RIGHT_OR_REFUSED, KNOWN["MgO"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "# only a comment\n",
        "data_x\n",
        "data_x\ndata_y\n",
        "nothing of the kind",
        "\x00\x01\x02",
        "data_x\nloop_\n",
        "{}",
        "<html></html>",
    ],
)
def test_a_text_without_a_crystal_is_refused(text):
    check(text, REFUSED)


def test_a_cell_without_atoms_and_atoms_without_a_cell_are_refused():
    text = stated("MgO")
    at = text.index("loop_")
    check(text[:at], REFUSED, words=[("atom", "site")])
    check(text[: text.index("Mg1 ")], REFUSED)
    check("data_x\n" + text[at:], REFUSED, words=["cell"])


def test_a_text_without_data_line_is_read_right_or_refused():
    for known in ("MgO", "LaPO4", "Ca(OH)2"):
        check(
            stated(known).replace("data_x\n", ""), RIGHT_OR_REFUSED, KNOWN[known], words=[("data_", "line")]
        )


def test_a_tag_given_twice_is_refused_unless_it_says_the_same():
    for first, second in (
        ("_cell_length_a 6.8313", "_cell_length_a 7.8313"),
        (f"{NAME} 'P 21/n'", f"{NAME} 'P 21/c'"),
        (formula("La O4 P"), formula("La O4 As")),
    ):
        text = stated("LaPO4")
        base = text if first in text else text.replace("loop_", first + "\nloop_")
        check(base.replace("loop_", second + "\nloop_"), REFUSED, words=[second.split()[0]])
        check(
            base.replace("loop_", first + "\nloop_"),
            RIGHT_OR_REFUSED,
            KNOWN["LaPO4"],
            words=[first.split()[0]],
        )


def test_reserved_words_where_values_are_expected_are_refused():
    for wrong in ("_cell_length_a", "loop_", "data_y"):
        check(stated("MgO").replace("_cell_length_b 4.212", f"_cell_length_b {wrong}"), REFUSED)


def test_tags_of_the_new_dictionary():
    """CIF 2 writes a dot where CIF 1 has the first underscore of a category."""
    text = stated("LaPO4").replace("_cell_", "_cell.").replace("_atom_site_", "_atom_site.")
    check(text, RIGHT_OR_REFUSED, KNOWN["LaPO4"])
    check("#\\#CIF_2.0\n" + stated("LaPO4"), RIGHT, KNOWN["LaPO4"])
    check("#\\#CIF_1.1\n" + stated("LaPO4"), RIGHT, KNOWN["LaPO4"])


# What programs write.
def test_what_pymatgen_writes(poly_crystals):
    from pymatgen.io.cif import CifWriter

    from matwheel.crystals.crystal import to_structure

    for crystal in poly_crystals[0][::4]:
        structure = to_structure(crystal)
        for symprec in (None, 0.01, 0.1):
            # not refined, so that operations of a primitive cell stand beside the name of the centred one
            check(str(CifWriter(structure, symprec=symprec, refine_struct=False)), RIGHT, structure)


def test_what_ase_writes(poly_crystals, tmp_path):
    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor

    from matwheel.crystals.crystal import to_structure

    for crystal in poly_crystals[0][2::6]:
        structure = to_structure(crystal)
        write(tmp_path / "a.cif", AseAtomsAdaptor.get_atoms(structure))
        check((tmp_path / "a.cif").read_text(), RIGHT, structure)


def test_the_same_crystal_by_operations_name_and_hall_symbol_together():
    for name in ("LaPO4", "Ca(OH)2", "rutile", "Ag2S", "NiWO4"):
        known = KNOWN[name]
        symmetry = f"{NAME} '{SYMBOLS[name]}'\n_symmetry_space_group_name_Hall '{known.hall}'\n"
        text = cif(known.cell, symmetry + operations(triplets(known.hall)), known.sites)
        check(text, RIGHT, known)
        check(named(known, SYMBOLS[name]), RIGHT, known)


def test_a_known_is_what_pymatgen_makes_of_the_standard_settings():
    """The expectation itself, by another program."""
    symbols = {"MgO": "Fm-3m", "rutile": "P4_2/mnm", "Fe2P": "P-62m", "black P": "Cmce", "CsCl": "Pm-3m"}
    for name, symbol in symbols.items():
        known = KNOWN[name]
        rows = [line.split() for line in known.sites.splitlines()]
        other = Structure.from_spacegroup(
            symbol,
            known.structure.lattice,
            [re.match("[A-Z][a-z]?", row[0]).group() for row in rows],
            [[float(number) for number in row[1:]] for row in rows],
        )
        assert other.composition == known.structure.composition
        assert StructureMatcher(primitive_cell=False).fit(other, known.structure)
