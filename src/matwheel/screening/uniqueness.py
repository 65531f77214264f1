"""Uniqueness: how many distinct structures a set of crystals holds.

Two crystals are the same when pymatgen's StructureMatcher says so (stol 0.5, angle 10°, ltol 0.3, cells
scaled to one volume, as in CDVAE). Only crystals of one reduced formula are compared, on cells reduced once
each. The buckets are not made smaller by space group or Wyckoff letters: the matcher joins crystals whose
labels differ (benchmarks/README.md has the numbers).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.core.processes import map_in_order
from matwheel.core.table_rows import named_rows
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import reduced_formula
from matwheel.screening.structure_validity import (
    LARGEST_CELL_VECTOR_ANGSTROM,
    MINIMUM_DISTANCE_ANGSTROM,
    MINIMUM_VOLUME_ANGSTROM3,
)
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

SCREEN = "unique"
RELAXED_SCREEN = "unique_relaxed"
SITE_TOLERANCE = 0.5
ANGLE_TOLERANCE_DEGREES = 10.0
LENGTH_TOLERANCE = 0.3
COMPARISONS_PER_FORMULA = 5000
LARGEST_ASPECT = 200.0
LARGEST_COMPARED_ATOMS = 200
"""Larger cells are not compared: two disordered ones of 300 atoms take a minute."""
# What one comparison may cost: some 30 times the dearest pair of 10,000 generated and 1,500 real crystals.
_MOST_LATTICE_POINTS = 100_000
_MOST_VECTOR_TRIPLES = 100_000_000
_MOST_CHECKS = 50_000_000
# A way to lay one cell onto the other costs about this much, in checks of one pair of sites.
_CHECKS_PER_MAPPING, _CHECKS_PER_SITE_PAIR = 1000, 10


@dataclass(frozen=True)
class ComparableCrystal:
    """A crystal made ready for comparison.

    Attributes:
        formula: reduced formula; empty where it could not be made.
        reduced: primitive Niggli-reduced structure; None where the reduction failed.
        error: why the reduction failed; empty otherwise.
    """

    id: str
    formula: str
    reduced: Structure | None = field(repr=False)
    error: str = ""


def comparable(crystals: Sequence[Crystal]) -> list[ComparableCrystal]:
    """Reduce each crystal for comparison, in order; a crystal that cannot be reduced carries its error."""
    result = []
    for crystal in crystals:
        formula = ""
        try:
            formula = reduced_formula(crystal)
            _check_cell(crystal)
            primitive = to_structure(crystal).get_primitive_structure()
            reduced = primitive.get_reduced_structure("niggli")
            if min(reduced.lattice.abc) < MINIMUM_DISTANCE_ANGSTROM:  # the matcher would visit endless images
                raise ValueError(f"repeats itself within {MINIMUM_DISTANCE_ANGSTROM:g} Å")
            result.append(ComparableCrystal(crystal.id, formula, reduced))
        except Exception as error:  # a broken cell is a result, not the end of the batch
            result.append(ComparableCrystal(crystal.id, formula, None, f"{type(error).__name__}: {error}"))
    return result


def formulas_and_errors(crystals: Sequence[Crystal]) -> tuple[list[str], list[str]]:
    """Return the reduced formula of each crystal, empty where it has none, and why that is."""
    formulas, errors = [], []
    for crystal in crystals:
        formula, error = "", ""
        try:
            formula = reduced_formula(crystal)
        except Exception as problem:  # a broken crystal is a result, not the end of the batch
            error = f"{type(problem).__name__}: {problem}"
        formulas.append(formula)
        errors.append(error)
    return formulas, errors


def same_structure(one: ComparableCrystal, other: ComparableCrystal) -> bool:
    """Return whether two crystals are the same structure; the answer does not depend on their order.

    Raises:
        ComparisonTooLarge: the matcher would try too many ways to lay one cell onto the other.
        Exception: whatever the matcher raises on broken cells; callers count it.
    """
    if one.reduced is None or other.reduced is None or len(one.reduced) != len(other.reduced):
        return False
    matcher = _matcher()
    # The matcher's `symmetric` asks the second way even when the first has said no.
    return all(
        matcher.fit(first, second, skip_structure_reduction=True)
        for first, second in ((one.reduced, other.reduced), (other.reduced, one.reduced))
    )


def uniqueness(
    crystals: Sequence[Crystal], *, comparisons_per_formula: int = COMPARISONS_PER_FORMULA, processes: int = 1
) -> pd.DataFrame:
    """Assign each crystal to a group of equal structures.

    Groups are the connected components of "the same structure" within a reduced formula, so they do not
    depend on the order of the crystals. A crystal that cannot be compared is a group of its own and says why.
    A formula with more pairs than `comparisons_per_formula` is compared up to that number of pairs, first
    each crystal with the first of each group, in the order of the ids (a generator that repeats one formula
    thousands of times must not take hours).

    Args:
        crystals: crystals, of any kind.
        comparisons_per_formula: how many pairs of one formula are compared at most.
        processes: how many processes share the formulas; the result is the same for any number.

    Returns:
        Columns id, formula, group (the smallest id of its group), first_of_group (bool), comparable (bool),
        error (empty, the reason, or "comparison limit"), in the given order.
    """
    formulas, errors = formulas_and_errors(crystals)
    order = sorted(range(len(crystals)), key=lambda i: (formulas[i], crystals[i].id, i))
    buckets: dict[str, list[int]] = defaultdict(list)
    for i in order:
        if not errors[i]:
            buckets[formulas[i]].append(i)
    tasks = [([crystals[i] for i in members], comparisons_per_formula) for members in buckets.values()]
    costs = [_bucket_cost(members, comparisons_per_formula) for members, _ in tasks]
    first = list(range(len(crystals)))
    compared = [False] * len(crystals)
    for members, groups in zip(
        buckets.values(), map_in_order(_bucket_groups, tasks, costs, processes), strict=True
    ):
        for i, (representative, is_comparable, fault) in zip(members, groups, strict=True):
            first[i], compared[i], errors[i] = members[representative], is_comparable, fault
    return pd.DataFrame(
        {
            "id": [crystal.id for crystal in crystals],
            "formula": formulas,
            "group": [crystals[i].id for i in first],
            "first_of_group": [first[i] == i for i in range(len(first))],
            "comparable": compared,
            "error": errors,
        }
    ).astype({"first_of_group": bool, "comparable": bool})


def unique_verdicts(groups: pd.DataFrame, eligible: Collection[str] | None = None) -> list[Verdict]:
    """Judge each crystal by its group: one passes, its copies fail.

    The one that passes is the first by id; with `eligible` (ids that passed the screens before) the first of
    those, so that a material is not lost because the first of its copies is broken. A group without any
    eligible crystal keeps the first of all.

    Args:
        groups: table of `uniqueness`.
        eligible: ids to prefer; None prefers none.

    Returns:
        One verdict per row, in its order: 'fail' for a copy, 'error' for a crystal that cannot be compared,
        'undecided' for one that would pass, but was not compared with all of its formula (comparison limit,
        or the matcher failed).

    Raises:
        ValueError: an id appears twice.
    """
    return _group_verdicts(groups, SCREEN, "copy of", eligible, {})


def unique_relaxed_verdicts(
    groups: pd.DataFrame, energies_ev_per_atom: Mapping[str, float], eligible: Collection[str] | None = None
) -> list[Verdict]:
    """Judge relaxed crystals: of those that relaxed to one structure the lowest in energy passes.

    Equal energies are decided by the id. With `eligible` (ids that passed the screens before relaxation) the
    lowest of those passes, so that a material is not lost to a copy that was rejected before.

    Args:
        groups: table of `uniqueness` of the relaxed crystals; only converged ones belong in it.
        energies_ev_per_atom: id → energy of the relaxed crystal. One potential: only differences count.
        eligible: ids to prefer; None prefers none.

    Returns:
        One verdict per row, in its order, as `unique_verdicts` gives them; the value of a 'fail' is the
        energy above that of the crystal that passes, in eV/atom (negative where that one was preferred).

    Raises:
        ValueError: an id appears twice, or has no energy.
    """
    missing = [name for name in groups["id"] if not np.isfinite(energies_ev_per_atom.get(name, np.nan))]
    if missing:
        raise ValueError(f"no energy of {missing[0]!r}; give that of every relaxed crystal")
    words = "relaxes to the same crystal as"
    return _group_verdicts(groups, RELAXED_SCREEN, words, eligible, energies_ev_per_atom)


def _group_verdicts(
    groups: pd.DataFrame,
    screen: str,
    words: str,
    eligible: Collection[str] | None,
    energies: Mapping[str, float],
) -> list[Verdict]:
    """Pass one crystal of each group: of the eligible the lowest in energy, of equals the first by id."""
    if groups["id"].duplicated().any():
        raise ValueError(f"two crystals are called {groups.loc[groups['id'].duplicated(), 'id'].iloc[0]!r}")
    preferred = frozenset() if eligible is None else frozenset(eligible)
    members = groups.groupby("group")["id"]
    representatives = {
        group: min(ids, key=lambda name: (name not in preferred, energies.get(name, 0.0), name))
        for group, ids in members
    }
    verdicts = []
    for row in named_rows(groups):
        representative = representatives[row.group]
        value = np.nan
        if not row.comparable:
            verdict, reason = ERROR, f"not comparable: {row.error or 'no cell'}"
        elif row.id != representative:
            verdict, reason = FAIL, f"{words} {representative}"
            if energies:
                value = energies[row.id] - energies[representative]
        elif row.error:
            verdict, reason = UNDECIDED, f"not compared with every crystal of its formula: {row.error}"
        else:
            verdict, reason = PASS, ""
        verdicts.append(
            Verdict(
                row.id, screen, verdict, value, reason=reason, tool=MATCHER, tool_version=matcher_version()
            )
        )
    return verdicts


def uniqueness_curve(groups: pd.DataFrame, points: int = 50) -> pd.DataFrame:
    """Return how the share of distinct structures falls as more crystals are generated.

    Groups are those of the whole set: two crystals that only a later one joins count as one from the start.

    Args:
        groups: table of `uniqueness`, rows in the order of generation.
        points: about how many numbers n to show, evenly spaced up to the number of rows.

    Returns:
        Columns n, unique (distinct structures among the first n), fraction_unique (of n), fraction_expected
        (its mean over all orders of the rows, Hurlbert, Ecology 52, 577, 1971: free of the order).
    """
    total = len(groups)
    counts = (
        np.unique(np.linspace(1, total, min(points, total)).round().astype(int)).tolist() if total else []
    )
    seen = np.cumsum(~groups["group"].duplicated().to_numpy())
    sizes = groups["group"].value_counts().value_counts()
    sizes_and_numbers = list(zip(sizes.index.tolist(), sizes.tolist(), strict=True))
    rows = []
    for n in counts:
        expected = sum(
            many * (1 - comb(total - size, n) / comb(total, n)) for size, many in sizes_and_numbers
        )
        rows.append((n, int(seen[n - 1]), seen[n - 1] / n, expected / n))
    columns = ["n", "unique", "fraction_unique", "fraction_expected"]
    return pd.DataFrame(rows, columns=columns).astype(
        {"n": int, "unique": int, "fraction_unique": float, "fraction_expected": float}
    )


MATCHER = f"StructureMatcher stol {SITE_TOLERANCE:g} ltol {LENGTH_TOLERANCE:g} {ANGLE_TOLERANCE_DEGREES:g}°"


@lru_cache(maxsize=1)
def matcher_version() -> str:
    """Return the version of the package that holds the matcher."""
    for package in ("pymatgen-core", "pymatgen"):
        try:
            return f"{package} {version(package)}"
        except ModuleNotFoundError:
            continue
    return "pymatgen of unknown version"


class ComparisonTooLarge(ValueError):
    """The matcher would try so many ways to lay one cell onto the other that it might not return."""


def _bucket_groups(task: tuple[Sequence[Crystal], int]) -> list[tuple[int, bool, str]]:
    """Return for each crystal of one formula the first of its group, whether comparable, and the error."""
    crystals, limit = task
    items = comparable(crystals)
    groups = _Groups(items, _first_identical(crystals, items), limit)
    usable = [i for i, item in enumerate(items) if item.reduced is not None and groups.parent[i] == i]
    # First with the first of each group, where most copies are found with few comparisons; then the rest,
    # since a crystal may equal another member of a group and not the first.
    firsts: list[int] = []
    for i in usable:
        if not groups.joins_one_of(firsts, i):
            firsts.append(i)
    for j, i in combinations(usable, 2):
        groups.compare_the_rest(j, i)
    return [
        (_root(groups.parent, i), item.reduced is not None, error)
        for i, (item, error) in enumerate(zip(items, groups.errors, strict=True))
    ]


def _first_identical(crystals: Sequence[Crystal], items: Sequence[ComparableCrystal]) -> list[int]:
    """Return for each crystal the first that is the same number for number: these need no comparison."""
    first = list(range(len(items)))
    identical: dict[tuple[tuple[str, ...], bytes, bytes], int] = {}
    for i, (crystal, item) in enumerate(zip(crystals, items, strict=True)):
        if item.reduced is not None:
            key = (crystal.species, crystal.lattice.tobytes(), crystal.frac_coords.tobytes())
            first[i] = identical.setdefault(key, i)
    return first


class _Groups:
    """Groups of equal crystals of one formula, as they grow with each comparison.

    Attributes:
        parent: an earlier crystal of the same group; itself for the first.
        errors: why a crystal was not compared with all others; empty otherwise.
    """

    def __init__(self, items: Sequence[ComparableCrystal], parent: list[int], limit: int) -> None:
        self.parent, self.errors = parent, [item.error for item in items]
        self._items, self._left = items, limit
        self._compared: set[tuple[int, int]] = set()

    def joins_one_of(self, firsts: Sequence[int], i: int) -> bool:
        """Compare a crystal with the first of each group until one is the same or the limit is reached."""
        for j in firsts:
            if self._left <= 0:
                return False
            if self._join(j, i):
                return True
        return False

    def compare_the_rest(self, j: int, i: int) -> None:
        """Compare two crystals, j before i, unless they were or are of one group; note the limit."""
        if (j, i) in self._compared or _root(self.parent, i) == _root(self.parent, j):
            return
        if self._left > 0:
            self._join(j, i)
        else:
            self._note(i, "comparison limit")

    def _join(self, j: int, i: int) -> bool:
        """Compare two crystals, j before i, and join their groups when they are the same."""
        self._left -= 1
        self._compared.add((j, i))
        try:
            same = same_structure(self._items[j], self._items[i])
        except Exception as error:  # counted as different, with the reason
            self._note(i, f"{type(error).__name__}: {error}")
            return False
        if same:
            low, high = sorted((_root(self.parent, i), _root(self.parent, j)))
            self.parent[high] = low
        return same

    def _note(self, i: int, error: str) -> None:
        self.errors[i] = self.errors[i] or error


def _bucket_cost(crystals: Sequence[Crystal], limit: int) -> float:
    """Return about how long a formula takes, in the time of one reduction."""
    return len(crystals) + 3.0 * min(limit, len(crystals) * (len(crystals) - 1) // 2)


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
    if len(crystal.species) > LARGEST_COMPARED_ATOMS:
        raise ValueError(f"{len(crystal.species)} atoms, more than {LARGEST_COMPARED_ATOMS}")
    # Cell reductions and the matcher loop for ever on cells without a volume or with absurd vectors.
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    if not crystal.volume_angstrom3 >= MINIMUM_VOLUME_ANGSTROM3:
        raise ValueError(f"volume below {MINIMUM_VOLUME_ANGSTROM3:g} Å³")
    if lengths.max() > LARGEST_CELL_VECTOR_ANGSTROM:
        raise ValueError(f"cell vector above {LARGEST_CELL_VECTOR_ANGSTROM:g} Å")
    if lengths.max() > LARGEST_ASPECT * lengths.min():
        raise ValueError(f"longest cell vector above {LARGEST_ASPECT:g} times the shortest")


@lru_cache(maxsize=1)
def _matcher() -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    class BoundedMatcher(StructureMatcher):
        """StructureMatcher that refuses a pair of cells it would not be done with in seconds."""

        def _get_lattices(self, target_lattice, s, supercell_size=1):
            _check_cost(s.lattice.matrix, target_lattice.lengths)
            checks = 0
            for found in super()._get_lattices(target_lattice, s, supercell_size):
                checks += _CHECKS_PER_MAPPING + _CHECKS_PER_SITE_PAIR * len(s) ** 2
                if checks > _MOST_CHECKS:
                    raise ComparisonTooLarge("too many ways to lay one cell onto the other")
                yield found

    return BoundedMatcher(
        ltol=LENGTH_TOLERANCE,
        stol=SITE_TOLERANCE,
        angle_tol=ANGLE_TOLERANCE_DEGREES,
        primitive_cell=False,
        scale=True,
    )


def _check_cost(lattice: NDArray[np.float64], target_lengths: Sequence[float]) -> None:
    """Refuse a search for the vectors of a lattice that match three lengths when there are too many.

    Raises:
        ComparisonTooLarge: see the limits above.
    """
    reach = max(target_lengths) * (1 + LENGTH_TOLERANCE)
    steps = np.floor(reach * np.linalg.norm(np.linalg.inv(lattice), axis=0)).astype(int)
    if np.prod(2.0 * steps + 1) > _MOST_LATTICE_POINTS:
        raise ComparisonTooLarge("needle-like cell: too many lattice vectors to try")
    if np.prod(2.0 * steps + 1) < _MOST_VECTOR_TRIPLES ** (1 / 3):
        return
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in steps], indexing="ij"), axis=-1)
    lengths = np.linalg.norm(grid.reshape(-1, 3) @ lattice, axis=1)
    tolerance = 1 + LENGTH_TOLERANCE
    matching = [((lengths < aim * tolerance) & (lengths > aim / tolerance)).sum() for aim in target_lengths]
    if np.prod(matching, dtype=float) > _MOST_VECTOR_TRIPLES:
        raise ComparisonTooLarge("needle-like cell: too many triples of lattice vectors to try")
