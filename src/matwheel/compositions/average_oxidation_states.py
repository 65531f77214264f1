"""Average oxidation states of the elements of a compound, from its structure or from its formula alone.

As Materials Project's data of 2021 and 2022 have them: bond valence sums on the structure (O'Keeffe and
Brese, J. Am. Chem. Soc. 113, 3226, 1991, with the frequencies of states in the ICSD as prior), and where
these find no neutral assignment, the states of the formula that are most frequent in the ICSD.
`benchmarks/corrections.py` measures this choice against others.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, lru_cache
from math import gcd, isfinite
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal, to_structure

LARGEST_BOND_VALENCE_ATOMS = 200
"""Cells with more atoms are judged by their formula."""
MOST_ASSIGNMENTS = 100_000
"""Combinations of the sites' valences that are tried before the best so far is taken; pymatgen's default."""

Composition = tuple[tuple[str, float], ...]
"""Atoms of each element, sorted by symbol; hashable."""

NO_STATES: Mapping[str, float] = MappingProxyType({})


def bond_valence_states(crystal: Crystal) -> Mapping[str, float]:
    """Return the average state of each element by bond valence sums; empty where they say nothing.

    They say nothing of elements without parameters, of cells without neutral assignment and of cells of more
    than `LARGEST_BOND_VALENCE_ATOMS` atoms. Nothing depends on a clock.
    """
    valences = bond_valences(crystal)
    if not valences:
        return NO_STATES
    by_element = defaultdict(list)
    for symbol, valence in zip(crystal.species, valences, strict=True):
        by_element[symbol].append(valence)
    return {symbol: float(np.mean(values)) for symbol, values in sorted(by_element.items())}


def bond_valences(crystal: Crystal) -> tuple[float, ...]:
    """Return the valence of each atom by bond valence sums; empty where they say nothing, see above."""
    from pymatgen.core.bond_valence import BVAnalyzer

    if len(set(crystal.species)) < 2 or len(crystal.species) > LARGEST_BOND_VALENCE_ATOMS:
        return ()
    try:
        return tuple(BVAnalyzer(max_permutations=MOST_ASSIGNMENTS).get_valences(to_structure(crystal)))
    except Exception:  # what a strange geometry makes of spglib or of the sums is no verdict on the crystal
        return ()


@lru_cache(maxsize=400_000)
def states_of_formula(composition: Composition, *, all_states: bool = False) -> Mapping[str, float]:
    """Return the most frequent neutral states of a formula, averaged over the atoms of each element.

    The sum over atoms of how often the ICSD has each state is largest; of equal ones, the more
    electronegative element has the more negative state. Empty where nothing is neutral or an amount is not
    whole.

    Args:
        composition: any multiple of the formula; it is reduced first.
        all_states: take every known state of every element. By default the states that are common in the ICSD
            are taken, and all of them only of elements without any (Tc, Os, Pt, Au, Pm, Np, Pu and others):
            with all states of all elements, metalloids of intermetallics become anions, which they are not
            in Materials Project's data.
    """
    if any(count != int(count) for _, count in composition):
        return NO_STATES
    divisor = gcd(*(int(count) for _, count in composition))
    counts = {symbol: int(count) // divisor for symbol, count in composition}
    return _most_frequent(counts, {symbol: _known_states(symbol, all_states) for symbol in counts})


def _most_frequent(
    counts: Mapping[str, int], known: Mapping[str, Mapping[int, float]]
) -> Mapping[str, float]:
    """Return the neutral states with the largest sum of frequencies, by dynamic programming; empty if none.

    Charges are added element by element, so the work grows with atoms and charges, not with combinations.
    """
    if not all(known.values()):
        return NO_STATES
    order = sorted(counts, key=lambda symbol: (electronegativity(symbol), symbol))
    per_element = [_best_by_charge(known[symbol], counts[symbol]) for symbol in order]
    partial = [(0, np.zeros(1))]
    for lowest, scores in per_element:
        before_lowest, before = partial[-1]
        total = np.full(len(before) + len(scores) - 1, -np.inf)
        for place, score in enumerate(scores):
            if np.isfinite(score):
                window = total[place : place + len(before)]
                np.maximum(window, before + score, out=window)
        partial.append((before_lowest + lowest, total))
    charge, states = 0, {}
    for place in reversed(range(len(order))):
        lowest, scores = per_element[place]
        before_lowest, before = partial[place]
        rest = charge - lowest - np.arange(len(scores)) - before_lowest
        possible = (rest >= 0) & (rest < len(before))
        sums = np.where(possible, scores + before[np.clip(rest, 0, len(before) - 1)], -np.inf)
        best = int(np.argmax(sums))  # the first: the most negative
        if not np.isfinite(sums[best]):
            return NO_STATES
        states[order[place]] = (lowest + best) / counts[order[place]]
        charge -= lowest + best
    return dict(sorted(states.items()))


def _best_by_charge(states: Mapping[int, float], atoms: int) -> tuple[int, NDArray[np.float64]]:
    """Return the lowest charge of some atoms of one element, and the best score of it and each above it."""
    lowest, highest = min(states), max(states)
    width = highest - lowest
    scores = np.zeros(1)
    for _ in range(atoms):
        more = np.full(len(scores) + width, -np.inf)
        for state, frequency in states.items():
            window = more[state - lowest : state - lowest + len(scores)]
            np.maximum(window, scores + frequency, out=window)
        scores = more
    return atoms * lowest, scores


@cache
def _known_states(symbol: str, all_states: bool) -> Mapping[int, float]:
    """Return the states of an element with how often the ICSD has each."""
    from pymatgen.core import Element

    states = set(Element(symbol).icsd_oxidation_states)
    if all_states or not states:
        states |= set(Element(symbol).oxidation_states)
    return {int(state): _icsd_frequencies().get((symbol, int(state)), 0.0) for state in sorted(states)}


@cache
def _icsd_frequencies() -> Mapping[tuple[str, int], float]:
    from pymatgen.core.bond_valence import PRIOR_PROB

    return {
        (species.symbol, int(species.oxi_state)): float(count)
        for species, count in PRIOR_PROB.items()
        if species.oxi_state is not None
    }


@cache
def electronegativity(symbol: str) -> float:
    """Return Pauling's electronegativity; 0 for noble gases, which have none."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = Element(symbol).X
    return float(value) if isfinite(value) else 0.0
