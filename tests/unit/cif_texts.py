"""CIF texts for the tests of the reader, and the crystals that they describe, made without it.

The right crystal of a text is its sites times the operations that spglib's table has for a Hall symbol. The
counts of its cell are written beside it from the literature, so a test says twice what is right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

RIGHT = "right"  # any crystallographer would read it
RIGHT_OR_REFUSED = "right or refused"
REFUSED = "refused"
NAME = "_symmetry_space_group_name_H-M"
POSITION = "label fract_x fract_y fract_z"
TYPED = "label type_symbol fract_x fract_y fract_z"
CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


@dataclass(frozen=True)
class Known:
    """A crystal of the literature, or invented to have a symmetry.

    Attributes:
        hall: Hall symbol of the setting.
        cell: a b c alpha beta gamma, Å and degrees.
        sites: lines "label x y z" of the asymmetric unit, the label begins with the element.
        counts: what the cell holds, "Ga8 O12".
    """

    hall: str
    cell: str
    sites: str
    counts: str

    @property
    def structure(self) -> Structure:
        return expanded(self.hall, self.cell, self.sites, self.counts)


def cif(cell, symmetry, sites, further="", columns=POSITION, block="data_x"):
    """A CIF text; symmetry and further are whole lines, columns the last words of the atom loop's tags."""
    numbers = cell.split()
    lines = [block, *(f"_cell_{tag} {number}" for tag, number in zip(CELL_TAGS, numbers, strict=True))]
    lines += [*_lines(symmetry), *_lines(further), "loop_"]
    lines += [f"_atom_site_{column}" for column in columns.split()]
    return "\n".join([*lines, *_lines(sites)]) + "\n"


def named(known, name, further="", tag=NAME):
    """The CIF of a known crystal whose symmetry is given by a name only."""
    return cif(known.cell, f"{tag} '{name}'", known.sites, further)


def operations(texts, tag="_symmetry_equiv_pos_as_xyz"):
    """A loop of symmetry operations."""
    return "\n".join(["loop_", tag, *(f"'{text}'" for text in texts)])


@cache
def hall_number(hall):
    """spglib's number of a Hall symbol."""
    import spglib

    for number in range(1, 531):
        if spglib.get_spacegroup_type(number).hall_symbol == hall:
            return number
    raise KeyError(hall)


def table_operations(hall):
    """Rotations, shape (operations, 3, 3), and translations, shape (operations, 3), of spglib's table."""
    import spglib

    found = spglib.get_symmetry_from_database(hall_number(hall))
    return found["rotations"], found["translations"]


def triplets(hall):
    """The operations as text, 'x,y,z' first."""
    rotations, translations = table_operations(hall)
    return [triplet(*operation) for operation in zip(rotations, translations, strict=True)]


def triplet(rotation, translation):
    """One operation as text, '-x+1/2,y,-z'."""
    words = []
    for row, shift in zip(rotation, translation, strict=True):
        word = "".join(
            f"{'+' if n > 0 else '-'}{axis}" for n, axis in zip(row, "xyz", strict=True) if round(n)
        ).removeprefix("+")
        part = Fraction(float(shift)).limit_denominator(12) % 1
        words.append(word + (f"+{part}" if part else ""))
    return ",".join(words)


def expanded(hall, cell, sites, counts):
    """The crystal of sites under a setting's operations; its counts must be those stated."""
    rotations, translations = table_operations(hall)
    lattice = Lattice.from_parameters(*map(float, cell.split()))
    species, positions = [], []
    for line in _lines(sites):
        label, *numbers = line.split()
        element = re.match("[A-Z][a-z]?", label).group()
        images = rotations @ np.array([float(Fraction(number)) for number in numbers[:3]]) + translations
        mine = []
        for image in images % 1:
            if not mine or lattice.get_all_distances([image], mine).min() > 0.05:
                mine.append(image)
        species += [element] * len(mine)
        positions += mine
    structure = Structure(lattice, species, positions)
    assert structure.composition == Composition(counts), f"{structure.composition} is not {counts}"
    assert structure.is_valid(tol=0.7), "atoms of the right crystal are on top of each other"
    return structure


