"""extxyz, POSCAR, pymatgen's Structures; files, folders and archives of crystals: read right or refused."""

import gzip
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from cif_texts import KNOWN, NAME, REFUSED, RIGHT, RIGHT_OR_REFUSED, check, named
from pymatgen.core import DummySpecies, Lattice, Molecule, Species, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

ZINC_BLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25] * 3])
WURTZITE = KNOWN["ZnO"].structure
SLAB = Structure(
    Lattice.from_parameters(2.46, 2.46, 20, 90, 90, 120), ["C", "C"], [[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]]
)
CSCL = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])


# extxyz.
def extxyz(
    structure, *, pbc='pbc="T T T"', more="", properties="species:S:1:pos:R:3", symbols=None, columns=None
):
    """One frame; symbols replace the elements, columns are further values of each line."""
    lattice = " ".join(f"{value:.8f}" for value in structure.lattice.matrix.ravel())
    comment = f'Lattice="{lattice}" Properties={properties} {pbc} {more}'.rstrip()
    lines = [str(len(structure)), comment]
    for i, site in enumerate(structure):
        symbol = symbols[i] if symbols else site.specie.symbol
        rest = f" {columns[i]}" if columns else ""
        lines.append(f"{symbol} " + " ".join(f"{x:.8f}" for x in site.coords) + rest)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("structure", [ZINC_BLENDE, WURTZITE, CSCL], ids=["zinc blende", "wurtzite", "CsCl"])
@pytest.mark.parametrize(
    "pbc", ["", 'pbc="T T T"', 'pbc="True True True"', "pbc=[T,T,T]", "pbc='T T T'", 'pbc="1 1 1"']
)
def test_a_frame_is_periodic_in_three_directions_unless_it_says_otherwise(structure, pbc):
    expectation = RIGHT_OR_REFUSED if "1 1" in pbc or "[" in pbc else RIGHT
    reading = check(extxyz(structure, pbc=pbc), expectation, structure, form="extxyz")
    assert reading is None or not any("period" in note for note in reading.notes)


@pytest.mark.parametrize("pbc", ["T T F", "T F T", "F T T", "T F F", "F F T"])
def test_fewer_periodic_directions_are_noted_or_refused(pbc):
    for structure in (SLAB, CSCL):
        frame = extxyz(structure, pbc=f'pbc="{pbc}"')
        check(
            frame,
            RIGHT_OR_REFUSED,
            structure,
            form="extxyz",
            words=[("pbc", "period")],
            notes=[("pbc", "period")],
        )


def test_no_periodic_direction_is_refused():
    for structure in (SLAB, CSCL, ZINC_BLENDE):
        check(
            extxyz(structure, pbc='pbc="F F F"'),
            REFUSED,
            form="extxyz",
            words=[("pbc", "period", "direction")],
        )


@pytest.mark.parametrize(
    ("zinc", "oxygen"), [("Zn2+", "O2-"), ("Zn1", "O1"), ("Zn+2", "O-2"), ("Zn", "O-2"), ("Zn0+", "O")]
)
def test_decorated_species_are_their_elements(zinc, oxygen):
    frame = extxyz(WURTZITE, symbols=[zinc, zinc, oxygen, oxygen])
    check(frame, RIGHT, WURTZITE, form="extxyz")


@pytest.mark.parametrize("symbol", ["ZN", "zn", "30", "Zn_pv", "Zn:1", "64Zn"])
def test_odd_species_are_their_elements_or_refused_by_name(symbol):
    frame = extxyz(WURTZITE, symbols=[symbol, symbol, "O", "O"])
    check(frame, RIGHT_OR_REFUSED, WURTZITE, form="extxyz", words=[symbol])


@pytest.mark.parametrize("symbol", ["X", "Q", "M", "Vac", "OH", "Xx", "0", "Zn/Mg", "A1", "?", "H2O"])
def test_species_that_are_no_element_are_refused_by_name(symbol):
    for place in range(3):
        symbols = ["Zn", "Zn", "O", "O"]
        symbols[place] = symbol
        check(extxyz(WURTZITE, symbols=symbols), REFUSED, form="extxyz", words=[symbol])


@pytest.mark.parametrize("symbol", ["D", "T", "2H", "D1"])
def test_heavy_hydrogen_of_a_frame_is_hydrogen_with_a_note_or_refused(symbol):
    hydride = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.08), ["Li", "H"], [[0, 0, 0], [0.5] * 3])
    frame = extxyz(hydride, symbols=["Li"] * 4 + [symbol] * 4)
    words = [("deuterium", "tritium", "isotope", "H ")]
    check(
        frame,
        RIGHT_OR_REFUSED,
        hydride,
        form="extxyz",
        words=words,
        notes=[("deuterium", "tritium", "isotope")],
    )


def test_atomic_numbers_in_place_of_species():
    for structure in (WURTZITE, ZINC_BLENDE, CSCL):
        symbols = [site.specie.Z for site in structure]
        check(extxyz(structure, properties="Z:I:1:pos:R:3", symbols=symbols), RIGHT, structure, form="extxyz")
        both = [f"{site.specie.symbol} {site.specie.Z}" for site in structure]
        check(
            extxyz(structure, properties="species:S:1:Z:I:1:pos:R:3", symbols=both),
            RIGHT,
            structure,
            form="extxyz",
        )
    for name in ("Z", "numbers"):  # sulphur's number beside oxygen's symbol
        symbols = ["Zn 30", "Zn 30", "O 16", "O 16"]
        lies = extxyz(WURTZITE, properties=f"species:S:1:{name}:I:1:pos:R:3", symbols=symbols)
        check(lies, RIGHT_OR_REFUSED, WURTZITE, form="extxyz")


