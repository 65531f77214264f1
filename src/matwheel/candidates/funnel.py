"""The funnel: what each screen leaves of a set of candidates, and how many are stable, unique and novel.

Pure aggregations of the verdict table (`matwheel.verdicts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.proportions import share_columns
from matwheel.core.table_rows import records
from matwheel.figures.figures import name_rows, new_figure, save_figure, set_headings, styled, write_beside
from matwheel.verdicts import ERROR, FAIL, PASS, ROUNDING_EV_PER_ATOM, UNDECIDED, verdict_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FUNNEL_ORDER = (
    "parse",
    "structure",
    "charge_neutrality",
    "electronegativity",
    "unique",
    "novel_",
    "symmetry",
    "synthesizability",
    "single_point",
    "relaxation",
    "unique_relaxed",
    "novel_relaxed",
    "hull_dft",
    "hull_potential",
    "hull",
    "phonons",
    "dft",
)
"""Screens in the order in which a candidate meets them; a trailing '_' is any name that begins so."""

HULL_SCREENS = ("hull_dft", "hull_potential")
DYNAMICAL_SCREEN = "phonons"
UNIQUE_SCREENS = ("unique", "unique_relaxed")
NOVELTY_SCREENS = ("novel_training", "novel_relaxed")
"""Uniqueness and novelty as S.U.N. asks for them: of the crystals as generated and as relaxed."""

STABLE_EV_PER_ATOM = 0.0
METASTABLE_EV_PER_ATOM = 0.1

FUNNEL_COLUMNS = (
    "screen", "entered", "passed", "failed", "undecided", "error", "not_judged", "pass_rate", "pass_rate_low",
    "pass_rate_high", "alive", "candidates", "share", "share_low", "share_high", "share_at_most",
)  # fmt: skip
SUN_COLUMNS = (
    "metric", "hull", "count", "rejected", "undecided", "error", "not_judged", "candidates", "measured",
    "rate", "rate_low", "rate_high", "rate_at_least", "rate_at_most",
    "share_at_least", "share_at_most", "share_low", "share_high",
    "share_estimate", "share_estimate_low", "share_estimate_high", "meaning",
)  # fmt: skip


def in_funnel_order(screens: Iterable[str]) -> list[str]:
    """Return distinct screen names in the order of `FUNNEL_ORDER`; unknown ones last, as they come."""

    def place(screen: str) -> int:
        if screen in FUNNEL_ORDER:
            return FUNNEL_ORDER.index(screen)
        for position, name in enumerate(FUNNEL_ORDER):
            if name.endswith("_") and screen.startswith(name):
                return position
        return len(FUNNEL_ORDER)

    return sorted(dict.fromkeys(screens), key=place)


def deciding_screens(screens: Sequence[str]) -> list[str]:
    """Return, in funnel order, the screens whose verdict keeps or rejects a candidate by default.

    Left out are those that only inform: novelty of the formula alone, each hull by itself where `hull` (both
    together) was judged, and DFT.
    """
    informing = {"novel_formula", "dft"} | (set(HULL_SCREENS) if "hull" in screens else set())
    return [screen for screen in in_funnel_order(screens) if screen not in informing]


def funnel_counts(
    verdicts: pd.DataFrame, candidate_ids: Sequence[str], screens_in_order: Sequence[str]
) -> pd.DataFrame:
    """Count what each screen leaves, in the order of the funnel.

    A candidate is alive while every screen so far passed it. Undecided, error and not judged end its way as a
    rejection does, but are counted apart.

    Args:
        verdicts: verdict table (columns of `matwheel.verdicts.COLUMNS`); may hold more screens.

    Returns:
        One row per screen, columns `FUNNEL_COLUMNS`: entered (alive before and judged here) = passed + failed
        + undecided + error; not_judged (alive before, no verdict here); pass_rate = passed / entered; alive =
        passed everything up to here; candidates (n of the shares); share = alive / candidates; share_at_most:
        the same if everything undecided, in error or not judged had passed. `_low` and `_high` are 95 %
        Wilson intervals; NaN where n is 0.

    Raises:
        ValueError: a screen judged a candidate twice, or a screen or candidate is listed twice.
    """
    grid = _grid(verdicts, candidate_ids, screens_in_order)
    n = len(candidate_ids)
    alive = np.ones(n, dtype=bool)
    possible = np.ones(n, dtype=bool)
    rows = []
    for column, screen in enumerate(screens_in_order):
        here = grid[:, column]
        passed, failed, undecided, error = (
            int((alive & (here == verdict)).sum()) for verdict in (PASS, FAIL, UNDECIDED, ERROR)
        )
        entered = passed + failed + undecided + error
        not_judged = int(alive.sum()) - entered
        possible &= here != FAIL
        alive &= here == PASS
        rate, share = _share(passed, entered), _share(int(alive.sum()), n)
        at_most = possible.sum() / n if n else np.nan
        rows.append(
            (screen, entered, passed, failed, undecided, error, not_judged, *rate, int(alive.sum()), n,
             *share, at_most)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(FUNNEL_COLUMNS))


def sun_rates(
    verdicts: pd.DataFrame,
    candidate_ids: Sequence[str],
    screens_in_order: Sequence[str],
    *,
    unique_screens: Sequence[str] = UNIQUE_SCREENS,
    novelty_screens: Sequence[str] = NOVELTY_SCREENS,
    hull_screens: Sequence[str] = HULL_SCREENS,
    stable_ev_per_atom: float = STABLE_EV_PER_ATOM,
    metastable_ev_per_atom: float = METASTABLE_EV_PER_ATOM,
    other_choices: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Count the candidates that are stable (or metastable), unique and novel, with and without phonons.

    Four metrics: S.U.N. (energy above hull ≤ 0), M.S.U.N. (≤ 0.1 eV/atom, of layers 0.2), and S.U.N.D. and
    M.S.U.N.D., which ask for a pass of phonons too; each under each hull, and under all of them
    at once ('both').
    Where a budget left crystals out, copies are known among the relaxed ones only.

    A candidate counts when everything is known and as it should be, and is rejected when something known is
    not: a screen of the funnel before the hull failed it, it is a copy, known, too high above the hull or
    dynamically unstable. An error of `parse` or `structure` is a rejection too: there is no crystal. All
    others are open: undecided, in error, or not judged (left out by a budget).

    Args:
        verdicts: verdict table; the energy above a hull is the `value` of its screen, in eV/atom.
        screens_in_order: screens of the funnel; those before the hulls must be passed.
        unique_screens: screens of uniqueness, all to be passed.
        novelty_screens: screens of novelty against the set that matters, all to be passed; none: not asked.
        hull_screens: screens whose values are energies above a hull.
        stable_ev_per_atom: largest energy above hull of a stable crystal.
        metastable_ev_per_atom: largest energy above hull of a metastable crystal, where its verdicts name no
            threshold; those of layers name one of their own.
        other_choices: name of another choice of anion rule or reference phases → the verdicts of the hulls
            under it (`matwheel.hull.hull_sensitivity`); all else stays as it is.

    Returns:
        Columns `SUN_COLUMNS`, before the last of them count_<choice> and rate_<choice> of each other choice:
        what count and rate would be under it. count + rejected + undecided + error + not_judged = candidates.
        `rate` is count / measured, with its 95 % Wilson interval: the share among those whose every figure
        was measured, not among all candidates. With the undecided among them it lies between rate_at_least
        (undecided as no) and rate_at_most (undecided as yes). The share among all candidates lies between
        share_at_least (nothing open counts) and share_at_most (everything open counts); share_low and
        share_high are the outer ends of their 95 % Wilson intervals. share_estimate is the product of the
        shares that met each condition among those that were judged by it and had met all before (Kaplan &
        Meier, J. Am. Stat. Assoc. 53, 457, 1958): right when those left out by a budget are like those
        judged, as in a random sample; undecided and error count as not met. Phonons go to the crystals
        nearest to the hull, which is no random sample, so where a budget left some out the metrics that ask
        for phonons have no estimate (NaN). Its 95 % interval is Wilson's when nobody was left out, else from
        the product of Jeffreys posteriors.
    """
    not_before = {*hull_screens, "hull", DYNAMICAL_SCREEN, "dft", *unique_screens, *novelty_screens}
    gates = [screen for screen in screens_in_order if screen not in not_before]
    asked = [*gates, *unique_screens, *novelty_screens]
    grid = _grid(verdicts, candidate_ids, [*asked, DYNAMICAL_SCREEN])
    before = [
        _truth(column, no_crystal=screen in ("parse", "structure"))
        for column, screen in zip(grid.T[:-1], asked, strict=True)
    ]
    dynamical = _truth(grid[:, -1])
    new = ", ".join(screen.replace("_", " ") for screen in [*unique_screens, *novelty_screens])
    tables = {"": verdicts, **(other_choices or {})}
    rows = []
    for hull, letter in product([*hull_screens, "both"], ("S", "M.S")):
        hulls = list(hull_screens) if hull == "both" else [hull]
        threshold = np.full(len(candidate_ids), stable_ev_per_atom)
        if letter == "M.S":
            threshold = _thresholds(verdicts, candidate_ids, hulls, metastable_ev_per_atom)
        energetic = [_within(table, candidate_ids, hulls, threshold) for table in tables.values()]
        shown = " or ".join(f"{value:g}" for value in np.unique(threshold))
        meaning = f"{new}, energy above hull ≤ {shown} eV/atom ({' and '.join(hulls)})"
        for ending, last, words in (("", [], ""), ("D.", [dynamical], ", dynamically stable")):
            own, *others = (np.stack([*before, one, *last], axis=1) for one in energetic)
            rows.append(
                (
                    f"{letter}.U.N.{ending}",
                    hull,
                    *_sun_figures(own, last_is_selected=bool(last)),
                    *(figure for stack in others for figure in _count_and_rate(stack)),
                    meaning + words,
                )
            )
    added = [f"{figure}_{choice}" for choice in other_choices or {} for figure in ("count", "rate")]
    return pd.DataFrame(rows, columns=[*SUN_COLUMNS[:-1], *added, SUN_COLUMNS[-1]])


