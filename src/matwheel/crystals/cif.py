"""Crystals from CIF texts: gemmi reads the syntax; what the file states is held against what was read.

Each text gives the crystal that it states, or is refused with the reason. What is decided on the way (a
setting looked up, coordinates moved onto a special position) or left out (magnetic moments) is a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from matwheel.crystals.cif_cell import (
    CELL_TAGS,
    LARGEST_COORDINATE,
    SAME_PLACE_ANGSTROM,
    check_cell_parameter,
    lattice_of_parameters,
    order_of_atoms,
)
from matwheel.crystals.cif_statements import Statements, number_of_cif, spelled, statements_of
from matwheel.crystals.cif_symmetry import stated_operations
from matwheel.crystals.crystal import FULL_OCCUPANCY, Crystal, UnreadableCrystal, counts_of
from matwheel.crystals.plain_cif import plain_crystal
from matwheel.crystals.space_group_names import Operations
from matwheel.crystals.species import (
    element_of_label,
    element_of_symbol,
    is_element,
    is_water,
    refuse_isotope,
)
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset

# An atom this close to its own image stands on the special position between them, however many digits its
# coordinates have; with few digits the rounding allows more, up to the second figure.
_SPECIAL_ANGSTROM, _LARGEST_ROUNDING_ANGSTROM = 0.05, 0.25
# A shift onto a special position that deserves a note.
_NOTED_ANGSTROM = 1e-4

_LABEL, _SYMBOL, _OCCUPANCY = "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy"
_COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_NOT_READ = {
    "_atom_site_moment": "magnetic moments",
    "_atom_type_oxidation_number": "oxidation numbers",
    "_atom_site_charge": "charges of sites",
}
# What columns of sites say besides, by the beginning of their tags; others are named as not read.
_KNOWN_COLUMNS = (
    "label", "type_symbol", "fract_", "cartn_", "occupancy", "symmetry_multiplicity", "site_symmetry_",
    "wyckoff", "u_iso", "b_iso", "u_equiv", "b_equiv", "aniso", "adp_type", "thermal_displace", "calc_flag",
    "calc_attached", "refinement_flags", "disorder", "attached_hydrogens", "moment", "charge", "constraints",
    "restraints", "description", "details", "chemical_conn", "uiso", "biso", "id", "auth", "oxidation_number",
)  # fmt: skip
# Shares of a site under other names than the dictionary's.
_OTHER_OCCUPANCY = re.compile(
    r"_atom_site_(?!refinement_flags)(?:sof|\w*occup\w*|\w*population|occ)(?<!_su)$"
)
_REMOVED = ("_platon_squeeze_void", "_smtbx_masks_void")
_ELECTRONS = "_count_electrons"
# More atoms than these in a Å³ are in no crystal: diamond has 0.18.
_DENSEST_PER_ANGSTROM3 = 1.0
_MODULATED = ("_cell_wave_vector", "_space_group_ssg", "_cell_modulation_dimension")


@dataclass(frozen=True, eq=False)
class _Sites:
    """The sites that a block lists.

    Attributes:
        positions: fractional, shape (sites, 3).
        rounding: one unit of the last digit of each coordinate, shape (sites, 3).
    """

    labels: tuple[str, ...]
    species: tuple[str, ...]
    positions: NDArray[np.float64] = field(repr=False)
    rounding: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class _Cell:
    """A cell filled by symmetry: species, positions, atoms per site, and notes on what was moved."""

    species: tuple[str, ...]
    positions: NDArray[np.float64] = field(repr=False)
    orbits: tuple[int, ...]
    notes: tuple[str, ...]


def crystal_of_cif(crystal_id: str, text: str) -> tuple[Crystal, tuple[str, ...]]:
    """Return the crystal of a CIF text that holds one, and notes.

    Atoms stand in the order of pymatgen's reader: by electronegativity, then as listed.

    Raises:
        UnreadableCrystal: the text is no CIF, holds none or several crystals, or what it states is not
            understood, is disordered, or contradicts itself.
    """
    if isinstance(text, str) and (plain := plain_crystal(crystal_id, text)) is not None:
        return plain, ()
    blocks = crystal_blocks(text)
    if len(blocks) != 1:
        count = len(blocks) or "no"
        raise UnreadableCrystal(f"the CIF holds {count} structures, must hold one")
    return crystal_of_block(crystal_id, blocks[0])


def crystal_blocks(text: str) -> list[gemmi.cif.Block]:
    """Return the data blocks of a CIF text that have a cell or atoms.

    Raises:
        UnreadableCrystal: the text is empty or no CIF.
    """
    if not isinstance(text, str) or not text.strip():
        raise UnreadableCrystal("the CIF is empty")
    # Line ends of old Macs, and marks and bytes that some editors leave, are no content.
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if "\n" not in cleaned and "\\n" in cleaned:  # a table that kept its texts on one line
        cleaned = cleaned.replace("\\n", "\n")
    cleaned = re.sub(r"(?im)^(data_)[ \t]*$", r"\1unnamed", cleaned)
    if "\x00" in cleaned:
        raise UnreadableCrystal("the CIF does not parse (it holds NUL bytes); save it as plain text")
    try:
        document = gemmi.cif.read_string(cleaned, check_level=2)
    except Exception as error:  # gemmi raises several types
        said = re.sub(r"^string:", "line ", " ".join(str(error).split()))
        raise UnreadableCrystal(f"the CIF does not parse ({said})") from None
    return [block for block in document if _is_crystal(block)]


def crystal_of_block(crystal_id: str, block: gemmi.cif.Block) -> tuple[Crystal, tuple[str, ...]]:
    """Return the crystal of one data block, and notes; raises as `crystal_of_cif`."""
    tags = _tags(block)
    for tag in tags:
        if tag.startswith(_MODULATED):
            raise UnreadableCrystal(f"the structure is modulated ({tag}); give an approximant without it")
    _refuse_masked_solvent(tags)
    lattice = _lattice(tags)
    sites, noted = _sites(tags)
    statements, unread = statements_of(tags)
    readings, found = stated_operations(tags, lattice)
    notes = [*noted, *unread, *found]
    notes += [
        f"{what} were not read" for tag, what in _NOT_READ.items() if any(it.startswith(tag) for it in tags)
    ]
    tried = [_read_as(readings[0], sites, lattice, statements)]
    listed = tried[0].cell if readings[0].is_listed and not tried[0].faults else None
    # Atoms that are all listed need no larger group, which would take long to fill with each of them.
    rest = [it for it in readings[1:] if listed is None or not _is_whole(listed, it, lattice)]
    tried += [_read_as(operations, sites, lattice, statements) for operations in rest]
    cell, decided = _decided(tried, statements, lattice)
    order = order_of_atoms(cell.species)
    crystal = Crystal(crystal_id, tuple(cell.species[i] for i in order), lattice, cell.positions[order])
    return crystal, tuple(dict.fromkeys([*notes, *decided, *cell.notes]))


def _refuse_masked_solvent(tags: Mapping[str, Sequence[str]]) -> None:
    """Refuse a structure whose solvent was taken out of the density; voids without electrons held none."""
    masked = [tag for tag in tags if tag.startswith(_REMOVED)]
    electrons = [number_of_cif(text) for tag in masked if tag.endswith(_ELECTRONS) for text in tags[tag]]
    if masked and not (electrons and all(number == 0 for number in electrons)):
        raise UnreadableCrystal(
            f"disordered solvent was masked ({masked[0]}); its atoms are missing, add them"
        )


def _is_crystal(block: gemmi.cif.Block) -> bool:
    tags = (
        tag
        for item in block
        for tag in (item.pair[:1] if item.pair else item.loop.tags if item.loop else ())  # type: ignore[index]  # gemmi names no type of a pair
    )
    return any(tag.lower().startswith(("_atom_site", "_cell_length", "_cell.length")) for tag in tags)


def _tags(block: gemmi.cif.Block) -> dict[str, list[str]]:
    """Return the values of a block by tag: in lower case, dots as underscores, quotes taken off.

    Raises:
        UnreadableCrystal: two tags differ by their spelling only, or sites stand in two loops.
    """
    tags: dict[str, list[str]] = {}
    loops: dict[int, str] = {}

    def add(tag: str, values: list[str], loop: int = 0) -> None:
        name = tag.lower().replace(".", "_").rstrip("_")
        if name in tags:
            raise UnreadableCrystal(f"the tag {tag} occurs twice; keep one of them")
        tags[name] = values
        if loop and name in (_LABEL, _SYMBOL, _OCCUPANCY, *_COORDINATES):
            loops[loop] = tag

    for number, item in enumerate(block, 1):
        if item.pair:
            add(item.pair[0], [gemmi.cif.as_string(item.pair[1]) or item.pair[1]])  # type: ignore[index]  # see above
        elif item.loop:
            width, values = item.loop.width(), item.loop.values
            for place, tag in enumerate(item.loop.tags):
                if width and _is_read(tag):
                    add(tag, [gemmi.cif.as_string(text) or text for text in values[place::width]], number)
    if len(loops) > 1:
        raise UnreadableCrystal(
            f"the sites are spread over two loops ({' and '.join(loops.values())}); join them"
        )
    return tags


def _is_read(tag: str) -> bool:
    known = ("_atom_site", "_atom_type", "_sym", "_space", "_cell", "_chem", "_exptl", *_REMOVED)
    return tag.lower().startswith(known)


def _lattice(tags: Mapping[str, Sequence[str]]) -> NDArray[np.float64]:
    parameters = []
    for tag in CELL_TAGS:
        if tag not in tags:
            raise UnreadableCrystal(f"the cell parameter {tag} is missing")
        value = number_of_cif(tags[tag][0])
        if not np.isfinite(value):
            raise UnreadableCrystal(f"{tag} is {tags[tag][0]!r}, which is not a finite number")
        check_cell_parameter(tag, value)
        parameters.append(value)
    return lattice_of_parameters(parameters)


def _sites(tags: Mapping[str, Sequence[str]]) -> tuple[_Sites, list[str]]:
    labels = list(tags.get(_LABEL) or tags.get(_SYMBOL) or ())
    if not labels:
        raise UnreadableCrystal("the CIF gives no structure (it lists no atoms)")
    missing = [tag for tag in _COORDINATES if len(tags.get(tag, ())) != len(labels)]
    if missing:
        cartesian = ", its positions are Cartesian" if "_atom_site_cartn_x" in tags else ""
        raise UnreadableCrystal(f"the CIF gives no structure (column {missing[0]} is missing{cartesian})")
    _refuse_hidden_atoms(tags, labels)
    symbols = tags.get(_SYMBOL)
    species = tuple(_element(label, symbols[place] if symbols else "") for place, label in enumerate(labels))
    _check_occupancies(tags, labels)
    positions, rounding = _positions(tags, labels)
    _refuse_missing_hydrogens(labels, species)
    return _Sites(tuple(labels), species, positions, rounding), _notes_on_columns(tags, labels, species)


def _element(label: str, symbol: str) -> str:
    if symbol in ("", "?", "."):
        return element_of_label(label)
    if re.match(r"Q\d", label) and not symbol.startswith("Q"):
        raise UnreadableCrystal(f"site {label} is a peak of residual density, no atom; delete or name it")
    if re.fullmatch(r"[DT]\d*", label) and symbol.strip() in ("H", "H0", "H1"):
        refuse_isotope(label)
    if "+" in symbol.strip("+") and re.search(r"[A-Za-z].*\+.*[A-Za-z]", symbol):
        raise UnreadableCrystal(f"site {label} is {symbol!r}: a mixed site is disorder, order it")
    return element_of_symbol(symbol)


def _refuse_missing_hydrogens(labels: Sequence[str], species: Sequence[str]) -> None:
    """Refuse water and hydroxyl that are an oxygen only, in a file without any hydrogen."""
    for label, element in zip(labels, species, strict=True):
        if element == "O" and "H" not in species and is_water(label):
            raise UnreadableCrystal(
                f"site {label} is water or hydroxyl, whose hydrogens are missing; add them"
            )


def _notes_on_columns(
    tags: Mapping[str, Sequence[str]], labels: Sequence[str], species: Sequence[str]
) -> list[str]:
    """Name columns of sites that were not read, and labels that name another element than their site has."""
    notes = [
        f"the column {tag} was not read"
        for tag in tags
        if tag.startswith("_atom_site_") and not tag.removeprefix("_atom_site_").startswith(_KNOWN_COLUMNS)
    ]
    others = []
    for label, element in zip(labels, species, strict=True):
        match = re.fullmatch(r"([A-Z][a-z])\d*", label)
        if match and is_element(match.group(1)) and match.group(1) != element:
            others.append(f"{label} is {element}")
    if any(symbol.strip()[-1:] in ("+", "-") for symbol in tags.get(_SYMBOL, ())):
        notes.append("charges of the species were not read")
    if others:
        notes.append(
            f"labels name other elements than type symbols, which were followed: {', '.join(others[:5])}"
        )
    return notes


def _refuse_hidden_atoms(tags: Mapping[str, Sequence[str]], labels: Sequence[str]) -> None:
    """Refuse hydrogens that a site carries without a position of their own, and sites that are no atoms."""
    for label, count in zip(labels, tags.get("_atom_site_attached_hydrogens", ()), strict=False):
        if number_of_cif(count) > 0:
            raise UnreadableCrystal(f"site {label} carries {count} hydrogens that have no position; add them")
    groups = {text for text in tags.get("_atom_site_disorder_group", ()) if text not in ("", ".", "?", "0")}
    if len(groups) > 1:
        raise UnreadableCrystal(f"the sites belong to disorder groups {', '.join(sorted(groups))}; keep one")
    for label, flag in zip(labels, tags.get("_atom_site_calc_flag", ()), strict=False):
        if flag.lower() == "dum":
            raise UnreadableCrystal(f"site {label} is marked as a dummy, no atom; delete it")


def _check_occupancies(tags: Mapping[str, Sequence[str]], labels: Sequence[str]) -> None:
    other = [tag for tag in tags if _OTHER_OCCUPANCY.match(tag) and tag != _OCCUPANCY]
    shares = [
        (label, text)
        for tag in (_OCCUPANCY, *other)
        for label, text in zip(labels, tags.get(tag, ()), strict=False)
    ]
    for label, text in shares:
        if text.strip() in (".", "?", ""):
            raise UnreadableCrystal(f"the occupancy is not given for site {label} ({text}); write 1")
        occupancy = number_of_cif(text)
        if not FULL_OCCUPANCY <= occupancy <= 2 - FULL_OCCUPANCY:
            fault = (
                "partial occupancy is disorder, order it"
                if 0 < occupancy < 1
                else "write 1 or delete the site"
            )
            raise UnreadableCrystal(f"site {label} has occupancy {text}; {fault}")


def _positions(
    tags: Mapping[str, Sequence[str]], labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    positions, rounding = np.empty((len(labels), 3)), np.empty((len(labels), 3))
    for axis, tag in enumerate(_COORDINATES):
        for place, text in enumerate(tags[tag]):
            value = number_of_cif(text)
            if not abs(value) < LARGEST_COORDINATE:
                said = (
                    "NaN" if text.lower() == "nan" else "not given" if text in ("?", ".") else "no coordinate"
                )
                raise UnreadableCrystal(
                    f"the CIF gives no structure (a coordinate of site {labels[place]} is {text!r}, {said})"
                )
            positions[place, axis] = value
            digits = re.sub(r"\(.*", "", text).lower()
            decimals = len(digits.partition(".")[2]) if "e" not in digits else 8
            rounding[place, axis] = 10.0**-decimals if decimals else 0.0
    return positions, rounding


@dataclass(frozen=True, eq=False)
class _Reading:
    """One reading of the symmetry: the operations, the cell that they give, and what speaks against it."""

    operations: Operations
    cell: _Cell | None
    faults: tuple[str, ...]

    @property
    def agreed_cell(self) -> _Cell:
        """The cell of a reading that nothing speaks against."""
        if self.cell is None:
            raise UnreadableCrystal(self.faults[0])
        return self.cell

    @property
    def formula(self) -> str:
        """Content of the cell; where none can be made, that."""
        return spelled(counts_of(self.cell.species)) if self.cell else "no crystal"


def _read_as(
    operations: Operations, sites: _Sites, lattice: NDArray[np.float64], statements: Statements
) -> _Reading:
    try:
        cell = _filled(sites, operations, lattice)
    except UnreadableCrystal as error:
        return _Reading(operations, None, (str(error),))
    volume = float(abs(np.linalg.det(lattice)))
    counts = counts_of(cell.species)
    faults = statements.contradictions(counts, cell.orbits, len(operations), volume)
    group = operations.whole_in_group
    if group and not faults and not statements.counts_atoms and _group_of(cell, lattice) != group:
        faults = [
            f"lists x,y,z alone and atoms that are not of its space group {group}, whose name does not fit "
            "the cell; list all atoms or the operations"
        ]
    return _Reading(operations, cell, tuple(faults))


def _decided(
    readings: Sequence[_Reading], statements: Statements, lattice: NDArray[np.float64]
) -> tuple[_Cell, list[str]]:
    """Return the filled cell of the reading that everything stated agrees with, and notes.

    Raises:
        UnreadableCrystal: no reading agrees with the file, or several do and differ.
    """
    agreeing = [reading for reading in readings if not reading.faults]
    first = readings[0]
    if not agreeing:
        several = len(readings) > 1
        tried = "; ".join(
            f"{it.operations.said} gives {it.formula}" for it in readings if it.cell and several
        )
        raise UnreadableCrystal(f"{first.faults[0]}{f' ({tried})' if tried else ''}")
    chosen = agreeing[0]
    if len(readings) == 1:
        return chosen.agreed_cell, []
    if first.operations.is_listed:
        return _beside_a_larger_group(readings, agreeing, statements)
    for other in agreeing[1:]:
        if not _equal(chosen.agreed_cell, other.agreed_cell, lattice):
            raise UnreadableCrystal(
                f"{chosen.operations.said} and {other.operations.said} are both possible and give "
                f"{chosen.formula} or {other.formula}; write the symmetry operations or the setting "
                "(:1, :2, :H, :R)"
            )
    return chosen.agreed_cell, [f"read as {chosen.operations.said}, the one that agrees with the file"]


def _beside_a_larger_group(
    readings: Sequence[_Reading], agreeing: Sequence[_Reading], statements: Statements
) -> tuple[_Cell, list[str]]:
    """Decide for a file that lists few operations, mostly x,y,z alone, and names a group of more."""
    listed = readings[0]
    if listed is agreeing[0]:
        if statements.counts_atoms:
            return listed.agreed_cell, []
    elif len(agreeing) == 1:
        said = f"lists {listed.operations.said} beside {agreeing[0].operations.said}, which was applied"
        return agreeing[0].agreed_cell, [f"{said}: without it {listed.faults[0]}"]
    raise UnreadableCrystal(
        f"lists {listed.operations.said} beside {readings[1].operations.said}; the first gives "
        f"{listed.formula}, the second {readings[1].formula}, and nothing stated decides; list all operations"
    )


def _filled(sites: _Sites, operations: Operations, lattice: NDArray[np.float64]) -> _Cell:
    """Return all atoms of the cell; sites within rounding of a special position are moved onto it.

    Raises:
        UnreadableCrystal: a site and its images do not make an orbit, or two sites stand at one place.
    """
    species: list[str] = []
    positions: list[NDArray[np.float64]] = []
    orbits, notes = [], []
    volume = float(abs(np.linalg.det(lattice)))
    for label, element, position, rounding in zip(
        sites.labels, sites.species, sites.positions, sites.rounding, strict=True
    ):
        orbit, moved_angstrom = _orbit(label, position, rounding, operations, lattice)
        if moved_angstrom > _NOTED_ANGSTROM:
            notes.append(
                f"site {label} was moved by {moved_angstrom:.4f} Å onto the special position beside it"
            )
        species += [element] * len(orbit)
        positions.append(orbit)
        orbits.append(len(orbit))
        if len(operations) > 1 and len(species) > _DENSEST_PER_ANGSTROM3 * volume:
            raise UnreadableCrystal(
                f"{operations.said} would put over {len(species)} atoms into {volume:.0f} Å³; are all atoms "
                "of the cell listed already?"
            )
    cell = _Cell(tuple(species), np.concatenate(positions), tuple(orbits), tuple(notes))
    _refuse_one_place(sites.labels, cell, lattice)
    return cell


def _orbit(
    label: str,
    position: NDArray[np.float64],
    rounding: NDArray[np.float64],
    operations: Operations,
    lattice: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Return the images of a site in the cell, shape (atoms, 3), and how far it was moved, Å."""
    if len(operations) == 1:
        return (position - np.floor(position))[None], 0.0
    images = operations.rotations @ position + operations.translations
    shifts = images - position
    shifts -= np.round(shifts)
    distances = np.linalg.norm(shifts @ lattice, axis=1)
    # Half of a shift leads to the special position: within one unit of the last digit it is rounding.
    rounded = (np.abs(shifts) / 2 <= rounding * 1.01).all(axis=1)
    own = (distances < _SPECIAL_ANGSTROM) | (rounded & (distances < _LARGEST_ROUNDING_ANGSTROM))
    centre = position + shifts[own].mean(axis=0)
    moved_angstrom = float(np.linalg.norm((centre - position) @ lattice))
    images = operations.rotations @ centre + operations.translations
    images -= np.floor(images + 1e-9)
    orbit = _distinct(images, lattice)
    if len(orbit) * int(own.sum()) != len(operations):
        raise UnreadableCrystal(
            f"site {label} lies so near a special position that its {len(orbit)} images make no orbit of "
            f"{len(operations)} operations; give its coordinates with more digits"
        )
    return orbit, moved_angstrom


