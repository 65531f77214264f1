"""Figure of the phonons of one crystal: bands, density of states, and what decided."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matwheel.core.archives import write_zip
from matwheel.crystals.table import reduced_formula
from matwheel.figures.figures import BLUE, GREEN, GREY, ORANGE, STYLE, save_figure
from matwheel.vibrations.phonon_results import NO_CHARGES, NOT_OF_A_LAYER, PhononResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_VERDICT_COLOUR = {"stable": GREEN, "stable, soft": GREEN, "unstable": ORANGE}


def draw_phonons(result: PhononResult, path: str | Path) -> None:
    """Write the figure of `phonon_figure` as SVG or PNG: same result, same bytes.

    Raises:
        ValueError: another suffix, or a result without frequencies.
    """
    save_figure(phonon_figure(result), path)


def archive_phonon_figures(results: Sequence[PhononResult], path: str | Path) -> None:
    """Write a zip archive with `{id}.svg` of every result that has frequencies."""

    def figures() -> Iterator[tuple[str, bytes]]:
        with tempfile.TemporaryDirectory() as folder:
            for result in results:
                if result.gamma_frequencies_thz is not None:
                    figure = Path(folder, f"{result.id}.svg")
                    draw_phonons(result, figure)
                    yield figure.name, figure.read_bytes()

    write_zip(figures(), path)


def phonon_figure(result: PhononResult) -> Figure:
    """Draw bands and density of states; of a crystal that ended at Γ, the frequencies there.

    Imaginary frequencies are drawn as negative ones. Between the thresholds a shaded strip; the mode that
    decided is marked; whose Born charges split the modes at Γ stands beside the title.

    Raises:
        ValueError: the result has no frequencies.
    """
    import matplotlib
    from matplotlib.figure import Figure

    if result.crystal is None or result.gamma_frequencies_thz is None:
        raise ValueError(f"{result.id}: no phonons to draw: {result.reason}")
    with matplotlib.rc_context(STYLE):
        if result.bands is None:
            figure = Figure(figsize=(5.6, 4.6))
            axes = figure.subplots()
            _draw_gamma(axes, result)
            left, right = 0.12, 0.86
        else:
            figure = Figure(figsize=(8.6, 4.6))
            axes, beside = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [4.2, 1]})
            _draw_bands(axes, result)
            _draw_density(beside, result)
            left, right = 0.085, 0.985
        _draw_thresholds(figure.axes, result)
        axes.set_ylabel("frequency (THz; negative: imaginary)")
        _headings(figure, result)
        figure.subplots_adjust(left=left, right=right, top=0.78, bottom=0.11, wspace=0.05)
    return figure


def _draw_bands(axes: Axes, result: PhononResult) -> None:
    bands = result.bands
    assert bands is not None
    ticks: list[float] = []
    labels: list[str] = []
    previous = None
    for (first, last), distance, frequencies in zip(
        bands.segments, bands.distances, bands.frequencies_thz, strict=True
    ):
        axes.plot(distance, frequencies, color=BLUE, lw=1.0)
        if ticks and previous != first:
            labels[-1] = f"{labels[-1]}|{_label(first)}"
        elif not ticks:
            ticks.append(float(distance[0]))
            labels.append(_label(first))
        ticks.append(float(distance[-1]))
        labels.append(_label(last))
        previous = last
    for tick in ticks:
        axes.axvline(tick, color="#d0d0d0", lw=0.8, zorder=0)
    axes.set_xticks(ticks, labels)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(ticks[0], ticks[-1])
    _mark_lowest(axes, result)


def _mark_lowest(axes: Axes, result: PhononResult) -> None:
    """Mark the lowest mode where the path comes through its q-point or one with the same frequency."""
    bands, lowest = result.bands, result.lowest_frequency_thz
    assert bands is not None
    if not isfinite(lowest):
        return
    point = np.array(result.q_point)
    for q_points, distance in zip(bands.q_points, bands.distances, strict=True):
        difference = q_points - point
        at = np.abs(difference - np.round(difference)).max(axis=1)
        if at.min() < 1e-6:
            axes.plot(distance[at.argmin()], lowest, "o", mfc="none", mec=ORANGE, ms=8, mew=1.5)
            return


def _draw_density(axes: Axes, result: PhononResult) -> None:
    density = result.density
    assert density is not None
    axes.plot(density.states_per_thz, density.frequencies_thz, color=BLUE, lw=1.0)
    axes.fill_betweenx(density.frequencies_thz, density.states_per_thz, color=BLUE, alpha=0.15, lw=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("states / (cell · THz)")


def _draw_gamma(axes: Axes, result: PhononResult) -> None:
    frequencies = result.gamma_frequencies_thz
    assert frequencies is not None
    spacing, previous = 0.03 * (frequencies.max() - frequencies.min()), -np.inf
    for value, number in zip(*np.unique(np.round(frequencies, 2) + 0.0, return_counts=True), strict=True):
        colour = ORANGE if value < result.settings.unstable_below_thz else BLUE
        axes.axhline(value, color=colour, lw=1.4)
        if value - previous < spacing:
            continue  # its label would lie on the last one
        previous = value
        axes.annotate(
            f"{value:.2f} ×{number}".replace("-", "−"), (1.01, value), xycoords=("axes fraction", "data"),
            va="center", fontsize=8, color=colour, annotation_clip=False,
        )  # fmt: skip
    axes.set_xticks([0.5], ["Γ"])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(0, 1)


def _draw_thresholds(all_axes: list[Axes], result: PhononResult) -> None:
    settings = result.settings
    for axes in all_axes:
        axes.axhspan(
            settings.unstable_below_thz, settings.stable_above_thz, color=GREY, alpha=0.13, lw=0, zorder=0
        )
        axes.axhline(0, color="#333333", lw=0.8)


def _headings(figure: Figure, result: PhononResult) -> None:
    settings, crystal = result.settings, result.crystal
    assert crystal is not None
    title = f"{_subscripted(reduced_formula(crystal))}   space group {result.space_group}   {result.id}"
    figure.text(
        0.02, 0.975, title, ha="left", va="top", fontsize=12, fontweight="bold",
    )  # fmt: skip
    if result.bands is not None:
        figure.text(
            0.985, 0.965, _shortened(_charges(result.born_charges), 50), ha="right", va="top", fontsize=8.5,
            color="#333333",
        )  # fmt: skip
    colour = _VERDICT_COLOUR.get(result.verdict, GREY)
    note = f"dynamically {result.verdict}" if result.verdict in _VERDICT_COLOUR else result.verdict
    if result.reason:
        note += f": {result.reason}"
    note = _shortened(note.replace("-", "−"), 120 if result.bands else 78)
    figure.text(
        0.02, 0.905, note, ha="left", va="top", fontsize=9.5, color=colour, fontweight="bold",
    )  # fmt: skip
    if result.bands is None:
        how = f"Unit cell of {result.supercell_atoms} atoms, Γ only"
    else:
        how = (
            f"Supercell of {result.supercell_atoms} atoms, {result.supercell_length_angstrom:.1f} Å; the "
            "q-points that fit into it decide, the rest is interpolated"
        )
    strip = f"strip: {settings.unstable_below_thz:g} to {settings.stable_above_thz:g} THz".replace("-", "−")
    figure.text(0.02, 0.85, f"{how}; {strip}.", ha="left", va="top", fontsize=8.5, color="#333333")
    shift = result.rotational_shift_thz
    if isfinite(shift):
        if shift > -settings.unstable_below_thz:
            rules = f"without rotational sum rules, which would move frequencies by up to {shift:.2f} THz"
            rules += ": too much for this supercell"
        else:
            rules = f"with rotational sum rules, which move frequencies by up to {shift:.2f} THz"
            rules += "; verdict and density without"
        figure.text(0.02, 0.81, f"Bands {rules}.", ha="left", va="top", fontsize=8.5, color="#333333")


def _charges(born_charges: str) -> str:
    if born_charges in ("", NO_CHARGES):
        return "no Born charges"
    return (
        f"Born charges {born_charges}"
        if born_charges == NOT_OF_A_LAYER
        else f"Born charges of {born_charges}"
    )


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _label(name: str) -> str:
    """Return the label of a q-point: 'G' is Γ, digits are subscripts."""
    return "Γ" if name == "G" else _subscripted(name)


def _subscripted(text: str) -> str:
    return text.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
