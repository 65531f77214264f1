"""CIFs of one plain style, as pymatgen writes them without symmetry, read in a small part of the time.

Mirrors hold tens of thousands of them. A text that is not of the style letter by letter, or states anything
that its sites do not bear out, is none of them: `matwheel.crystals.cif` reads it, and says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.cif_cell import (
    CELL_TAGS,
    LARGEST_COORDINATE,
    SAME_PLACE_ANGSTROM,
    check_cell_parameter,
    lattice_of_parameters,
    order_of_atoms,
)
from matwheel.crystals.cif_statements import VOLUME_TOLERANCE, formula_amounts
from matwheel.crystals.crystal import Crystal, UnreadableCrystal, counts_of
from matwheel.crystals.species import is_element

_NUMBER = r"\d{1,6}\.\d{1,12}"
_ELEMENT = r"[A-Z][a-z]?"
_COUNT = rf"{_ELEMENT}[1-9]\d{{0,5}}"
_PLAIN = re.compile(
    "\n".join(
        (
            r"# generated using pymatgen",
            r"data_[A-Za-z0-9()]+",
            r"_symmetry_space_group_name_H-M   'P 1'",
            *(rf"{tag}   ({_NUMBER})" for tag in CELL_TAGS),
            r"_symmetry_Int_Tables_number   1",
            r"_chemical_formula_structural   ([A-Za-z0-9()]+)",
            rf"_chemical_formula_sum   (?:({_COUNT})|'({_COUNT}(?: {_COUNT})+)')",
            rf"_cell_volume   ({_NUMBER})",
            r"_cell_formula_units_Z   ([1-9]\d{0,5})",
            r"loop_",
            r" _symmetry_equiv_pos_site_id",
            r" _symmetry_equiv_pos_as_xyz",
            r"  1  'x, y, z'",
            r"loop_",
            r" _atom_site_type_symbol",
            r" _atom_site_label",
            r" _atom_site_symmetry_multiplicity",
            r" _atom_site_fract_x",
            r" _atom_site_fract_y",
            r" _atom_site_fract_z",
            r" _atom_site_occupancy",
            rf"((?:  {_ELEMENT}  {_ELEMENT}\d{{1,6}}  1(?:  -?{_NUMBER}){{3}}  1\n)+)",
        )
    )
)
_WORDS_OF_A_SITE = 7
# Every pair of atoms is looked at, which is quick for cells of a mirror and not for large ones.
_MOST_ATOMS = 200


def plain_crystal(crystal_id: str, text: str) -> Crystal | None:
    """Return the crystal of a CIF in pymatgen's plain style, as the full reader does, and without notes.

    Held against the sites: formula, structural formula times Z, volume, labels, places; the rest of the text,
    symmetry, multiplicities and occupancies included, can only be what it is in every such file.

    Returns:
        None for a text of any other style, or that states what its sites do not bear out.
    """
    # The last line may lack its end, as where a table was written by hand.
    match = _PLAIN.fullmatch(text if text.endswith("\n") else f"{text}\n")
    if match is None:
        return None
    *cell, structural, formula, formulas, volume, units, sites = match.groups()
    words = sites.split()
    species = tuple(words[::_WORDS_OF_A_SITE])
    if len(species) > _MOST_ATOMS or words[1::_WORDS_OF_A_SITE] != [
        f"{symbol}{place}" for place, symbol in enumerate(species)
    ]:
        return None
    counts = counts_of(species)
    if not all(map(is_element, counts)) or not _states(counts, formula or formulas, structural, int(units)):
        return None
    lattice = _lattice([float(number) for number in cell], float(volume))
    columns = (words[place::_WORDS_OF_A_SITE] for place in (3, 4, 5))
    positions = np.array([list(map(float, column)) for column in columns]).T
    if lattice is None or not np.abs(positions).max() < LARGEST_COORDINATE:
        return None
    positions = positions - np.floor(positions)
    if _may_share_a_place(positions, lattice):
        return None
    order = order_of_atoms(species)
    return Crystal(crystal_id, tuple(species[place] for place in order), lattice, positions[order])


def _states(counts: Mapping[str, int], formula: str, structural: str, units: int) -> bool:
    """Whether the sum formula has exactly these atoms, and so has the structural one Z times."""
    stated = [re.split(r"(?=\d)", part, maxsplit=1) for part in formula.split()]
    if len(stated) != len(counts) or {symbol: int(count) for symbol, count in stated} != counts:
        return False
    amounts = formula_amounts(structural)
    return {symbol: amount * units for symbol, (amount, _) in amounts.items()} == counts


def _lattice(parameters: Sequence[float], volume_angstrom3: float) -> NDArray[np.float64] | None:
    """Return the lattice vectors as rows, Å; None where there is no such cell, or not of this volume."""
    try:
        for tag, value in zip(CELL_TAGS, parameters, strict=True):
            check_cell_parameter(tag, value)
        lattice = lattice_of_parameters(parameters)
    except UnreadableCrystal:
        return None
    difference = abs(float(abs(np.linalg.det(lattice))) - volume_angstrom3)
    return lattice if volume_angstrom3 > 0 and difference <= VOLUME_TOLERANCE * volume_angstrom3 else None


def _may_share_a_place(positions: NDArray[np.float64], lattice: NDArray[np.float64]) -> bool:
    """Whether two atoms are so near along all three axes of the cell that they may stand at one place."""
    # A hundredth more, so that no rounding lets a pair through that the other reader would refuse.
    reach = 1.01 * SAME_PLACE_ANGSTROM * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    differences = positions[:, None] - positions[None]
    differences -= np.round(differences)
    near = (np.abs(differences) <= reach).all(axis=2)
    return bool(np.count_nonzero(near) > len(positions))