def _distinct(images: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the images that differ, in order, modulo the lattice."""
    differences = images[:, None] - images[None]
    differences -= np.round(differences)
    same = (np.abs(differences) @ np.abs(lattice)).max(axis=2) < SAME_PLACE_ANGSTROM
    first = same.argmax(axis=1)
    return images[first == np.arange(len(images))]


def _refuse_one_place(labels: Sequence[str], cell: _Cell, lattice: NDArray[np.float64]) -> None:
    """Refuse two sites at one place: one of them is too many, or they share it as disorder."""
    if len(cell.species) < 2:
        return
    wrapped = _wrapped(cell.positions)
    near = cKDTree(wrapped, boxsize=1.0).query_pairs(_fractional_reach(SAME_PLACE_ANGSTROM, lattice))  # type: ignore[call-overload]  # one length for all axes is taken too
    site = np.repeat(np.arange(len(labels)), cell.orbits)
    for one, other in sorted(near):
        difference = cell.positions[one] - cell.positions[other]
        difference -= np.round(difference)
        if np.linalg.norm(difference @ lattice) < SAME_PLACE_ANGSTROM:
            raise UnreadableCrystal(
                f"two atoms at one place: sites {labels[site[one]]} and {labels[site[other]]}; "
                "a shared place is disorder, a repeated one a mistake"
            )


def _is_whole(cell: _Cell, operations: Operations, lattice: NDArray[np.float64]) -> bool:
    """Whether a larger group adds no atom: the listed ones are all."""
    species = np.array(cell.species)
    reach = _fractional_reach(_LARGEST_ROUNDING_ANGSTROM, lattice)
    for symbol in dict.fromkeys(cell.species):
        alike = _wrapped(cell.positions[species == symbol])
        tree = cKDTree(alike, boxsize=1.0)  # type: ignore[call-overload]  # one length for all axes is taken too
        for rotation, translation in zip(operations.rotations, operations.translations, strict=True):
            images = _wrapped(alike @ rotation.T + translation)
            distances, nearest = tree.query(images, distance_upper_bound=reach)
            if not np.isfinite(distances).all():
                return False
            differences = images - alike[nearest]
            differences -= np.round(differences)
            if (np.linalg.norm(differences @ lattice, axis=1) > _LARGEST_ROUNDING_ANGSTROM).any():
                return False
    return True


def _fractional_reach(distance_angstrom: float, lattice: NDArray[np.float64]) -> float:
    """Return the largest fractional distance of two points that are so near, in whatever direction."""
    return distance_angstrom * float(np.linalg.norm(np.linalg.inv(lattice), ord=2))


def _wrapped(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions in the cell, all coordinates below 1."""
    inside = positions - np.floor(positions)
    inside[inside >= 1.0] = 0.0
    return inside


def _group_of(cell: _Cell, lattice: NDArray[np.float64]) -> int:
    """Return the number of the space group that the atoms have within 0.1 Å, 0 where spglib finds none."""
    crystal = Crystal("", cell.species, lattice, cell.positions)
    dataset = symmetry_dataset(crystal, 0.1)
    return int(dataset.number) if dataset is not None else 0


def _equal(one: _Cell, other: _Cell, lattice: NDArray[np.float64]) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure

    if counts_of(one.species) != counts_of(other.species):
        return False
    first, second = (Structure(Lattice(lattice), it.species, it.positions) for it in (one, other))
    # Two readings are one crystal where the atoms agree to about 0.01 Å, not where they are alike.
    matcher = StructureMatcher(ltol=0.01, stol=0.005, angle_tol=0.1, scale=False, primitive_cell=False)
    return bool(matcher.fit(first, second))
