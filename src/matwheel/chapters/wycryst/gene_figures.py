"""Figures of generated genes: densities under targets, latent maps, parity of energies, survivors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.chapters.wycryst.gene_distributions import SPACE_GROUP, JudgedGenes
from matwheel.chapters.wycryst.gene_screens import PROPERTY_WORDS
from matwheel.core.table_rows import records
from matwheel.figures.figures import (
    BLUE,
    GENERATOR_COLOURS,
    GREY,
    ORANGE,
    look,
    name_rows,
    new_figure,
    part_rows,
    say_not_known,
    set_headings,
    styled,
    write_beside,
)
from matwheel.wyckoff.gene_targets import PropertyWindow, Target
from matwheel.wyckoff.wyckoff_positions import CRYSTAL_SYSTEMS, SPACE_GROUPS, crystal_system

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSITY_PROPERTIES = ("formation_energy_ev_per_atom", "band_gap_ev")
_BINS = 46
_WINDOW_COLOUR = "#E69F00"
# Two lines of one colour would not be told apart, so series beyond the third take the next colours.
_SERIES_COLOURS = (GREY, BLUE, ORANGE, *GENERATOR_COLOURS[2:6])
_LARGEST_MAP = 20_000
_PARITY = "Predicted and validated formation energy"


@styled
def draw_property_densities(
    sets_by_target: Sequence[tuple[Target, Mapping[str, JudgedGenes]]],
    *,
    properties: Sequence[str] = DENSITY_PROPERTIES,
    note: str = "",
) -> Figure:
    """Draw Fig. 2d-i: a row per target, a column per property and one for the space group.

    Densities are histograms of one area, on the same bins within a panel, that leave out the outermost 0.5 %
    on either side; the window is shaded and the share of each set inside it printed, where an unknown
    value counts as outside.

    Args:
        sets_by_target: targets with their sets of genes, e.g. 'training', 'unconditional' and 'conditional'.
        properties: columns of properties; a set that lacks one is left out of its panels.
        note: what predicted the properties, for the line below the heading.

    Raises:
        ValueError: no target, or no set.
    """
    if not sets_by_target or any(not sets for _, sets in sets_by_target):
        raise ValueError("densities of no target or no set cannot be drawn")
    columns = [*properties, SPACE_GROUP]
    height = 1.5 + 2.6 * len(sets_by_target)
    figure = new_figure(3.4 * len(columns) + 0.6, height)
    grid = figure.subplots(len(sets_by_target), len(columns), squeeze=False)
    for line, (target, sets) in zip(grid, sets_by_target, strict=True):
        tables = {name: genes.table() for name, genes in sets.items()}
        for axes, column in zip(line, columns, strict=True):
            nothing = np.zeros(0)
            values = {
                name: table[column].to_numpy(dtype=np.float64) if column in table else nothing
                for name, table in tables.items()
            }
            _draw_density(axes, column, values, target)
        line[0].set_ylabel(f"{target.name.replace('_', ' ')}\ndensity")
    inch = 1 / height
    shown = (
        "Shaded: the window asked for; the numbers above a panel are the share of each set inside it. " + note
    )
    set_headings(figure, "Does conditional generation move genes into the target?", shown)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.012, 1 - 0.6 * inch), ncols=6, frameon=False,
        fontsize=8.5,
    )  # fmt: skip
    figure.subplots_adjust(
        left=0.075, right=0.985, top=1 - 1.15 * inch, bottom=0.5 * inch, hspace=0.36, wspace=0.2
    )
    return figure


@styled
def draw_latent_maps(
    coordinates: ArrayLike,
    *,
    space_group: ArrayLike,
    properties: Mapping[str, ArrayLike],
    explained: Sequence[float] | None = None,
) -> Figure:
    """Draw Fig. 2a-c: genes on two principal components, coloured by properties and crystal system.

    Colours end at the 2nd and 98th percentile of a property. Genes without a value are small and grey. Of
    more than 20,000 genes evenly spaced ones are drawn.

    Args:
        coordinates: shape (n, 2).
        space_group: shape (n,).
        properties: property → values, shape (n,); NaN where unknown.
        explained: share of the variance on each component, for the axes.

    Raises:
        ValueError: no genes, or arrays of different lengths.
    """
    points = np.asarray(coordinates, dtype=np.float64)
    groups = np.asarray(space_group, dtype=np.int64)
    values = {name: np.asarray(own, dtype=np.float64) for name, own in properties.items()}
    n = len(points)
    if points.shape != (n, 2) or n == 0 or any(own.shape != (n,) for own in (groups, *values.values())):
        raise ValueError("a latent map needs coordinates of shape (n, 2) and n values of each property")
    if n > _LARGEST_MAP:
        chosen = np.linspace(0, n - 1, _LARGEST_MAP).astype(np.int64)
        points, groups = points[chosen], groups[chosen]
        values = {name: own[chosen] for name, own in values.items()}
    size = float(np.clip(30_000 / len(points), 2.0, 14.0))
    panels, inch = len(values) + 1, 1 / 4.7
    width = 3.9 * panels + 0.5
    figure = new_figure(width, 4.7)
    shared: Axes | None = None
    for place, name in enumerate([*values, None]):
        left, bottom = (0.7 + 3.9 * place) / width, 1.25 * inch
        axes = figure.add_axes((left, bottom, 3.5 / width, 2.55 * inch), sharex=shared, sharey=shared)
        shared = shared or axes
        if name is None:
            words = "crystal system"
            _draw_systems(axes, points, groups, size)
        else:
            words = PROPERTY_WORDS.get(name, (name, ""))[0]
            bar_axes = figure.add_axes((left + 0.5 / width, 0.6 * inch, 2.5 / width, 0.13 * inch))
            _draw_coloured(axes, bar_axes, points, values[name], name, size)
        axes.set_title(f"{chr(ord('a') + place)}  {words}", fontsize=10)
        axes.set_xlabel(_component(0, explained))
        axes.tick_params(labelleft=place == 0)
        if place == 0:
            axes.set_ylabel(_component(1, explained))
    shown = f"{len(points):,} of {n:,} genes" if len(points) < n else f"{n:,} genes"
    set_headings(
        figure,
        "The latent space by what it was trained to know",
        f"First two principal components of the latent means of {shown}.",
    )
    return figure


@styled
def draw_energy_parity(
    predicted: ArrayLike,
    validated: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    validated_by: str = "validated",
) -> Figure:
    """Draw predicted against validated values, with mean absolute error, bias and number.

    Without any pair the figure says so.

    Args:
        predicted: shape (n,).
        validated: shape (n,), same unit. Pairs with a NaN on either side are left out and counted.
        groups: name of the group of each pair, e.g. its generator; one colour each, in the order of
            appearance.

    Raises:
        ValueError: arrays of different lengths.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (predicted, validated))
    names = np.asarray([""] * len(one) if groups is None else list(groups), dtype=object)
    if one.ndim != 1 or one.shape != other.shape or len(names) != len(one):
        raise ValueError("a parity plot needs as many predicted as validated values, and a group for each")
    known = np.isfinite(one) & np.isfinite(other)
    if not known.any():
        return _figure_of_nothing(_PARITY, "No candidate has both values.")
    left_out = int((~known).sum())
    one, other, names = one[known], other[known], names[known]
    words, unit = PROPERTY_WORDS["formation_energy_ev_per_atom"]
    low, high = min(one.min(), other.min()), max(one.max(), other.max())
    margin = 0.05 * ((high - low) or 1.0)
    figure = new_figure(6.2, 6.6)
    axes = figure.subplots()
    axes.plot([low - margin, high + margin], [low - margin, high + margin], color=GREY, lw=1, zorder=0)
    distinct = list(dict.fromkeys(names))
    for number, name in enumerate(distinct):
        here, (colour, marker) = names == name, look(number)
        label = _error_words(one[here] - other[here], unit)
        axes.plot(
            other[here], one[here], marker, color=colour,
            ms=4, alpha=0.6, mew=0, ls="none", label=f"{name}: {label}" if name else label,
        )  # fmt: skip
    if len(distinct) > 1:
        axes.plot([], [], ls="none", label=f"all: {_error_words(one - other, unit)}")
    axes.legend(loc="upper left", frameon=False, fontsize=8.5, handletextpad=0.3)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{words}, {validated_by} ({unit})")
    axes.set_ylabel(f"{words}, predicted by the MPVAE ({unit})")
    note = "MAE: mean absolute error; bias: mean of predicted − validated."
    note += f" {left_out} without a value on either side." if left_out else ""
    set_headings(figure, _PARITY, note)
    figure.subplots_adjust(left=0.12, right=0.97, top=0.89, bottom=0.08)
    return figure


