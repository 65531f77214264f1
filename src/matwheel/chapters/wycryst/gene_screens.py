"""Screens of Wyckoff genes: what can be judged before there is a structure, 100,000 genes in seconds.

Each function returns verdicts on all genes as a table (`matwheel.verdicts`), in the given order,
made column by column.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.formulas import ELEMENTS, LARGEST_AMOUNT, formula_counts, reduce_counts
from matwheel.compositions.oxidation_states import metals, pauling_electronegativities, smact_version
from matwheel.core.errors import InputError
from matwheel.screening.composition_validity import CHARGE_NEUTRALITY, ELECTRONEGATIVITY
from matwheel.verdicts import COLUMNS, ERROR, FAIL, PASS
from matwheel.wyckoff.gene_targets import PropertyWindow, checked_windows
from matwheel.wyckoff.wyckoff_genes import GeneArrays, element_order
from matwheel.wyckoff.wyckoff_positions import LETTERS, SPACE_GROUPS, pyxtal_version, wyckoff_positions

GENE_VALIDITY = "gene_validity"
UNIQUE_GENE = "unique_gene"
ONE_ANION = "one_anion"
NOVEL_GENE = "novel_gene"
NOVEL_FORMULA = "novel_formula"
PROPERTY_WINDOW = "property_window"
CANONICAL_GENE = "canonical gene"

NUMBERS_OF_ELEMENTS = (3,)
LARGEST_ATOMS = 40
ANIONS = ("O", "S", "Se", "Te", "F", "Cl", "Br", "I")
MOST_ANIONS = 1

PROPERTY_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "formation_energy_ev_per_atom": ("formation energy", "eV/atom"),
        "band_gap_ev": ("band gap", "eV"),
        "e_above_hull_ev_per_atom": ("energy above hull", "eV/atom"),
    }
)
"""Name of a property's column → words and unit; another property is called by its column."""


def gene_validity(
    ids: Sequence[str],
    arrays: GeneArrays,
    *,
    numbers_of_elements: Collection[int] = NUMBERS_OF_ELEMENTS,
    largest_atoms: int = LARGEST_ATOMS,
) -> pd.DataFrame:
    """Judge whether each gene can be a crystal.

    Asked in this order: a space group there is; letters of the group only; an element on every site and a
    site for every element, each element once; a fixed position taken at most once; an allowed number of
    elements; atoms of the primitive cell (the value) within the limit (the threshold). The reason is the
    first that fails.
    """
    started = time.perf_counter()
    positions = wyckoff_positions()
    group = arrays.space_group.astype(np.int64)
    no_group = (group < 1) | (group > SPACE_GROUPS)
    group = np.where(no_group, 1, group)
    letters = arrays.letters.astype(np.int64)
    taken = letters.sum(axis=1)
    foreign = (taken > 0) & ~positions.exists[group]
    has_element, has_site = arrays.elements > 0, letters.any(axis=2)
    empty = has_element & ~has_site
    same = arrays.elements[:, :, None] == arrays.elements[:, None, :]
    repeated = has_element & np.triu(same, 1).any(axis=1)
    crowded = (taken > 1) & positions.is_fixed[group]
    number = has_element.sum(axis=1)
    atoms = np.einsum("nl,nl->n", taken, positions.multiplicity[group]) // positions.centring[group]

    def symbol(row: int, slots: NDArray[np.bool_]) -> str:
        return ELEMENTS[arrays.elements[row, slots[row].argmax()] - 1]

    def letter(row: int, which: NDArray[np.bool_]) -> str:
        return LETTERS[which[row].argmax()]

    allowed = sorted(set(numbers_of_elements))
    words = " or ".join(map(str, allowed))
    reasons = _first_reasons(
        len(arrays),
        [
            (no_group, lambda row: f"there is no space group {arrays.space_group[row]}"),
            (~np.any(has_element, axis=1), lambda row: "no element"),
            (
                np.any(foreign, axis=1),
                lambda row: f"space group {group[row]} has no position {letter(row, foreign)}",
            ),
            (np.any(has_site & ~has_element, axis=1), lambda row: "a site is without an element"),
            (np.any(empty, axis=1), lambda row: f"{symbol(row, empty)} is without a site"),
            (np.any(repeated, axis=1), lambda row: f"{symbol(row, repeated)} is listed twice"),
            (
                np.any(crowded, axis=1),
                lambda row: (
                    f"position {letter(row, crowded)} of space group {group[row]} is fixed, but taken "
                    f"{taken[row, crowded[row].argmax()]} times"
                ),
            ),
            (~np.isin(number, allowed), lambda row: f"{number[row]} elements, not {words}"),
            (
                atoms > largest_atoms,
                lambda row: f"{atoms[row]} atoms in the primitive cell, more than {largest_atoms}",
            ),
        ],
    )
    return _verdicts(
        ids, GENE_VALIDITY, np.where(reasons == "", PASS, FAIL), started, reason=reasons, value=atoms,
        threshold=largest_atoms, tool="Wyckoff positions", tool_version=f"pyxtal {pyxtal_version()}",
    )  # fmt: skip


