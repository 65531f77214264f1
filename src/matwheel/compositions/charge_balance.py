"""Charge neutrality and electronegativity balance of many compositions, exactly and without enumeration.

The rule of SMACT (Davies et al., Chem 1, 617, 2016): a composition is charge-neutral when some choice of one
oxidation state per element makes the charges sum to zero, and balanced when in some such choice every cation
is also less electronegative than every anion. SMACT tries all choices; here the sums that can be reached are
sets of bits, so eight elements cost microseconds. The verdicts are those of `smact.screening.smact_validity`,
without and with its Pauling test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.compositions.formulas import ELEMENTS, LARGEST_AMOUNT, parse_formulas, symbol_columns
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

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 32_768


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


class FormulaBalance(NamedTuple):
    """Verdicts on formulas, in their order; an unreadable formula is neither neutral nor balanced.

    Attributes:
        neutral: as in `Balance`.
        balanced: as in `Balance`.
        errors: what is wrong with each unreadable formula, by its row counted from 0.
    """

    neutral: NDArray[np.bool_]
    balanced: NDArray[np.bool_]
    errors: Mapping[int, str]


def charge_balance(
    counts: NDArray[np.integer],
    elements: Sequence[str] = ELEMENTS,
    settings: CompositionSettings | None = None,
) -> Balance:
    """Judge compositions given as counts of atoms, two million of eight elements in a second or two.

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
    return _judge(counts, _rule(elements, settings or CompositionSettings()))


def formula_balance(
    formulas: Iterable[str | None] | pa.Array | pa.ChunkedArray, settings: CompositionSettings | None = None
) -> FormulaBalance:
    """Judge compositions given as formulas, a million per second; a bad formula does not stop the others.

    Args:
        formulas: strings as `matwheel.compositions.formulas.parse_formulas` reads them; any iterable, worked
            through in pieces.
        settings: what to judge by.

    Raises:
        InputError: something other than strings, or an unknown table.
    """
    rule = _rule(ELEMENTS, settings or CompositionSettings())
    neutral, balanced, errors, rows = [], [], {}, 0
    for piece in _pieces(formulas):
        parsed = parse_formulas(piece)
        verdict = _judge(parsed.counts, rule)
        neutral.append(verdict.neutral)
        balanced.append(verdict.balanced)
        errors.update({rows + row: complaint for row, complaint in parsed.errors.items()})
        rows += len(parsed.counts)
    nothing = np.zeros(0, dtype=bool)
    return FormulaBalance(np.concatenate([nothing, *neutral]), np.concatenate([nothing, *balanced]), errors)


@dataclass(frozen=True, eq=False)
class _Rule:
    """The settings as one array entry per column; see `matwheel.compositions.kernels.judge_rows`."""

    rank: NDArray[np.int64]
    known: NDArray[np.bool_]
    metal: NDArray[np.bool_]
    mixed: NDArray[np.bool_]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]
    steps: NDArray[np.int64]
    steps_known: NDArray[np.int64]
    alloys_pass: bool


def _rule(elements: Sequence[str], settings: CompositionSettings) -> _Rule:
    symbol_columns(elements)  # refuses unknown and repeated elements
    table = settings.table()
    eneg = pauling_electronegativities()
    order = {value: place for place, value in enumerate(sorted(set(eneg.values())))}
    states = [table.states.get(symbol, ()) for symbol in elements]
    lists = [
        (
            [state for state in own if state >= 0],
            [-state for state in own if state <= 0],
            [state - min(own) for state in own],
            [max(own) - state for state in own],
        )
        for own in states
    ]
    longest = max((len(own) for own in states), default=0)
    steps = np.zeros((4, len(elements), max(longest, 1)), dtype=np.int64)
    steps_known = np.zeros((4, len(elements)), dtype=np.int64)
    for column, kinds in enumerate(lists):
        for kind, values in enumerate(kinds):
            steps[kind, column, : len(values)] = values
            steps_known[kind, column] = len(values)
    mixed = mixed_valence_elements() if settings.mixed_valence else frozenset()
    return _Rule(
        rank=np.array([order[eneg[symbol]] if symbol in eneg else -1 for symbol in elements], dtype=np.int64),
        known=np.array([bool(own) for own in states], dtype=bool),
        metal=np.array([symbol in metals() for symbol in elements], dtype=bool),
        mixed=np.array([symbol in mixed for symbol in elements], dtype=bool),
        lowest=np.array([min(own, default=0) for own in states], dtype=np.int64),
        highest=np.array([max(own, default=0) for own in states], dtype=np.int64),
        steps=steps,
        steps_known=steps_known,
        alloys_pass=settings.alloys_pass,
    )


def _judge(counts: NDArray[np.integer], rule: _Rule) -> Balance:
    from matwheel.compositions.kernels import judge_rows

    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(rule.rank):
        raise InputError(f"counts have shape {counts.shape}, not (compositions, {len(rule.rank)} elements)")
    if not np.issubdtype(counts.dtype, np.integer):
        raise InputError(f"counts are {counts.dtype}, not whole numbers; round them first")
    # Each dtype is compiled once more, so only the usual ones are.
    if counts.dtype not in (np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.int32)):
        counts = counts.astype(np.int64)
    neutral, balanced = np.zeros(len(counts), dtype=bool), np.zeros(len(counts), dtype=bool)
    bad = judge_rows(
        np.ascontiguousarray(counts),
        rule.rank,
        rule.known,
        rule.metal,
        rule.mixed,
        rule.lowest,
        rule.highest,
        rule.steps,
        rule.steps_known,
        rule.alloys_pass,
        LARGEST_AMOUNT,
        neutral,
        balanced,
    )
    if bad >= 0:
        raise InputError(f"counts, row {bad + 1}: an amount is not between 0 and {LARGEST_AMOUNT} atoms")
    return Balance(neutral, balanced)


def _pieces(formulas: Iterable[str | None] | pa.Array | pa.ChunkedArray) -> Iterator[object]:
    # An array of pyarrow, which is not imported for it.
    if isinstance(formulas, Sized) and hasattr(formulas, "slice") and hasattr(formulas, "null_count"):
        for start in range(0, len(formulas), CHUNK_ROWS):
            yield formulas.slice(start, CHUNK_ROWS)
        return
    if isinstance(formulas, str | bytes):
        raise InputError(f"{formulas!r} is one formula; give a list of formulas")
    remaining = iter(formulas)
    while piece := list(islice(remaining, CHUNK_ROWS)):
        yield piece