@pytest.mark.parametrize("values", [("0.5", "1.0"), ("1.0", "0.0"), ("0.5", "0.5")])
def test_a_column_of_partial_occupancies_is_refused(values):
    frame = extxyz(CSCL, properties="species:S:1:pos:R:3:occupancy:R:1", columns=list(values))
    check(frame, REFUSED, form="extxyz", words=["occupanc"])


def test_a_column_of_full_occupancies_is_no_obstacle():
    frame = extxyz(CSCL, properties="species:S:1:pos:R:3:occupancy:R:1", columns=["1.0", "1.0"])
    check(frame, RIGHT, CSCL, form="extxyz")


@pytest.mark.parametrize("name", ["magmoms", "magmom", "initial_magmoms"])
def test_moments_of_a_frame_are_dropped_with_a_note(name):
    frame = extxyz(CSCL, properties=f"species:S:1:pos:R:3:{name}:R:1", columns=["0.5", "-0.5"])
    check(frame, RIGHT, CSCL, form="extxyz", notes=[("moment", "magmom")])


@pytest.mark.parametrize("name", ["initial_charges", "charges", "charge"])
def test_charges_of_a_frame_are_dropped_with_a_note(name):
    frame = extxyz(CSCL, properties=f"species:S:1:pos:R:3:{name}:R:1", columns=["1.0", "-1.0"])
    check(frame, RIGHT, CSCL, form="extxyz", notes=["charge"])


def test_other_columns_and_keys_are_no_obstacle():
    frame = extxyz(
        CSCL, properties="species:S:1:pos:R:3:forces:R:3:tags:I:1", columns=["0 0 .1 0", "0 0 -.1 1"]
    )
    check(frame, RIGHT, CSCL, form="extxyz")
    more = 'energy=-7.1 stress="0 0 0 0 0 0 0 0 0" config_type=bulk note="a=b, c" flag'
    check(extxyz(CSCL, more=more), RIGHT, CSCL, form="extxyz")
    first = extxyz(CSCL).replace("species:S:1:pos:R:3", "pos:R:3:species:S:1").splitlines()
    turned = [*first[:2], *(" ".join([*line.split()[1:], line.split()[0]]) for line in first[2:])]
    check("\n".join(turned), RIGHT, CSCL, form="extxyz")
    check(extxyz(CSCL).replace("\n", "\r\n"), RIGHT, CSCL, form="extxyz")
    check(extxyz(CSCL).replace("Cs ", "  Cs   "), RIGHT, CSCL, form="extxyz")


def test_without_properties_the_columns_are_symbol_and_position():
    for structure in (CSCL, WURTZITE, ZINC_BLENDE):
        check(
            extxyz(structure).replace("Properties=species:S:1:pos:R:3 ", ""),
            RIGHT_OR_REFUSED,
            structure,
            form="extxyz",
        )


def test_a_left_handed_cell_is_the_same_crystal():
    for structure in (WURTZITE, ZINC_BLENDE, KNOWN["rutile"].structure, KNOWN["Cr2O3"].structure):
        matrix = structure.lattice.matrix[[1, 0, 2]]
        assert np.linalg.det(matrix) < 0 < np.linalg.det(structure.lattice.matrix)
        left = Structure(Lattice(matrix), structure.species, structure.frac_coords[:, [1, 0, 2]])
        reading = check(extxyz(left), RIGHT, structure, form="extxyz")
        assert np.isclose(reading.crystal.volume_angstrom3, structure.volume)


def test_atoms_outside_the_cell_are_atoms():
    shifted = Structure(CSCL.lattice, CSCL.species, np.add(CSCL.frac_coords, [[2, -1, 0], [0, 3, -4]]))
    check(extxyz(shifted), RIGHT, CSCL, form="extxyz")


BROKEN_FRAMES = {
    "no lattice": (extxyz(CSCL).replace("Lattice=", "Cell="), ["Lattice"]),
    "nan in the lattice": (extxyz(CSCL).replace('Lattice="4.12', 'Lattice="nan'), [("lattice", "finite")]),
    "eight numbers": (extxyz(CSCL).replace('Lattice="4.12000000 ', 'Lattice="'), ["lattice"]),
    "no volume": (extxyz(CSCL).replace("0.00000000 4.12", "0.00000000 0.00"), [("volume", "lattice")]),
    "all zero": (extxyz(CSCL).replace("4.12000000", "0.0"), [("volume", "lattice")]),
    "an atom too few": ("3" + extxyz(CSCL)[1:], [("3", "lines", "atoms")]),
    "an atom too many": ("1" + extxyz(CSCL)[1:], [("1", "lines", "atoms", "frame")]),
    "no atoms": ("0\n" + extxyz(CSCL).splitlines()[1] + "\n", ["atoms"]),
    "nan position": (extxyz(CSCL).replace("2.06000000", "nan", 1), [("finite", "position", "number")]),
    "infinite position": (extxyz(CSCL).replace("2.06000000", "inf", 1), [("finite", "position", "number")]),
    "word as position": (extxyz(CSCL).replace("2.06000000", "middle", 1), [("position", "number", "middle")]),
    "a column too few": (extxyz(CSCL).replace(" 2.06000000\n", "\n"), [("column", "value", "line", "coord")]),
    "count is no number": ("two" + extxyz(CSCL)[1:], []),
    "unknown type": (extxyz(CSCL).replace("pos:R:3", "pos:Q:3"), []),
    "no positions": (extxyz(CSCL, properties="species:S:1:forces:R:3"), ["pos"]),
    "no species": (extxyz(CSCL, properties="name:S:1:pos:R:3"), [("species", "element")]),
    "empty": ("", []),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_FRAMES)
