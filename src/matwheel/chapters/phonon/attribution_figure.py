"""Figure of why the networks differ: what they look at, what moves the gap, and whether attributions hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.chapters.phonon.faithfulness import IMPORTANT, RANDOM, SAME_DISTANCE
from matwheel.figures.figures import (
    BLUE,
    GENERATOR_COLOURS,
    GREY,
    ORANGE,
    name_rows,
    new_figure,
    part_rows,
    say_not_known,
    set_headings,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = "PBE labels"
_MODEL_COLOURS = (BLUE, ORANGE, *GENERATOR_COLOURS[2:])
# Apart from those of the models, which stand beside them.
_PAIR_COLOURS = (*GENERATOR_COLOURS[2:], "#222222", "#8c564b")
_CHOICE_STYLE = {IMPORTANT: "-", SAME_DISTANCE: "--", RANDOM: ":"}
_CHOICE_WORDS = {IMPORTANT: "most important", SAME_DISTANCE: "random, same distances", RANDOM: "random"}


def sensitivity_rows(from_labels: pd.DataFrame | None, of_networks: pd.DataFrame | None) -> pd.DataFrame:
    """Return sensitivities of labels and networks as rows of `draw_explanations`.

    Args:
        from_labels: from `sensitivity_from_labels`.
        of_networks: from `mean_sensitivities`.

    Returns:
        Columns: source ('PBE labels' or the model), pair, value, low, high.
    """
    slope = "slope_ev_per_angstrom"
    names = {"model": "source", slope: "value", f"{slope}_low": "low", f"{slope}_high": "high"}
    parts = [] if from_labels is None else [from_labels.assign(model=LABELS)]
    parts += [] if of_networks is None else [of_networks]
    columns = ["source", "pair", "value", "low", "high"]
    rows = [part.rename(columns=names)[columns] for part in parts]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


@styled
def draw_explanations(
    by_pair: pd.DataFrame,
    over_distance: pd.DataFrame,
    sensitivities: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    measure: str = "share",
    note: str = "",
) -> Figure:
    """Draw importance by bond type beside physical sensitivity; below, over distance, and faithfulness.

    Args:
        by_pair: from `importance`; models side by side, in order of appearance. Open squares: the share of
            the bonds, what a network would give that prefers none (not for variance shares).
        over_distance: from `importance` with distance bins, of the same models.
        sensitivities: columns source, pair, value, low, high; see `sensitivity_rows`. May be empty.
        curves: from `faithfulness_curves`, with a column model. May be empty.
        measure: 'share' or 'variance_share' of `by_pair`.
        note: what was explained, for the line below the heading: networks, configurations, agreement.

    Raises:
        ValueError: no importance, or an unknown measure.
    """
    if not len(by_pair):
        raise ValueError("attributions of no bond cannot be drawn")
    if measure not in ("share", "variance_share"):
        raise ValueError(f"unknown measure {measure!r}; choose share or variance_share")
    models = list(dict.fromkeys(by_pair["model"]))
    pairs = list(by_pair.groupby("pair")[measure].mean().sort_values(ascending=False).index)
    colours = {model: _MODEL_COLOURS[at % len(_MODEL_COLOURS)] for at, model in enumerate(models)}
    height = 5.9 + 0.36 * max(len(pairs), 4)
    figure = new_figure(11.4, height)
    grid = figure.add_gridspec(2, 1, height_ratios=[0.6 + 0.36 * max(len(pairs), 4), 2.9], hspace=0.36)
    above = grid[0].subgridspec(1, 2, wspace=0.06)
    below = grid[1].subgridspec(1, 2, width_ratios=[len(models), 1], wspace=0.16)
    upper = figure.add_subplot(above[0])
    beside = figure.add_subplot(above[1], sharey=upper)
    _draw_importance(upper, by_pair, models, pairs, colours, measure)
    _draw_sensitivities(beside, sensitivities, pairs, colours)
    highest = 1.05 * float(over_distance["share_high"].max()) if len(over_distance) else 1.0
    strip = below[0].subgridspec(1, len(models), wspace=0.06)
    for place in range(len(models)):
        axes = figure.add_subplot(strip[place])
        own = over_distance[over_distance["model"] == models[place]] if len(over_distance) else over_distance
        _draw_over_distance(axes, own, pairs, highest)
        axes.set_title(f"{models[place]} model: importance over distance", fontsize=9)
        if place == 0:
            axes.set_ylabel("share of all |attribution|")
            axes.legend(frameon=False, fontsize=7.5, ncols=2, handlelength=1.2, columnspacing=1.0)
        else:
            axes.tick_params(labelleft=False)
    last = figure.add_subplot(below[1])
    _draw_curves(last, curves, models, colours)
    set_headings(figure, "Which bonds do the networks look at, and which bonds move the gap?", note)
    top = 1 - (0.95 + 0.16 * note.count("\n")) / height
    figure.subplots_adjust(left=0.075, right=0.985, top=top, bottom=0.5 / height)
    return figure


def _offsets(number: int) -> np.ndarray:
    """Return places of so many things side by side on one line of unit height."""
    return (np.arange(number) - (number - 1) / 2) * min(0.26, 0.7 / max(number, 1))


def _draw_importance(
    axes: Axes,
    by_pair: pd.DataFrame,
    models: Sequence[str],
    pairs: Sequence[str],
    colours: dict[str, str],
    measure: str,
) -> None:
    thickness = min(0.24, 0.65 / len(models))
    for offset, model in zip(_offsets(len(models)), models, strict=True):
        own = by_pair[by_pair["model"] == model].set_index("pair")
        for place, pair in enumerate(pairs):
            if pair not in own.index:
                continue
            row, y = own.loc[pair], place + offset
            label = f"{model} model" if place == 0 else None
            axes.barh(y, row[measure], height=thickness, color=colours[model], alpha=0.55, label=label, lw=0)
            axes.plot([row[f"{measure}_low"], row[f"{measure}_high"]], [y, y], color=colours[model], lw=1.6)
    if measure == "share":
        one = by_pair[by_pair["model"] == models[0]].set_index("pair")
        share = (one["bonds"] / one["bonds"].sum()).reindex(pairs)
        axes.plot(share, range(len(pairs)), "s", mfc="white", mec=GREY, ms=5, label="share of the bonds")
        axes.set_xlabel("share of all |attribution|, with 95 % interval")
    else:
        axes.axvline(0, color="#333333", lw=0.8)
        axes.set_xlabel("share of the variance of the predicted gap, with 95 % interval")
    name_rows(axes, pairs)
    axes.set_title("What the networks look at", fontsize=9)
    axes.legend(frameon=False, loc="lower right", fontsize=8)


def _draw_sensitivities(
    axes: Axes, sensitivities: pd.DataFrame, pairs: Sequence[str], colours: dict[str, str]
) -> None:
    axes.set_title("What moves the gap", fontsize=9)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.set_xlabel("change of the gap with the mean bond length (eV/Å), with 95 % interval")
    if not len(sensitivities):
        say_not_known(axes)
        return
    order = list(colours)
    sources = sorted(
        set(sensitivities["source"]), key=lambda name: order.index(name) if name in order else -1
    )
    for offset, source in zip(_offsets(len(sources)), sources, strict=True):
        own = sensitivities[(sensitivities["source"] == source) & sensitivities["pair"].isin(list(pairs))]
        colour = colours.get(source, "#222222")
        marker = "o" if source in colours else "D"
        label: str | None = f"{source} model" if source in colours else str(source)
        for row in own.itertuples(index=False):
            y = list(pairs).index(row.pair) + offset
            axes.plot([row.low, row.high], [y, y], color=colour, lw=1.6)
            axes.plot(row.value, y, marker, color=colour, ms=5, ls="none", label=label)
            label = None
    axes.axvline(0, color="#333333", lw=0.8, zorder=0)
    part_rows(axes, len(pairs))
    axes.legend(loc="best", fontsize=8, handletextpad=0.3, framealpha=0.85, edgecolor="none")


def _draw_over_distance(axes: Axes, own: pd.DataFrame, pairs: Sequence[str], highest: float) -> None:
    axes.set_xlabel("distance (Å)")
    axes.set_ylim(0, highest)
    if not len(own):
        say_not_known(axes)
        return
    for place, pair in enumerate(pairs):
        rows = own[own["pair"] == pair].sort_values("distance_low_angstrom")
        if not len(rows):
            continue
        centre = (rows["distance_low_angstrom"] + rows["distance_high_angstrom"]).to_numpy() / 2
        colour = _PAIR_COLOURS[place % len(_PAIR_COLOURS)]
        axes.fill_between(centre, rows["share_low"], rows["share_high"], color=colour, alpha=0.2, lw=0)
        axes.plot(centre, rows["share"], "-o", color=colour, ms=2.5, lw=1.2, label=pair)


def _draw_curves(axes: Axes, curves: pd.DataFrame, models: Sequence[str], colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    axes.set_title("Do important bonds matter more?", fontsize=9)
    axes.set_xlabel("bonds put back to their length at rest")
    if not len(curves):
        say_not_known(axes)
        return
    for model in models:
        for choice, style in _CHOICE_STYLE.items():
            rows = curves[(curves["model"] == model) & (curves["choice"] == choice)].sort_values("count")
            if not len(rows):
                continue
            count = rows["count"].to_numpy()
            axes.fill_between(
                count, rows["mean_low"], rows["mean_high"], color=colours[model], alpha=0.15, lw=0
            )
            axes.plot(count, rows["mean"], style, color=colours[model], lw=1.4)
    axes.set_ylabel("mean change of the predicted gap (eV)")
    axes.set_ylim(0, 1.55 * float(curves["mean_high"].max()))  # room for the legend
    lines = [Line2D([], [], color="#333333", ls=style, lw=1.4) for style in _CHOICE_STYLE.values()]
    lines += [Line2D([], [], color=colours[model], lw=3) for model in models]
    words = [*_CHOICE_WORDS.values(), *(f"{model} model" for model in models)]
    axes.legend(lines, words, frameon=False, fontsize=7.5, loc="upper left")