@styled
def draw_survivors(counts_by_set: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the share left after each screen of several generators side by side, on a logarithmic axis.

    `matwheel.candidates.funnel.draw_funnel` tells more of one generator; this compares them. A share of zero
    is an open marker at the upper end of its 95 % interval.

    Args:
        counts_by_set: name of the generator → its table from `matwheel.candidates.funnel.funnel_counts`.

    Raises:
        ValueError: no generator, or other screens in one of them.
    """
    screens = [list(counts["screen"]) for counts in counts_by_set.values()]
    if not screens or not screens[0] or any(own != screens[0] for own in screens):
        raise ValueError("survivors of several generators are drawn on the same screens, at least one")
    names, rows = list(counts_by_set), screens[0]
    height = 1.75 + (0.16 + 0.17 * len(names)) * len(rows)
    smallest = min(0.5 / max(1, int(counts["candidates"].iloc[0])) for counts in counts_by_set.values())
    figure = new_figure(9.2, height)
    axes = figure.subplots()
    spacing = 0.72 / max(1, len(names) - 1) if len(names) > 1 else 0.0
    for number, name in enumerate(names):
        counts, (colour, marker) = counts_by_set[name], look(number)
        for position, row in enumerate(records(counts)):
            y = position + (number - (len(names) - 1) / 2) * spacing
            empty = not row["alive"]
            ends = [max(row["share_low"], smallest), max(row["share_high"], smallest)]
            axes.plot(ends, [y, y], color=colour, lw=1.2, alpha=0.35 if empty else 1.0)
            share = ends[1] if empty else row["share"]
            axes.plot(share, y, marker, color=colour, ms=4.5, mfc="white" if empty else colour, ls="none")
            write_beside(axes, y, f"{row['alive']:,}", colour, x=1.015, fontsize=7)
        # Drawn empty, so that the legend shows a full marker whatever the first row is.
        label = f"{name} (n = {int(counts['candidates'].iloc[0]):,})"
        axes.plot([], [], marker, color=colour, ms=5, ls="none", label=label)
    part_rows(axes, len(rows))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.set_xlim(smallest, 1.15)
    name_rows(axes, [screen.replace("_", " ") for screen in rows])
    axes.set_xlabel("share of all candidates that is left (number on the right), with 95 % interval")
    inch = 1 / height
    set_headings(
        figure,
        "How many candidates of each generator are left after each screen?",
        "From top to bottom, as a candidate meets the screens. Open marker: none is left; it stands at "
        "the upper end of the interval.",
    )
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.012, 1 - 0.62 * inch), ncols=3,
        frameon=False, fontsize=8.5, handletextpad=0.2,
    )  # fmt: skip
    legend_inch = 0.2 * (-(-len(names) // 3))
    figure.subplots_adjust(left=0.2, right=0.93, top=1 - (0.72 + legend_inch) * inch, bottom=0.5 * inch)
    return figure


def _draw_density(axes: Axes, column: str, values: Mapping[str, NDArray[np.float64]], target: Target) -> None:
    """Draw one property of all sets on common bins, and the window."""
    words, unit = ("space group", "") if column == SPACE_GROUP else PROPERTY_WORDS.get(column, (column, ""))
    axes.set_xlabel(f"{words} ({unit})" if unit else words)
    axes.set_yticks([])
    known = {name: own[np.isfinite(own)] for name, own in values.items() if np.isfinite(own).any()}
    if not known:
        say_not_known(axes)
        return
    window = target.windows.get(column, PropertyWindow())
    if column == SPACE_GROUP:
        window = PropertyWindow(*target.space_groups)
        left, right = 0.5, SPACE_GROUPS + 0.5
    else:
        ends = np.array([np.quantile(own, [0.005, 0.995]) for own in known.values()])
        bounds = [bound for bound in (window.low, window.high) if bound is not None]
        left, right = min(ends[:, 0].min(), *bounds, np.inf), max(ends[:, 1].max(), *bounds, -np.inf)
        right = right if right > left else left + 1.0
    bins = np.linspace(left, right, _BINS + 1)
    for number, (name, own) in enumerate(values.items()):
        if name not in known:
            continue
        colour = _SERIES_COLOURS[number % len(_SERIES_COLOURS)]
        shares = np.histogram(known[name], bins)[0] / len(known[name])
        # The first set, usually the training rows, lies as an area behind the lines of the others.
        if number == 0:
            axes.stairs(shares, bins, color=colour, fill=True, alpha=0.45, lw=0, label=name)
        else:
            axes.stairs(shares, bins, color=colour, lw=1.5, label=name)
        if window != PropertyWindow():
            axes.text(
                1.0 - 0.17 * (len(values) - 1 - number), 1.02, f"{100 * window.contains(own).mean():.1f} %",
                ha="right", va="bottom", transform=axes.transAxes, fontsize=8, color=colour,
                fontweight="bold",
            )  # fmt: skip
    if window != PropertyWindow():
        low = left if window.low is None else window.low
        high = right if window.high is None else window.high
        axes.axvspan(low, high, color=_WINDOW_COLOUR, alpha=0.16, lw=0 if high > low else 1)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom=0)


def _draw_coloured(
    axes: Axes,
    bar_axes: Axes,
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    name: str,
    size: float,
) -> None:
    """Draw points coloured by a property, and the scale of its colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    words, unit = PROPERTY_WORDS.get(name, (name, ""))
    known = np.isfinite(values)
    x, y = points[~known].T
    axes.scatter(x, y, s=0.4 * size, c="#d0d0d0", linewidths=0, rasterized=True)
    low, high = np.quantile(values[known], [0.02, 0.98]) if known.any() else (0.0, 1.0)
    scale = Normalize(low, high)
    colours = ScalarMappable(scale, "viridis")
    # Drawn in an order that favours no value.
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    x, y = points[order].T
    axes.scatter(
        x, y, s=size, c=values[order], cmap=colours.cmap, norm=scale, linewidths=0,
        rasterized=True,
    )  # fmt: skip
    bar = axes.figure.colorbar(colours, cax=bar_axes, orientation="horizontal", extend="both")
    bar.set_label(f"{words} ({unit})" if unit else words, fontsize=8)
    bar.ax.tick_params(labelsize=7.5)


def _draw_systems(axes: Axes, points: NDArray[np.float64], groups: NDArray[np.int64], size: float) -> None:
    systems = np.array([crystal_system(group) for group in groups.tolist()])
    colours = np.array(GENERATOR_COLOURS, dtype=object)
    order = np.random.default_rng(0).permutation(len(points))
    x, y = points[order].T
    axes.scatter(x, y, s=size, c=list(colours[systems[order]]), linewidths=0, rasterized=True)
    for place, system in enumerate(CRYSTAL_SYSTEMS):
        if (systems == place).any():
            axes.plot([], [], "o", color=colours[place], ms=4, ls="none", label=system)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False, fontsize=7.5,
        handletextpad=0.1, columnspacing=0.8,
    )  # fmt: skip


def _component(place: int, explained: Sequence[float] | None) -> str:
    share = "" if explained is None else f" ({100 * explained[place]:.0f} % of the variance)"
    return f"component {place + 1}{share}"


def _error_words(differences: NDArray[np.float64], unit: str) -> str:
    mean, bias = np.abs(differences).mean(), differences.mean()
    return f"MAE {mean:.3f} {unit}, bias {bias:+.3f}, n = {len(differences):,}".replace("-", "−")


@styled
def _figure_of_nothing(title: str, why: str) -> Figure:
    """Return a figure that says why there is nothing to draw, so that a small run ends with all its files."""
    figure = new_figure(6.2, 1.4)
    set_headings(figure, title, why)
    return figure