def test_a_broken_frame_is_refused_with_the_fault(case):
    text, words = BROKEN_FRAMES[case]
    check(text, REFUSED, form="extxyz", words=words)


# POSCAR.
HEAD = "{title}\n{scale}\n 4.12 0 0\n 0 4.12 0\n 0 0 4.12\n"


def poscar(atoms, title="CsCl", scale="1.0", head=HEAD):
    return head.format(title=title, scale=scale) + atoms


DIRECT = "Cs Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


@pytest.mark.parametrize(
    "text",
    [
        poscar(DIRECT),
        poscar(DIRECT, title="something else Fe2O3"),
        poscar(DIRECT, title=""),
        poscar(DIRECT, title="Na Cl"),
        poscar(DIRECT, scale="-69.934528"),  # minus the volume
        poscar(DIRECT, scale="2.0").replace("4.12", "2.06"),
        poscar("Cs Cl\n1 1\nCartesian\n0 0 0\n2.06 2.06 2.06\n"),
        poscar("Cs Cl\n1 1\ncart\n0 0 0\n2.06 2.06 2.06\n"),
        poscar("Cs Cl\n1 1\nKartesisch\n0 0 0\n2.06 2.06 2.06\n"),
        poscar("Cs Cl\n1 1\nCartesian\n0 0 0\n1.03 1.03 1.03\n", scale="2.0").replace("4.12", "2.06"),
        poscar("Cs Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T T T\n.5 .5 .5 F F F\n"),
        poscar("Cs Cl\n1 1\nS\nd\n0 0 0 T T F\n.5 .5 .5 F F F\n"),
        poscar("Cs Cl\n1 1\nDirect\n0 0 0 Cs\n.5 .5 .5 Cl\n"),
        poscar("Cl Cs\n1 1\nDirect\n.5 .5 .5\n0 0 0\n"),
        poscar(DIRECT + "\n 0.0 0.0 0.1\n 0.0 0.1 0.0\n"),  # velocities
        poscar(DIRECT + "\n\n\n"),
        poscar("Cs   Cl\n  1   1\nDirect\n  0 0 0\n  -.5 1.5 .5\n"),
        poscar(DIRECT).replace("\n", "\r\n"),
        poscar("Cs Cl\n1 1\nDirect\n0 0 0 ! first\n.5 .5 .5 # second\n"),
    ],
)  # fmt: skip
def test_a_poscar_of_vasp_5(text):
    check(text, RIGHT, CSCL, form="poscar")


def test_every_structure_as_pymatgen_writes_it(poly_crystals):
    from matwheel.crystals.crystal import to_structure

    for crystal in poly_crystals[0][::5]:
        structure = to_structure(crystal)
        check(Poscar(structure).get_str(significant_figures=8), RIGHT, structure, form="poscar")
        check(Poscar(structure).get_str(direct=False, significant_figures=8), RIGHT, structure, form="poscar")


@pytest.mark.parametrize("more", [".25 .25 .25\n", "0 0 .5 Cl\n", ".1 .1 .1\n.2 .2 .2\n"])
def test_more_positions_than_atoms_are_noted_or_refused(more):
    reading = check(poscar(DIRECT + more), RIGHT_OR_REFUSED, CSCL, form="poscar")
    assert reading is None or reading.notes, "positions left out without a word"


