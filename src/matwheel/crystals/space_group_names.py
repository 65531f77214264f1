"""Settings of space groups by what programs write for them: Hermann-Mauguin names, Hall symbols, numbers.

gemmi holds the settings, old symbols and Hall symbols; spglib adds the full Hermann-Mauguin symbols.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise

import gemmi
import numpy as np
from numpy.typing import NDArray

# Suffix of a name → setting; S and Z are ICSD's names of the origin choices.
_SUFFIXES = {
    "1": "1", "2": "2", "o1": "1", "o2": "2", "s": "1", "z": "2", "h": "H", "hr": "H", "r": "R", "rs": "R",
}  # fmt: skip
# What programs put around or into a name, in this order, and what it means.
_DECORATIONS = (
    (r"<[^>]*>|\$", ""),
    (r"\\(?:bar|overline)\s*\{?(\d)\}?", r"-\1"),
    (r"(\d)[\u0304\u0305]", r"-\1"),
    (r"~(\d)~", r"\1"),
    (r"\\?_\{?(\d)\}?", r"\1"),
    (r"(\d)\((\d)\)", r"\1\2"),
    (r"(?i)\(?\borigin\s*(?:choice)?\s*([12])\b\)?", r":\1"),
    (r"(?i)\(?\bhexagonal(?: axes)?\)?", ":H"),
    (r"(?i)\(?\brhombohedral(?: axes)?\)?", ":R"),
    (r"(?i)\bunique[ -]axis [abc]\b|\bcell choice \d\b|\bno\.? ?\d+", ""),
    (r"\([^()]*\)|\[[^\[\]]*\]", ""),
    (r":\s*-?[abc]{1,3}\d?$", ""),
)
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations of a space group in one setting.

    Attributes:
        rotations: shape (n, 3, 3), whole numbers, on fractional coordinates (columns).
        translations: shape (n, 3), fractions of the cell.
        said: how the file states them, for notes and messages.
        number: of the space group; 0 where the setting is in no table.
        is_listed: the file lists them one by one.
        whole_in_group: x,y,z alone beside a group that does not fit the axes: the atoms must have that group.
    """

    rotations: NDArray[np.float64] = field(repr=False)
    translations: NDArray[np.float64] = field(repr=False)
    said: str
    number: int
    is_listed: bool = False
    whole_in_group: int = 0

    def __len__(self) -> int:
        return len(self.rotations)

    def misfit(self, lattice: NDArray[np.float64]) -> tuple[float, float]:
        """Return how far the operations change the lengths and the angles of a cell, vectors as rows.

        The first is a share of the square of a length, the second the change of a cosine.
        """
        metric = lattice @ lattice.T
        moved = np.einsum("nji,jk,nkl->nil", self.rotations, metric, self.rotations)
        change = np.abs(moved - metric).max(axis=0) / np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        return float(np.diag(change).max()), float((change - np.diag(np.diag(change))).max())

    def is_same(self, other: Operations) -> bool:
        """Whether both are the same operations, in any order."""
        return self is other or (len(self) == len(other) and self._codes() == other._codes())

    def _codes(self) -> set[tuple[float, ...]]:
        shifts = np.round(self.translations % 1, 6) % 1
        return {(*turn.ravel(), *shift) for turn, shift in zip(self.rotations, shifts, strict=True)}


def arrays_of(operations: Sequence[gemmi.Op]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations, shape (n, 3, 3), and translations, shape (n, 3), of operations."""
    rotations = np.array([operation.rot for operation in operations], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([operation.tran for operation in operations], dtype=np.float64) / gemmi.Op.DEN
    return rotations, translations


@lru_cache(maxsize=512)
def settings_by_hall(symbol: str) -> tuple[Operations, ...]:
    """Return the setting of a Hall symbol; none where it is not understood."""
    try:
        group = gemmi.symops_from_hall(symbol.replace("_", " "))
    except (RuntimeError, ValueError):
        return ()
    found = gemmi.find_spacegroup_by_ops(group)
    return (Operations(*arrays_of(list(group)), f"the Hall symbol {symbol!r}", found.number if found else 0),)


@lru_cache(maxsize=512)
def settings_by_name(name: str) -> tuple[Operations, ...]:
    """Return the settings that a Hermann-Mauguin name can mean, usual ones first; none if it is not known."""
    plain = _plain(name)
    groups = _groups_of(plain)
    if not groups and not _splits_a_screw_axis(plain, gemmi.find_spacegroup_by_name(plain)):
        found = gemmi.find_spacegroup_by_name(plain)
        groups = [group for group in gemmi.spacegroup_table() if found and group.hm == found.hm]
    return tuple(_of_group(group, f"the space group {name!r}") for group in groups)


@lru_cache(maxsize=256)
def settings_by_number(text: str) -> tuple[Operations, ...]:
    """Return the standard setting of a space-group number, in both origins or axes where it has two."""
    if not text.isdecimal() or not 1 <= int(text) <= 230:
        return ()
    reference = gemmi.get_spacegroup_reference_setting(int(text))
    groups = [group for group in gemmi.spacegroup_table() if group.hm == reference.hm]
    return tuple(_of_group(group, f"the space group number {text}, {group.hm}") for group in groups)


def _plain(name: str) -> str:
    """Return a name without what programs put around it: numbers, axes, marks of subscripts and bars."""
    plain = name.translate(_SUBSCRIPTS)
    for pattern, meaning in _DECORATIONS:
        plain = re.sub(pattern, meaning, plain)
    return " ".join(plain.split()).strip(" ,;")


def _groups_of(plain: str) -> list[gemmi.SpaceGroup]:
    key = _key(plain)
    found = _settings_by_key()
    groups = [group for group in found.get(key, []) if not _splits_a_screw_axis(plain, group)]
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if groups or not key.endswith(suffix):
            continue
        of_stem = found.get(key.removesuffix(suffix).rstrip(":"), [])
        groups = [group for group in of_stem if group.ext == _SUFFIXES[suffix]]
        # ICSD marks the standard setting of groups that have one only, too.
        if not groups and _SUFFIXES[suffix] == "1":
            groups = [group for group in of_stem if group.ext == "\0"]
    return groups


def _splits_a_screw_axis(plain: str, group: gemmi.SpaceGroup | None) -> bool:
    """Whether a blank stands inside of a screw axis of a group: 'P 3 2' is an old P 3 2 1, not P 32."""
    if group is None:
        return False
    parts, screws = plain.split(), {part[:2] for part in group.hm.split() if re.match(r"[2346][1-5]", part)}
    joined = {f"{one}{other[:1]}" for one, other in pairwise(parts) if len(one) == 1}
    return bool(joined & screws) and not any(part[:2] in screws for part in parts)


def _of_group(group: gemmi.SpaceGroup, said: str) -> Operations:
    setting = f", setting {group.xhm()}" if group.ext != "\0" else ""
    return Operations(*arrays_of(list(group.operations())), f"{said}{setting}", group.number)


def _key(name: str) -> str:
    return re.sub(r"[\s_'\"]", "", name.lower())


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
        assert kind is not None  # spglib knows 530 settings
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(kind.hall_symbol))
        if group is not None:
            add(kind.international_full, group)
    return found
