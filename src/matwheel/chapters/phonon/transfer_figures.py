"""Figures of the transfer between thermal and random configurations: learning curves and the cross table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.chapters.phonon.configuration_transfer import (
    BOTH,
    CONSTANT,
    MAIN_METHOD,
    RIDGE,
    TARGETS,
    TEST_SETS,
    TRAINING_SETS,
)
from matwheel.core.table_rows import records
from matwheel.figures.figures import BLUE, GREEN, GREY, ORANGE, new_figure, styled
from matwheel.vibrations.displacements import THERMAL, UNIFORM_ONE_SIDED, UNIFORM_SCALED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SET_COLOUR = {THERMAL: BLUE, UNIFORM_ONE_SIDED: ORANGE, UNIFORM_SCALED: "#E69F00", BOTH: GREEN}
SET_MARKER = {THERMAL: "o", UNIFORM_ONE_SIDED: "s", UNIFORM_SCALED: "D", BOTH: "^"}
SET_LABEL = {
    THERMAL: "thermal",
    UNIFORM_ONE_SIDED: "uniform",
    UNIFORM_SCALED: "uniform, equal rms",
    BOTH: "half thermal, half uniform",
}
# Label, unit and factor from the unit of the table.
TARGET_LABEL = {
    "energy_ev_per_atom": ("energy", "meV/atom", 1000.0),
    "stress_gpa": ("hydrostatic stress", "GPa", 1.0),
    "band_gap_ev": ("band gap", "meV", 1000.0),
    "valence_band_maximum_ev": ("valence-band maximum", "meV", 1000.0),
}


@styled
def draw_learning_curves(curves: pd.DataFrame, target: str = "band_gap_ev") -> Figure:
    """Draw the mean absolute error over the number of training rows, one panel per test set.

    Each training set is a line with a band of one standard deviation over the seeds; the ridge on bond
    lengths trained on the same rows is a thin dashed line of the same colour, the constant predictor trained
    on rows of the test set's own kind a dotted grey one.

    Args:
        curves: from `matwheel.chapters.phonon.configuration_transfer.learning_curves`.

    Raises:
        ValueError: there are no rows of the distance network on the target.
    """
    here = curves[curves["target"] == target]
    main = here[here["method"] == MAIN_METHOD]
    panels = [name for name in TEST_SETS if (main["test_set"] == name).any()]
    if not panels:
        raise ValueError(f"no learning curve of {MAIN_METHOD} on {target} to draw")
    label, unit, factor = TARGET_LABEL[target]
    figure = new_figure(1.4 + 3.1 * len(panels), 3.9)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, test_set in zip(grid, panels, strict=True):
        part = here[here["test_set"] == test_set]
        _draw_curves(axes, part, test_set, factor)
        axes.set_title(f"tested on {SET_LABEL.get(test_set, test_set)}", fontsize=9)
        axes.set_xlabel("training configurations")
        axes.set_xticks(sorted(part["size"].unique()))
    grid[0].set_ylabel(f"mean absolute error of the {label}" + f" ({unit})")
    grid[0].set_ylim(bottom=0)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper left", bbox_to_anchor=(0.01, 1.0), ncols=3, frameon=False, fontsize=8
    )
    figure.subplots_adjust(left=0.62 / (1.4 + 3.1 * len(panels)) + 0.03, right=0.98, top=0.76, bottom=0.13)
    return figure


def _draw_curves(axes: Axes, part: pd.DataFrame, test_set: str, factor: float) -> None:
    """Draw the curves of one test set."""
    for training_set in TRAINING_SETS:
        own = part[part["training_set"] == training_set].sort_values("size")
        colour = SET_COLOUR[training_set]
        main, ridge = own[own["method"] == MAIN_METHOD], own[own["method"] == RIDGE]
        if len(main):
            mean, spread = factor * main["mae_mean"], factor * main["mae_std"].fillna(0.0)
            axes.fill_between(main["size"], mean - spread, mean + spread, color=colour, alpha=0.13, lw=0)
            axes.plot(
                main["size"], mean, color=colour, marker=SET_MARKER[training_set], ms=4.5, lw=1.8,
                label=f"trained on {SET_LABEL[training_set]}",
            )  # fmt: skip
        if len(ridge):
            axes.plot(ridge["size"], factor * ridge["mae_mean"], color=colour, lw=0.9, ls=(0, (4, 2)))
    constant = part[(part["method"] == CONSTANT) & (part["training_set"] == test_set)].sort_values("size")
    if len(constant):
        axes.plot(
            constant["size"], factor * constant["mae_mean"], color=GREY, lw=1.2, ls=":",
            label="constant (mean of the test set's kind)",
        )  # fmt: skip
    if (part["method"] == RIDGE).any():
        axes.plot([], [], color=GREY, lw=0.9, ls=(0, (4, 2)), label="dashed: ridge on bond lengths")


@styled
def draw_cross_table(table: pd.DataFrame) -> Figure:
    """Draw every training set on every test set as a heat map, one panel per target.

    A cell shows R² (mean over seeds ± standard deviation) and the mean absolute error; its colour is that
    error over the one of the constant predictor of the test set: 1 has learned nothing.

    Args:
        table: from `matwheel.chapters.phonon.configuration_transfer.cross_table`.

    Raises:
        ValueError: there are no cells of the distance network.
    """
    from matplotlib.colors import Normalize

    here = table[table["method"] == MAIN_METHOD]
    panels = [name for name in TARGETS if (here["target"] == name).any()]
    if not panels:
        raise ValueError(f"no cell of {MAIN_METHOD} to draw")
    rows = [name for name in TRAINING_SETS if (here["training_set"] == name).any()]
    columns = [name for name in TEST_SETS if (here["test_set"] == name).any()]
    width = 2.2 + 3.3 * len(panels)
    figure = new_figure(width, 1.7 + 0.62 * len(rows))
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (axes, target) in enumerate(zip(grid, panels, strict=True)):
        own = here[here["target"] == target]
        label, unit, factor = TARGET_LABEL[target]
        shade = np.full((len(rows), len(columns)), np.nan)
        for cell in records(own[own["test_set"].isin(columns)]):
            y, x = rows.index(cell["training_set"]), columns.index(cell["test_set"])
            shade[y, x] = cell["mae_over_constant"]
            spread = "" if pd.isna(cell["r2_std"]) else f" ± {cell['r2_std']:.2f}"
            dark = abs(np.nan_to_num(shade[y, x], nan=1.0) - 1.0) > 0.75
            axes.text(
                x, y, f"R² {cell['r2_mean']:.2f}{spread}\n{factor * cell['mae_mean']:.3g} {unit}",
                ha="center", va="center", fontsize=7.5, color="white" if dark else "black",
            )  # fmt: skip
        image = axes.imshow(shade, cmap="RdYlBu_r", norm=Normalize(0.0, 2.0), aspect="auto")
        axes.set_xticks(range(len(columns)), [SET_LABEL[name].replace(", ", ",\n") for name in columns])
        named = [SET_LABEL[name].replace(", ", ",\n") for name in rows]
        axes.set_yticks(range(len(rows)), named if place == 0 else [])
        axes.tick_params(length=0)
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("tested on")
        for side in axes.spines.values():
            side.set_visible(False)
    grid[0].set_ylabel(f"trained on {int(here['size'].iloc[0])} configurations")
    figure.subplots_adjust(left=1.35 / width, right=1 - 1.0 / width, top=0.88, bottom=0.24, wspace=0.06)
    bar = figure.add_axes((1 - 0.85 / width, 0.24, 0.12 / width, 0.64))
    figure.colorbar(image, cax=bar, label="error over that of a constant", extend="max")
    return figure
