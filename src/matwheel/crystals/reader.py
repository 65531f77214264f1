"""The one reader of crystals: what states one becomes a `Crystal` with notes, or is refused by name.

Everything from outside passes here: imports, own datasets, archives, mirrors, reference structures.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import one_line
from matwheel.crystals.cif import crystal_of_block, crystal_of_cif
from matwheel.crystals.crystal import FULL_OCCUPANCY, Crystal, UnreadableCrystal
from matwheel.crystals.dimensionality import with_vacuum
from matwheel.crystals.species import element_of_symbol, is_element

__all__ = ["FORMS", "Reading", "UnreadableCrystal", "read_crystal", "with_room"]

# What programs call the moments and charges that a crystal here does not carry.
_NOT_READ = {
    "magmom": "magnetic moments",
    "magmoms": "magnetic moments",
    "initial_magmoms": "magnetic moments",
    "initial_charges": "charges of atoms",
    "charge": "charges of atoms",
    "charges": "charges of atoms",
    "masses": "masses of atoms",
}


@dataclass(frozen=True)
class Reading:
    """A crystal that was read, and what was decided or left out on the way, one line each."""

    crystal: Crystal
    notes: tuple[str, ...] = ()


def read_crystal(content: Any, form: str, crystal_id: str) -> Reading:
    """Return the crystal that a text or an object states.

    Args:
        content: what `form` says: 'cif' (text with one crystal), 'cif_block' (a data block of gemmi),
            'poscar' (text), 'extxyz' (text of one frame), 'structure' (pymatgen Structure or its mapping),
            'jarvis' (mapping with lattice_mat, coords, elements, cartesian), 'arrays' (mapping with species,
            lattice, frac_coords).
        form: one of `FORMS`.

    Raises:
        UnreadableCrystal: it states no crystal, one that is disordered, or contradicts itself.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            crystal, notes = FORMS[form](crystal_id, content)
            _check(crystal)
        except UnreadableCrystal as error:
            raise UnreadableCrystal(one_line(error)) from error
        except Exception as error:  # parsers raise many types; whatever it was, there is no crystal
            said = f"the key {error} is missing" if isinstance(error, KeyError) else one_line(error)
            raise UnreadableCrystal(f"{_NAMES[form]} does not parse ({said})") from error
    return Reading(crystal, (*notes, *_said(caught)))


def with_room(reading: Reading) -> Reading:
    """Return a crystal in a cell that keeps a layer from its images, where its file says that it has none."""
    roomy = with_vacuum(reading.crystal)
    if roomy is reading.crystal:
        return reading
    return Reading(
        roomy, (*reading.notes, "its cell was given a vacuum that keeps the layer from its images")
    )


