"""Figures of generated compositions, beside null generators and the paper (MatGAN's Fig. 4a, 5a and 5b)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.chapters.matgan.composition_tables import PAPER_RULE, TRAINING_ROWS
from matwheel.chapters.matgan.compositions import BALANCED, NEUTRAL, PARTS, CompositionEvaluation
from matwheel.figures.figures import GENERATOR_COLOURS, GENERATOR_MARKERS, GREY, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PART_WORDS = {"train": "training rows", "validation": "validation rows", "held_out": "held-out rows"}
_WIDTH = 8.6
_FEWEST_SAMPLES, _FEWEST_ROWS = 100, 20
_PAPER_NOTE = "white diamond: the paper, on its own data"


def draw_validity(
    table: pd.DataFrame, rule: str = PAPER_RULE, *, titles: Mapping[str, str] | None = None
) -> Figure:
    """Draw Fig. 4a: shares that are charge-neutral and balanced, training rows, generators and nulls.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.validity_table`.
        rule: the one whose figures are drawn.
        titles: formula set → words for its title.

    Raises:
        ValueError: no row has that rule.
    """
    import matplotlib

    here = table[table["rule"] == rule]
    sets = _sets(here)
    sources = list(dict.fromkeys(here["source"]))
    with matplotlib.rc_context(STYLE):
        figure, grid = _panels(len(sets), len(sources))
        for axes, name in zip(grid, sets, strict=True):
            part = here[here["formula_set"] == name].set_index("source")
            for test, colour, shift in ((NEUTRAL, 1, -0.19), (BALANCED, 0, 0.19)):
                for position, source in enumerate(sources):
                    if source not in part.index:
                        continue
                    row = part.loc[source]
                    axes.barh(
                        position + shift, row[test], height=0.34, color=GENERATOR_COLOURS[colour],
                        alpha=0.55 if source == TRAINING_ROWS else 1.0,
                    )  # fmt: skip
                    axes.plot(
                        [row[f"{test}_low"], row[f"{test}_high"]], [position + shift] * 2, color="k", lw=1
                    )
                    _paper_mark(axes, row[f"paper_{test}"], position + shift)
                    axes.annotate(
                        f"{100 * row[test]:.1f}", (1.02, position + shift), va="center", fontsize=8,
                        xycoords=("axes fraction", "data"), color=GENERATOR_COLOURS[colour],
                        annotation_clip=False,
                    )  # fmt: skip
            _rows_of(axes, sources, (titles or {}).get(name, name))
        grid[-1].set_xlabel("share of all compositions (in % on the right), with 95 % interval")
        table_name = str(here["oxidation_table"].iloc[0])
        alloys = "pass" if bool(here["alloys_pass"].iloc[0]) else "are judged like the others"
        _headings(
            figure,
            "Are generated compositions chemically valid?",
            f"Orange: charge-neutral; blue: electronegativity-balanced too. Oxidation states {table_name}; "
            f"alloys {alloys}.\nNulls learn nothing or change one element; {_PAPER_NOTE}.",
        )
    return figure


def draw_uniqueness(table: pd.DataFrame, *, titles: Mapping[str, str] | None = None) -> Figure:
    """Draw Fig. 5a: share of distinct compositions among the first n samples, generators and nulls.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.uniqueness_table`.
        titles: formula set → words for its title.
    """
    import matplotlib

    sets = _sets(table)
    names = list(dict.fromkeys(table["generator"]))
    with matplotlib.rc_context(STYLE):
        figure, grid = _panels(len(sets), 9, left=0.1)
        for axes, name in zip(grid, sets, strict=True):
            here = table[table["formula_set"] == name]
            _draw_curves(axes, here, names, "share")
            for number, generator in enumerate(names):
                paper = here[(here["generator"] == generator) & here["paper_share"].notna()]
                colour = GENERATOR_COLOURS[number % 7]
                axes.plot(paper["samples"], paper["paper_share"], "D", mfc="white", mec=colour, ms=7, mew=1.4)
            axes.set_ylim(0, 1.02)
            axes.set_ylabel("unique share")
            axes.set_title((titles or {}).get(name, name), fontsize=10)
        grid[0].legend(loc="lower left", frameon=False, fontsize=8, ncols=2)
        grid[-1].set_xlabel("number of samples")
        _headings(
            figure,
            "How often do generators repeat themselves?",
            "Distinct compositions of at least two elements, after reduction, of all samples drawn so far;\n"
            f"{_PAPER_NOTE}.",
        )
    return figure


def draw_recovery_curve(
    table: pd.DataFrame, *, parts: Sequence[str] = PARTS[::2], titles: Mapping[str, str] | None = None
) -> Figure:
    """Draw the share of training and of held-out rows that the first n samples hold.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.recovery_curve_table`.
        parts: the parts drawn, each a column of panels.
        titles: formula set → words for its title.
    """
    import matplotlib

    names = list(dict.fromkeys(table["generator"]))
    with matplotlib.rc_context(STYLE):

        def draw(axes: Axes, here: pd.DataFrame) -> None:
            _draw_curves(axes, here, names, "recovery")

        figure, grid = _recovery_panels(table, parts, titles or {}, draw, "number of samples")
        grid[0, 0].legend(loc="upper left", frameon=False, fontsize=8)
        _headings(
            figure,
            "How many samples find the known compositions again?",
            "Share of the rows that were drawn at least once. A curve that rises asks for more samples,\n"
            "one that levels off has found what its generator can find.",
        )
    return figure


def draw_recovery(
    table: pd.DataFrame, *, parts: Sequence[str] = PARTS[::2], titles: Mapping[str, str] | None = None
) -> Figure:
    """Draw Fig. 5b: recovery of training and held-out rows by number of elements.

    Args:
        table: from `matwheel.chapters.matgan.composition_tables.recovery_table`.
        parts: the parts drawn, each a column of panels.
        titles: formula set → words for its title.
    """
    import matplotlib

    names = list(dict.fromkeys(table["generator"]))
    with matplotlib.rc_context(STYLE):

        def draw(axes: Axes, here: pd.DataFrame) -> None:
            _draw_recovery(axes, here, names)

        label = "number of elements (rows of that part)"
        figure, grid = _recovery_panels(table, parts, titles or {}, draw, label)
        grid[0, -1].legend(loc="upper right", frameon=False, fontsize=8)
        samples = ", ".join(f"{n:,}" for n in sorted(set(table["samples"])))
        _headings(
            figure,
            "Which known compositions are found again?",
            f"Share drawn at least once in {samples} samples, with 95 % interval; numbers of elements with "
            f"{_FEWEST_ROWS} rows or more.\n{_PAPER_NOTE.capitalize()}.",
        )
    return figure


def draw_distributions(
    evaluations: Sequence[CompositionEvaluation], *, most_elements: int = 8, title: str | None = None
) -> Figure:
    """Draw how often elements and numbers of elements occur in the samples, beside the training rows.

    Args:
        evaluations: of one formula set; the training rows are those of the first.
        most_elements: larger compositions are counted as this many.
        title: words for the set; its name where not given.

    Raises:
        ValueError: no evaluations, or of several sets.
    """
    import matplotlib
    from matplotlib.figure import Figure

    if len({item.formula_set for item in evaluations}) != 1:
        raise ValueError("the distributions of one formula set are drawn together")
    first = evaluations[0]
    training = sum(first.training_n_elements)
    series = [(TRAINING_ROWS, first.training_n_elements, first.element_training_rows, training)]
    series += [(item.generator, item.n_elements, item.element_samples, item.n) for item in evaluations]
    order = np.argsort(-np.array(first.element_training_rows), kind="stable")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 7.6))
        upper, lower = figure.subplots(2, gridspec_kw={"height_ratios": [1, 1.25]})
        width = 0.8 / len(series)
        for number, (name, sizes, elements, n) in enumerate(series):
            colour = GREY if name == TRAINING_ROWS else GENERATOR_COLOURS[(number - 1) % 6]
            shares = np.zeros(most_elements + 1)
            for size, count in enumerate(sizes):
                shares[min(size, most_elements)] += count / n
            places = np.arange(most_elements + 1) + (number - (len(series) - 1) / 2) * width
            upper.bar(places, shares, width=width, color=colour, label=name)
            marker = "_" if name == TRAINING_ROWS else GENERATOR_MARKERS[(number - 1) % 7]
            points = 9.0 if name == TRAINING_ROWS else 3.5
            lower.plot(np.array(elements)[order] / n, marker, color=colour, ms=points, ls="none", mew=1.4)
        labels = [*map(str, range(most_elements)), f"{most_elements} or more"]
        upper.set_xticks(range(most_elements + 1), labels)
        upper.set_xlabel("number of elements")
        upper.set_ylabel("share of compositions")
        upper.legend(frameon=False, fontsize=8)
        lower.set_xticks(
            range(len(order)), [first.elements[place] for place in order], fontsize=6.5, rotation=90
        )
        lower.set_xlim(-1, len(order))
        lower.set_ylim(bottom=0)
        lower.set_ylabel("share of compositions\nthat hold the element")
        _headings(
            figure,
            f"Elements of {title or first.formula_set}",
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
                own["samples"], own[share], color=GENERATOR_COLOURS[number % 7], label=generator,
                lw=2.2 if number == 0 else 1.3,
            )  # fmt: skip
    axes.set_xscale("log")


def _draw_recovery(axes: Axes, here: pd.DataFrame, names: Sequence[str]) -> None:
    here = here[here["rows"] >= _FEWEST_ROWS]
    sizes = sorted(set(here["n_elements"]))
    width = 0.8 / max(len(names), 1)
    for number, generator in enumerate(names):
        own = here[here["generator"] == generator].set_index("n_elements")
        colour = GENERATOR_COLOURS[number % 7]
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


def _paper_mark(axes: Axes, value: float, y: float) -> None:
    if not pd.isna(value):
        axes.plot(value, y, "D", mfc="white", mec="k", ms=6, mew=1.3)


def _rows_of(axes: Axes, sources: Sequence[str], title: str) -> None:
    axes.set_yticks(range(len(sources)), list(sources))
    axes.set_ylim(len(sources) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, fontsize=10)


def _sets(table: pd.DataFrame) -> list[str]:
    sets = list(dict.fromkeys(table["formula_set"]))
    if not sets:
        raise ValueError("an empty table cannot be drawn")
    return sets


def _panels(panels: int, rows: int, left: float = 0.22) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels below one another, each as high as its rows need."""
    from matplotlib.figure import Figure

    each = 0.55 + 0.3 * rows
    height = 1.75 + each * panels
    figure = Figure(figsize=(_WIDTH, height))
    grid = figure.subplots(panels, squeeze=False)[:, 0]
    inch = 1 / height
    figure.subplots_adjust(
        left=left, right=0.92, top=1 - 1.25 * inch, bottom=0.5 * inch, hspace=0.6 / (each - 0.6 + 1e-9)
    )
    return figure, list(grid)


def _recovery_panels(
    table: pd.DataFrame,
    parts: Sequence[str],
    titles: Mapping[str, str],
    draw: Callable[[Axes, pd.DataFrame], None],
    label: str,
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure of panels, a line per formula set and a column per part, each with its rows drawn."""
    from matplotlib.figure import Figure

    sets = _sets(table)
    height = 1.75 + 2.6 * len(sets)
    inch = 1 / height
    figure = Figure(figsize=(_WIDTH, height))
    grid = figure.subplots(len(sets), len(parts), squeeze=False, sharey=True)
    for line, name in zip(grid, sets, strict=True):
        for axes, part in zip(line, parts, strict=True):
            draw(axes, table[(table["formula_set"] == name) & (table["part"] == part)])
            axes.set_ylim(0, 1.02)
            axes.set_title(f"{titles.get(name, name)}: {_PART_WORDS.get(part, part)}", fontsize=10)
        line[0].set_ylabel("recovered share")
    for axes in grid[-1]:
        axes.set_xlabel(label)
    figure.subplots_adjust(
        left=0.09, right=0.98, top=1 - 1.25 * inch, bottom=0.55 * inch, hspace=0.42, wspace=0.06
    )
    return figure, grid


def _headings(figure: Figure, title: str, note: str) -> None:
    inch = 1 / figure.get_figheight()
    figure.text(0.02, 1 - 0.12 * inch, title, ha="left", va="top", fontsize=13, fontweight="bold")
    figure.text(0.02, 1 - 0.42 * inch, note, ha="left", va="top", fontsize=8.5, color="#333333")
