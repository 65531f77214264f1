"""What generated compositions are worth: validity, uniqueness, recovery of known ones, new ones.

As in MatGAN (Dan et al., npj Comput. Mater. 6, 84, 2020). Every row drawn counts; a row without elements or
with one is neither valid nor unique nor new. Compositions are compared after reduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.composition_keys import KeyIndex, ReducedKeys, reduced_keys
from matwheel.core.errors import InputError
from matwheel.core.progress import Log
from matwheel.core.proportions import proportion

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation", "held_out")
NEUTRAL, BALANCED = "charge_neutral", "electronegativity_balanced"
RULES: Mapping[str, CompositionSettings] = {
    "smact14": CompositionSettings("smact14", alloys_pass=False),
    "smact14 with alloys": CompositionSettings("smact14", alloys_pass=True),
    "icsd24_consensus3 with alloys": CompositionSettings("icsd24_consensus3", alloys_pass=True),
}
"""What validity is judged by: the rule of MatGAN's time, the same with the alloy shortcut of later SMACT, and
the default of the SMACT that is installed."""


@dataclass(frozen=True)
class Validity:
    """How many compositions are valid under one rule.

    Attributes:
        alloys_pass: compositions of metals only pass.
        balanced: neutral and electronegativity-balanced ones.
        unique_neutral: distinct ones among the neutral.
        unique_balanced: distinct ones among the balanced.
    """

    rule: str
    oxidation_table: str
    alloys_pass: bool
    n: int
    neutral: int
    balanced: int
    unique_neutral: int
    unique_balanced: int


@dataclass(frozen=True)
class Recovery:
    """How many known compositions of one part and number of elements were drawn.

    Attributes:
        part: 'train', 'validation' or 'held_out'.
        recovered: drawn at least once.
    """

    part: str
    n_elements: int
    recovered: int
    n: int


@dataclass(frozen=True)
class Confirmation:
    """How many new compositions another set knows.

    Attributes:
        confirmed: distinct new compositions that it holds.
        candidates: its compositions that the own set does not hold.
    """

    by: str
    confirmed: int
    candidates: int


@dataclass(frozen=True)
class CompositionEvaluation:
    """Counts from one generator's samples of one formula set; shares follow from them.

    Attributes:
        formula_set: name of the set that the generator was fitted to.
        n: samples drawn, all of which count.
        elements: symbols of the columns.
        n_elements: samples of 0, 1, 2, ... elements.
        unique_by_elements: distinct compositions of 0, 1, 2, ... elements, nothing for 0 and 1.
        new_by_elements: those of them that are in no part of the own set.
        training_n_elements: training rows of 0, 1, 2, ... elements.
        uniqueness: (number of samples, distinct compositions of at least two elements among them), rising.
        recovery_curve: for the same numbers of samples, compositions of each of PARTS among them.
        recovery: per part and number of elements.
    """

    formula_set: str
    generator: str
    n: int
    elements: tuple[str, ...]
    validity: tuple[Validity, ...]
    training_validity: tuple[Validity, ...]
    n_elements: tuple[int, ...]
    unique_by_elements: tuple[int, ...]
    new_by_elements: tuple[int, ...]
    training_n_elements: tuple[int, ...]
    element_samples: tuple[int, ...]
    element_training_rows: tuple[int, ...]
    uniqueness: tuple[tuple[int, int], ...]
    recovery_curve: tuple[tuple[int, ...], ...]
    recovery: tuple[Recovery, ...]
    confirmed: tuple[Confirmation, ...] = field(default=())

    @property
    def unique(self) -> int:
        """Distinct compositions of at least two elements."""
        return sum(self.unique_by_elements)

    @property
    def new(self) -> int:
        """Distinct compositions of at least two elements that are in no part of the own set."""
        return sum(self.new_by_elements)

    def recovered(self, part: str) -> tuple[int, int]:
        """Return how many compositions of a part were drawn, and how many it has."""
        own = [item for item in self.recovery if item.part == part]
        return sum(item.recovered for item in own), sum(item.n for item in own)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able mapping, which `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the evaluation that `as_dict` (or its JSON) described."""
        lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list | tuple)}
        kinds = {"validity": Validity, "training_validity": Validity} | {
            "recovery": Recovery,
            "confirmed": Confirmation,
        }
        made = {name: tuple(kind(**item) for item in content[name]) for name, kind in kinds.items()}
        curves = {name: tuple(map(tuple, content[name])) for name in ("uniqueness", "recovery_curve")}
        return cls(**{**content, **lists, **made, **curves})