_POSTERIOR_DRAWS = 20_000
# What is known of one condition: met, not met, measured but undecided, not measurable, not measured.
_YES, _NO, _UNDECIDED, _ERROR, _MISSING = 0, 1, 2, 3, 4


def _grid(
    verdicts: pd.DataFrame, candidate_ids: Sequence[str], screens: Sequence[str]
) -> NDArray[np.object_]:
    """Return the verdicts as an array (candidates, screens); None where not judged."""
    for what, names in (("candidate", candidate_ids), ("screen", screens)):
        if len(set(names)) != len(names):
            twice = next(name for name in names if list(names).count(name) > 1)
            raise ValueError(f"{what} {twice!r} is listed twice")
    here = verdicts[verdicts["screen"].isin(screens) & verdicts["candidate_id"].isin(candidate_ids)]
    return verdict_matrix(here, candidate_ids).reindex(columns=list(screens)).to_numpy(dtype=object)


def _share(count: int, n: int) -> tuple[float, float, float]:
    value, low, high = share_columns("", count, n).values()
    return (value, low, high)


def _truth(column: NDArray[np.object_], *, no_crystal: bool = False) -> NDArray[np.int_]:
    """Return what one screen tells of each candidate; with `no_crystal`, an error is a 'no'."""
    meaning = {PASS: _YES, FAIL: _NO, UNDECIDED: _UNDECIDED, ERROR: _NO if no_crystal else _ERROR}
    return np.array([meaning.get(verdict, _MISSING) for verdict in column], dtype=int)


