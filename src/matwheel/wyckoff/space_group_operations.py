"""Operations of space groups in their standard setting, and which contains which, by PyXtal's tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.wyckoff.wyckoff_positions import SPACE_GROUPS

if TYPE_CHECKING:
    from pyxtal.symmetry import Group

_SAME_PLACE = 1e-4  # of fractional coordinates


@cache
def pyxtal_group(space_group: int) -> Group:
    """Return PyXtal's tables of a space group; reading them takes a while, so they are kept."""
    from pyxtal.symmetry import Group

    return Group(space_group)


@cache
def position_operations(space_group: int) -> Mapping[str, NDArray[np.float64]]:
    """Return for each Wyckoff letter the maps (R | t) from (x, y, z) to its atoms, shape (atoms, 3, 4)."""
    return {
        position.letter: np.stack([operation.affine_matrix[:3] for operation in position.ops])
        for position in pyxtal_group(space_group)
    }


def has_operations(crystal: Crystal, space_group: int) -> bool:
    """Say whether all operations of a space group, in its standard setting, are symmetries of a crystal.

    The cell must be the conventional one. If so, the crystal's own space group is this one or a supergroup.
    """
    from scipy.spatial import cKDTree

    general = max(position_operations(space_group).values(), key=len)
    rotations, translations = general[:, :, :3], general[:, :, 3]
    metric = crystal.lattice @ crystal.lattice.T
    turned = rotations.transpose(0, 2, 1) @ metric @ rotations
    if np.abs(turned - metric).max() > _SAME_PLACE * metric.max():
        return False
    species = np.array(crystal.species)
    for element in sorted(set(crystal.species)):
        # Rounding up to 1 would lie outside of the periodic box.
        own = crystal.frac_coords[species == element] % 1.0 % 1.0
        images = (np.einsum("oij,nj->oni", rotations, own) + translations[:, None]).reshape(-1, 3) % 1.0 % 1.0
        distances, _ = cKDTree(own, boxsize=1.0).query(images)  # type: ignore[call-overload]  # one length for all axes is taken too
        if not (distances < _SAME_PLACE).all():
            return False
    return True


def is_supergroup(found: int, wanted: int) -> bool:
    """Say whether a space group of type `found` can contain one of type `wanted`, or is of that type.

    From the maximal translationengleiche and klassengleiche subgroups as PyXtal tabulates them.

    Raises:
        ValueError: no such space group.
    """
    for group in (found, wanted):
        if group not in range(1, SPACE_GROUPS + 1):
            raise ValueError(f"no space group {group!r}; give one of 1 … {SPACE_GROUPS}")
    return found == wanted or wanted in _subgroups(found)


@cache
def _subgroups(space_group: int) -> frozenset[int]:
    seen: set[int] = set()
    left = [space_group]
    while left:
        group = left.pop()
        left += sorted(_maximal_subgroups(group) - seen)
        seen |= _maximal_subgroups(group)
    return frozenset(seen)


@cache
def _maximal_subgroups(space_group: int) -> frozenset[int]:
    group = pyxtal_group(space_group)
    tables = (group.get_max_t_subgroup(), group.get_max_k_subgroup())
    return frozenset(int(number) for table in tables for number in table["subgroup"])