def _said(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return what libraries warned of; what concerns their programmers only is left out."""
    of_users = [item for item in caught if not issubclass(item.category, DeprecationWarning | FutureWarning)]
    return list(dict.fromkeys(" ".join(str(item.message).split())[:200] for item in of_users))


def _poscar(crystal_id: str, text: Any) -> tuple[Crystal, list[str]]:
    from pymatgen.io.vasp import Poscar

    text = str(text).replace("\\n", "\n").replace("\r\n", "\n").lstrip("\ufeff")
    lines = [line.strip() for line in text.splitlines()]
    elements, counts = _poscar_species(lines)
    species = tuple(element for element, count in zip(elements, counts, strict=True) for _ in range(count))
    _check_poscar_lines(lines, species)
    lines[5], lines[6] = " ".join(elements), " ".join(map(str, counts))
    crystal, notes = _structure(crystal_id, Poscar.from_str("\n".join(lines)).structure)
    if crystal.species != species:
        raise UnreadableCrystal(f"the POSCAR's symbols {lines[5]!r} are not those of its atoms")
    return crystal, notes


def _poscar_species(lines: list[str]) -> tuple[list[str], list[int]]:
    """Return the elements of a POSCAR and their numbers, after a look at the lines above them."""
    if len(lines) < 8:
        raise UnreadableCrystal("the POSCAR does not parse (it has fewer than eight lines)")
    if len(lines[1].split("!")[0].split()) == 3:
        raise UnreadableCrystal(
            "the POSCAR has three scale factors; multiply its lattice by them and write 1.0"
        )
    symbols = re.split(r"[!#]", lines[5])[0].split()
    if not symbols or symbols[0].isdecimal():
        raise UnreadableCrystal(
            "the POSCAR does not say which elements it holds (VASP 4); write their symbols above the numbers"
        )
    elements = [element_of_symbol(re.split(r"[_/]", symbol)[0]) for symbol in symbols]
    counts = re.split(r"[!#]", lines[6])[0].split()
    if len(counts) != len(elements) or not all(count.isdecimal() for count in counts):
        raise UnreadableCrystal(f"the POSCAR has symbols {lines[5]!r} and numbers of atoms {lines[6]!r}")
    if not any(map(int, counts)):
        raise UnreadableCrystal("the POSCAR has no atoms")
    return elements, [int(count) for count in counts]


def _check_poscar_lines(lines: list[str], species: tuple[str, ...]) -> None:
    """Hold the coordinate lines against the number and the order of the atoms."""
    start = 7 + lines[7].lower().startswith("s")
    if len(lines) <= start + len(species):
        raise UnreadableCrystal(f"the POSCAR ends before the {len(species)} atoms that it announces")
    if "configuration" in lines[start].lower():
        raise UnreadableCrystal("the POSCAR is a trajectory (XDATCAR); give one of its structures")
    if not lines[start].lower().startswith(("d", "c", "k")):
        raise UnreadableCrystal(f"the POSCAR has {lines[start]!r} where it must say Direct or Cartesian")
    after = lines[start + 1 + len(species)].split() if len(lines) > start + 1 + len(species) else []
    if len(after) >= 3 and all(_is_number(word) for word in after[:3]):
        raise UnreadableCrystal(f"the POSCAR has more coordinates than the {len(species)} atoms it announces")
    for number, (line, element) in enumerate(zip(lines[start + 1 :], species, strict=False), 1):
        for word in line.split()[3:]:
            stated = re.split(r"[_/]", word.strip("!#"))[0]
            if is_element(stated) and stated not in ("T", "F") and stated != element:
                raise UnreadableCrystal(
                    f"atom {number} of the POSCAR is {element} by order and {word} by its line"
                )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _structure(crystal_id: str, content: Any) -> tuple[Crystal, list[str]]:
    """Return a pymatgen Structure, or its mapping, as a crystal."""
    from pymatgen.core import Structure

    structure = content if isinstance(content, Structure) else Structure.from_dict(dict(content))
    notes: list[str] = []
    species = []
    for number, site in enumerate(structure, 1):
        occupants = list(site.species.items())
        if not occupants:
            raise UnreadableCrystal(f"atom {number} has no species, or one with the occupancy 0")
        (occupant, share), *others = occupants
        if others or not FULL_OCCUPANCY <= share <= 2 - FULL_OCCUPANCY:
            raise UnreadableCrystal(
                f"atom {number} is {site.species_string!r}: partial occupancy is disorder, order it"
            )
        # The name, since pymatgen spells deuterium H.
        element = getattr(occupant, "element", occupant)
        species.append(element_of_symbol(str(getattr(element, "name", occupant))))
        notes += ["oxidation states were not read"] if getattr(occupant, "oxi_state", None) else []
        notes += ["magnetic moments were not read"] if getattr(occupant, "spin", None) else []
    notes += [
        f"{what} were not read" for name, what in _NOT_READ.items() if name in structure.site_properties
    ]
    if structure._charge:
        notes.append(f"the charge of the cell ({structure._charge:g}) was not read")
    _refuse_flat(structure.lattice.matrix)
    crystal = Crystal(crystal_id, tuple(species), structure.lattice.matrix, structure.frac_coords)
    crystal, said = _with_periodicity(crystal, structure.lattice.pbc)
    return crystal, list(dict.fromkeys([*notes, *said]))


def _jarvis(crystal_id: str, content: Mapping[str, Any]) -> tuple[Crystal, list[str]]:
    """Return a crystal of JARVIS' JSON (jarvis.core.atoms.Atoms.to_dict)."""
    cartesian = str(content.get("cartesian")).lower()
    if cartesian not in ("true", "false"):
        raise UnreadableCrystal("cartesian is neither true nor false, so the coordinates have no meaning")
    lattice = np.asarray(content["lattice_mat"], dtype=float).reshape(3, 3)
    positions = np.asarray(content["coords"], dtype=float).reshape(-1, 3)
    if cartesian == "true":
        positions = positions @ np.linalg.inv(lattice)
    return Crystal(crystal_id, _elements(content["elements"]), lattice, positions), []


def _arrays(crystal_id: str, row: Mapping[str, Any]) -> tuple[Crystal, list[str]]:
    """Return a row of a crystal table as a crystal."""
    for name in ("species", "lattice", "frac_coords"):
        if row[name] is None or np.ndim(row[name]) == 0:
            raise UnreadableCrystal(f"{name} is missing")
    lattice, positions = _flat(row["lattice"]), _flat(row["frac_coords"])
    if lattice.size != 9:
        raise UnreadableCrystal(f"lattice has {lattice.size} numbers, must have 9")
    if positions.size != 3 * len(row["species"]):
        raise UnreadableCrystal(f"{positions.size} coordinates for {len(row['species'])} atoms; three each")
    return Crystal(crystal_id, _elements(row["species"]), lattice, positions), []


def _flat(values: Any) -> NDArray[np.float64]:
    """Return numbers, or rows of numbers as Parquet nests them, as one array."""
    return np.array([float(number) for part in values for number in np.ravel(part)])


def _extxyz(crystal_id: str, frame: str) -> tuple[Crystal, list[str]]:
    from ase import Atoms
    from ase.io import read

    count, comment, *lines = frame.splitlines()
    if not int(count):
        raise UnreadableCrystal("the crystal has no atoms")
    if "lattice=" not in comment.lower():
        raise UnreadableCrystal("no Lattice in the comment line: a molecule without a cell is no crystal")
    comment = _usual_keys(comment)
    lines, notes = _checked_lines(lines, _columns(comment))
    atoms = read(io.StringIO("\n".join([count, comment, *lines]) + "\n"), index=0, format="extxyz")
    assert isinstance(atoms, Atoms)  # one index, one crystal
    lattice = np.asarray(atoms.cell.array, dtype=np.float64)
    _refuse_flat(lattice)
    carried = {*atoms.arrays, *(atoms.calc.results if atoms.calc is not None else ())}
    notes += [f"{what} were not read" for name, what in _NOT_READ.items() if name in carried]
    crystal = Crystal(crystal_id, _elements(atoms.symbols), lattice, atoms.positions @ np.linalg.inv(lattice))
    crystal, said = _with_periodicity(crystal, atoms.pbc)
    return crystal, list(dict.fromkeys([*notes, *said]))


def _usual_keys(comment: str) -> str:
    """Return a comment line with the keys in the letters that ASE knows, and the flag pbc as it reads it.

    Raises:
        UnreadableCrystal: the periodicity is stated and not understood, or sites are shared.
    """
    for key in ("Lattice", "Properties", "pbc"):
        comment = re.sub(rf"(?<!\w){key}=", f"{key}=", comment, flags=re.IGNORECASE)
    shares = re.search(r"(?<!\w)occupancy=(.*)", comment)
    if shares and re.search(r"(?<![\d.])0?\.\d*[1-9]", shares.group(1)):
        raise UnreadableCrystal("the frame gives occupancies of shared sites: that is disorder, order it")
    if other := re.search(r"(?<!\w)(periodic\w*|boundary)=(\S+)", comment, flags=re.IGNORECASE):
        raise UnreadableCrystal(f'the periodicity {other.group()} is not understood; write pbc="T T T"')
    found = re.search(r"(?<!\w)pbc=(?:\"([^\"]*)\"|'([^']*)'|\[([^\]]*)\]|\{([^}]*)\}|(\S+))", comment)
    if found is None:
        return comment
    value = next(group for group in found.groups() if group is not None)
    marks = re.findall(r"true|false|[tf10]", value.lower())
    if len(marks) != 3 or re.sub(r"true|false|[tf10,\s]", "", value.lower()):
        raise UnreadableCrystal(f'the periodicity {found.group()} is not understood; write pbc="T T T"')
    flags = " ".join("T" if mark[0] in "t1" else "F" for mark in marks)
    return f'{comment[: found.start()]}pbc="{flags}"{comment[found.end() :]}'


def _columns(comment: str) -> dict[str, tuple[int, int]]:
    """Return first column and width of each property of a frame's atoms, by name in lower case."""
    found = re.search(r"properties=(?:\"([^\"]*)\"|(\S+))", comment, flags=re.IGNORECASE)
    parts = (found.group(1) or found.group(2) if found else "species:S:1:pos:R:3").split(":")
    columns, first = {}, 0
    for name, _, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        columns[name.lower()] = (first, int(width))
        first += int(width)
    return columns


def _checked_lines(
    lines: Sequence[str], columns: Mapping[str, tuple[int, int]]
) -> tuple[list[str], list[str]]:
    """Return the lines of a frame's atoms with plain symbols for species, and notes.

    Raises:
        UnreadableCrystal: no positions, a line with too few columns, or symbols that are not the numbers.
    """
    from ase.data import chemical_symbols

    if "pos" not in columns:
        raise UnreadableCrystal("Properties name no positions (pos:R:3), so the frame gives no structure")
    width = max(first + count for first, count in columns.values())
    symbol, number = columns.get("species"), columns.get("z") or columns.get("numbers")
    share = next((columns[name] for name in columns if name.startswith("occupanc")), None)
    checked, further = [], 0
    notes: list[str] = []
    for place, line in enumerate(lines, 1):
        words = line.split()
        if len(words) < width:
            raise UnreadableCrystal(
                f"the line of atom {place} has {len(words)} columns, Properties say {width}"
            )
        further = max(further, len(words) - width)
        if symbol is not None:
            if words[symbol[0]][-1:] in "+-":
                notes = ["charges of the species were not read"]
            words[symbol[0]] = element_of_symbol(words[symbol[0]])
        if symbol is not None and number is not None:
            stated = int(float(words[number[0]]))
            if not 0 < stated < len(chemical_symbols) or chemical_symbols[stated] != words[symbol[0]]:
                raise UnreadableCrystal(f"atom {place} is {words[symbol[0]]} with the atomic number {stated}")
        if share is not None and not FULL_OCCUPANCY <= float(words[share[0]]) <= 2 - FULL_OCCUPANCY:
            raise UnreadableCrystal(
                f"atom {place} has occupancy {words[share[0]]}; that is disorder, order it"
            )
        checked.append(" ".join(words))
    return checked, [*notes, *([f"{further} further columns were not read"] if further else [])]


def _refuse_flat(lattice: NDArray[np.float64]) -> None:
    if not np.isfinite(lattice).all():
        raise UnreadableCrystal("the lattice is not finite")
    if not abs(np.linalg.det(lattice)) > 0.0:
        raise UnreadableCrystal("the cell has no volume")


def _with_periodicity(crystal: Crystal, pbc: Sequence[bool]) -> tuple[Crystal, list[str]]:
    """Return a crystal with the periodicity that its file states, and what that makes it.

    Raises:
        UnreadableCrystal: it is periodic in no direction.
    """
    if all(pbc):
        return crystal, []
    if not any(pbc):
        raise UnreadableCrystal("periodic in no direction (pbc): a molecule is no crystal")
    marks = " ".join("T" if periodic else "F" for periodic in pbc)
    first, second, third = (bool(periodic) for periodic in pbc)
    named = replace(crystal, pbc=(first, second, third))
    if sum(pbc) == 1:
        return named, [f'the file says pbc="{marks}", a wire, which relaxation and phonons do not take']
    return named, [f'the file says pbc="{marks}": judged as a layer']


def _elements(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(element_of_symbol(str(symbol)) for symbol in symbols)


def _check(crystal: Crystal) -> None:
    if not crystal.species:
        raise UnreadableCrystal("the crystal has no atoms")
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        raise UnreadableCrystal("the lattice or a position is not finite")


FORMS: dict[str, Callable[[str, Any], tuple[Crystal, Sequence[str]]]] = {
    "cif": crystal_of_cif,
    "cif_block": crystal_of_block,
    "poscar": _poscar,
    "extxyz": _extxyz,
    "structure": _structure,
    "jarvis": _jarvis,
    "arrays": _arrays,
}
"""What `read_crystal` understands, by name."""

_NAMES = {
    "cif": "the CIF", "cif_block": "the CIF", "poscar": "the POSCAR", "extxyz": "the frame",
    "structure": "the structure", "jarvis": "the structure", "arrays": "the row",
}  # fmt: skip