def evaluate_compositions(
    pieces: Iterable[NDArray[np.integer]],
    elements: Sequence[str],
    own: pd.DataFrame,
    others: Mapping[str, pd.DataFrame] | None = None,
    *,
    formula_set: str,
    generator: str,
    rules: Mapping[str, CompositionSettings] = RULES,
    log: Log | None = None,
) -> CompositionEvaluation:
    """Evaluate samples that come in pieces; memory grows by some 300 bytes per distinct composition only.

    Args:
        pieces: counts of atoms, shape (any, len(elements)) each, not necessarily reduced; e.g. of
            `matwheel.compositions.composition_samples.counts_of_parquet`.
        elements: symbols of the columns, of the samples and of the formula sets alike.
        own: the formula set that the generator was fitted to (columns counts, part).
        others: other formula sets by name, which may confirm new compositions.

    Raises:
        InputError: no samples, counts of another shape, or a formula set without training rows.
    """
    known = _Known.of(own, others or {}, elements)
    samples = _Samples(pieces, elements, log)
    if not samples.n:
        raise InputError(f"{formula_set}, generator {generator}: no samples to evaluate")
    grid = uniqueness_grid(samples.n)
    width = len(elements) + 1
    compounds = samples.n_elements >= 2  # 0 and 1 element are left out of what is unique and new
    place = known.index.find(samples.keys)
    part = np.where(compounds & (place >= 0), known.part[place], -1)
    seen = np.zeros(len(known.index), dtype=bool)
    seen[place[compounds & (place >= 0)]] = True
    training = _Samples([known.training], elements)
    return CompositionEvaluation(
        formula_set=formula_set,
        generator=generator,
        n=samples.n,
        elements=tuple(elements),
        validity=samples.validity(elements, rules),
        training_validity=training.validity(elements, rules),
        n_elements=_histogram(np.repeat(samples.n_elements, samples.drawn), width),
        unique_by_elements=_histogram(samples.n_elements[compounds], width),
        new_by_elements=_histogram(samples.n_elements[compounds & (part < 0)], width),
        training_n_elements=_histogram(np.repeat(training.n_elements, training.drawn), width),
        element_samples=samples.rows_with_elements(),
        element_training_rows=training.rows_with_elements(),
        uniqueness=tuple((n, samples.distinct_among(n, compounds)) for n in grid),
        recovery_curve=tuple(
            tuple(samples.distinct_among(n, part == number) for number in range(len(PARTS))) for n in grid
        ),
        recovery=known.recovery(seen),
        confirmed=known.confirmed(seen),
    )


def uniqueness_grid(largest: int) -> list[int]:
    """Return the numbers of samples at which uniqueness is noted: ten per decade, 340,000 and 2,000,000."""
    decades = np.log10(max(largest, 1))
    even = np.unique(np.round(10 ** np.arange(0, decades + 0.05, 0.1)).astype(np.int64)).tolist()
    return sorted({n for n in (*even, 340_000, 2_000_000, largest) if 1 <= n <= largest})


def evaluation_table(evaluation: CompositionEvaluation) -> pd.DataFrame:
    """Return every figure of an evaluation, one row each, shares with their 95 % Wilson interval.

    Columns: formula_set, generator, metric, group (rule, number of elements, other set, element or number of
    samples; empty for the whole), value, count, n, low, high. A share of nothing has no value.
    """
    import pandas as pd

    shares = [*_validity_shares(evaluation), *_novelty_shares(evaluation), *_content_shares(evaluation)]
    frame = pd.DataFrame(
        {"metric": metric, "group": str(group), **proportion(count, n)} for metric, group, count, n in shares
    )
    frame.insert(0, "formula_set", evaluation.formula_set)
    frame.insert(1, "generator", evaluation.generator)
    return frame


