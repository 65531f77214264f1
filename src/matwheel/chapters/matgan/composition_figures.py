"""Figures of generated compositions, beside null generators and the paper (MatGAN's Fig. 4a, 5a and 5b)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.chapters.matgan.composition_tables import PAPER_RULE, TRAINING_ROWS
from matwheel.chapters.matgan.compositions import BALANCED, NEUTRAL, CompositionEvaluation
from matwheel.figures.figures import (
    GENERATOR_COLOURS,
    GREY,
    look,
    name_rows,
    new_figure,
    set_headings,
    styled,
    write_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PART_WORDS = {"train": "training rows", "held_out": "held-out rows"}
_WIDTH = 8.6
_FEWEST_SAMPLES, _FEWEST_ROWS, _MOST_ELEMENTS = 100, 20, 8
_PAPER_NOTE = "white diamond: the paper, on its own data"


@styled
def draw_validity(table: pd.DataFrame, rule: str = PAPER_RULE) -> Figure:
    """Draw Fig. 4a: shares that are charge-neutral and balanced, training rows, generators and nulls.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.validity_table`.

    Raises:
        ValueError: no row has that rule.
    """
    here = table[table["rule"] == rule]
    sets = _sets(here)
    sources = list(dict.fromkeys(here["source"]))
    figure, grid = _panels(len(sets), len(sources))
    for axes, name in zip(grid, sets, strict=True):
        part = here[here["formula_set"] == name].set_index("source")
        for test, colour, shift in ((NEUTRAL, 1, -0.19), (BALANCED, 0, 0.19)):
            _draw_shares(axes, part, sources, test, GENERATOR_COLOURS[colour], shift)
        name_rows(axes, sources)
        axes.set_xlim(0, 1)
        axes.set_title(name, fontsize=10)
    grid[-1].set_xlabel("share of all compositions (in % on the right), with 95 % interval")
    table_name = str(here["oxidation_table"].iloc[0])
    alloys = "pass" if bool(here["alloys_pass"].iloc[0]) else "are judged like the others"
    set_headings(
        figure,
        "Are generated compositions chemically valid?",
        f"Orange: charge-neutral; blue: electronegativity-balanced too. Oxidation states {table_name}; "
        f"alloys {alloys}.\nNulls learn nothing or change one element; {_PAPER_NOTE}.",
    )
    return figure


def _draw_shares(
    axes: Axes, part: pd.DataFrame, sources: Sequence[str], test: str, colour: str, shift: float
) -> None:
    for position, source in enumerate(sources):
        if source not in part.index:
            continue
        row, y = part.loc[source], position + shift
        axes.barh(y, row[test], height=0.34, color=colour, alpha=0.55 if source == TRAINING_ROWS else 1.0)
        axes.plot([row[f"{test}_low"], row[f"{test}_high"]], [y, y], color="k", lw=1)
        if not pd.isna(row[f"paper_{test}"]):
            axes.plot(row[f"paper_{test}"], y, "D", mfc="white", mec="k", ms=6, mew=1.3)
        write_beside(axes, y, f"{100 * row[test]:.1f}", colour)


@styled
def draw_uniqueness(table: pd.DataFrame) -> Figure:
    """Draw Fig. 5a: share of distinct compositions among the first n samples, generators and nulls.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.uniqueness_table`.
    """
    sets = _sets(table)
    names = list(dict.fromkeys(table["generator"]))
    figure, grid = _panels(len(sets), 9, left=0.1)
    for axes, name in zip(grid, sets, strict=True):
        here = table[table["formula_set"] == name]
        _draw_curves(axes, here, names, "share")
        for number, generator in enumerate(names):
            paper = here[(here["generator"] == generator) & here["paper_share"].notna()]
            mec = look(number)[0]
            axes.plot(paper["samples"], paper["paper_share"], "D", mfc="white", mec=mec, ms=7, mew=1.4)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("unique share")
        axes.set_title(name, fontsize=10)
    grid[0].legend(loc="lower left", frameon=False, fontsize=8, ncols=2)
    grid[-1].set_xlabel("number of samples")
    set_headings(
        figure,
        "How often do generators repeat themselves?",
        "Distinct compositions of at least two elements, after reduction, of all samples drawn so far;\n"
        f"{_PAPER_NOTE}.",
    )
    return figure


@styled
def draw_recovery_curve(table: pd.DataFrame) -> Figure:
    """Draw the share of training and of held-out rows that the first n samples hold.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.recovery_curve_table`.
    """
    names = list(dict.fromkeys(table["generator"]))
    figure, grid = _recovery_panels(
        table, lambda axes, here: _draw_curves(axes, here, names, "recovery"), "number of samples"
    )
    grid[0, 0].legend(loc="upper left", frameon=False, fontsize=8)
    set_headings(
        figure,
        "How many samples find the known compositions again?",
        "Share of the rows that were drawn at least once. A curve that rises asks for more samples,\n"
        "one that levels off has found what its generator can find.",
    )
    return figure


@styled
def draw_recovery(table: pd.DataFrame) -> Figure:
    """Draw Fig. 5b: recovery of training and held-out rows by number of elements.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.recovery_table`.
    """
    names = list(dict.fromkeys(table["generator"]))
    figure, grid = _recovery_panels(
        table, lambda axes, here: _draw_recovery(axes, here, names), "number of elements (rows of that part)"
    )
    grid[0, -1].legend(loc="upper right", frameon=False, fontsize=8)
    samples = ", ".join(f"{n:,}" for n in sorted(set(table["samples"])))
    set_headings(
        figure,
        "Which known compositions are found again?",
        f"Share drawn at least once in {samples} samples, with 95 % interval; numbers of elements with "
        f"{_FEWEST_ROWS} rows or more.\n{_PAPER_NOTE.capitalize()}.",
    )
    return figure


@styled
def draw_distributions(evaluations: Sequence[CompositionEvaluation]) -> Figure:
    """Draw how often elements and numbers of elements occur in the samples, beside the training rows.

    Args:
        evaluations: of one formula set; the training rows are those of the first.

    Raises:
        ValueError: no evaluations, or of several sets.
    """
    if len({item.formula_set for item in evaluations}) != 1:
        raise ValueError("the distributions of one formula set are drawn together")
    first = evaluations[0]
    training = sum(first.training_n_elements)
    series = [(TRAINING_ROWS, first.training_n_elements, first.element_training_rows, training)]
    series += [(item.generator, item.n_elements, item.element_samples, item.n) for item in evaluations]
    order = np.argsort(-np.array(first.element_training_rows), kind="stable")
    figure = new_figure(11.0, 7.6)
    upper, lower = figure.subplots(2, gridspec_kw={"height_ratios": [1, 1.25]})
    width = 0.8 / len(series)
    for number, (name, sizes, elements, n) in enumerate(series):
        known = name == TRAINING_ROWS
        colour = GREY if known else GENERATOR_COLOURS[(number - 1) % 6]
        shares = np.zeros(_MOST_ELEMENTS + 1)
        np.add.at(shares, np.minimum(range(len(sizes)), _MOST_ELEMENTS), np.array(sizes) / n)
        places = np.arange(_MOST_ELEMENTS + 1) + (number - (len(series) - 1) / 2) * width
        upper.bar(places, shares, width=width, color=colour, label=name)
        marker, points = ("_", 9.0) if known else (look(number - 1)[1], 3.5)
        lower.plot(np.array(elements)[order] / n, marker, color=colour, ms=points, ls="none", mew=1.4)
    labels = [*map(str, range(_MOST_ELEMENTS)), f"{_MOST_ELEMENTS} or more"]
    upper.set_xticks(range(_MOST_ELEMENTS + 1), labels)
    upper.set_xlabel("number of elements")
    upper.set_ylabel("share of compositions")
    upper.legend(frameon=False, fontsize=8)
    symbols = [first.elements[place] for place in order]
    lower.set_xticks(range(len(order)), symbols, fontsize=6.5, rotation=90)
    lower.set_xlim(-1, len(order))
    lower.set_ylim(bottom=0)
    lower.set_ylabel("share of compositions\nthat hold the element")
    set_headings(
        figure,
        f"Elements of {first.formula_set}",
        "All samples drawn and the training rows; elements in the order of the training rows.",
    )
    figure.subplots_adjust(left=0.075, right=0.99, top=0.88, bottom=0.07, hspace=0.3)
    return figure


def _draw_curves(axes: Axes, here: pd.DataFrame, names: Sequence[str], share: str) -> None:
    """Draw a share against the number of samples, a line per generator, the first one thick."""
    for number, generator in enumerate(names):
        own = here[(here["generator"] == generator) & (here["samples"] >= _FEWEST_SAMPLES)]
        if len(own):
            axes.plot(
                own["samples"], own[share], color=look(number)[0], label=generator,
                lw=2.2 if number == 0 else 1.3,
            )  # fmt: skip
    axes.set_xscale("log")


def _draw_recovery(axes: Axes, here: pd.DataFrame, names: Sequence[str]) -> None:
    here = here[here["rows"] >= _FEWEST_ROWS]
    sizes = sorted(set(here["n_elements"]))
    width = 0.8 / max(len(names), 1)
    for number, generator in enumerate(names):
        own = here[here["generator"] == generator].set_index("n_elements")
        colour = look(number)[0]
        label: str | None = generator
        for position, size in enumerate(sizes):
            if size not in own.index:
                continue
            row, place = own.loc[size], position + (number - (len(names) - 1) / 2) * width
            axes.bar(place, row["recovery"], width=width, color=colour, label=label)
            axes.plot([place, place], [row["recovery_low"], row["recovery_high"]], color="k", lw=0.8)
            axes.plot(place, row["paper_recovery"], "D", mfc="white", mec="k", ms=5)
            label = None
    rows = here.drop_duplicates("n_elements").set_index("n_elements")["rows"]
    axes.set_xticks(range(len(sizes)), [f"{size}\n({rows[size]:,})" for size in sizes], fontsize=8)


def _sets(table: pd.DataFrame) -> list[str]:
    sets = list(dict.fromkeys(table["formula_set"]))
    if not sets:
        raise ValueError("an empty table cannot be drawn")
    return sets


def _panels(panels: int, rows: int, left: float = 0.22) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels below one another, each as high as its rows need."""
    each = 0.55 + 0.3 * rows
    figure = new_figure(_WIDTH, 1.75 + each * panels)
    grid = figure.subplots(panels, squeeze=False)[:, 0]
    inch = 1 / figure.get_figheight()
    figure.subplots_adjust(
        left=left, right=0.92, top=1 - 1.25 * inch, bottom=0.5 * inch, hspace=0.6 / (each - 0.6 + 1e-9)
    )
    return figure, list(grid)


def _recovery_panels(
    table: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame], None], label: str
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure of panels, a line per formula set and a column per part, each with its rows drawn."""
    sets = _sets(table)
    figure = new_figure(_WIDTH, 1.75 + 2.6 * len(sets))
    inch = 1 / figure.get_figheight()
    grid = figure.subplots(len(sets), len(_PART_WORDS), squeeze=False, sharey=True)
    for line, name in zip(grid, sets, strict=True):
        for axes, part in zip(line, _PART_WORDS, strict=True):
            draw(axes, table[(table["formula_set"] == name) & (table["part"] == part)])
            axes.set_ylim(0, 1.02)
            axes.set_title(f"{name}: {_PART_WORDS[part]}", fontsize=10)
        line[0].set_ylabel("recovered share")
    for axes in grid[-1]:
        axes.set_xlabel(label)
    figure.subplots_adjust(
        left=0.09, right=0.98, top=1 - 1.25 * inch, bottom=0.55 * inch, hspace=0.42, wspace=0.06
    )
    return figure, grid
