"""The symmetry that a CIF states: operations, Hall symbol, Hermann-Mauguin name or number.

What is stated and not understood is refused by name: the atoms of an asymmetric unit are never taken for the
whole cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import UnreadableCrystal
from matwheel.crystals.space_group_names import (
    Operations,
    arrays_of,
    settings_by_hall,
    settings_by_name,
    settings_by_number,
)

# How far operations may change the cell: squares of lengths as a share, cosines of angles. A name chooses
# among settings, so it is held to the rounding of cell parameters; listed operations only have to be meant.
_NAMED_TOLERANCES, _LISTED_TOLERANCES = (0.01, 0.004), (0.02, 0.02)
_NOTED_MISFIT = 1e-3
# 0.3333 means a third: how far a shift may be from a 24th of the cell, in 24ths.
_ROUNDED_SHIFT = 0.02

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
    "_symmetry_space_group_name_h-m_alt",
    "_symmetry_space_group_name_hm",
    "_space_group_name_hm",
    "_space_group_name",
)
_NUMBERS = (
    "_space_group_it_number",
    "_symmetry_int_tables_number",
    "_symmetry_it_number",
    "_space_group_number",
)
# What says no more than P 1 does.
_NO_SYMMETRY = ("triclinic", "1", "p 1", "p1", "x,y,z", "x, y, z", "c1^1")
# Tags that number or describe others and state no symmetry by themselves.
_SILENT = re.compile(
    r"_(?:symmetry|space_group)\w*_(?:id|transform\w*|bravais_type|reference_\w+)$|_space_group_wyckoff\w*"
)


def stated_operations(
    tags: Mapping[str, Sequence[str]], lattice: NDArray[np.float64]
) -> tuple[list[Operations], list[str]]:
    """Return the readings of the symmetry that a CIF block states, likeliest first, and notes.

    One reading where the file is plain. Several where it is not: a name that has two origins, statements of
    different settings, or listed operations beside the name of a larger group; what else the file states has
    to decide then.

    Args:
        tags: values of the block by tag in lower case.
        lattice: vectors as rows, shape (3, 3), Å.

    Raises:
        UnreadableCrystal: a symmetry is stated and not understood, contradicts itself, or fits not the cell.
    """
    named = _named(tags, lattice)
    listed = _listed(tags)
    if listed is None:
        if named.refusal:
            raise UnreadableCrystal(named.refusal)
        if not named.settings:
            _refuse_other_statements(tags)
            return [_identity("no symmetry")], ["states no symmetry; read as P 1"]
        return named.settings, named.notes
    operations, notes = listed
    misfit = operations.misfit(lattice)
    if not _within(misfit, _LISTED_TOLERANCES):
        raise UnreadableCrystal(
            f"the {len(operations)} symmetry operations do not fit the cell (lengths and angles change); "
            "correct one of them"
        )
    notes = [*notes, *_misfit_note(misfit)]
    if named.refusal:
        # A file that lists x,y,z alone says nothing of a symmetry that it names, unless all atoms are there.
        if len(operations) == 1 and not named.number:
            raise UnreadableCrystal(f"lists x,y,z only, and {named.refusal}")
        notes.append(f"{named.refusal.split(';')[0]}; the listed operations were used")
        doubted = replace(operations, whole_in_group=named.number if len(operations) == 1 else 0)
        return [doubted], notes
    # A name of a smaller group, or of one with as many operations, takes nothing away from the list.
    larger = [item for item in named.settings if len(item) > len(operations)]
    if not larger and named.settings and not any(operations.is_same(item) for item in named.settings):
        notes.append(f"states {named.settings[0].said}; the listed operations are others and were used")
    return [operations, *larger], notes


def _listed(tags: Mapping[str, Sequence[str]]) -> tuple[Operations, list[str]] | None:
    """Return the operations that a block lists, and notes; None where it lists none."""
    lists = [[text for text in tags.get(tag, ()) if text not in ("?", ".", "")] for tag in _OPERATIONS]
    found = [_checked(tuple(triplets)) for triplets in lists if triplets]
    if len(found) == 2 and not found[0][0].is_same(found[1][0]):
        raise UnreadableCrystal(
            f"lists {len(found[0][0])} symmetry operations and {len(found[1][0])} others; "
            "delete one of the lists"
        )
    if found:
        return found[0]
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


_TERM = re.compile(r"([+-]?)(\d{0,2})\*?([xyz])|([+-]?)(\d{1,3}(?:\.\d*)?|\.\d+)(?:/(\d{1,3}))?")


def _operation(text: str) -> gemmi.Op:
    """Return the operation of a triplet such as '-x+1/2, y, z' or, in an unusual cell, '-x-2y-z+3/4, y, z'.

    Raises:
        UnreadableCrystal: it cannot be read, is not whole in 24ths of the cell, or changes volumes.
    """
    parts = [_row(part.replace(" ", "").lower()) for part in text.strip().strip("'\"").split(",")]
    rows = [row for row in parts if row is not None]
    if len(parts) != 3 or len(rows) != 3:
        raise UnreadableCrystal(f"the symmetry operation {text!r} cannot be read; write it as x,y,z")
    shifts = [shift * gemmi.Op.DEN for _, shift in rows]
    if any(abs(shift - round(shift)) > _ROUNDED_SHIFT for shift in shifts):
        raise UnreadableCrystal(f"the symmetry operation {text!r} shifts by no 24th of the cell; correct it")
    operation = gemmi.Op("x,y,z")
    operation.rot = [[count * gemmi.Op.DEN for count in turn] for turn, _ in rows]
    operation.tran = [round(shift) for shift in shifts]
    if abs(operation.det_rot()) != gemmi.Op.DEN**3:
        raise UnreadableCrystal(f"{text!r} is no symmetry operation: it changes volumes")
    return operation.wrap()


def _row(part: str) -> tuple[list[int], float] | None:
    """Return factors of x, y, z and the shift of one coordinate, None where it cannot be read."""
    turn, shift, place = [0, 0, 0], 0.0, 0
    for match in _TERM.finditer(part):
        if match.start() != place or not match.group():
            return None
        place = match.end()
        if axis := match.group(3):
            turn["xyz".index(axis)] += int(f"{match.group(1)}{match.group(2) or 1}")
        else:
            below = float(match.group(6) or 1)
            if not below:
                return None
            shift += float(f"{match.group(4)}{match.group(5)}") / below
    return (turn, shift) if place == len(part) and part and any(turn) else None


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
    rotations, translations = arrays_of(list(unique.values()))
    missing = _missing_products(rotations, translations)
    if missing:
        raise UnreadableCrystal(
            f"the {len(unique)} symmetry operations listed are no group: {missing} products of two of them "
            "are not in the list; complete it"
        )
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(unique.values())))
    said = f"the {len(unique)} listed operations" if len(unique) > 1 else "x,y,z alone"
    return Operations(rotations, translations, said, group.number if group else 0, is_listed=True), notes


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


@dataclass(frozen=True)
class _Statement:
    """One statement of a symmetry, and the settings that it can mean; none where it is not understood."""

    said: str
    settings: tuple[Operations, ...]
    is_number: bool = False


@dataclass(frozen=True)
class _Named:
    """What Hall symbol, names and number come to: settings that fit the cell, or why there are none.

    `number` is that of a group that is known and does not fit the cell.
    """

    settings: list[Operations]
    refusal: str
    notes: list[str]
    number: int = 0


def _statements(tags: Mapping[str, Sequence[str]]) -> list[_Statement]:
    """Return what a block states beside a list of operations, the most exact first."""
    hall, number = _first(tags, _HALL), _first(tags, _NUMBERS)
    found = [_Statement(f"the Hall symbol {hall!r}", settings_by_hall(hall))] if hall else []
    found += [_Statement(f"the space group {name!r}", settings_by_name(name)) for name in _names(tags)]
    if number:
        settings = settings_by_number(number)
        found.append(_Statement(f"the space group number {number}", settings, is_number=True))
    return found


def _named(tags: Mapping[str, Sequence[str]], lattice: NDArray[np.float64]) -> _Named:
    stated = _statements(tags)
    explicit = [item for item in stated if not item.is_number]
    understood = [item for item in (explicit or stated) if item.settings]
    if stated and not understood:
        # The number beside a name that is not known would be the standard setting, which it may well not be.
        remedy = "write the symmetry operations or a name of International Tables"
        return _Named([], f"{(explicit or stated)[0].said} is not known; {remedy}", [])
    notes = [f"{item.said} is not known and was passed over" for item in stated if not item.settings]
    settings: list[Operations] = []
    for item in (item for item in stated if item.settings):
        fitting, doubt = _fitting(item.settings, lattice)
        if not fitting:
            notes.append(f"{item.said} does not fit the cell and was passed over")
            continue
        if not settings:
            notes += doubt
        settings = _agreeing(settings, fitting, item) if settings else fitting
    if stated and not settings:
        refusal = f"{understood[0].said} does not fit the cell; correct it or the cell parameters"
        return _Named([], refusal, [], understood[0].settings[0].number)
    if settings and not explicit:
        notes.append(f"states {stated[0].said} alone; its standard setting was taken")
    notes += _misfit_note(settings[0].misfit(lattice)) if settings else []
    return _Named(settings, "", notes)


def _agreeing(
    settings: list[Operations], others: list[Operations], statement: _Statement
) -> list[Operations]:
    """Return the settings that a further statement allows too, or all readings where it differs."""
    both = [item for item in settings if any(item.is_same(other) for other in others)]
    if both:
        return both
    # A number means its group; that it means the standard setting is only our guess.
    if statement.is_number and {item.number for item in others} == {item.number for item in settings}:
        return settings
    return [*settings, *others]


def _fitting(
    settings: Sequence[Operations], lattice: NDArray[np.float64]
) -> tuple[list[Operations], list[str]]:
    """Return the settings that fit a cell, and a note where that does not tell unique axes apart."""
    fitting = [item for item in settings if _within(item.misfit(lattice), _NAMED_TOLERANCES)]
    if len(fitting) < 2 or fitting[0].number > 15:
        return fitting, []
    # Monoclinic names without their 1s, in a cell of right angles: b before c before a.
    return fitting[:1], [f"{fitting[0].said} was read with the unique axis b, though all angles are right"]


def _within(misfit: tuple[float, float], tolerances: tuple[float, float]) -> bool:
    return misfit[0] < tolerances[0] and misfit[1] < tolerances[1]


def _misfit_note(misfit: tuple[float, float]) -> list[str]:
    if max(misfit) < _NOTED_MISFIT:
        return []
    return [f"the cell keeps the symmetry within {max(misfit):.2%} only"]


def _refuse_other_statements(tags: Mapping[str, Sequence[str]]) -> None:
    """Refuse a file whose symmetry stands under tags that are not understood.

    Raises:
        UnreadableCrystal: there is one.
    """
    for tag, values in tags.items():
        if not tag.startswith(("_symmetry", "_space_group")) or _SILENT.match(tag):
            continue
        value = next((text for text in map(_clean, values) if text and text.lower() not in _NO_SYMMETRY), "")
        if value:
            raise UnreadableCrystal(
                f"states its symmetry as {tag} {value!r}, which is not understood; write the symmetry "
                "operations or _space_group_name_H-M_alt"
            )


def _first(tags: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    return next((_clean(tags[name][0]) for name in names if name in tags and _clean(tags[name][0])), "")


def _names(tags: Mapping[str, Sequence[str]]) -> list[str]:
    found = [_clean(tags[name][0]) for name in _NAMES if name in tags]
    return list(dict.fromkeys(text for text in found if text))


def _clean(text: str) -> str:
    """Return a value without quotes and blanks around it; '?' and '.' are no value."""
    text = " ".join(text.split())
    # A Hall symbol may end in a quote of its own; only a pair around the value is none of it.
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return "" if text in ("?", ".") else text


def _identity(said: str) -> Operations:
    return Operations(np.eye(3)[None], np.zeros((1, 3)), said, 1)