def same_cell(structure, crystal, tolerance_angstrom=0.02):
    """Whether the crystal has the structure's cell and atoms, in any order, or is another view of them.

    The first try is atom by atom in the same axes; else pymatgen's StructureMatcher on the cells as they are.
    """
    from matwheel.crystals.crystal import to_structure

    other = to_structure(crystal)
    if other.composition != structure.composition:
        return False
    parameters = [lattice.parameters for lattice in (structure.lattice, other.lattice)]
    if np.allclose(*parameters, rtol=1e-3, atol=1e-3):
        distances = structure.lattice.get_all_distances(structure.frac_coords, other.frac_coords)
        differ = np.array([s.symbol for s in structure.species])[:, None] != np.array(crystal.species)[None]
        nearest = np.where(differ, np.inf, distances).argmin(axis=1)
        close = distances[np.arange(len(nearest)), nearest] < tolerance_angstrom
        if close.all() and len(set(nearest)) == len(nearest):
            return True
    matcher = StructureMatcher(ltol=0.005, stol=0.05, angle_tol=0.3, primitive_cell=False, scale=False)
    found = matcher.get_rms_dist(structure, other)  # in units of the edge of a cube for one atom
    return (
        found is not None and found[1] * (structure.volume / len(structure)) ** (1 / 3) < tolerance_angstrom
    )


def check(content, expectation, truth=None, *, words=(), notes=(), form="cif", tolerance_angstrom=0.02):
    """Read a text and hold it against what must come of it.

    Args:
        content: what the reader is given.
        expectation: RIGHT, RIGHT_OR_REFUSED or REFUSED.
        truth: the right Structure, or a Known.
        words: each must be in the message of a refusal, upper or lower case; a tuple means one of them.
        notes: the same of the notes of a reading.
        form: as `read_crystal`.
        tolerance_angstrom: between atoms read and right ones.

    Returns:
        The reading, or None.
    """
    from matwheel.crystals.reader import UnreadableCrystal, read_crystal

    try:
        reading = read_crystal(content, form, "some-id")
    except UnreadableCrystal as refusal:
        message = str(refusal)
        assert expectation != RIGHT, f"refused: {message}"
        assert "\n" not in message and len(message.split()) > 2, f"no sentence: {message!r}"
        _contains(message, words)
        return None
    assert isinstance(reading.notes, tuple) and all(note and "\n" not in note for note in reading.notes)
    assert expectation != REFUSED, f"read as {reading.crystal.element_counts}, notes {reading.notes}"
    structure = truth.structure if isinstance(truth, Known) else truth
    counts = {str(element): int(n) for element, n in structure.composition.get_el_amt_dict().items()}
    assert reading.crystal.element_counts == dict(sorted(counts.items())), reading.notes
    assert same_cell(structure, reading.crystal, tolerance_angstrom), (reading.crystal, reading.notes)
    _contains("; ".join(reading.notes), notes)
    return reading


def cases(table):
    """Parameters whose ids are the keys of a mapping."""
    return [pytest.param(*values, id=key) for key, values in table.items()]


def axis_views(known):
    """The known crystal with its axes in each of the six orders: (Hall symbol, Known) for every setting."""
    cell, rows = known.cell.split(), [line.split() for line in _lines(known.sites)]
    for order in permutations(range(3)):
        axes = [cell[i] for i in order] + [cell[3 + i] for i in order]
        sites = "\n".join(" ".join([row[0], *(row[1 + i] for i in order)]) for row in rows)
        hall = _permuted_hall(known.hall, order)
        yield hall, Known(hall, " ".join(axes), sites, known.counts)


@cache
def _permuted_hall(hall, order):
    import spglib

    def as_set(rotations, translations):
        return {
            (tuple(r.ravel().round().astype(int)), tuple(np.round(t * 24).astype(int) % 24))
            for r, t in zip(rotations, translations, strict=True)
        }

    rotations, translations = table_operations(hall)
    number = spglib.get_spacegroup_type(hall_number(hall)).number
    order = list(order)
    wanted = as_set(rotations[:, order][:, :, order], translations[:, order])
    for candidate in range(1, 531):
        kind = spglib.get_spacegroup_type(candidate)
        if kind.number == number and as_set(*table_operations(kind.hall_symbol)) == wanted:
            return kind.hall_symbol
    raise KeyError((hall, order))


def _contains(text, words):
    for word in words:
        alternatives = (word,) if isinstance(word, str) else word
        assert any(one.lower() in text.lower() for one in alternatives), f"{alternatives} not in {text!r}"


def _lines(text):
    return [line for line in text.split("\n") if line.strip()]


def _known():
    found = {}
    for line in _lines(_TABLE):
        if not line.startswith(" "):
            name, hall, cell, counts = (part.strip() for part in line.split(" | "))
            sites = ""
        else:
            sites += line.replace(";", "\n")
            sites = "\n".join(site.strip() for site in _lines(sites)) + "\n"
            found[name] = Known(hall, cell, sites, counts)
    return found