_Share = tuple[str, object, int, int]
"""Metric, group, count and of how many."""


def _validity_shares(evaluation: CompositionEvaluation) -> Iterator[_Share]:
    for prefix, validities in (("", evaluation.validity), ("training_", evaluation.training_validity)):
        for item in validities:
            yield f"{prefix}{NEUTRAL}", item.rule, item.neutral, item.n
            yield f"{prefix}{BALANCED}", item.rule, item.balanced, item.n
    for item in evaluation.validity:
        yield f"unique_{NEUTRAL}", item.rule, item.unique_neutral, evaluation.unique
        yield f"unique_{BALANCED}", item.rule, item.unique_balanced, evaluation.unique


def _novelty_shares(evaluation: CompositionEvaluation) -> Iterator[_Share]:
    for n, unique in evaluation.uniqueness:
        yield "unique", n, unique, n
    for part in PARTS:
        yield f"recovery_{part}", "", *evaluation.recovered(part)
    for found in evaluation.recovery:
        yield f"recovery_{found.part}", found.n_elements, found.recovered, found.n
    yield "new", "", evaluation.new, evaluation.n
    by_elements = zip_longest(evaluation.new_by_elements, evaluation.unique_by_elements, fillvalue=0)
    for size, (new, unique) in enumerate(by_elements):
        if unique:
            yield "new_of_unique", size, new, unique
    for said in evaluation.confirmed:
        yield "confirmed_of_new", said.by, said.confirmed, evaluation.new
        yield "confirmed_of_known", said.by, said.confirmed, said.candidates


def _content_shares(evaluation: CompositionEvaluation) -> Iterator[_Share]:
    training = sum(evaluation.training_n_elements)
    for size, count in enumerate(evaluation.n_elements):
        yield "n_elements", size, count, evaluation.n
    for size, count in enumerate(evaluation.training_n_elements):
        yield "training_n_elements", size, count, training
    for symbol, count, known in zip(
        evaluation.elements, evaluation.element_samples, evaluation.element_training_rows, strict=True
    ):
        yield "element", symbol, count, evaluation.n
        yield "training_element", symbol, known, training


@dataclass(frozen=True, eq=False)
class _Known:
    """Compositions of all formula sets, each once.

    Attributes:
        part: place in PARTS of each; -1 of those that are not own.
        of_others: places of each other set's compositions.
        training: counts of the own training rows.
    """

    index: KeyIndex
    n_elements: NDArray[np.int64]
    is_own: NDArray[np.bool_]
    part: NDArray[np.int64]
    of_others: Mapping[str, NDArray[np.int64]]
    training: NDArray[np.uint8]

    @classmethod
    def of(cls, own: pd.DataFrame, others: Mapping[str, pd.DataFrame], elements: Sequence[str]) -> Self:
        tables = [own, *others.values()]
        index = KeyIndex()
        sizes: list[NDArray[np.int64]] = []
        places = []
        for name, table in zip(("own", *others), tables, strict=True):
            keys = _keys_of(table, elements, name)
            place, is_new = index.add(keys.keys)
            sizes.append(keys.n_elements[is_new])
            places.append(place)
        part = np.full(len(index), -1, dtype=np.int64)
        unknown = set(own["part"]) - set(PARTS)
        if unknown:
            raise InputError(f"formula set: part {sorted(unknown)[0]!r} is none of {', '.join(PARTS)}")
        part[places[0]] = own["part"].map(PARTS.index).to_numpy()
        training = own.loc[own["part"] == PARTS[0], "counts"]
        if not len(training):
            raise InputError("the formula set has no training rows")
        return cls(
            index,
            np.concatenate(sizes),
            part >= 0,
            part,
            {name: np.unique(place) for name, place in zip(others, places[1:], strict=True)},
            np.stack(training.to_list()),
        )

    def recovery(self, seen: NDArray[np.bool_]) -> tuple[Recovery, ...]:
        found = []
        for number, part in enumerate(PARTS):
            rows = self.part == number
            for size in np.unique(self.n_elements[rows]):
                here = rows & (self.n_elements == size)
                found.append(Recovery(part, int(size), int((here & seen).sum()), int(here.sum())))
        return tuple(found)

    def confirmed(self, seen: NDArray[np.bool_]) -> tuple[Confirmation, ...]:
        foreign = ~self.is_own & (self.n_elements >= 2)
        return tuple(
            Confirmation(name, int((foreign & seen)[places].sum()), int(foreign[places].sum()))
            for name, places in self.of_others.items()
        )


