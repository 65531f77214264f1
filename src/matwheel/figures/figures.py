"""Figures of the report: Table 2 and the generator cards, for a reader without the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from matwheel.core.files import atomic_path
from matwheel.core.table_rows import named_rows, records
from matwheel.statistics.paired_statistics import TOO_FEW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")

# Okabe & Ito's colours, which stay apart for colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b6b6b"
GENERATOR_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", GREY)
GENERATOR_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FAMILY_COLOUR = {"F": BLUE, "GF": BLUE, "F_GF": BLUE, "S": ORANGE, "GS": ORANGE, "S_GS": ORANGE}
ROW_LABEL = {
    "F": "F   real",
    "GF": "G_F   synthetic",
    "F_GF": "F+G_F   both",
    "S": "S   few real",
    "GS": "G_S   synthetic",
    "S_GS": "S+G_S   both",
}
ROW_POSITION = {"F": 0.0, "GF": 1.0, "F_GF": 2.0, "S": 3.4, "GS": 4.4, "S_GS": 5.4}
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "svg.hashsalt": "matwheel",
    "svg.fonttype": "path",
}


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG or PNG by the suffix of `path`: whole or not at all, same figure, same bytes.

    Raises:
        ValueError: another suffix.
    """
    import matplotlib

    path = Path(path)
    if path.suffix not in (".svg", ".png"):
        raise ValueError(f"{path.name}: a figure is saved as .svg or .png")
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with matplotlib.rc_context(STYLE), atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata=metadata)


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Let a function draw in the style of all figures."""

    @wraps(draw)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Return an empty figure."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inch, height_inch))


def set_headings(figure: Figure, title: str, note: str = "") -> None:
    """Set a title on top of a figure, and below it how to read it."""
    inch = 1 / figure.get_figheight()
    figure.text(0.02, 1 - 0.12 * inch, title, ha="left", va="top", fontsize=13, fontweight="bold")
    figure.text(0.02, 1 - 0.42 * inch, note, ha="left", va="top", fontsize=8.5, color="#333333")


def name_rows(axes: Axes, names: Sequence[str], *, shown: bool = True, edge: float = 0.5) -> None:
    """Name the rows of a figure from top to bottom, at y = 0, 1, 2 …"""
    axes.set_yticks(range(len(names)), list(names) if shown else [""] * len(names))
    axes.set_ylim(len(names) - 1 + edge, -edge)
    axes.tick_params(axis="y", length=0)


def part_rows(axes: Axes, rows: int) -> None:
    """Draw faint lines between the rows of a figure."""
    for row in range(1, rows):
        axes.axhline(row - 0.5, color="#e4e4e4", lw=0.8, zorder=0)


def write_beside(axes: Axes, y: float, text: str, colour: str, *, x: float = 1.02, **options: Any) -> None:
    """Write a figure to the right of the axes, at the height of its row."""
    axes.annotate(
        text, (x, y), xycoords=("axes fraction", "data"), va="center", color=colour, annotation_clip=False,
        **{"fontsize": 8, **options},
    )  # fmt: skip


def say_not_known(axes: Axes) -> None:
    """Say in place of a panel that its figures are not known."""
    axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=GREY)


def look(place: int) -> tuple[str, str]:
    """Return colour and marker of the generator at a place."""
    return GENERATOR_COLOURS[place % len(GENERATOR_COLOURS)], GENERATOR_MARKERS[
        place % len(GENERATOR_MARKERS)
    ]


@styled
def draw_table2(
    table: pd.DataFrame,
    contrasts: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
    *,
    units: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    main_predictor: str = "cgcnn",
) -> Figure:
    """Draw Table 2: one column of panels per dataset and scheme.

    Upper panels: test MAE of the six training sets; each run a small dot, the mean with a bar of one standard
    deviation, the published mean and standard deviation as a hollow marker, and vertical lines for the
    constant predictor and the forest. Lower panels: the paired differences with their 95 % intervals.

    Args:
        table: from `matwheel.chapters.matwheel.table2.table2`.
        contrasts: from `matwheel.chapters.matwheel.contrasts.paired_contrasts`; without, no lower panels.
        scores: from `matwheel.statistics.scores.run_scores`; without, no dots of single runs.
        units: dataset → unit of its target; '' or absent for a dimensionless target.
        titles: dataset → words for its title.
        main_predictor: predictor of the six training sets.
    """
    panels = list(dict.fromkeys(zip(table["dataset"], table["scheme"], strict=True)))
    if not panels:
        raise ValueError("an empty table cannot be drawn")
    units, titles = units or {}, titles or {}
    rows = 1 if contrasts is None else 2
    figure = new_figure(max(1.9 + 4.6 * len(panels), 9.4), 4.7 if rows == 1 else 7.8)
    ratios = [1.0] if rows == 1 else [6.6, 3.6]
    grid = figure.subplots(rows, len(panels), squeeze=False, gridspec_kw={"height_ratios": ratios})
    for column, (dataset, scheme) in enumerate(panels):
        here = _of_splits(table, dataset, scheme)
        runs = None if scores is None else _of_splits(scores, dataset, scheme)
        unit = f" ({units[dataset]})" if units.get(dataset) else ""
        axes = grid[0, column]
        _draw_errors(axes, here, runs, main_predictor, labels=column == 0)
        axes.set_title(f"{titles.get(dataset, dataset)}\n{scheme} splits", pad=28, fontsize=10)
        axes.set_xlabel(f"mean absolute error on test rows{unit}")
        if contrasts is not None:
            _draw_contrasts(grid[1, column], _of_splits(contrasts, dataset, scheme), labels=column == 0)
            grid[1, column].set_xlabel(f"difference of mean absolute error{unit}")
    _explain_table2(figure, rows)
    return figure


def _of_splits(frame: pd.DataFrame, dataset: str, scheme: str) -> pd.DataFrame:
    return frame[(frame["dataset"] == dataset) & (frame["scheme"] == scheme)]


@styled
def draw_generator_cards(table: pd.DataFrame) -> Figure:
    """Draw generator cards: shares with their intervals, and below how closely conditions were followed.

    Args:
        table: from `matwheel.chapters.matwheel.generator_card.cards_table`.
    """
    names = list(dict.fromkeys(table["generator"]))
    if not names:
        raise ValueError("an empty table cannot be drawn")
    shares = table[table["unit"] == "share"]
    rows = len(names) * shares["metric"].nunique()
    judged = table[(table["metric"] == "condition_spearman") & table["value"].notna()]
    upper, lower = 0.7 + 0.2 * rows, 0.35 + 0.3 * len(judged)
    height = 1.75 + upper + (0.75 + lower if len(judged) else 0.0)
    figure = new_figure(9.2, height)
    if len(judged):
        axes, below = figure.subplots(2, gridspec_kw={"height_ratios": [upper, lower]})
        _draw_adherence(below, table, names)
    else:
        axes = figure.subplots()
    _draw_shares(axes, shares, names)
    set_headings(
        figure,
        "What the generated crystals are worth",
        "A generator is worth what it does beyond nulls that learn nothing: swapping the elements of "
        "training crystals, or rattling them.\nHigh is good only together: a rattled training crystal is "
        "valid but not novel.",
    )
    figure.subplots_adjust(left=0.24, right=0.92, top=1 - 1.35 / height, bottom=0.5 / height)
    if len(judged):
        figure.subplots_adjust(hspace=1.5 / (upper + lower))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False,
        borderaxespad=0.2, handletextpad=0.3,
    )  # fmt: skip
    return figure


def _draw_shares(axes: Axes, shares: pd.DataFrame, names: list[str]) -> None:
    """Draw the proportions of every generator, grouped by metric."""
    metrics = list(dict.fromkeys(shares["metric"]))
    spacing = 0.62 / (len(names) - 1) if len(names) > 1 else 0.0
    for i, name in enumerate(names):
        own = shares[shares["generator"] == name].set_index("metric")
        colour, marker = look(i)
        for position, metric in enumerate(metrics):
            if metric not in own.index:
                continue
            row = own.loc[metric]
            y = position + (i - (len(names) - 1) / 2) * spacing
            axes.plot([row["interval_low"], row["interval_high"]], [y, y], color=colour, lw=1.6)
            label = f"{name} (n = {int(row['n'])})" if position == 0 else None
            axes.plot(row["value"], y, marker, color=colour, ms=5, label=label, ls="none")
            write_beside(axes, y, f"{row['value']:.2f}", colour)
    part_rows(axes, len(metrics))
    name_rows(axes, [metric.replace("_", " ") for metric in metrics])
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel("share of the generated crystals (printed on the right), with 95 % interval")


def _draw_adherence(axes: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """Draw the rank correlation of condition and judged property of the generators that have one."""
    figures = table.pivot_table(index="generator", columns="metric", values="value", sort=False)
    rows = table[(table["metric"] == "condition_spearman") & table["value"].notna()]
    for y, row in enumerate(records(rows)):
        colour, marker = look(names.index(row["generator"]))
        axes.plot([row["interval_low"], row["interval_high"]], [y, y], color=colour, lw=1.6)
        axes.plot(row["value"], y, marker, color=colour, ms=5)
        write_beside(axes, y, f"{row['value']:.2f}", colour)
        own = figures.loc[row["generator"]]
        ceiling = own.get("judge_spearman", np.nan)  # what the judge of conditions reaches itself
        axes.text(
            0.02 if row["value"] > 0 else 0.53, y,
            f"MAE {own['condition_mae']:.3g}, shuffled {own['condition_mae_shuffled']:.3g}"
            + ("" if pd.isna(ceiling) else f"; on real test crystals the judge reaches {ceiling:.2f}"),
            transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=GREY,
        )  # fmt: skip
    axes.axvline(0, color="#333333", lw=1)
    name_rows(axes, list(rows["generator"]), edge=0.6)
    axes.set_xlim(-1.01, 1.01)
    axes.set_xlabel(
        "rank correlation of the condition asked for and the property judged; 0: condition ignored"
    )
    axes.set_title("Does the generator follow its condition?", fontsize=9)


def _draw_errors(
    axes: Axes, here: pd.DataFrame, runs: pd.DataFrame | None, main_predictor: str, *, labels: bool
) -> None:
    """Draw the errors of one dataset and scheme."""
    main = {row["training_set"]: row for row in records(here[here["predictor"] == main_predictor])}
    values: list[float] = []
    for name, y in ROW_POSITION.items():
        if name not in main:
            axes.text(0.5, y, "not run", transform=axes.get_yaxis_transform(), color=GREY, va="center")
            continue
        row, colour = main[name], FAMILY_COLOUR[name]
        if runs is not None:
            own = (runs["predictor"] == main_predictor) & (runs["training_set"] == name)
            dots = runs[own].sort_values("seed")["mae"].to_numpy()
            axes.plot(dots, np.full(len(dots), y - 0.17), "o", color=colour, ms=3.2, alpha=0.55, mew=0)
            values += dots.tolist()
        spread = 0.0 if pd.isna(row["mae_std"]) else row["mae_std"]
        axes.plot([row["mae_mean"] - spread, row["mae_mean"] + spread], [y, y], color=colour, lw=2)
        axes.plot(row["mae_mean"], y, "o", color=colour, ms=7)
        values += [row["mae_mean"] - spread, row["mae_mean"] + spread]
        write_beside(axes, y, f"{row['mae_mean']:#.3g}", colour, x=1.01, fontweight="bold", fontsize=9)
        if not pd.isna(row["published_mean"]):
            low, high = (row["published_mean"] + sign * row["published_std"] for sign in (-1, 1))
            axes.plot([low, high], [y + 0.25, y + 0.25], color=GREY, lw=0.8)
            axes.plot(row["published_mean"], y + 0.25, "D", mfc="white", mec=GREY, ms=5)
            values += [low, high]
    lines = _reference_lines(here)
    values += [value for value, *_ in lines]
    if values:
        low, high = min(values), max(values)
        margin = 0.05 * (high - low or high or 1.0)
        axes.set_xlim(low - margin, high + margin)
    _draw_reference_lines(axes, lines)
    axes.set_ylim(5.95, -0.45)
    axes.set_yticks(list(ROW_POSITION.values()), list(ROW_LABEL.values()) if labels else [""] * 6)
    for tick, name in zip(axes.get_yticklabels(), ROW_POSITION, strict=True):
        tick.set_color(FAMILY_COLOUR[name])
    axes.tick_params(axis="y", length=0)


def _reference_lines(here: pd.DataFrame) -> list[tuple[float, str, str, float, float]]:
    """Return the reference lines: value, label, line style, and the span of rows each one belongs to."""
    lines = []
    for predictor, style in (("constant", "-"), ("forest", "--")):
        for name, first, last in (("F", -0.45, 2.55), ("S", 2.85, 5.95)):
            row = here[(here["predictor"] == predictor) & (here["training_set"] == name)]
            if len(row):
                lines.append((float(row["mae_mean"].iloc[0]), predictor, style, first, last))
    return lines


def _draw_reference_lines(axes: Axes, lines: list[tuple[float, str, str, float, float]]) -> None:
    """Draw the reference lines, each named once, on top of its upper end."""
    upper = [line for line in lines if line[3] < 0] or lines
    left, right = axes.get_xlim()
    for value, _, style, first, last in lines:
        axes.plot([value, value], [first, last], color="#333333", lw=1, ls=style, zorder=0)
    # Two names that would run into one another are set on two levels.
    previous, level = -np.inf, 0
    for value, predictor, _, first, _ in sorted(upper):
        level = 1 - level if (value - previous) / (right - left) < 0.3 else 0
        previous = value
        place = (value - left) / (right - left)
        side = "left" if place < 0.15 else "right" if place > 0.85 else "center"
        axes.annotate(
            predictor, (value, first), xytext=(0, 3 + 11 * level), textcoords="offset points", ha=side,
            va="bottom", fontsize=8, color="#333333", annotation_clip=False,
        )  # fmt: skip


def _draw_contrasts(axes: Axes, part: pd.DataFrame, *, labels: bool) -> None:
    """Draw the paired differences of one dataset and scheme."""
    names, values = [], [0.0]
    for y, row in enumerate(named_rows(part)):
        names.append(row.contrast)
        if pd.isna(row.mean_difference) or row.better == TOO_FEW:
            words = row.note if pd.isna(row.mean_difference) else TOO_FEW
            axes.text(
                0.5, y, words, transform=axes.get_yaxis_transform(), color=GREY, va="center", ha="center"
            )
            continue
        values.append(row.mean_difference)
        colour = FAMILY_COLOUR[row.method]
        if not pd.isna(row.interval_low):
            axes.plot([row.interval_low, row.interval_high], [y, y], color=colour, lw=2)
            values += [row.interval_low, row.interval_high]
        axes.plot(row.mean_difference, y, "o", color=colour, ms=6)
        p = "" if pd.isna(row.p_corrected_t_holm) else f"\np = {row.p_corrected_t_holm:.2g}"
        write_beside(axes, y, f"{row.mean_difference:+.2g}{p}".replace("-", "−"), colour, x=1.01)
    margin = 0.08 * (max(values) - min(values) or 1.0)
    axes.set_xlim(min(values) - margin, max(values) + margin)
    axes.axvline(0, color="#333333", lw=1)
    name_rows(axes, names, shown=labels, edge=0.6)
    words = "← lower error of the first of the pair   |   of the second →"
    axes.set_title(words, fontsize=8.5, fontweight="normal", color=GREY)


def _explain_table2(figure: Figure, rows: int) -> None:
    inch = 1 / figure.get_figheight()
    reading = (
        "Further left is better. Large dot: mean over runs (printed on the right); bar: ± one standard "
        "deviation; small dots: single runs.\nHollow diamond: figure published in the MatWheel paper, "
        "± its standard deviation. Lines: constant and forest predictors on the same real rows."
    )
    if rows == 2:
        reading += (
            "\nLower panels: differences paired by split and test row, with 95 % bootstrap intervals; "
            "p: corrected resampled t-test, "
            "Holm-adjusted.\nThe intervals take the splits as independent; p also counts what "
            "the splits share, so it is the stricter of the two."
        )
    set_headings(figure, "Does synthetic data lower the error of a property predictor?", reading)
    top = 1 - (1.95 if rows == 2 else 1.6) * inch
    width = figure.get_figwidth()
    figure.subplots_adjust(
        left=1.35 / width, right=1 - 0.85 / width, top=top, bottom=0.55 * inch, wspace=0.3, hspace=0.42
    )