# Name, Hall symbol, cell, atoms of the cell; then the sites, with coordinates near the published ones.
_TABLE = """
LaPO4 | -P 2yn | 6.8313 7.0705 6.5034 90 103.27 90 | La4 P4 O16
    La .28154 .16033 .10068; P .3048 .1630 .6121; O1 .2503 .0068 .4477; O2 .3799 .3307 .4975;
    O3 .4745 .1054 .8018; O4 .1268 .2153 .7108
Ag2S | -P 2ybc | 4.231 6.930 9.526 90 125.48 90 | Ag8 S4
    Ag1 .0715 .0151 .3094; Ag2 .7264 .3241 .4375; S1 .492 .234 .1321
Ga2O3 | -C 2y | 12.23 3.04 5.80 90 103.7 90 | Ga8 O12
    Ga1 .0904 0 .7948; Ga2 .3414 0 .6857; O1 .1674 0 .1011; O2 .4957 0 .2553; O3 .8279 0 .4365
LaNbO4 | -I 2ya | 5.5647 11.5194 5.2015 90 94.1 90 | La4 Nb4 O16
    La .25 .1207 0; Nb .25 .6446 0; O1 .0211 .7170 .2145; O2 .902 .4560 .2413
BiVO4 | -I 2b | 5.1935 5.0898 11.6972 90 90 90.387 | Bi4 V4 O16
    Bi 0 .25 .6335; V 0 .25 .130; O1 .1465 .5077 .2082; O2 .2606 .3810 .4493
Li2CO3 | -B 2b | 8.359 6.194 4.977 90 90 114.72 | Li8 C4 O12
    Li .197 .834 .449; C 0 .25 .065; O1 0 .25 .321; O2 .146 .313 -.066
NiWO4 | -P 2yc | 4.5992 5.6606 4.9068 90 90.03 90 | Ni2 W2 O8
    Ni .5 .6616 .25; W 0 .1786 .25; O1 .2241 .1105 .9204; O2 .2644 .3772 .3953
ZrTe3 | -P 2yb | 5.8948 3.9264 10.1037 90 97.82 90 | Zr2 Te6
    Zr .2876 .25 .666; Te1 .7602 .25 .5563; Te2 .4322 .25 .1692; Te3 .9044 .25 .1604
CuWO4 | -P 1 | 4.7026 5.8389 4.8784 91.677 92.469 82.805 | Cu2 W2 O8
    Cu .4953 .6598 .2449; W .0211 .1735 .2543; O1 .2491 .3535 .4245; O2 .2145 .8812 .4309;
    O3 .7353 .3803 .0981; O4 .7826 .9079 .0533
CaTiO3 | -P 2c 2ab | 5.3796 5.4423 7.6401 90 90 90 | Ca4 Ti4 O12
    Ca .9932 .03602 .25; Ti 0 .5 0; O1 .0714 .4838 .25; O2 .7108 .2888 .0371
PbCl2 Pnam | -P 2c 2n | 7.6204 9.0448 4.5348 90 90 90 | Pb4 Cl8
    Pb .2459 .0876 .25; Cl1 .8604 .0735 .25; Cl2 .4762 .8423 .25
aragonite | -P 2n 2a | 4.9614 7.9671 5.7404 90 90 90 | Ca4 C4 O12
    Ca .25 .4150 .7597; C .25 .7622 -.0862; O1 .25 .9225 -.0962; O2 .4736 .6810 -.0862
black P | -C 2ac 2 | 3.314 10.478 4.376 90 90 90 | P8
    P 0 .1017 .0806
La2CuO4 | -B 2ab 2 | 5.3346 5.4148 13.1172 90 90 90 | La8 Cu4 O16
    La 0 .0073 .3616; Cu 0 0 0; O1 .25 .25 -.0077; O2 0 -.0339 .1837
CeCu2 | -I 2b 2 | 4.425 7.057 7.475 90 90 90 | Ce4 Cu8
    Ce 0 .25 .538; Cu 0 .051 .1648
invented39 | A 2 -2b | 5.1 6.3 7.2 90 90 90 | Pb4 O4 N8
    Pb 0 0 0; O .3 .25 .4; N .2 .1 .15
invented41 | A 2 -2ab | 5.1 6.3 7.2 90 90 90 | Pb4 O8
    Pb 0 0 0; O .2 .15 .3
graphite | -P 6c 2c | 2.461 2.461 6.708 90 90 120 | C4
    C1 0 0 .25; C2 .333333 .666667 .25
MoS2 | -P 6c 2c | 3.16 3.16 12.295 90 90 120 | Mo2 S4
    Mo .333333 .666667 .25; S .333333 .666667 .6211
ZnO | P 6c -2c | 3.2495 3.2495 5.2069 90 90 120 | Zn2 O2
    Zn .333333 .666667 0; O .333333 .666667 .382
Bi hexagonal | -R 3 2" | 4.546 4.546 11.862 90 90 120 | Bi6
    Bi 0 0 .2341
Bi rhombohedral | -P 3* 2 | 4.746 4.746 4.746 57.23 57.23 57.23 | Bi2
    Bi .2341 .2341 .2341
Bi2Te3 | -R 3 2" | 4.395 4.395 30.44 90 90 120 | Bi6 Te9
    Bi 0 0 .4005; Te1 0 0 0; Te2 0 0 .2097
LiCoO2 | -R 3 2" | 2.816 2.816 14.05 90 90 120 | Li3 Co3 O6
    Li 0 0 .5; Co 0 0 0; O 0 0 .2605
Cr2O3 | -R 3 2"c | 4.9607 4.9607 13.599 90 90 120 | Cr12 O18
    Cr 0 0 .3475; O .3058 0 .25
LiNbO3 | R 3 -2"c | 5.148 5.148 13.863 90 90 120 | Li6 Nb6 O18
    Nb 0 0 0; Li 0 0 .2787; O .0492 .3446 .0647
Ge :1 | F 4d 2 3 -1d | 5.658 5.658 5.658 90 90 90 | Ge8
    Ge 0 0 0
Ge :2 | -F 4vw 2vw 3 | 5.658 5.658 5.658 90 90 90 | Ge8
    Ge .125 .125 .125
ZnAl2O4 :1 | F 4d 2 3 -1d | 8.086 8.086 8.086 90 90 90 | Zn8 Al16 O32
    Zn 0 0 0; Al .625 .625 .625; O .3887 .3887 .3887
ZnAl2O4 :2 | -F 4vw 2vw 3 | 8.086 8.086 8.086 90 90 90 | Zn8 Al16 O32
    Zn .125 .125 .125; Al .5 .5 .5; O .2637 .2637 .2637
PbO :1 | P 4ab 2ab -1ab | 3.972 3.972 5.022 90 90 90 | Pb2 O2
    Pb 0 .5 .2385; O 0 0 0
PbO :2 | -P 4a 2a | 3.972 3.972 5.022 90 90 90 | Pb2 O2
    Pb .25 .25 .2385; O .75 .25 0
TiO2 :1 | I 4bw 2bw -1bw | 3.785 3.785 9.514 90 90 90 | Ti4 O8
    Ti 0 0 0; O 0 0 .2081
TiO2 :2 | -I 4bd 2 | 3.785 3.785 9.514 90 90 90 | Ti4 O8
    Ti 0 .75 .125; O 0 .75 .3331
Cu2O :1 | P 4n 2 3 -1n | 4.27 4.27 4.27 90 90 90 | Cu4 O2
    Cu .25 .25 .25; O 0 0 0
Cu2O :2 | -P 4bc 2bc 3 | 4.27 4.27 4.27 90 90 90 | Cu4 O2
    Cu 0 0 0; O .25 .25 .25
MoPO5 :2 | -P 4a | 6.177 6.177 4.293 90 90 90 | Mo2 P2 O10
    Mo .25 .25 .1975; P .75 .25 .5; O1 .25 .25 .5900; O2 .7 .05 .29
Na2SO4 :2 | -F 2uv 2vw | 9.829 12.302 5.868 90 90 90 | Na16 S8 O32
    Na .4414 .125 .125; S .125 .125 .125; O .2136 .0566 -.0143
CaWO4 :1 | I 4bw -1bw | 5.243 5.243 11.376 90 90 90 | Ca4 W4 O16
    Ca 0 0 .5; W 0 0 0; O .2415 .1504 .0861
CaWO4 :2 | -I 4ad | 5.243 5.243 11.376 90 90 90 | Ca4 W4 O16
    Ca 0 .25 .625; W 0 .25 .125; O .1507 .0086 .2106
ZrO2 :1 | P 4n 2n -1n | 3.64 3.64 5.27 90 90 90 | Zr2 O4
    Zr 0 0 0; O 0 .5 .2044
ZrO2 :2 | -P 4ac 2a | 3.64 3.64 5.27 90 90 90 | Zr2 O4
    Zr .75 .25 .75; O .25 .25 .4544
SrTiO3 | -P 4 2 3 | 3.905 3.905 3.905 90 90 90 | Sr1 Ti1 O3
    Sr .5 .5 .5; Ti 0 0 0; O .5 0 0
pyrope | -I 4bd 2c 3 | 11.459 11.459 11.459 90 90 90 | Mg24 Al16 Si24 O96
    Mg .125 0 .25; Al 0 0 0; Si .375 0 .25; O .0330 .0502 .6534
pyrite | -P 2ac 2ab 3 | 5.417 5.417 5.417 90 90 90 | Fe4 S8
    Fe 0 0 0; S .3851 .3851 .3851
CoSb3 | -I 2 2 3 | 9.0385 9.0385 9.0385 90 90 90 | Co8 Sb24
    Co .25 .25 .25; Sb 0 .3351 .1602
Nb3Sn | -P 4n 2 3 | 5.289 5.289 5.289 90 90 90 | Nb6 Sn2
    Sn 0 0 0; Nb .25 0 .5
rutile | -P 4n 2n | 4.594 4.594 2.959 90 90 90 | Ti2 O4
    Ti 0 0 0; O .3053 .3053 0
PbCl2 Pnma | -P 2ac 2n | 7.6204 4.5348 9.0448 90 90 90 | Pb4 Cl8
    Pb .2459 .25 .0876; Cl1 .8604 .25 .0735; Cl2 .4762 .25 .8423
Y2O3 | -I 2b 2c 3 | 10.604 10.604 10.604 90 90 90 | Y32 O48
    Y1 .25 .25 .25; Y2 -.0327 0 .25; O .3907 .1520 .3804
NaClO2 | -P 2y | 3.9 4.1 5.2 90 97 90 | Na1 Cl1 O2
    Na 0 0 0; Cl .5 .5 .5; O .3 0 .45
MgO | -F 4 2 3 | 4.212 4.212 4.212 90 90 90 | Mg4 O4
    Mg1 0 0 0; O1 .5 .5 .5
CsCl | -P 4 2 3 | 4.12 4.12 4.12 90 90 90 | Cs1 Cl1
    Cs1 0 0 0; Cl1 .5 .5 .5
CaF2 | -F 4 2 3 | 5.463 5.463 5.463 90 90 90 | Ca4 F8
    Ca1 0 0 0; F1 .25 .25 .25
Mg | -P 6c 2c | 3.209 3.209 5.211 90 90 120 | Mg2
    Mg1 .333333 .666667 .25
In | -I 4 2 | 3.253 3.253 4.947 90 90 90 | In2
    In1 0 0 0
Mg(OH)2 | -P 3 2" | 3.148 3.148 4.769 90 90 120 | Mg1 O2 H2
    Mg1 0 0 0; O1 .333333 .666667 .2203; H1 .333333 .666667 .4257
H2O VIII | -I 4bd 2 | 4.656 4.656 6.775 90 90 90 | O8 H16
    O1 0 .25 .1071; H1 0 .4157 .1935
Ca(OH)2 | -P 3 2" | 3.589 3.589 4.911 90 90 120 | Ca1 O2 H2
    Ca1 0 0 0; O1 .333333 .666667 .2341; H1 .333333 .666667 .4248
quartz | P 32 2" | 4.913 4.913 5.405 90 90 120 | Si3 O6
    Si .4697 0 .666667; O .4135 .2669 .7858
FeSi | P 2ac 2ab 3 | 4.488 4.488 4.488 90 90 90 | Fe4 Si4
    Fe .137 .137 .137; Si .842 .842 .842
CuFeS2 | I -4 2bw | 5.289 5.289 10.423 90 90 90 | Cu4 Fe4 S8
    Cu 0 0 0; Fe 0 0 .5; S .2574 .25 .125
AlB2 | -P 6 2 | 3.009 3.009 3.262 90 90 120 | Al B2
    Al 0 0 0; B .333333 .666667 .5
Fe2P | P -6 -2 | 5.865 5.865 3.456 90 90 120 | Fe6 P3
    Fe1 .2568 0 0; Fe2 .5946 0 .5; P1 0 0 .5; P2 .333333 .666667 0
Ca2Al3O7 | P -4 2ab | 7.685 7.685 5.0636 90 90 90 | Ca4 Al6 O14
    Ca .3375 .1625 .511; Al1 0 0 0; Al2 .1431 .3569 .9528; O1 .5 0 .1765; O2 .1430 .3570 .2835;
    O3 .0878 .1678 .8078
NaCl P212121 | P 2ac 2ab | 6.1 7.2 8.3 90 90 90 | Na4 Cl4
    Na .1 .2 .3; Cl .4 .35 .1
LiH | -F 4 2 3 | 4.083 4.083 4.083 90 90 90 | Li4 H4
    Li1 0 0 0; H1 .5 .5 .5
"""
KNOWN = _known()
