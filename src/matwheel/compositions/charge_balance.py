"""Charge neutrality and electronegativity balance of many compositions, exactly and without enumeration.

The rule of SMACT (Davies et al., Chem 1, 617, 2016): a composition is charge-neutral when some choice of one
oxidation state per element makes the charges sum to zero, and balanced when in some such choice every cation
is also less electronegative than every anion. SMACT tries all choices; here the sums that can be reached are
bits of a whole number, so eight elements cost microseconds. The verdicts are those of
`smact.screening.smact_validity`, without and with its Pauling test.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.compositions.formulas import ELEMENTS, LARGEST_AMOUNT, symbol_columns
from matwheel.compositions.oxidation_states import (
    DEFAULT_OXIDATION_TABLE,
    Icsd24Thresholds,
    OxidationTable,
    metals,
    mixed_valence_elements,
    oxidation_table,
    pauling_electronegativities,
)
from matwheel.core.errors import InputError
from matwheel.core.settings import GIVEN, settings

_CHUNK_ROWS = 32_768


@settings
class CompositionSettings:
    """What a composition is judged by."""

    oxidation_table: Annotated[str, Field(min_length=1, json_schema_extra={"format": "name-or-path"})] = (
        DEFAULT_OXIDATION_TABLE
    )
    """Oxidation states that charge neutrality is judged by, a name of
    `matwheel.compositions.oxidation_states.OXIDATION_TABLES` (smact14, icsd16, icsd24, icsd24_consensus3,
    which is smact 4's own default, pymatgen_sp, wiki), or a text file with an element and its states per
    line.
    """
    alloys_pass: bool = True
    """Compositions of metals only pass both tests, as SMACT has it. A single element always passes."""
    mixed_valence: bool = False
    """Atoms of Fe, Mn, Ce and other elements of SMACT's list may differ in their state, as in Fe3O4."""
    icsd24_thresholds: Annotated[Icsd24Thresholds | None, GIVEN] = None
    """Other thresholds for the table icsd24, see `Icsd24Thresholds`."""

    def table(self) -> OxidationTable:
        """Return the table of oxidation states.

        Raises:
            InputError: an unknown table, or a file that cannot be understood.
        """
        return oxidation_table(self.oxidation_table, self.icsd24_thresholds)


class Balance(NamedTuple):
    """Verdicts on compositions, in their order.

    Attributes:
        neutral: charge-neutral, bool, shape (n,).
        balanced: neutral with every cation less electronegative than every anion, bool, shape (n,).
    """

    neutral: NDArray[np.bool_]
    balanced: NDArray[np.bool_]


def charge_balance(
    counts: NDArray[np.integer],
    elements: Sequence[str] = ELEMENTS,
    settings: CompositionSettings | None = None,
) -> Balance:
    """Judge compositions given as counts of atoms, some 140,000 of up to eight elements per second.

    Counts are reduced by their greatest common divisor first. A row of zeros is neither neutral nor balanced,
    a single element is both (SMACT's rule), and so is a row of metals when alloys pass. Otherwise an element
    without states makes a row fail both tests, one without electronegativity the second.

    Args:
        counts: shape (n, k), any integer dtype; uint8 takes the least memory.
        elements: the k symbols of the columns, e.g. `ELEMENTS` or `MATGAN_ELEMENTS`.
        settings: what to judge by; the defaults of `CompositionSettings` where not given.

    Raises:
        InputError: a wrong dtype or shape, negative or absurdly large counts (with their row), unknown or
            repeated elements, an unknown table.
    """
    rule = _Rule(elements, settings or CompositionSettings())
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(rule.order):
        raise InputError(f"counts have shape {counts.shape}, not (compositions, {len(rule.order)} elements)")
    if not np.issubdtype(counts.dtype, np.integer):
        raise InputError(f"counts are {counts.dtype}, not whole numbers; round them first")
    for row in np.flatnonzero(((counts < 0) | (counts > LARGEST_AMOUNT)).any(axis=1)):
        raise InputError(f"counts, row {row + 1}: an amount is not between 0 and {LARGEST_AMOUNT} atoms")
    verdicts = np.zeros((len(counts), 2), dtype=bool)
    for start in range(0, len(counts), _CHUNK_ROWS):
        piece = counts[start : start + _CHUNK_ROWS, rule.order]
        rows, columns = np.nonzero(piece)
        ends = np.cumsum(np.bincount(rows, minlength=len(piece))).tolist()
        places, amounts = columns.tolist(), piece[rows, columns].tolist()
        verdicts[start : start + len(piece)] = [
            rule.verdict(places[begin:end], amounts[begin:end])
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
    return Balance(verdicts[:, 0], verdicts[:, 1])


class _Rule:
    """The settings for columns that are sorted by electronegativity, those without one first.

    Sums of charges that can be reached are bits of a whole number, so adding an element is an or of shifts.
    """

    def __init__(self, elements: Sequence[str], settings: CompositionSettings) -> None:
        symbol_columns(elements)  # refuses unknown and repeated elements
        table = settings.table()
        eneg = pauling_electronegativities()
        order = sorted(range(len(elements)), key=lambda column: eneg.get(elements[column], -1.0))
        symbols = [elements[column] for column in order]
        self.order = np.array(order, dtype=np.intp)
        self._eneg = [eneg.get(symbol) for symbol in symbols]
        self._states = [sorted(table.states.get(symbol, ())) for symbol in symbols]
        self._cations = [[state for state in own if state >= 0] for own in self._states]
        self._anions = [[-state for state in own if state <= 0] for own in self._states]
        self._above_lowest = [[state - own[0] for state in own] for own in self._states]
        self._known = {column for column, own in enumerate(self._states) if own}
        self._metals = {column for column, symbol in enumerate(symbols) if symbol in metals()}
        mixed = mixed_valence_elements() if settings.mixed_valence else frozenset()
        self._mixed = [symbol in mixed for symbol in symbols]
        self._alloys_pass = settings.alloys_pass

    def verdict(self, columns: Sequence[int], amounts: Sequence[int]) -> tuple[bool, bool]:
        """Return whether a composition is neutral, and whether it is balanced too."""
        if len(columns) < 2 or (self._alloys_pass and self._metals.issuperset(columns)):
            return bool(columns), bool(columns)
        if not self._known.issuperset(columns):
            return False, False
        divisor = gcd(*amounts)
        atoms = [(column, count // divisor) for column, count in zip(columns, amounts, strict=True)]
        balanced = self._is_balanced(atoms)
        return balanced or self._is_neutral(atoms), balanced

    def _is_neutral(self, atoms: Sequence[tuple[int, int]]) -> bool:
        # Every state counted from the lowest one: is the sum of the offsets reached?
        offset = -sum(count * self._states[column][0] for column, count in atoms)
        sums = 1
        for column, count in atoms:
            sums = self._plus(sums, column, count, self._above_lowest)
        return offset >= 0 and bool(sums >> offset & 1)

    def _is_balanced(self, atoms: Sequence[tuple[int, int]]) -> bool:
        # Some cut, never between equal electronegativities, parts elements with states ≥ 0 from elements with
        # states ≤ 0, and at that cut both sides reach the same amount of charge.
        eneg = [self._eneg[column] for column, _ in atoms]
        if eneg[0] is None:
            return False
        taken = [1]  # by the elements from the most electronegative one down
        for column, count in reversed(atoms):
            taken.append(self._plus(taken[-1], column, count, self._anions))
            if not taken[-1]:
                break
        given = 1
        for cut, (column, count) in enumerate(atoms):
            above = len(atoms) - cut
            if above < len(taken) and given & taken[above] and (cut == 0 or eneg[cut - 1] != eneg[cut]):
                return True
            given = self._plus(given, column, count, self._cations)
        return bool(given & 1)

    def _plus(self, sums: int, column: int, count: int, states: Sequence[Sequence[int]]) -> int:
        repeats, factor = (count, 1) if self._mixed[column] else (1, count)
        for _ in range(repeats):
            reached = 0
            for state in states[column]:
                reached |= sums << state * factor
            sums = reached
        return sums
