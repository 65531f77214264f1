"""The symmetry that a CIF states: operations, Hall symbol, Hermann-Mauguin name or number, by setting.

gemmi holds the settings of the space groups and understands operations and Hall symbols; spglib adds the full
Hermann-Mauguin symbols. What is stated and not understood is refused by name: the atoms of an asymmetric unit
are never taken for the whole cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import UnreadableCrystal

# How far an operation may change a length or an angle of the cell, as a share: rounded cell parameters.
_METRIC_TOLERANCE = 0.02

_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_MAGNETIC_OPERATIONS = "_space_group_symop_magn_operation_xyz"
_MAGNETIC_CENTRINGS = "_space_group_symop_magn_centering_xyz"
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NAMES = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
    "_symmetry_space_group_name_h-m_full",
)
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
# Suffix of a name → setting; S and Z are ICSD's names of the origin choices.
_SUFFIXES = {
    "1": "1", "2": "2", "o1": "1", "o2": "2", "s": "1", "z": "2", "h": "H", "hr": "H", "r": "R", "rs": "R",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations of a space group in one setting.

    Attributes:
        rotations: shape (n, 3, 3), whole numbers, on fractional coordinates (columns).
        translations: shape (n, 3), fractions of the cell.
        said: how the file states them, for notes and messages.
        number: of the space group; 0 where the setting is in no table.
        is_listed: the file lists them one by one.
    """

    rotations: NDArray[np.float64] = field(repr=False)
    translations: NDArray[np.float64] = field(repr=False)
    said: str
    number: int
    is_listed: bool = False

    def __len__(self) -> int:
        return len(self.rotations)

    def fit(self, lattice: NDArray[np.float64]) -> bool:
        """Whether all operations keep the lengths and angles of a cell, vectors as rows."""
        metric = lattice @ lattice.T
        moved = np.einsum("nji,jk,nkl->nil", self.rotations, metric, self.rotations)
        scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        return bool((np.abs(moved - metric) / scale).max() < _METRIC_TOLERANCE)


def stated_operations(
    tags: Mapping[str, Sequence[str]], lattice: NDArray[np.float64]
) -> tuple[list[Operations], list[str]]:
    """Return the readings of the symmetry that a CIF block states, likeliest first, and notes.

    One reading where the file is plain. Several where it is not: a name that has two origins, or listed
    operations beside the name of a larger group; what else the file states has to decide then.

    Args:
        tags: values of the block by tag in lower case.
        lattice: vectors as rows, shape (3, 3), Å.

    Raises:
        UnreadableCrystal: a symmetry is stated and not understood, contradicts itself, or fits not the cell.
    """
    notes: list[str] = []
    named, refusal = _named(tags, lattice)
    listed = _listed(tags)
    if listed is None:
        if refusal:
            raise UnreadableCrystal(refusal)
        if not named:
            return [_identity("no symmetry")], ["states no symmetry; read as P 1"]
        return named, notes
    operations, added = listed
    notes += added
    if not operations.fit(lattice):
        raise UnreadableCrystal(
            f"the {len(operations)} symmetry operations do not fit the cell (lengths and angles change); "
            "correct one of them"
        )
    if refusal:
        notes.append(f"{refusal.split(';')[0]}; the listed operations were used")
        # A file that lists x,y,z alone says nothing of a symmetry that it names.
        if len(operations) == 1:
            raise UnreadableCrystal(f"lists x,y,z only, and {refusal}")
    # A name of a smaller group, or of one with as many operations, takes nothing away from the list.
    others = [item for item in named if len(item) > len(operations)]
    if not others and named and named[0].number != operations.number and operations.number:
        notes.append(f"states {named[0].said}; the operations are those of group {operations.number}")
    return [operations, *others], notes


def _listed(tags: Mapping[str, Sequence[str]]) -> tuple[Operations, list[str]] | None:
    """Return the operations that a block lists, and notes; None where it lists none."""
    for tag in _OPERATIONS:
        triplets = [text for text in tags.get(tag, ()) if text not in ("?", ".", "")]
        if triplets:
            return _checked(tuple(triplets))
    triplets = [text.rsplit(",", 1)[0] for text in tags.get(_MAGNETIC_OPERATIONS, ())]
    if not triplets:
        return None
    centrings = [text.rsplit(",", 1)[0] for text in tags.get(_MAGNETIC_CENTRINGS, ())] or ["x,y,z"]
    products = [
        (_operation(centring) * _operation(triplet)).wrap().triplet()
        for centring in centrings
        for triplet in triplets
    ]
    operations, notes = _checked(tuple(products))
    return operations, [note for note in notes if "twice" not in note]


def _operation(text: str) -> gemmi.Op:
    plain = text.strip().strip("'\"")
    try:
        operation = gemmi.Op(plain)
    except (RuntimeError, ValueError):
        operation = _operation_with_multiples(plain)
    if operation is None:
        raise UnreadableCrystal(f"the symmetry operation {text!r} cannot be read; write it as x,y,z")
    if abs(operation.det_rot()) != gemmi.Op.DEN**3:
        raise UnreadableCrystal(f"{text!r} is no symmetry operation: it changes volumes")
    return operation.wrap()


