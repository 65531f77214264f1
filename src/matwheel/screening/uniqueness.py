"""Uniqueness: how many distinct structures a set of crystals holds.

Two crystals are the same when pymatgen's StructureMatcher says so (stol 0.5, angle 10°, ltol 0.3, cells
scaled to one volume, as in CDVAE). Only crystals of one reduced formula are compared, on cells reduced once
each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import reduced_formula
from matwheel.screening.structure_validity import (
    LARGEST_CELL_VECTOR_ANGSTROM,
    MINIMUM_DISTANCE_ANGSTROM,
    MINIMUM_VOLUME_ANGSTROM3,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

SITE_TOLERANCE = 0.5
ANGLE_TOLERANCE_DEGREES = 10.0
LENGTH_TOLERANCE = 0.3
COMPARISONS_PER_FORMULA = 5000
LARGEST_ASPECT = 200.0


@dataclass(frozen=True)
class ComparableCrystal:
    """A crystal made ready for comparison.

    Attributes:
        id: name of the crystal.
        formula: reduced formula; empty where it could not be made.
        reduced: primitive Niggli-reduced structure; None where the reduction failed.
        error: why the reduction failed; empty otherwise.
    """

    id: str
    formula: str
    reduced: Structure | None = field(repr=False)
    error: str = ""


def comparable(
    crystals: Sequence[Crystal], formulas: frozenset[str] | None = None
) -> list[ComparableCrystal]:
    """Reduce each crystal for comparison, in order; a crystal that cannot be reduced carries its error.

    With `formulas`, crystals of other formulas keep only their formula, as nothing will ask for their cell.
    """
    result = []
    for crystal in crystals:
        formula = ""
        try:
            formula = reduced_formula(crystal)
            if formulas is not None and formula not in formulas:
                result.append(ComparableCrystal(crystal.id, formula, None, "not reduced"))
                continue
            _check_cell(crystal)
            primitive = to_structure(crystal).get_primitive_structure()
            reduced = primitive.get_reduced_structure("niggli")
            if min(reduced.lattice.abc) < MINIMUM_DISTANCE_ANGSTROM:  # the matcher would visit endless images
                raise ValueError(f"repeats itself within {MINIMUM_DISTANCE_ANGSTROM:g} Å")
            result.append(ComparableCrystal(crystal.id, formula, reduced))
        except Exception as error:  # a broken cell is a result, not the end of the batch
            result.append(ComparableCrystal(crystal.id, formula, None, f"{type(error).__name__}: {error}"))
    return result


def same_structure(one: ComparableCrystal, other: ComparableCrystal) -> bool:
    """Return whether two crystals are the same structure; the answer does not depend on their order.

    Raises:
        Exception: whatever the matcher raises on broken cells; callers count it.
    """
    if one.reduced is None or other.reduced is None or len(one.reduced) != len(other.reduced):
        return False
    return bool(_matcher().fit(one.reduced, other.reduced, symmetric=True, skip_structure_reduction=True))


def uniqueness(
    crystals: Sequence[Crystal], *, comparisons_per_formula: int = COMPARISONS_PER_FORMULA
) -> pd.DataFrame:
    """Assign each crystal to a group of equal structures.

    Groups are the connected components of "the same structure" within a reduced formula, so they do not
    depend on the order of the crystals. A crystal that cannot be compared is a group of its own and says why.
    A formula with more pairs than `comparisons_per_formula` is compared up to that number of pairs, in the
    order of the ids (a generator that repeats one formula thousands of times must not take hours).

    Returns:
        Columns id, formula, group (the smallest id of its group), first_of_group (bool), error (empty, the
        reason, or "comparison limit"), in the given order.
    """
    items = comparable(crystals)
    order = sorted(range(len(items)), key=lambda i: (items[i].formula, items[i].id, i))
    parent = list(range(len(items)))
    errors = [item.error for item in items]
    buckets: dict[str, list[int]] = defaultdict(list)
    for i in order:
        if items[i].reduced is not None:
            buckets[items[i].formula].append(i)
    for members in buckets.values():
        comparisons = 0
        for position, i in enumerate(members):
            for j in members[:position]:
                if _root(parent, i) == _root(parent, j):
                    continue
                if comparisons >= comparisons_per_formula:
                    errors[i] = errors[i] or "comparison limit"
                    break
                comparisons += 1
                try:
                    same = same_structure(items[j], items[i])
                except Exception as error:
                    same = False
                    errors[i] = errors[i] or f"{type(error).__name__}: {error}"
                if same:
                    parent[_root(parent, i)] = _root(parent, j)
    names: dict[int, int] = {}
    for i in order:
        names.setdefault(_root(parent, i), i)
    first = [names[_root(parent, i)] for i in range(len(items))]
    return pd.DataFrame(
        {
            "id": [item.id for item in items],
            "formula": [item.formula for item in items],
            "group": [items[i].id for i in first],
            "first_of_group": [first[i] == i for i in range(len(items))],
            "error": errors,
        }
    ).astype({"first_of_group": bool})


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def _check_cell(crystal: Crystal) -> None:
    if not crystal.species:
        raise ValueError("no atoms")
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        raise ValueError("lattice or positions are not finite")
    # Cell reductions and the matcher loop for ever on cells without a volume or with absurd vectors.
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    if not crystal.volume_angstrom3 >= MINIMUM_VOLUME_ANGSTROM3:
        raise ValueError(f"volume below {MINIMUM_VOLUME_ANGSTROM3:g} Å³")
    if lengths.max() > LARGEST_CELL_VECTOR_ANGSTROM:
        raise ValueError(f"cell vector above {LARGEST_CELL_VECTOR_ANGSTROM:g} Å")
    if lengths.max() > LARGEST_ASPECT * lengths.min():
        raise ValueError(f"longest cell vector above {LARGEST_ASPECT:g} times the shortest")


def _matcher() -> object:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(
        ltol=LENGTH_TOLERANCE,
        stol=SITE_TOLERANCE,
        angle_tol=ANGLE_TOLERANCE_DEGREES,
        primitive_cell=False,
        scale=True,
    )