class _Samples:
    """The distinct compositions of samples that come in pieces, in the order of their first draws.

    Attributes:
        counts: atoms of each composition as it was first drawn, shape (distinct, elements).
        keys: see `reduced_keys`.
        first: number of samples before its first draw.
        drawn: how often each was drawn.
    """

    def __init__(
        self, pieces: Iterable[NDArray[np.integer]], elements: Sequence[str], log: Log | None = None
    ) -> None:
        self.n, self.drawn = 0, np.zeros(0, dtype=np.int64)
        index = KeyIndex()
        counts: list[NDArray[np.integer]] = [np.zeros((0, len(elements)), dtype=np.uint8)]
        first = [np.zeros(0, dtype=np.int64)]
        for piece in map(np.asarray, pieces):
            places, is_new = index.add(reduced_keys(piece, elements).keys)
            counts.append(piece[is_new])
            first.append(self.n + np.flatnonzero(is_new))
            self.drawn.resize(len(index), refcheck=False)
            np.add.at(self.drawn, places, 1)
            self.n += len(piece)
            if log is not None:
                log(f"{self.n} compositions evaluated, {len(index)} distinct")
        self.counts, self.first = np.concatenate(counts), np.concatenate(first)
        self.keys, self.n_elements = reduced_keys(self.counts, elements)

    def distinct_among(self, n: int, chosen: NDArray[np.bool_]) -> int:
        """Return how many of the chosen compositions occur among the first n samples."""
        return int(np.searchsorted(self.first[chosen], n))

    def rows_with_elements(self) -> tuple[int, ...]:
        return tuple(int(self.drawn[column > 0].sum()) for column in self.counts.T)

    def validity(
        self, elements: Sequence[str], rules: Mapping[str, CompositionSettings]
    ) -> tuple[Validity, ...]:
        return tuple(self._valid(name, elements, settings) for name, settings in rules.items())

    def _valid(self, name: str, elements: Sequence[str], settings: CompositionSettings) -> Validity:
        verdict = charge_balance(self.counts, elements, settings)
        compounds = self.n_elements >= 2
        neutral, balanced = verdict.neutral & compounds, verdict.balanced & compounds
        return Validity(
            name,
            settings.table().name,
            settings.alloys_pass,
            self.n,
            int(self.drawn[neutral].sum()),
            int(self.drawn[balanced].sum()),
            int(neutral.sum()),
            int(balanced.sum()),
        )


def _keys_of(table: pd.DataFrame, elements: Sequence[str], name: str) -> ReducedKeys:
    if not len(table):
        raise InputError(f"formula set {name} has no rows")
    counts = np.stack(table["counts"].to_list())
    if counts.shape[1] != len(elements):
        raise InputError(
            f"formula set {name} has {counts.shape[1]} elements and the samples {len(elements)}; "
            "make both with the same elements"
        )
    return reduced_keys(counts, elements)


def _histogram(sizes: NDArray[np.integer], width: int) -> tuple[int, ...]:
    """Return how often 0, 1, 2, ... occur, without the zeros at the end."""
    return tuple(np.trim_zeros(np.bincount(sizes, minlength=width), "b").tolist())