def _operation_with_multiples(text: str) -> gemmi.Op | None:
    """Return an operation in an unusual cell, such as '-x-2y-z+3/4, y, z', which gemmi does not parse."""
    term = re.compile(r"([+-]?)(\d*)\*?([xyz])|([+-]?)(\d+(?:\.\d+)?)(?:/(\d+))?")
    rotation, translation = [], []
    for part in (part.replace(" ", "").lower() for part in text.split(",")):
        row, shift, place = [0, 0, 0], 0.0, 0
        for match in term.finditer(part):
            if match.start() != place:
                return None
            place = match.end()
            if axis := match.group(3):
                row["xyz".index(axis)] += int(f"{match.group(1)}{match.group(2) or 1}")
            else:
                if not float(match.group(6) or 1):
                    return None
                shift += float(f"{match.group(4)}{match.group(5)}") / float(match.group(6) or 1)
        if place != len(part) or not part or not any(row):
            return None
        rotation.append([count * gemmi.Op.DEN for count in row])
        translation.append(round(shift * gemmi.Op.DEN))
    if len(rotation) != 3:
        return None
    operation = gemmi.Op("x,y,z")
    operation.rot, operation.tran = rotation, translation
    return operation


@lru_cache(maxsize=512)
def _checked(triplets: tuple[str, ...]) -> tuple[Operations, list[str]]:
    """Return listed operations as a whole group, and what had to be noted.

    Raises:
        UnreadableCrystal: one cannot be read, or the list is no group, as when lines are missing.
    """
    unique = {operation.triplet(): operation for operation in map(_operation, triplets)}
    notes = [] if len(unique) == len(triplets) else [f"lists {len(triplets) - len(unique)} operations twice"]
    if "x,y,z" not in unique:
        unique = {"x,y,z": gemmi.Op("x,y,z"), **unique}
        notes.append("the operation x,y,z is missing from the list and was added")
    rotations, translations = _arrays(list(unique.values()))
    missing = _missing_products(rotations, translations)
    if missing:
        raise UnreadableCrystal(
            f"the {len(unique)} symmetry operations listed are no group: {missing} products of two of them "
            "are not in the list; complete it"
        )
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(unique.values())))
    said = f"the {len(unique)} listed operations" if len(unique) > 1 else "x,y,z alone"
    return Operations(rotations, translations, said, group.number if group else 0, is_listed=True), notes


