"""What generated compositions are worth: validity, uniqueness, recovery of known ones, new ones.

As in MatGAN (Dan et al., npj Comput. Mater. 6, 84, 2020). Every row drawn counts; a row without elements or
with one is neither valid nor unique nor new. Compositions are compared after reduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
        rule: its name among the rules.
        oxidation_table: table of oxidation states.
        alloys_pass: compositions of metals only pass.
        n: compositions judged.
        neutral: charge-neutral ones.
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
        n_elements: number of elements.
        recovered: drawn at least once.
        n: compositions of the part.
    """

    part: str
    n_elements: int
    recovered: int
    n: int


@dataclass(frozen=True)
class Confirmation:
    """How many new compositions another set knows.

    Attributes:
        by: the other set.
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
        generator: name of the generator.
        n: samples drawn, all of which count.
        elements: symbols of the columns.
        validity: of the samples, one entry per rule.
        training_validity: of the training rows, one entry per rule.
        n_elements: samples of 0, 1, 2, ... elements.
        unique_by_elements: distinct compositions of 0, 1, 2, ... elements, nothing for 0 and 1.
        new_by_elements: those of them that are in no part of the own set.
        training_n_elements: training rows of 0, 1, 2, ... elements.
        element_samples: samples that hold each element.
        element_training_rows: training rows that hold each element.
        uniqueness: (number of samples, distinct compositions of at least two elements among them), rising.
        recovery_curve: for the same numbers of samples, compositions of each of PARTS among them.
        recovery: per part and number of elements.
        confirmed: per other set.
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
    """Evaluate samples that come in pieces; memory grows by some 40 bytes per distinct composition only.

    Args:
        pieces: counts of atoms, shape (any, len(elements)) each, not necessarily reduced; e.g. of
            `matwheel.compositions.composition_samples.counts_of_parquet`.
        elements: symbols of the columns, of the samples and of the formula sets alike.
        own: the formula set that the generator was fitted to (columns counts, part).
        others: other formula sets by name, which may confirm new compositions.
        formula_set: name of the own set.
        generator: name of the generator.
        rules: what validity is judged by, by name.
        log: told of the progress.

    Raises:
        InputError: no samples, counts of another shape, or a formula set without training rows.
    """
    known = _Known.of(own, others or {}, elements)
    tally = _Tally(len(elements), known, rules)
    for piece in pieces:
        tally.add(np.asarray(piece), elements)
        if log is not None:
            log(f"{tally.n} compositions evaluated, {len(tally.distinct)} distinct")
    if not tally.n:
        raise InputError(f"{formula_set}, generator {generator}: no samples to evaluate")
    training = known.training
    # 0 and 1 element are left out of what is unique and new.
    compounds = np.arange(len(elements) + 1) >= 2
    own_drawn = known.n_elements[tally.seen & known.is_own]
    new = tally.unique_by_elements - np.bincount(own_drawn, minlength=len(elements) + 1)
    return CompositionEvaluation(
        formula_set=formula_set,
        generator=generator,
        n=tally.n,
        elements=tuple(elements),
        validity=tally.validity(),
        training_validity=validity_of(training, elements, rules),
        n_elements=_trimmed(tally.n_elements),
        unique_by_elements=_trimmed(tally.unique_by_elements * compounds),
        new_by_elements=_trimmed(new * compounds),
        training_n_elements=_trimmed(np.bincount((training > 0).sum(axis=1), minlength=3)),
        element_samples=tuple(tally.element_rows.tolist()),
        element_training_rows=tuple((training > 0).sum(axis=0).tolist()),
        uniqueness=tally.uniqueness(),
        recovery_curve=tally.recovery_curve(),
        recovery=known.recovery(tally.seen),
        confirmed=known.confirmed(tally.seen),
    )


def validity_of(
    counts: NDArray[np.integer],
    elements: Sequence[str],
    rules: Mapping[str, CompositionSettings] = RULES,
) -> tuple[Validity, ...]:
    """Return the validity of compositions, shape (n, len(elements)), under each rule."""
    compounds = reduced_keys(counts, elements)
    _, is_new = KeyIndex(len(counts)).add(compounds.keys)
    return tuple(
        _validity(name, settings, counts, elements, compounds.n_elements, is_new)
        for name, settings in rules.items()
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

    rows: list[dict[str, Any]] = []

    def add(metric: str, group: object, count: int, n: int) -> None:
        share = (
            proportion(count, n)
            if n
            else {"value": np.nan, "count": 0, "n": 0} | dict.fromkeys(("low", "high"), np.nan)
        )
        rows.append({"metric": metric, "group": str(group), **share})

    for prefix, validities in (("", evaluation.validity), ("training_", evaluation.training_validity)):
        for item in validities:
            add(f"{prefix}{NEUTRAL}", item.rule, item.neutral, item.n)
            add(f"{prefix}{BALANCED}", item.rule, item.balanced, item.n)
    for item in evaluation.validity:
        add(f"unique_{NEUTRAL}", item.rule, item.unique_neutral, evaluation.unique)
        add(f"unique_{BALANCED}", item.rule, item.unique_balanced, evaluation.unique)
    for n, unique in evaluation.uniqueness:
        add("unique", n, unique, n)
    for part in PARTS:
        add(f"recovery_{part}", "", *evaluation.recovered(part))
    for found in evaluation.recovery:
        add(f"recovery_{found.part}", found.n_elements, found.recovered, found.n)
    add("new", "", evaluation.new, evaluation.n)
    for size, unique in enumerate(evaluation.unique_by_elements):
        if unique:
            add("new_of_unique", size, evaluation.new_by_elements[size], unique)
    for said in evaluation.confirmed:
        add("confirmed_of_new", said.by, said.confirmed, evaluation.new)
        add("confirmed_of_known", said.by, said.confirmed, said.candidates)
    training = sum(evaluation.training_n_elements)
    for size, count in enumerate(evaluation.n_elements):
        add("n_elements", size, count, evaluation.n)
    for size, count in enumerate(evaluation.training_n_elements):
        add("training_n_elements", size, count, training)
    for symbol, count, known in zip(
        evaluation.elements, evaluation.element_samples, evaluation.element_training_rows, strict=True
    ):
        add("element", symbol, count, evaluation.n)
        add("training_element", symbol, known, training)
    frame = pd.DataFrame(rows)
    frame.insert(0, "formula_set", evaluation.formula_set)
    frame.insert(1, "generator", evaluation.generator)
    return frame


@dataclass(frozen=True, eq=False)
class _Known:
    """Compositions of all formula sets, each once.

    Attributes:
        index: their keys.
        n_elements: number of elements of each.
        is_own: in the own set.
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
        index = KeyIndex(sum(len(table) for table in tables))
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