def unique_gene(ids: Sequence[str], keys: NDArray[np.uint64], *, tool_version: str = "") -> pd.DataFrame:
    """Judge whether no earlier gene is the same; the first of several passes.

    Args:
        keys: the same number for all descriptions of one crystal, uint64, shape (n,).
        tool_version: of what made the keys.
    """
    started = time.perf_counter()
    keys = _checked_keys(keys, len(ids))
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    first_row = first[which]
    copy = first_row != np.arange(len(keys))
    reasons = _first_reasons(len(keys), [(copy, lambda row: f"the same gene as {ids[first_row[row]]}")])
    verdict = np.where(copy, FAIL, PASS)
    return _verdicts(
        ids, UNIQUE_GENE, verdict, started, reason=reasons, tool=CANONICAL_GENE, tool_version=tool_version
    )


def charge_neutrality(
    ids: Sequence[str], arrays: GeneArrays, settings: CompositionSettings | None = None
) -> pd.DataFrame:
    """Judge whether some choice of one oxidation state per element is neutral; see `charge_balance`.

    Raises:
        InputError: an unknown table of oxidation states, or a file of states that cannot be understood.
    """
    return _composition_screen(ids, arrays, settings, CHARGE_NEUTRALITY)


def electronegativity(
    ids: Sequence[str], arrays: GeneArrays, settings: CompositionSettings | None = None
) -> pd.DataFrame:
    """Judge whether a neutral choice has every cation less electronegative than every anion.

    Raises:
        InputError: as `charge_neutrality`.
    """
    return _composition_screen(ids, arrays, settings, ELECTRONEGATIVITY)


def one_anion(
    ids: Sequence[str],
    arrays: GeneArrays,
    *,
    anions: Collection[str] = ANIONS,
    most_anions: int = MOST_ANIONS,
) -> pd.DataFrame:
    """Judge whether at most `most_anions` (the threshold) of the elements are among `anions`.

    Raises:
        InputError: an anion is no element.
    """
    started = time.perf_counter()
    unknown = [symbol for symbol in anions if symbol not in ELEMENTS]
    if unknown:
        raise InputError(f"anions: {unknown[0]!r} is not one of the 103 elements H to Lr")
    is_anion = np.zeros(len(ELEMENTS) + 1, dtype=bool)
    is_anion[[ELEMENTS.index(symbol) + 1 for symbol in anions]] = True
    held = is_anion[arrays.elements]
    number = held.sum(axis=1)
    reasons = _first_reasons(
        len(arrays),
        [
            (
                number > most_anions,
                lambda row: (
                    f"{' and '.join(_symbols(arrays.elements[row, held[row]]))} are anions, "
                    f"{most_anions} allowed"
                ),
            )
        ],
    )
    verdict = np.where(number > most_anions, FAIL, PASS)
    return _verdicts(
        ids, ONE_ANION, verdict, started, reason=reasons, value=number, threshold=most_anions,
        tool="elements", tool_version=" ".join(symbol for symbol in ELEMENTS if symbol in set(anions)),
    )  # fmt: skip