def _thresholds(
    verdicts: pd.DataFrame, candidate_ids: Sequence[str], hulls: Sequence[str], default: float
) -> NDArray[np.float64]:
    """Return the threshold by which the hulls judged each candidate, shape (candidates,)."""
    here = verdicts[verdicts["screen"].isin(hulls)].groupby("candidate_id")["threshold"].max()
    return here.reindex(list(candidate_ids)).fillna(default).to_numpy(dtype=float)


def _within(
    verdicts: pd.DataFrame, candidate_ids: Sequence[str], hulls: Sequence[str], threshold: NDArray[np.float64]
) -> NDArray[np.int_]:
    """Return whether the energy above every hull is within the threshold; hulls that disagree: undecided."""
    answers = []
    for hull in hulls:
        here = verdicts[verdicts["screen"] == hull].set_index("candidate_id")
        values = here["value"].reindex(list(candidate_ids)).to_numpy(dtype=float)
        judged = here["verdict"].reindex(list(candidate_ids))
        answer = np.where(values <= threshold + ROUNDING_EV_PER_ATOM, _YES, _NO)
        # Without a figure the screen's word is kept: an error, undecided, or nothing at all.
        without = np.where(judged.eq(UNDECIDED), _UNDECIDED, np.where(judged.isna(), _MISSING, _ERROR))
        answers.append(np.where(np.isnan(values), without, answer))
    stack = np.stack(answers)
    disagree = (stack == _YES).any(axis=0) & (stack == _NO).any(axis=0) & (stack <= _NO).all(axis=0)
    open_ones = stack.max(axis=0)
    # A 'no' under one hull beside a figure that is missing is not yet a 'no' of all.
    return np.where(disagree, _UNDECIDED, open_ones)


