"""A thousand seeded mutations of CIFs of several writers: a right crystal or a refusal by name, nothing else.

Each text is mutated once: a line dropped, duplicated or swapped with another, the text cut, a character or a
token deleted or doubled. What comes of it is right when it is a refusal (`UnreadableCrystal`, one line), or a
crystal for which all of this holds:

1. Its element counts are those of the original. All texts but one state a formula, and one mutation changes
   either the formula or the atoms: other atoms contradict it. The text without a formula may honestly
   state other atoms after the mutation; for it, conditions 3 and 4 decide alone.
2. When no line of the cell, the symmetry or the sites was touched, it is the original crystal.
3. Its cell is the one that the mutated text states.
4. Every atom that the mutated text lists is there: that element, at most 0.1 Å away.

3 and 4 are judged on gemmi's reading of the text's syntax, and only where that has the cell and the sites.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from cif_texts import KNOWN, NAME, RIGHT, check, cif, same_cell
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

SEED = 20240717
MUTATIONS = 1000
SLOWEST_SECONDS = 5
PLAIN_LINES = re.compile(r"_(chemical|audit|exptl|cell_volume|cell_formula|journal|publ|citation)|#|$")


@dataclass(frozen=True)
class Source:
    """A text, the crystal that it describes, and whether it states a formula."""

    text: str
    truth: Structure
    states_formula: bool = True


def _by_name(known, name, formula, z, more=""):
    crystal = KNOWN[known]
    volume = f"_cell_volume {crystal.structure.volume:.3f}"
    stated = f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}\n{volume}\n{more}"
    return Source(cif(crystal.cell, f"{NAME} '{name}'", crystal.sites, stated), crystal.structure)


def _by_ase(structure, folder):
    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor

    write(folder / "a.cif", AseAtomsAdaptor.get_atoms(structure))
    return Source((folder / "a.cif").read_text(), structure)


def _symmetrised(structure):
    refined = SpacegroupAnalyzer(structure, symprec=0.01).get_refined_structure()
    return Source(str(CifWriter(structure, symprec=0.01)), refined)


@pytest.fixture(scope="module")
def sources(poly_crystals, tmp_path_factory):
    from matwheel.crystals.crystal import to_structure

    folder = tmp_path_factory.mktemp("ase")
    real = [to_structure(crystal) for crystal in poly_crystals[0]]
    real = sorted((one for one in real if 4 <= len(one) <= 12 and len(set(one.species)) > 1), key=len)
    germanium = KNOWN["Ge :1"].structure
    unstated = KNOWN["Ca(OH)2"]
    found = {
        "symmetrised 1": _symmetrised(real[0]),
        "symmetrised 2": _symmetrised(real[len(real) // 2]),
        "symmetrised 3": _symmetrised(real[-1]),
        "P 1, pymatgen 1": Source(str(CifWriter(real[1])), real[1]),
        "P 1, pymatgen 2": Source(str(CifWriter(real[-2])), real[-2]),
        "P 1, ASE": _by_ase(real[2], folder),
        "P 1, ASE, an element": _by_ase(germanium, folder),
        "name, monoclinic": _by_name("LaPO4", "P 21/n", "La O4 P", 4, "_exptl_crystal_density_diffrn 5.08"),
        "name, cubic": _by_name("ZnAl2O4 :2", "F d -3 m :2", "Al2 O4 Zn", 8),
        "name, rhombohedral": _by_name("Bi2Te3", "R -3 m :H", "Bi2 Te3", 3),
        "name, orthorhombic": _by_name("CaTiO3", "P b n m", "Ca O3 Ti", 4),
        "name, no formula": Source(
            cif(unstated.cell, f"{NAME} 'P -3 m 1'", unstated.sites), unstated.structure, states_formula=False
        ),
    }
    for source in found.values():
        check(source.text, RIGHT, source.truth)
    return found


def _drop(lines, rng):
    at = rng.integers(len(lines))
    return [*lines[:at], *lines[at + 1 :]], [lines[at]]


def _duplicate(lines, rng):
    at = rng.integers(len(lines))
    return [*lines[: at + 1], *lines[at:]], [lines[at]]


def _swap(lines, rng):
    one, other = rng.choice(len(lines), size=2, replace=False)
    swapped = list(lines)
    swapped[one], swapped[other] = lines[other], lines[one]
    return swapped, lines  # a swap may move any line into another loop


def _cut(lines, rng):
    text = "\n".join(lines)
    at = int(rng.integers(len(text)))
    return text[:at].split("\n"), text[at:].split("\n")


def _edit(change):
    def mutate(lines, rng):
        at = int(rng.choice([i for i, line in enumerate(lines) if line.strip()]))
        return [*lines[:at], change(lines[at], rng), *lines[at + 1 :]], [lines[at]]

    return mutate


def _without_character(line, rng):
    at = rng.integers(len(line))
    return line[:at] + line[at + 1 :]


def _doubled_character(line, rng):
    at = rng.integers(len(line))
    return line[: at + 1] + line[at:]


def _without_token(line, rng):
    tokens = line.split()
    del tokens[rng.integers(len(tokens))]
    return " ".join(tokens)


def _doubled_token(line, rng):
    tokens = line.split()
    at = rng.integers(len(tokens))
    return " ".join([*tokens[: at + 1], *tokens[at:]])


MUTATE = {
    "line dropped": _drop,
    "line doubled": _duplicate,
    "lines swapped": _swap,
    "text cut": _cut,
    "character deleted": _edit(_without_character),
    "character doubled": _edit(_doubled_character),
    "token deleted": _edit(_without_token),
    "token doubled": _edit(_doubled_token),
}


def _stated(text):
    """Lattice and (element, position) of the listed atoms, where gemmi finds each; else None."""
    from gemmi import cif as syntax

    try:
        document = syntax.read_string(text)
    except (ValueError, RuntimeError):
        return None, []
    blocks = [block for block in document if block.find_values("_atom_site_fract_x")]
    if len(blocks) != 1:
        return None, []
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = [syntax.as_number(blocks[0].find_value(f"_cell_{tag}") or "?") for tag in tags]
    atoms = []
    columns = ["fract_x", "fract_y", "fract_z", "?type_symbol", "?label"]
    for row in blocks[0].find("_atom_site_", columns):
        named = next((row[i] for i in (3, 4) if row.has(i)), "")
        element = re.match("[A-Z][a-z]?", syntax.as_string(named))
        position = [syntax.as_number(row[i]) for i in range(3)]
        if element and np.isfinite(position).all():
            atoms.append((element.group(), position))
    return (Lattice.from_parameters(*cell) if np.isfinite(cell).all() else None), atoms


def _fault(source, text, touched, crystal):
    """What is wrong with a crystal that was read of a mutated text, or the empty string."""
    right = {str(e): int(n) for e, n in sorted(source.truth.composition.get_el_amt_dict().items())}
    if source.states_formula and crystal.element_counts != right:
        return f"other atoms: {crystal.element_counts}, stated {right}"
    if all(PLAIN_LINES.match(line.strip()) for line in touched) and not same_cell(source.truth, crystal):
        return "another crystal, though neither cell nor symmetry nor sites were touched"
    lattice, atoms = _stated(text)
    mine = Lattice(crystal.lattice)
    if lattice is not None and not np.allclose(lattice.parameters, mine.parameters, rtol=1e-4, atol=1e-3):
        return f"cell {mine.parameters}, stated {lattice.parameters}"
    for element, position in atoms:
        places = crystal.frac_coords[[symbol == element for symbol in crystal.species]]
        if not len(places) or mine.get_all_distances([position], places).min() > 0.1:
            return f"no {element} at {position}"
    return ""


def test_a_thousand_mutations_give_a_right_crystal_or_a_refusal(sources):
    from matwheel.crystals.reader import UnreadableCrystal, read_crystal

    rng = np.random.default_rng(SEED)
    outcomes, faults, slowest = Counter(), [], 0.0
    kinds = [(name, kind) for name in sources for kind in MUTATE]
    for number in range(MUTATIONS):
        name, kind = kinds[number % len(kinds)]
        source = sources[name]
        lines, touched = MUTATE[kind](source.text.split("\n"), rng)
        text = "\n".join(lines)
        started = time.process_time()
        try:
            crystal = read_crystal(text, "cif", f"mutation-{number}").crystal
        except UnreadableCrystal as refusal:
            outcomes["refused"] += 1
            fault = "" if "\n" not in str(refusal) and str(refusal).strip() else f"no message: {refusal!r}"
        except Exception as error:
            outcomes["failed"] += 1
            fault = f"{type(error).__name__}: {error}"
        else:
            fault = _fault(source, text, touched, crystal)
            outcomes["read right" if not fault else "read wrong"] += 1
        slowest = max(slowest, time.process_time() - started)
        if fault:
            faults.append(f"mutation {number}, {name}, {kind}, {touched[:1]}: {fault}")
    assert not faults, f"{len(faults)} of {MUTATIONS}, {dict(outcomes)}:\n" + "\n".join(faults[:20])
    assert sum(outcomes.values()) == MUTATIONS and outcomes["read right"] >= 0.15 * MUTATIONS, outcomes
    assert slowest < SLOWEST_SECONDS


def test_the_criterion_finds_wrong_crystals(sources):
    """Other atoms, another cell, a shifted atom: each would be noticed."""
    from matwheel.crystals.crystal import from_structure

    for name, source in sources.items():
        good = from_structure("good", source.truth)
        assert _fault(source, source.text, ["_chemical_formula_sum"], good) == ""
        fewer = source.truth.copy()
        fewer.remove_sites([0])
        stretched = Structure(
            Lattice(source.truth.lattice.matrix * [[1.02], [1], [1]]),
            source.truth.species,
            source.truth.frac_coords,
        )
        shifted = source.truth.copy()
        shifted.translate_sites([0], [0.07, 0.05, 0.03])
        for wrong in (fewer, stretched, shifted):
            crystal = from_structure("wrong", wrong)
            assert _fault(source, source.text, ["_chemical_formula_sum"], crystal), (name, wrong)
        assert _fault(source, source.text, ["_cell_length_a 4"], from_structure("wrong", stretched)), name