def novel_gene(
    ids: Sequence[str],
    keys: NDArray[np.uint64],
    reference_keys: NDArray[np.uint64],
    *,
    reference_name: str = "reference",
) -> pd.DataFrame:
    """Judge whether no reference gene is the same; the version of the tool is a hash of the reference keys.

    Args:
        keys: as for `unique_gene`.
        reference_keys: keys of the known genes, made the same way, shape (m,).
        reference_name: what the reference is called in reasons, e.g. 'training'.
    """
    started = time.perf_counter()
    keys = _checked_keys(keys, len(ids))
    known = np.unique(_checked_keys(reference_keys))
    found = np.isin(keys, known)
    reasons = np.where(found, f"the gene is known in {reference_name}", "")
    digest = sha256(known.astype("<u8").tobytes()).hexdigest()[:16]
    return _verdicts(
        ids, NOVEL_GENE, np.where(found, FAIL, PASS), started, reason=reasons, tool=CANONICAL_GENE,
        tool_version=f"{reference_name} {digest}",
    )  # fmt: skip


def novel_formula(
    ids: Sequence[str],
    arrays: GeneArrays,
    reference_formulas: Iterable[str],
    *,
    reference_name: str = "reference",
) -> pd.DataFrame:
    """Judge whether no reference has the reduced formula; a known formula may still be a new structure.

    Args:
        reference_formulas: formulas in any spelling, reduced or not.

    Raises:
        InputError: a reference formula that cannot be read, by its row.
    """
    started = time.perf_counter()
    references = reduce_counts(formula_counts(list(reference_formulas), source=reference_name))
    known = np.unique(reduced_formula_keys(references))
    counts = arrays.counts()
    found = np.isin(reduced_formula_keys(counts), known)
    nothing = ~np.any(counts, axis=1)
    reasons = _first_reasons(
        len(arrays),
        [
            (nothing, lambda row: "no formula: no atoms"),
            (found, lambda row: f"formula {_formula(counts[row])} is known in {reference_name}"),
        ],
    )
    digest = sha256(known.tobytes()).hexdigest()[:16]
    return _verdicts(
        ids, NOVEL_FORMULA, np.where(nothing, ERROR, np.where(found, FAIL, PASS)), started, reason=reasons,
        tool="reduced formula", tool_version=f"{reference_name} {digest}",
    )  # fmt: skip


def property_window(
    ids: Sequence[str],
    values: Mapping[str, ArrayLike],
    windows: Mapping[str, PropertyWindow | Sequence[float | None]],
    *,
    screen: str = PROPERTY_WINDOW,
    tool: str = "",
) -> pd.DataFrame:
    """Judge whether the predicted properties are inside all windows.

    The value of a failed gene is the first property outside its window and the threshold the bound that it
    crosses; both are NaN for the others. An unknown property is an error.

    Args:
        values: property → predicted values, shape (n,), in the unit of its window.
        windows: property → window, or [low, high] with None for no bound.

    Raises:
        InputError: a window without values, or values of another length.
    """
    started = time.perf_counter()
    checked = checked_windows(screen, windows)
    n = len(ids)
    judged, bounds = np.full(n, np.nan), np.full(n, np.nan)
    reasons, verdict = np.full(n, "", dtype=object), np.full(n, PASS, dtype=object)
    for name, window in checked.items():
        if name not in values:
            raise InputError(f"{screen}: a window of {name}, but no predicted values of it; predict it too")
        own = _checked_values(values[name], n, f"{screen}, {name}")
        words, unit = PROPERTY_WORDS.get(name, (name, ""))
        unknown = np.isnan(own) & (verdict != ERROR)
        reasons[unknown], verdict[unknown] = f"no predicted {words}", ERROR
        judged[unknown], bounds[unknown] = np.nan, np.nan
        outside = ~window.contains(own) & (verdict == PASS)
        below = np.zeros(n, dtype=bool) if window.low is None else own < window.low
        judged[outside] = own[outside]
        bounds[outside & below], bounds[outside & ~below] = window.low, window.high
        verdict[outside] = FAIL
        reasons[outside] = [
            f"{words} of {value:.3f}{' ' * bool(unit)}{unit} is not {window}" for value in own[outside]
        ]
    return _verdicts(ids, screen, verdict, started, reason=reasons, value=judged, threshold=bounds, tool=tool)