def _sun_figures(conditions: NDArray[np.int_], *, last_is_selected: bool) -> tuple[Any, ...]:
    """Return the figures of one metric from conditions of shape (candidates, conditions).

    Args:
        last_is_selected: whether the last condition was asked of a selection that is no random sample.
    """
    n = len(conditions)
    no = (conditions == _NO).any(axis=1)
    worst = conditions.max(axis=1, initial=_YES)
    count, rejected = int((worst == _YES).sum()), int(no.sum())
    undecided, error, missing = (
        int((~no & (worst == state)).sum()) for state in (_UNDECIDED, _ERROR, _MISSING)
    )
    measured = int((worst <= _NO).sum())
    at_most = count + undecided + error + missing
    low, high = _share(count, n), _share(at_most, n)
    decidable = measured + undecided
    selected = last_is_selected and _left_out_by_the_last(conditions)
    return (
        count, rejected, undecided, error, missing, n, measured, *_share(count, measured),
        _share(count, decidable)[0], _share(count + undecided, decidable)[0],
        low[0], high[0], low[1], high[2], *((np.nan,) * 3 if selected else _estimate(conditions)),
    )  # fmt: skip


def _count_and_rate(conditions: NDArray[np.int_]) -> tuple[int, float]:
    """Return how many meet all conditions, and their share of those whose every condition is known."""
    worst = conditions.max(axis=1, initial=_YES)
    count, measured = int((worst == _YES).sum()), int((worst <= _NO).sum())
    return count, count / measured if measured else np.nan


def _left_out_by_the_last(conditions: NDArray[np.int_]) -> bool:
    """Return whether someone who met all conditions but the last was not judged by that."""
    met = (conditions[:, :-1] == _YES).all(axis=1)
    return bool((conditions[met, -1] == _MISSING).any())


def _estimate(conditions: NDArray[np.int_]) -> tuple[float, float, float]:
    """Return the share that meets all conditions, corrected for the not judged, with its 95 % interval."""
    alive = np.ones(len(conditions), dtype=bool)
    # A block is a run of conditions by which all that were alive were judged: one proportion of its own.
    blocks: list[tuple[int, int]] = []
    started = len(conditions)
    for place, column in enumerate(conditions.T):
        judged = alive & (column != _MISSING)
        if judged.sum() < alive.sum():
            if place:
                blocks.append((int(alive.sum()), started))
            started = int(judged.sum())
        alive = judged & (column == _YES)
    blocks.append((int(alive.sum()), started))
    if any(n == 0 for _, n in blocks):
        return (np.nan, np.nan, np.nan)
    if len(blocks) == 1:
        return _share(*blocks[0])
    estimate = float(np.prod([met / n for met, n in blocks]))
    generator = np.random.default_rng(0)
    draws = np.ones(_POSTERIOR_DRAWS)
    for met, n in blocks:
        draws *= generator.beta(met + 0.5, n - met + 0.5, size=_POSTERIOR_DRAWS)
    low, high = np.quantile(draws, [0.025, 0.975])
    return (estimate, 0.0 if estimate == 0 else float(low), float(high))


