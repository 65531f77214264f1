"""A computed property against the label of a dataset, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.core.table_rows import named_rows
from matwheel.figures.figures import BLUE, GREY, ORANGE, STYLE
from matwheel.properties.oracle_card import values_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4
_NAMED_OUTLIERS = 6
_LOG_FROM = 30.0  # ratio of largest to median value from which an axis is logarithmic


def draw_oracle(
    crystals: pd.DataFrame,
    table: pd.DataFrame,
    card: pd.DataFrame,
    outliers: pd.DataFrame,
    *,
    estimates: Sequence[str],
    property_name: str,
    target_label: str,
    title: str,
) -> Figure:
    """Draw the label over the estimates of a property, or over its first values where it has none.

    Args:
        crystals: the dataset, with the columns id and target.
        table: the property of all of them.
        card: from `oracle_card`.
        outliers: from `outliers`; the first are named.
        estimates: values that stand for a label; the diagonal is drawn for them.
        target_label: of the vertical axes.
        title: of the dataset.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = list(estimates or values_of(table))[:MOST_PANELS]
    label = crystals["target"].to_numpy(np.float64)
    scores = card.set_index("value")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 4.0 * len(names), 4.6))
        grid = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(grid, names, strict=True):
            value = table[name].to_numpy(np.float64)
            there = np.isfinite(value)
            axes.scatter(value[there], label[there], s=9, color=BLUE, alpha=0.5, linewidths=0)
            if name in estimates:
                _name_outliers(axes, outliers.head(_NAMED_OUTLIERS))
            _scale(axes, value[there], label)
            if name in estimates:
                ends = [
                    max(axes.get_xlim()[0], axes.get_ylim()[0]),
                    min(axes.get_xlim()[1], axes.get_ylim()[1]),
                ]
                axes.plot(ends, ends, color=GREY, lw=0.9, zorder=0)
            own = scores.loc[name]
            axes.set_xlabel(name.replace("_", " "))
            axes.set_title(
                f"rank correlation {own['spearman']:.2f}, r {own['pearson']:.2f}, "
                f"{int(own['computed'])} of {int(own['rows'])}",
                fontsize=8.5,
                fontweight="normal",
                color=GREY,
            )
        grid[0].set_ylabel(target_label)
        figure.suptitle(
            f"{property_name.replace('_', ' ').capitalize()} against the label: {title}",
            x=0.02, y=0.98, ha="left", va="top", fontsize=11, fontweight="bold",
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0, 1, 0.94))
    return figure


def _scale(axes: Axes, value: np.ndarray, label: np.ndarray) -> None:
    """Make axes logarithmic whose values span orders of magnitude."""
    for numbers, scale in ((value, axes.set_xscale), (label, axes.set_yscale)):
        if len(numbers) and numbers.min() > 0 and numbers.max() > _LOG_FROM * np.median(numbers):
            scale("log")


def _name_outliers(axes: Axes, worst: pd.DataFrame) -> None:
    for row in named_rows(worst[worst["value"].notna()]):
        axes.plot(row.value, row.target, "o", mfc="none", mec=ORANGE, ms=6, mew=0.9)
        axes.annotate(
            row.formula, (row.value, row.target), xytext=(5, 3), textcoords="offset points", fontsize=7.5,
            color=ORANGE,
        )  # fmt: skip