def score_screen(
    ids: Sequence[str],
    screen: str,
    values: ArrayLike,
    threshold: float,
    *,
    passes_above: bool,
    tool: str = "",
    tool_version: str = "",
) -> pd.DataFrame:
    """Judge a score, e.g. of synthesizability (passes above) or of being a metal (passes below).

    Args:
        screen: its name, e.g. 'synthesizability'.
        values: scores, shape (n,); NaN where there is none, an error.
        threshold: a score that equals it fails.

    Raises:
        InputError: values of another length, or no threshold.
    """
    started = time.perf_counter()
    if not np.isfinite(threshold):
        raise InputError(f"{screen}: the threshold is {threshold}; give a number")
    values = _checked_values(values, len(ids), screen)
    passes = values > threshold if passes_above else values < threshold
    unknown = np.isnan(values)
    words, side = screen.replace("_", " "), "above" if passes_above else "below"
    reasons = _first_reasons(
        len(values),
        [
            (unknown, lambda row: f"no {words}"),
            (~passes, lambda row: f"{words} of {values[row]:.3f} is not {side} {threshold:g}"),
        ],
    )
    return _verdicts(
        ids, screen, np.where(unknown, ERROR, np.where(passes, PASS, FAIL)), started, reason=reasons,
        value=values, threshold=threshold, tool=tool, tool_version=tool_version,
    )  # fmt: skip


def reduced_formula_keys(counts: NDArray[np.integer | np.bool_]) -> NDArray[np.void]:
    """Return reduced compositions as one item each, shape (n,): the bytes of their counts, exact.

    Args:
        counts: reduced, shape (n, 103).
    """
    rows = np.ascontiguousarray(counts, dtype="<i4")
    return rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]