_CLASSES = (
    ("passed", "passed", "#009E73", ""),
    ("failed", "failed", "#D55E00", ""),
    ("undecided", "undecided", "#E69F00", ""),
    ("error", "error", "#6b6b6b", ""),
    ("not_judged", "not judged", "#ffffff", "////"),
)
_ROW_INCH = 0.3


@styled
def draw_funnel(counts_by_set: Mapping[str, pd.DataFrame], path: str | Path) -> None:
    """Draw funnels as SVG or PNG (by the suffix of `path`), one panel per set, one bar per screen.

    The length of a bar is what was alive before its screen; its colours say what the screen made of it. The
    same counts give the same bytes.

    Args:
        counts_by_set: title of the set → its table from `funnel_counts`, in the order to draw.

    Raises:
        ValueError: no set, a set without screens, or another suffix.
    """
    from matplotlib.patches import Patch

    if not counts_by_set or any(not len(counts) for counts in counts_by_set.values()):
        raise ValueError("an empty funnel cannot be drawn")
    rows = [len(counts) for counts in counts_by_set.values()]
    between, head, foot = 0.95, 1.75, 0.55
    height = head + foot + _ROW_INCH * sum(rows) + between * (len(rows) - 1)
    figure = new_figure(11.2, height)
    top = height - head
    for (title, counts), bars in zip(counts_by_set.items(), rows, strict=True):
        inches = _ROW_INCH * bars
        axes = figure.add_axes((0.155, (top - inches) / height, 0.42, inches / height))
        _draw_bars(axes, counts)
        axes.set_title(f"{title} (n = {int(counts['candidates'].iloc[0])})", fontsize=10, pad=8)
        top -= inches + between
    axes.set_xlabel("candidates that reached the screen")
    set_headings(
        figure,
        "What each screen leaves of the candidates",
        "From top to bottom, as a candidate meets the screens; only what passed goes on. Right: how many are "
        "left and their share of all\ncandidates with its 95 % interval (Wilson), then what became of the "
        "others. Error: could not be judged; not judged: left out by a budget or not yet run.",
    )
    figure.legend(
        handles=[
            Patch(facecolor=colour, hatch=hatch, edgecolor="#6b6b6b", linewidth=0.5, label=words)
            for _, words, colour, hatch in _CLASSES
        ],
        loc="upper left", bbox_to_anchor=(0.148, 1 - 0.95 / height), ncols=5, frameon=False,
        borderaxespad=0.0, fontsize=8.5, handlelength=1.2, columnspacing=1.4,
    )  # fmt: skip
    save_figure(figure, path)


def _draw_bars(axes: Axes, counts: pd.DataFrame) -> None:
    """Draw the screens of one set."""
    n = max(1, int(counts["candidates"].iloc[0]))
    for y, row in enumerate(records(counts)):
        left = 0
        for name, _, colour, hatch in _CLASSES:
            if row[name]:
                axes.barh(
                    y, row[name], left=left, height=0.72, color=colour, hatch=hatch, edgecolor="#6b6b6b",
                    linewidth=0.4,
                )  # fmt: skip
                left += row[name]
        low, share, high = (_percent(row[name]) for name in ("share_low", "share", "share_high"))
        words = f"{row['alive']} left: {share} % [{low}, {high}]"
        write_beside(axes, y, words, "#00694d", fontsize=8.5, fontweight="bold")
        lost = ", ".join(f"{row[name]} {words}" for name, words, *_ in _CLASSES[1:] if row[name])
        write_beside(axes, y, lost, "#333333", x=1.41, fontsize=7.5)
    axes.set_xlim(0, n)
    name_rows(axes, [screen.replace("_", " ") for screen in counts["screen"]])


def _percent(share: float) -> str:
    """Return a share in per cent, with the digits that tell small shares apart."""
    return "–" if np.isnan(share) else f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