class _Tally:
    """Running counts over the pieces."""

    def __init__(self, elements: int, known: _Known, rules: Mapping[str, CompositionSettings]) -> None:
        self.n = 0
        self.known, self.rules = known, rules
        self.distinct = KeyIndex()
        self.seen = np.zeros(len(known.index), dtype=bool)
        self.n_elements = np.zeros(elements + 1, dtype=np.int64)
        self.unique_by_elements = np.zeros(elements + 1, dtype=np.int64)
        self.element_rows = np.zeros(elements, dtype=np.int64)
        self._valid: dict[str, list[Validity]] = {name: [] for name in rules}
        self._noted: dict[int, list[int]] = {}
        # Distinct compositions of at least two elements so far, and those of them that each part holds.
        self._found = np.zeros((1 + len(PARTS), 1), dtype=np.int64)

    def add(self, counts: NDArray[np.integer], elements: Sequence[str]) -> None:
        if not len(counts):
            return
        keys, sizes, element_rows = reduced_keys(counts, elements)
        _, is_new = self.distinct.add(keys)
        self.element_rows += element_rows
        width = len(self.n_elements)
        self.n_elements += np.bincount(sizes, minlength=width)
        is_new &= sizes >= 2
        self.unique_by_elements += np.bincount(sizes[is_new], minlength=width)
        found = self.known.index.find(keys[is_new])
        self.seen[found[found >= 0]] = True
        for name, settings in self.rules.items():
            self._valid[name].append(_validity(name, settings, counts, elements, sizes, is_new))
        part = np.full(len(counts), -1)
        part[np.flatnonzero(is_new)[found >= 0]] = self.known.part[found[found >= 0]]
        ways = np.stack([is_new, *(part == number for number in range(len(PARTS)))])
        so_far = self._found + np.cumsum(ways, axis=1)
        for at in uniqueness_grid(self.n + len(counts)):
            if at > self.n:
                self._noted[at] = so_far[:, at - self.n - 1].tolist()
        self.n += len(counts)
        self._found = so_far[:, -1:]

    def validity(self) -> tuple[Validity, ...]:
        return tuple(
            Validity(
                name,
                pieces[0].oxidation_table,
                pieces[0].alloys_pass,
                sum(piece.n for piece in pieces),
                sum(piece.neutral for piece in pieces),
                sum(piece.balanced for piece in pieces),
                sum(piece.unique_neutral for piece in pieces),
                sum(piece.unique_balanced for piece in pieces),
            )
            for name, pieces in self._valid.items()
        )

    def uniqueness(self) -> tuple[tuple[int, int], ...]:
        # The end of every piece was noted too; only the last one belongs to the grid.
        return tuple((at, self._noted[at][0]) for at in uniqueness_grid(self.n))

    def recovery_curve(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(self._noted[at][1:]) for at in uniqueness_grid(self.n))


def _validity(
    name: str,
    settings: CompositionSettings,
    counts: NDArray[np.integer],
    elements: Sequence[str],
    n_elements: NDArray[np.int64],
    is_new: NDArray[np.bool_],
) -> Validity:
    verdict = charge_balance(counts, elements, settings)
    compounds = n_elements >= 2
    neutral, balanced = verdict.neutral & compounds, verdict.balanced & compounds
    return Validity(
        name,
        settings.table().name,
        settings.alloys_pass,
        len(counts),
        int(neutral.sum()),
        int(balanced.sum()),
        int((neutral & is_new).sum()),
        int((balanced & is_new).sum()),
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


def _trimmed(counts: NDArray[np.integer]) -> tuple[int, ...]:
    """Return counts without the zeros at their end."""
    return tuple(counts[: int(np.max(np.flatnonzero(counts), initial=-1)) + 1].tolist())