def _composition_screen(
    ids: Sequence[str], arrays: GeneArrays, settings: CompositionSettings | None, screen: str
) -> pd.DataFrame:
    started = time.perf_counter()
    settings = settings or CompositionSettings()
    table = settings.table()
    counts = arrays.counts()
    nothing, huge = ~np.any(counts, axis=1), np.any(counts > LARGEST_AMOUNT, axis=1)
    neutral, balanced = charge_balance(np.where(huge[:, None], 0, counts), ELEMENTS, settings)
    present = counts > 0
    stateless = np.array([symbol not in table.states for symbol in ELEMENTS])
    enegless = np.array([symbol not in pauling_electronegativities() for symbol in ELEMENTS])
    metallic = ~(present & np.array([symbol not in metals() for symbol in ELEMENTS])).any(axis=1)
    single = present.sum(axis=1) == 1
    alloy = metallic & settings.alloys_pass & balanced

    def symbols(row: int, which: NDArray[np.bool_]) -> str:
        return ", ".join(_symbols(np.flatnonzero(present[row] & which) + 1))

    faults = [
        (nothing, lambda row: "no atoms"),
        (huge, lambda row: f"more than {LARGEST_AMOUNT} atoms of one element in the reduced formula"),
        (single & balanced, lambda row: "passes as a single element"),
        (alloy, lambda row: "passes as an alloy: metals only"),
        (
            ~neutral & (present & stateless).any(axis=1),
            lambda row: f"no oxidation state of {symbols(row, stateless)} in {table.name}",
        ),
        (
            ~neutral,
            lambda row: (
                f"no choice of oxidation states in {table.name} makes {_formula(counts[row])} neutral"
            ),
        ),
    ]
    if screen == ELECTRONEGATIVITY:
        faults += [
            (
                ~balanced & (present & enegless).any(axis=1),
                lambda row: f"no Pauling electronegativity of {symbols(row, enegless)}",
            ),
            (
                ~balanced,
                lambda row: (
                    f"{_formula(counts[row])} is neutral in {table.name} only with a cation at least "
                    "as electronegative as an anion"
                ),
            ),
        ]
    passes = neutral if screen == CHARGE_NEUTRALITY else balanced
    version = f"smact {smact_version()} {table.sha256[:12]}"
    version += ", mixed valence" if settings.mixed_valence else ""
    version += "" if settings.alloys_pass else ", alloys judged"
    return _verdicts(
        ids, screen, np.where(nothing | huge, ERROR, np.where(passes, PASS, FAIL)), started,
        reason=_first_reasons(len(arrays), faults), tool=table.name, tool_version=version,
    )  # fmt: skip


def _first_reasons(
    n: int, faults: Iterable[tuple[NDArray[np.bool_], Callable[[int], str]]]
) -> NDArray[np.object_]:
    """Return for each of n rows what the first fault that it has says of it; '' without any."""
    reasons = np.full(n, "", dtype=object)
    for rows, say in faults:
        for row in np.flatnonzero(rows & (reasons == "")):
            reasons[row] = say(int(row))
    return reasons


def _verdicts(
    ids: Sequence[str], screen: str, verdict: NDArray, started: float, **columns: object
) -> pd.DataFrame:
    """Return a verdict table; `started` is when the work on it began, shared among the genes."""
    if len(ids) != len(verdict):
        raise InputError(f"{screen}: {len(ids)} ids and {len(verdict)} genes; give an id per gene")
    seconds = (time.perf_counter() - started) / max(1, len(ids))
    values = {
        "candidate_id": list(ids), "screen": screen, "verdict": verdict, "value": np.nan,
        "threshold": np.nan, "reason": "", "tool": "", "tool_version": "", "seconds": seconds,
    } | columns  # fmt: skip
    frame = pd.DataFrame(values, columns=list(COLUMNS), index=range(len(ids)))
    numbers = ("value", "threshold", "seconds")
    return frame.astype({name: float if name in numbers else str for name in COLUMNS})


def _checked_keys(keys: NDArray[np.uint64], n: int | None = None) -> NDArray[np.uint64]:
    keys = np.asarray(keys)
    if keys.ndim != 1 or keys.dtype != np.uint64 or (n is not None and len(keys) != n):
        raise InputError(f"keys of shape {keys.shape} and type {keys.dtype}; give one uint64 per gene")
    return keys


def _checked_values(values: ArrayLike, n: int, what: str) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,):
        raise InputError(f"{what}: values of shape {values.shape} for {n} genes; give one per gene")
    return values


def _symbols(numbers: NDArray[np.integer]) -> list[str]:
    return [ELEMENTS[number - 1] for number in numbers.tolist()]


def _formula(counts: NDArray[np.integer]) -> str:
    """Return one row of counts as a formula, elements from the least to the most electronegative."""
    present = {ELEMENTS[column]: int(counts[column]) for column in np.flatnonzero(counts)}
    order = sorted(present, key=_element_places().__getitem__)
    return "".join(f"{symbol}{present[symbol] if present[symbol] > 1 else ''}" for symbol in order)


@cache
def _element_places() -> dict[str, int]:
    return {symbol: place for place, symbol in enumerate(element_order())}