def test_elements_in_several_groups_are_counted_together():
    text = poscar("Cs Cl Cs\n1 1 1\nDirect\n0 0 0\n.5 .5 .5\n0 0 .5\n")
    truth = Structure(CSCL.lattice, ["Cs", "Cl", "Cs"], [[0, 0, 0], [0.5] * 3, [0, 0, 0.5]])
    check(text, RIGHT, truth, form="poscar")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (poscar("Cs_sv Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["Cs_sv"]),
        (poscar("Cs_sv_GW Cl_h\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["Cs_sv_GW"]),
        (poscar("Cs/1a2b3c Cl/4d5e\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["Cs/1a2b3c"]),
        (poscar("CS CL\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["CS"]),
        (poscar("Cs1+ Cl1-\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["Cs1+"]),
        (poscar("Cs Cl\n1 1\nDirect\n0 0 0 Cl\n.5 .5 .5 Cs\n"), ["Cl", "Cs"]),
        (poscar("Cs Cl\n1 1\nDirect\n0 0 0 Na\n.5 .5 .5 Cl\n"), ["Na"]),
        (poscar("Cs Cl N\n1 1 0\nDirect\n0 0 0\n.5 .5 .5\n"), []),
        (poscar(DIRECT, scale="1.0 1.0 1.0"), []),
        (poscar(DIRECT, scale="2.0 1.0 1.0").replace(" 4.12 0 0", " 2.06 0 0"), []),
        (poscar("Cs Cl ! comment\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), []),
    ],
)  # fmt: skip
def test_an_odd_poscar_is_read_right_or_refused(text, words):
    check(text, RIGHT_OR_REFUSED, CSCL, form="poscar", words=words)


VASP_4 = "1 1\nDirect\n0 0 0\n.5 .5 .5\n"
BROKEN_POSCARS = {
    "VASP 4": (poscar(VASP_4, title="made by hand"), [("symbol", "element", "VASP 4")]),
    "VASP 4 and a formula": (poscar(VASP_4, title="CsCl"), [("symbol", "element", "VASP 4")]),
    "VASP 4 and an empty title": (poscar(VASP_4, title=""), [("symbol", "element", "VASP 4")]),
    "a coordinate too few": (poscar("Cs Cl\n1 1\nDirect\n0 0 0\n.5 .5\n"), []),
    "an atom too few": (poscar("Cs Cl\n1 2\nDirect\n0 0 0\n.5 .5 .5\n"), []),
    "a count too few": (poscar("Cs Cl\n1\nDirect\n0 0 0\n.5 .5 .5\n"), []),
    "a count too many": (poscar("Cs Cl\n1 1 1\nDirect\n0 0 0\n.5 .5 .5\n0 0 .5\n"), []),
    "half an atom": (poscar("Cs Cl\n1 0.5\nDirect\n0 0 0\n.5 .5 .5\n"), []),
    "minus an atom": (poscar("Cs Cl\n1 -1\nDirect\n0 0 0\n.5 .5 .5\n"), []),
    "no atoms": (poscar("Cs Cl\n0 0\nDirect\n"), [("atom", "site")]),
    "no element": (poscar("Cs Xx\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["Xx"]),
    "a group": (poscar("Cs OH\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["OH"]),
    "a vacancy": (poscar("Cs Vac\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"), ["Vac"]),
    "nan": (poscar("Cs Cl\n1 1\nDirect\n0 0 0\n.5 nan .5\n"), []),
    "a word": (poscar("Cs Cl\n1 1\nDirect\n0 0 0\n.5 half .5\n"), []),
    "no scale": (poscar(DIRECT, scale="one"), []),
    "scale zero": (poscar(DIRECT, scale="0.0"), [("scale", "volume", "cell")]),
    "flat": (poscar(DIRECT).replace(" 0 0 4.12", " 0 0 0"), [("volume", "cell", "lattice")]),
    "lattice nan": (poscar(DIRECT).replace(" 0 0 4.12", " 0 0 nan"), []),
    "two vectors": (poscar(DIRECT).replace(" 0 0 4.12\n", ""), []),
    "cut": (poscar(DIRECT)[:40], []),
    "empty": ("", []),
    "another text": ("nothing of the kind", []),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_POSCARS)
def test_a_broken_poscar_is_refused(case):
    text, words = BROKEN_POSCARS[case]
    check(text, REFUSED, form="poscar", words=words)


@pytest.mark.parametrize("symbol", ["D", "T"])
def test_heavy_hydrogen_of_a_poscar_is_hydrogen_with_a_note_or_refused(symbol):
    truth = Structure(CSCL.lattice, ["Cs", "H"], CSCL.frac_coords)
    text = poscar(f"Cs {symbol}\n1 1\nDirect\n0 0 0\n.5 .5 .5\n")
    words = [("deuterium", "tritium", "isotope", "H ")]
    check(
        text, RIGHT_OR_REFUSED, truth, form="poscar", words=words, notes=[("deuterium", "tritium", "isotope")]
    )


# pymatgen's Structures and their mappings.
def _through_json(structure):
    return json.loads(json.dumps(structure.as_dict()))


@pytest.mark.parametrize("structure", [ZINC_BLENDE, WURTZITE, SLAB, KNOWN["LaPO4"].structure])
def test_a_structure_and_its_mapping(structure):
    for content in (structure, structure.as_dict(), _through_json(structure)):
        reading = check(content, RIGHT, structure, form="structure")
        assert reading.notes == ()


@pytest.mark.parametrize("states", [{"Zn": 2, "S": -2}, {"Zn": 1.5, "S": -1.5}, {"Zn": 0, "S": 0}])
def test_oxidation_states_are_dropped_with_a_note(states):
    charged = ZINC_BLENDE.copy().add_oxidation_state_by_element(states)
    for content in (charged, charged.as_dict(), _through_json(charged)):
        notes = [("oxidation", "charge")] if any(states.values()) else []
        check(content, RIGHT, ZINC_BLENDE, form="structure", notes=notes)


def test_moments_are_dropped_with_a_note():
    moments = [1.0] * 4 + [0.0] * 4
    as_property = ZINC_BLENDE.copy().add_site_property("magmom", moments)
    spins = Structure(
        ZINC_BLENDE.lattice, [Species("Zn", 2, spin=1)] * 4 + ["S"] * 4, ZINC_BLENDE.frac_coords
    )
    vectors = ZINC_BLENDE.copy().add_site_property("magmom", [[0, 0, m] for m in moments])
    for structure in (as_property, spins, vectors):
        for content in (structure, _through_json(structure)):
            check(content, RIGHT, ZINC_BLENDE, form="structure", notes=[("moment", "magmom", "spin")])


@pytest.mark.parametrize("mixture", [{"Zn": 0.5}, {"Zn": 0.5, "Mg": 0.5}, {"Zn": 0.9, "Mg": 0.1}])
def test_partial_occupancies_are_refused(mixture):
    partial = Structure(ZINC_BLENDE.lattice, [mixture] * 4 + ["S"] * 4, ZINC_BLENDE.frac_coords)
    for content in (partial, partial.as_dict(), _through_json(partial)):
        check(content, REFUSED, form="structure", words=[("partial", "occupan", "disorder")])


def test_heavy_hydrogen_of_a_structure_is_hydrogen_with_a_note_or_refused():
    truth = Structure(CSCL.lattice, ["Cs", "H"], CSCL.frac_coords)
    for symbol in ("D", "T", Species("D", 1)):
        heavy = Structure(CSCL.lattice, ["Cs", symbol], CSCL.frac_coords)
        mapping = _through_json(heavy)  # pymatgen writes H there
        mapping["sites"][1]["species"][0]["element"] = str(symbol)[0]
        for content in (heavy, mapping):
            check(
                content,
                RIGHT_OR_REFUSED,
                truth,
                form="structure",
                words=[("deuterium", "tritium", "isotope", "H ")],
                notes=[("deuterium", "tritium", "isotope")],
            )


def test_structures_that_are_no_crystals_are_refused():
    broken = _through_json(ZINC_BLENDE)
    flat = Structure(Lattice([[4, 0, 0], [0, 4, 0], [0, 0, 0]]), ["Cs"], [[0, 0, 0]])
    dummy = Structure(CSCL.lattice, [DummySpecies("X"), "Cl"], CSCL.frac_coords)
    no_number = _through_json(CSCL)
    no_number["sites"][0]["abc"] = [float("nan"), 0, 0]
    for content in (
        {}, {"a": 1}, [], None, 3.5, "text", flat, dummy, _through_json(dummy), no_number,
        {key: value for key, value in broken.items() if key != "lattice"},
        {key: value for key, value in broken.items() if key != "sites"},
        {**broken, "sites": []},
        {**broken, "lattice": {"matrix": [[1, 0], [0, 1]]}},
        Molecule(["O", "H", "H"], [[0, 0, 0], [0, 0, 1], [0, 1, 0]]).as_dict(),
        Molecule(["O"], [[0, 0, 0]]),
        Lattice.cubic(4).as_dict(),
    ):  # fmt: skip
        check(content, REFUSED, form="structure")


def test_a_structure_with_fewer_periodic_directions_is_noted_or_refused():
    for pbc in ((True, True, False), (True, False, False)):
        slab = Structure(Lattice(SLAB.lattice.matrix, pbc=pbc), SLAB.species, SLAB.frac_coords)
        words = [("pbc", "period")]
        check(slab, RIGHT_OR_REFUSED, SLAB, form="structure", words=words, notes=words)
        check(_through_json(slab), RIGHT_OR_REFUSED, SLAB, form="structure", words=words, notes=words)


def test_two_atoms_at_one_place_are_kept_or_refused_and_never_a_row_of_a_dataset(tmp_path):
    """The screens judge what another program made; nothing is learnt from it."""
    for distance in (0.0, 0.05, 0.3):
        close = Structure(CSCL.lattice, ["Cs", "Cl"], [[0, 0, 0], [0, 0, distance / 4.12]])
        poscar_text = Poscar(close).get_str(significant_figures=8)
        check(extxyz(close), RIGHT_OR_REFUSED, close, form="extxyz", tolerance_angstrom=0.001)
        check(poscar_text, RIGHT_OR_REFUSED, close, form="poscar", tolerance_angstrom=0.001)
        check(close, RIGHT_OR_REFUSED, close, form="structure", tolerance_angstrom=0.001)
        texts = {
            "cif": str(CifWriter(close)),
            "poscar": poscar_text,
            "structure": json.dumps(close.as_dict()),
        }
        for column, text in texts.items():
            path = tmp_path / f"{column}.csv"
            pd.DataFrame({"id": ["a"], column: [text], "y": [1.0]}).to_csv(path, index=False)
            message = dataset(path, crystal_column=column)
            assert isinstance(message, str) and "row 1" in message, (column, distance, message)


def test_an_unknown_form_and_foreign_content_are_refused():
    for form in ("cif", "poscar", "extxyz"):
        for content in (None, 3, float("nan"), {}, []):
            check(content, REFUSED, form=form)


# Files.
def imported(path, **options):
    """id -> (counts or None, reason); every entry of a file."""
    from matwheel.crystals.imported import read_imported

    crystals, verdicts = read_imported(path, **options)
    counts = {crystal.id: crystal.element_counts for crystal in crystals}
    found = {v.candidate_id: (counts.get(v.candidate_id), v.reason) for v in verdicts}
    assert len(found) == len(verdicts), "an id occurs twice"
    for verdict in verdicts:
        assert (verdict.verdict == "pass") == (verdict.candidate_id in counts), verdict
        assert verdict.verdict == "pass" or verdict.reason
    return found


CIF = named(KNOWN["LaPO4"], "P 21/n")
LAPO4 = {"La": 4, "O": 16, "P": 4}
VASP = poscar(DIRECT)
CS_CL = {"Cl": 1, "Cs": 1}


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("POSCAR", VASP, CS_CL),
        ("CONTCAR", VASP, CS_CL),
        ("POSCAR_relaxed", VASP, CS_CL),
        ("a.vasp", VASP, CS_CL),
        ("a.poscar", VASP, CS_CL),
        ("POSCAR.gz", VASP, CS_CL),
        ("a.vasp.gz", VASP, CS_CL),
        ("a.cif", CIF, LAPO4),
        ("A.CIF", CIF, LAPO4),
        ("a.cif.gz", CIF, LAPO4),
        ("a.mcif", CIF, LAPO4),
        ("a.mcif.gz", CIF, LAPO4),
        ("a.extxyz", extxyz(CSCL), CS_CL),
        ("a.extxyz.gz", extxyz(CSCL), CS_CL),
        ("a.xyz", extxyz(CSCL), CS_CL),
        ("a.json", json.dumps(CSCL.as_dict()), CS_CL),
        ("a.json.gz", json.dumps(CSCL.as_dict()), CS_CL),
        ("name with blanks (1).cif", CIF, LAPO4),
    ],
)
def test_a_file_of_one_crystal(tmp_path, name, text, counts):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    found = imported(path)
    assert [count for count, _ in found.values()] == [counts], found


TWO = {"first": ZINC_BLENDE, "second": CSCL}
COUNTS = [{"S": 4, "Zn": 4}, CS_CL]


def _as_list(two):
    return [structure.as_dict() for structure in two.values()]


def _with_ids(key):
    return lambda two: [
        {key: name, "structure": structure.as_dict(), "gap": 1.0} for name, structure in two.items()
    ]


def _split(two):
    data = [[name, structure.as_dict()] for name, structure in two.items()]
    return {"columns": ["material_id", "structure"], "index": list(range(len(two))), "data": data}


JSON_FILES = {
    "a list": (_as_list, False),
    "a mapping": (lambda two: {name: structure.as_dict() for name, structure in two.items()}, True),
    "material_id and structure": (_with_ids("material_id"), True),
    "id and structure": (_with_ids("id"), True),
    "pandas split": (_split, True),
    "a mapping of CIFs": (lambda two: {name: str(CifWriter(s)) for name, s in two.items()}, True),
    "rows with CIFs": (lambda two: [{"id": name, "cif": str(CifWriter(s))} for name, s in two.items()], True),
}


@pytest.mark.parametrize("case", JSON_FILES)
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_json_files(tmp_path, case, suffix):
    layout, keeps_ids = JSON_FILES[case]
    text = json.dumps(layout(TWO)).encode()
    path = tmp_path / f"two{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    found = imported(path)
    assert [count for count, _ in found.values()] == COUNTS, found
    assert not keeps_ids or list(found) == list(TWO)


def test_a_bad_entry_of_a_json_file_costs_only_itself(tmp_path):
    partial = Structure(CSCL.lattice, [{"Cs": 0.5}, "Cl"], CSCL.frac_coords).as_dict()
    path = tmp_path / "three.json"
    path.write_text(json.dumps({"first": ZINC_BLENDE.as_dict(), "bad": partial, "second": CSCL.as_dict()}))
    found = imported(path)
    assert [found[name][0] for name in ("first", "bad", "second")] == [COUNTS[0], None, COUNTS[1]]
    assert "three.json" in found["bad"][1]
    path.write_text(json.dumps([CSCL.as_dict(), None, {"a": 1}, "text", 3, ZINC_BLENDE.as_dict()]))
    assert [count for count, _ in imported(path).values()] == [CS_CL, None, None, None, None, COUNTS[0]]


@pytest.mark.parametrize("text", ["{}", "[]", "null", "3", '"text"', "{", "", '{"a": 1}', "[1, 2]", "NaN"])
def test_json_without_a_crystal_is_refused_or_named(tmp_path, text):
    from matwheel.core.errors import InputError

    path = tmp_path / "a.json"
    path.write_text(text)
    try:
        found = imported(path)
    except InputError as error:
        assert "a.json" in str(error) and "\n" not in str(error)
    else:
        assert found and all(count is None and reason for count, reason in found.values())


# Folders and archives.
CRYSTALS = {
    "a.cif": (CIF, LAPO4),
    "deep/down/b.cif": (CIF, LAPO4),
    "c.cif.gz": (gzip.compress(CIF.encode(), mtime=0), LAPO4),
    "d.vasp": (VASP, CS_CL),
    "run/POSCAR": (VASP, CS_CL),
    "e.extxyz": (extxyz(CSCL), CS_CL),
    "f.json": (json.dumps(CSCL.as_dict()), CS_CL),
    "g.mcif": (CIF, LAPO4),
    "CAPITALS.CIF": (CIF, LAPO4),
}
HIDDEN = {
    "._a.cif": b"\x00\x05\x16\x07Mac OS X",
    "__MACOSX/._a.cif": b"\x00\x05\x16\x07Mac OS X",
    "deep/__MACOSX/down/._b.cif": b"\x00\x05\x16\x07Mac OS X",
    ".ipynb_checkpoints/a-checkpoint.cif": CIF,
    "deep/.ipynb_checkpoints/b-checkpoint.cif": CIF,
    ".DS_Store": b"\x00\x00\x00\x01Bud1",
    "deep/.DS_Store": b"\x00\x00\x00\x01Bud1",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "desktop.ini": "[.ShellClassInfo]",
    ".git/HEAD": "ref: refs/heads/main",
}
OTHERS = {
    "README.txt": "How these were made.",
    "notes.md": "# Notes",
    "OUTCAR": "vasp.6.4",
    "picture.png": b"\x89PNG\r\n",
    "table.csv": "id,y\na,1\n",
    "settings.yaml": "a: 1\n",
}


def _bytes(content):
    return content.encode() if isinstance(content, str) else content


def _folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(_bytes(content))
    return path


def _zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, _bytes(content))
    return path


def _packed(kind, tmp_path, files):
    return _folder(tmp_path / "many", files) if kind == "folder" else _zip(tmp_path / "many.zip", files)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_every_crystal_file_of_a_folder_or_an_archive(tmp_path, kind):
    files = {name: content for name, (content, _) in CRYSTALS.items()}
    found = imported(_packed(kind, tmp_path, files))
    assert len(found) == len(CRYSTALS), found
    wanted = sorted(json.dumps(counts) for _, counts in CRYSTALS.values())
    assert sorted(json.dumps(count) for count, _ in found.values()) == wanted, found


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_hidden_and_system_files_are_passed_over(tmp_path, kind):
    found = imported(_packed(kind, tmp_path, {**HIDDEN, "a.cif": CIF, "deep/down/b.cif": CIF}))
    assert [count for count, _ in found.values()] == [LAPO4] * 2, found


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_other_files_are_named_or_passed_over_and_are_no_crystals(tmp_path, kind):
    found = imported(_packed(kind, tmp_path, {**OTHERS, "a.cif": CIF, "b.vasp": VASP}))
    assert sorted(str(count) for count, _ in found.values() if count) == sorted([str(LAPO4), str(CS_CL)]), (
        found
    )
    for count, reason in found.values():
        assert count or any(name in reason for name in OTHERS), reason


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_damaged_file_among_others_is_named(tmp_path, kind):
    files = {
        "a.cif": CIF,
        "cut.cif": CIF[:120],
        "bad.cif.gz": b"no gzip",
        "empty.cif": "",
        "z.vasp": "nothing",
    }
    found = imported(_packed(kind, tmp_path, files))
    assert sum(count is not None for count, _ in found.values()) == 1 and len(found) == 5, found
    reasons = " ".join(reason for count, reason in found.values() if count is None)
    assert all(name in reasons for name in files if name != "a.cif"), reasons


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_of_one_stem_are_all_kept(tmp_path, kind):
    files = {"a/one.cif": CIF, "b/one.cif": CIF, "one.vasp": VASP, "one.cif.gz": gzip.compress(CIF.encode())}
    found = imported(_packed(kind, tmp_path, files))
    assert len(found) == 4 and all(count for count, _ in found.values()), found


def test_the_same_name_twice_in_one_archive(tmp_path):
    path = tmp_path / "twice.zip"
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.cif", CIF)
        archive.writestr("one.cif", named(KNOWN["rutile"], "P 42/m n m"))
    found = imported(path)
    counts = [count for count, _ in found.values()]
    assert len(counts) == 2 and (counts == [LAPO4, {"O": 4, "Ti": 2}] or None in counts), found


def test_an_archive_in_an_archive_is_named_or_read(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("b.cif", CIF)
    for kind in ("zip", "folder"):
        found = imported(_packed(kind, tmp_path, {"a.cif": CIF, "inner.zip": inner.getvalue()}))
        assert len(found) == 2, found
        assert all(count == LAPO4 or "inner.zip" in reason for count, reason in found.values()), found


@pytest.mark.parametrize(
    "name",
    [
        "../outside.cif",
        "../../outside.cif",
        "/outside.cif",
        "a/../../outside.cif",
        "..\\outside.cif",
        "C:\\outside.cif",
    ],
)
def test_names_that_lead_out_of_an_archive_write_nothing(tmp_path, name):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    path = _zip(tmp_path / "deep" / "er" / "out.zip", {name: CIF, "in.cif": CIF})
    found = imported(path)
    assert sum(count == LAPO4 for count, _ in found.values()) >= 1 and len(found) == 2, found
    assert all("/" not in one and "\\" not in one and ".." not in one for one in found)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["out.zip"]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.txt": "nothing"},
        {".DS_Store": "x"},
        {"deep/._a.cif": "x"},
        {".ipynb_checkpoints/a.cif": CIF},
    ],
)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_or_archive_without_a_crystal_is_refused(tmp_path, kind, files):
    from matwheel.core.errors import InputError

    (tmp_path / "many").mkdir()
    path = _packed(kind, tmp_path, files)
    try:
        found = imported(path)
    except InputError as error:
        assert path.name in str(error)
    else:
        assert found and not any(count for count, _ in found.values())
        assert "README.txt" in files


def test_an_encrypted_or_cut_archive_is_refused(tmp_path):
    from matwheel.core.errors import InputError

    content = _zip(tmp_path / "whole.zip", {"a.cif": CIF}).read_bytes()
    for part in (content[: len(content) // 2], content[:10], b"", b"PK\x03\x04"):
        path = tmp_path / "cut.zip"
        path.write_bytes(part)
        with pytest.raises(InputError, match=r"cut\.zip"):
            imported(path)


# Tables.
@pytest.mark.parametrize("column", ["cif", "CIF", "structure", "generated_cif", "Cif"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_columns_of_a_csv(tmp_path, column, suffix):
    path = tmp_path / f"made{suffix}"
    frame = pd.DataFrame(
        {"id": ["one", "two"], column: [CIF, named(KNOWN["rutile"], "P 42/m n m")], "gap": 1.5}
    )
    frame.to_csv(path, index=False)
    found = imported(path)
    assert {name: count for name, (count, _) in found.items()} == {"one": LAPO4, "two": {"O": 4, "Ti": 2}}, (
        found
    )


@pytest.mark.parametrize("column", ["my crystals", "relaxed", "x"])
def test_a_column_named_by_the_option(tmp_path, column):
    from matwheel.core.errors import InputError

    path = tmp_path / "made.csv"
    pd.DataFrame({"name": ["one"], column: [CIF]}).to_csv(path, index=False)
    found = imported(path, id_column="name", crystal_column=column)
    assert found["one"][0] == LAPO4
    with pytest.raises(InputError, match=column):
        imported(path)


def test_a_column_of_structures_and_of_poscars(tmp_path):
    path = tmp_path / "made.csv"
    texts = {
        "structure": [json.dumps(s.as_dict()) for s in TWO.values()],
        "poscar": [Poscar(s).get_str() for s in TWO.values()],
        "cif": [str(CifWriter(s)) for s in TWO.values()],
    }
    for column, values in texts.items():
        pd.DataFrame({"material_id": list(TWO), column: values}).to_csv(path, index=False)
        found = imported(path)
        assert [count for count, _ in found.values()] == COUNTS and list(found) == list(TWO), (column, found)


def test_the_notes_of_the_reader_stand_in_the_reason(tmp_path):
    charged = ZINC_BLENDE.copy().add_oxidation_state_by_element({"Zn": 2, "S": -2})
    files = {
        "rounded.cif": f"{named(KNOWN['Mg'], 'P 63/m m c')}".replace(".333333 .666667", ".333 .667"),
        "slab.extxyz": extxyz(SLAB, pbc='pbc="T T F"'),
        "charged.json": json.dumps(charged.as_dict()),
    }
    found = imported(_folder(tmp_path / "noted", files))
    assert len(found) == 3
    for count, reason in found.values():
        assert reason, (count, reason)


# Own datasets take the same reader.
def dataset(path, **entry):
    """Counts by id, or the message."""
    from matwheel.crystals.table import crystals_of_table
    from matwheel.datasets.dataset import load_dataset
    from matwheel.datasets.registry import parse_registry
    from matwheel.datasets.sources import DatasetError

    target = {"column": "y", "name": "y", "units": "eV"}
    own = parse_registry({"own": {"title": "t", "target": target, "path": str(path), **entry}})["own"]
    try:
        table, _ = load_dataset(own)
    except DatasetError as error:
        assert "\n" not in str(error)
        return str(error)
    return {crystal.id: crystal.element_counts for crystal in crystals_of_table(table)}


BAD_ROWS = {
    "missing hydrogens": (
        f"{NAME} 'P -3 m 1'\n_chemical_formula_sum 'H2 Mg O2'", "Mg1 0 0 0\nO1 .3333 .6667 .22", "H2"
    ),
    "no element": (f"{NAME} 'P -3 m 1'", "Mg1 0 0 0\nOH1 .3333 .6667 .22", "OH1"),
    "one place": (f"{NAME} 'P -3 m 1'", "Mg1 0 0 0\nO1 .3333 .6667 .22\nF1 .3333 .6667 .22", ""),
    "no space group": (f"{NAME} 'P -3 x 1'", "Mg1 0 0 0\nO1 .3333 .6667 .22", "P -3 x 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_dataset_refuses_what_an_import_refuses(tmp_path, case):
    from cif_texts import cif

    symmetry, sites, word = BAD_ROWS[case]
    text = cif("3.148 3.148 4.769 90 90 120", symmetry, sites)
    path = tmp_path / "d.csv"
    pd.DataFrame({"id": ["good", "bad"], "cif": [CIF, text], "y": [1.0, 2.0]}).to_csv(path, index=False)
    message = dataset(path)
    assert isinstance(message, str) and "row 2" in message and "bad" in message and word in message, message
    found = imported(path)
    assert found["good"][0] == LAPO4 and found["bad"][0] is None and word in found["bad"][1]


def test_a_dataset_reads_what_an_import_reads(tmp_path):
    rows = {
        "named": CIF,
        "origin": named(KNOWN["TiO2 :2"], "I 41/a m d :2"),
        "rounded": named(KNOWN["Mg"], "P 63/m m c").replace(".333333 .666667", ".333 .667"),
        "hexagonal": named(KNOWN["Bi2Te3"], "R -3 m :H"),
    }
    path = tmp_path / "d.csv"
    pd.DataFrame({"id": list(rows), "cif": list(rows.values()), "y": [1.0, 2.0, 3.0, 4.0]}).to_csv(
        path, index=False
    )
    counts = {
        "named": LAPO4,
        "origin": {"O": 8, "Ti": 4},
        "rounded": {"Mg": 2},
        "hexagonal": {"Bi": 6, "Te": 9},
    }
    assert dataset(path) == counts
    assert {name: count for name, (count, _) in imported(path).items()} == counts