def _arrays(operations: Sequence[gemmi.Op]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rotations = np.array([operation.rot for operation in operations], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([operation.tran for operation in operations], dtype=np.float64) / gemmi.Op.DEN
    return rotations, translations


def _missing_products(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> int:
    """Return how many different products of two operations are not among them, modulo the lattice."""

    def codes(turns: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.int64]:
        # Entries of products are small whole numbers; translations are multiples of 1/24.
        digits = np.rint(turns).astype(np.int64).reshape(-1, 9) + 20
        places = np.rint(shifts.reshape(-1, 3) * gemmi.Op.DEN).astype(np.int64) % gemmi.Op.DEN
        return digits @ (41 ** np.arange(9)) * gemmi.Op.DEN**3 + places @ (gemmi.Op.DEN ** np.arange(3))

    products = np.einsum("aij,bjk->abik", rotations, rotations)
    shifts = np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]
    known = codes(rotations, translations)
    return len(np.setdiff1d(codes(products, shifts), known))


def _named(tags: Mapping[str, Sequence[str]], lattice: NDArray[np.float64]) -> tuple[list[Operations], str]:
    """Return the settings that Hall symbol, name or number allow in a cell, and what is not understood.

    The second is the empty text where something is understood or nothing is stated.
    """
    hall, name, number = _first(tags, _HALL), _names(tags), _first(tags, _NUMBERS)
    groups: list[tuple[str, list[Operations]]] = []
    unknown: list[str] = []
    if hall:
        found = _by_hall(hall)
        groups += [(f"the Hall symbol {hall!r}", [found])] if found else []
        unknown += [] if found else [f"the Hall symbol {hall!r}"]
    for text in name:
        settings = list(_by_name(text))
        groups += [(f"the space group {text!r}", settings)] if settings else []
        unknown += [] if settings else [f"the space group {text!r}"]
    if number:
        settings = list(_by_number(number))
        groups += [(f"the space group number {number}", settings)] if settings else []
        unknown += [] if settings else [f"the space group number {number!r}"]
    if not groups:
        remedy = "write the symmetry operations or a name of International Tables"
        return [], f"{unknown[0]} is not known; {remedy}" if unknown else ""
    for place, (_, settings) in enumerate(groups):
        if fitting := _fitting(settings, lattice):
            return _agreeing(fitting, groups[place + 1 :], lattice), ""
    return [], f"{groups[0][0]} does not fit the cell; correct the name or the cell parameters"


def _agreeing(
    settings: list[Operations], groups: Sequence[tuple[str, list[Operations]]], lattice: NDArray[np.float64]
) -> list[Operations]:
    """Return those settings that the other statements allow too, or all readings where they differ."""
    for _, others in groups:
        fitting = _fitting(others, lattice)
        both = [item for item in settings if any(_same(item, other) for other in fitting)]
        if both:
            settings = both
        elif fitting and {item.number for item in fitting} != {item.number for item in settings}:
            settings = [*settings, *fitting]
    return settings


def _same(one: Operations, other: Operations) -> bool:
    return one is other or (
        len(one) == len(other)
        and {(*r.ravel(), *t) for r, t in zip(one.rotations, np.round(one.translations, 6), strict=True)}
        == {(*r.ravel(), *t) for r, t in zip(other.rotations, np.round(other.translations, 6), strict=True)}
    )


def _fitting(settings: Sequence[Operations], lattice: NDArray[np.float64]) -> list[Operations]:
    """Return the settings that fit a cell; of unique axes, the first that does."""
    fitting = [item for item in settings if item.fit(lattice)]
    if fitting and fitting[0].number <= 15:  # monoclinic names without their 1s: b before c before a
        return fitting[:1]
    return fitting


def _first(tags: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    return next((_clean(tags[name][0]) for name in names if name in tags and _clean(tags[name][0])), "")


def _names(tags: Mapping[str, Sequence[str]]) -> list[str]:
    found = [_clean(tags[name][0]) for name in _NAMES if name in tags]
    return list(dict.fromkeys(text for text in found if text))


def _clean(text: str) -> str:
    """Return a value without quotes and blanks around it; '?' and '.' are no value."""
    text = " ".join(text.split()).strip("'\" ")
    return "" if text in ("?", ".") else text


def _identity(said: str) -> Operations:
    return Operations(np.eye(3)[None], np.zeros((1, 3)), said, 1)


@lru_cache(maxsize=512)
def _by_hall(symbol: str) -> Operations | None:
    try:
        group = gemmi.symops_from_hall(symbol.replace("_", " "))
    except (RuntimeError, ValueError):
        return None
    found = gemmi.find_spacegroup_by_ops(group)
    rotations, translations = _arrays(list(group))
    return Operations(rotations, translations, f"the Hall symbol {symbol!r}", found.number if found else 0)


@lru_cache(maxsize=512)
def _by_name(name: str) -> tuple[Operations, ...]:
    """Return the settings that a Hermann-Mauguin name can mean; none for a name that is not known."""
    key = _key(name)
    groups = _settings_by_key().get(key, [])
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        stem = key.removesuffix(suffix).rstrip(":")
        if groups or not key.endswith(suffix):
            continue
        setting = _SUFFIXES[suffix]
        groups = [group for group in _settings_by_key().get(stem, []) if group.ext == setting]
        # ICSD marks the standard setting of groups that have one only, too.
        if not groups and setting == "1":
            groups = [group for group in _settings_by_key().get(stem, []) if group.ext == "\0"]
    if not groups and (found := gemmi.find_spacegroup_by_name(name)) is not None:
        groups = [group for group in gemmi.spacegroup_table() if group.hm == found.hm]
    return tuple(_of_group(group, f"the space group {name!r}") for group in groups)


@lru_cache(maxsize=256)
def _by_number(text: str) -> tuple[Operations, ...]:
    """Return the standard setting of a space-group number, in both origins or axes where it has two."""
    if not text.isdecimal() or not 1 <= int(text) <= 230:
        return ()
    reference = gemmi.get_spacegroup_reference_setting(int(text))
    groups = [group for group in gemmi.spacegroup_table() if group.hm == reference.hm]
    return tuple(_of_group(group, f"the space group number {text}") for group in groups)


def _of_group(group: gemmi.SpaceGroup, said: str) -> Operations:
    rotations, translations = _arrays(list(group.operations()))
    setting = f", setting {group.xhm()}" if group.ext != "\0" else ""
    return Operations(rotations, translations, f"{said}{setting}", group.number)


def _key(name: str) -> str:
    return re.sub(r"[\s_()'\"]|origin|choice|axes", "", name.lower())


@cache
def _settings_by_key() -> dict[str, list[gemmi.SpaceGroup]]:
    """Return the tabulated settings by every way to write their name, without blanks and in lower case."""
    import spglib

    found: dict[str, list[gemmi.SpaceGroup]] = {}

    def add(name: str, group: gemmi.SpaceGroup) -> None:
        settings = found.setdefault(_key(name), [])
        if all(other.hall != group.hall for other in settings):
            settings.append(group)

    for group in gemmi.spacegroup_table():
        add(group.hm, group)
        add(group.short_name(), group)
        if 3 <= group.number <= 15:  # monoclinic symbols without their 1s; unique axis b comes first
            add(" ".join(part for part in group.hm.split() if part != "1"), group)
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(kind.hall_symbol))
        if group is not None:
            add(kind.international_full, group)
    return found
