"""Figures of displaced crystals: how far atoms move, what it costs, and the phonon bands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError
from matwheel.core.table_rows import groups
from matwheel.figures.figures import BLUE, GREEN, GREY, ORANGE, new_figure, save_figure, set_headings, styled
from matwheel.vibrations.displacements import POLICIES, RANDOM_SETS, THERMAL
from matwheel.vibrations.force_constants import ForceConstants, bands_along_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUP = ("compound", "set", "policy", "temperature_kelvin")
_LENGTH, _ENERGY = "rms_displacement_angstrom", "energy_above_rest_mev_per_atom"
FRAME_COLUMNS = (*_GROUP, _LENGTH, _ENERGY)
SUMMARY_COLUMNS = (
    *_GROUP,
    "n",
    "energy_mev_per_atom_mean",
    "energy_mev_per_atom_std",
    "rms_displacement_angstrom_mean",
    "rms_displacement_angstrom_std",
    "harmonic_energy_mev_per_atom",
    "imaginary_fraction",
)
_SET_ORDER = (THERMAL, *RANDOM_SETS)
_POLICY_COLOUR = {
    "absolute": BLUE,
    "cutoff": GREEN,
    "clip": "#56B4E9",
    "freeze": "#CC79A7",
    "self_consistent": "#333333",
}
_SET_COLOUR = {"uniform_one_sided": ORANGE, "uniform_symmetric": "#E69F00", "uniform_scaled": "#9a7b00"}
# One per temperature, from the lowest.
_MARKERS = ("o", "s", "^", "v", "P", "X")
_NO_TEMPERATURE = "D"
_PANELS_PER_ROW = 3
_LEGEND_INCHES = 1.75
_BOLTZMANN_MEV_PER_KELVIN = 1.380649e-23 / 1.602176634e-22


def harmonic_energy_mev_per_atom(atoms: int, temperature_kelvin: float) -> float:
    """Return the classical mean potential energy of a harmonic crystal, ½ (3N - 3)/N k_B T, meV/atom."""
    return 0.5 * (3 * atoms - 3) / atoms * _BOLTZMANN_MEV_PER_KELVIN * temperature_kelvin


def displacement_summary(
    frame: pd.DataFrame,
    atoms: Mapping[str, int] | None = None,
    imaginary_fractions: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return what the configurations of every compound, set, policy and temperature have in common.

    Args:
        frame: columns `FRAME_COLUMNS`, one row per configuration. Policy and temperature may be missing
            (None, NaN) for random sets; rows without an energy or a displacement are left out.
        atoms: compound → atoms in its supercell.
        imaginary_fractions: compound → share of its harmonic vibrations that are imaginary.

    Returns:
        Columns compound, set, policy, temperature_kelvin, n, energy_mev_per_atom_mean and _std,
        rms_displacement_angstrom_mean and _std (sample standard deviations, NaN for n = 1),
        harmonic_energy_mev_per_atom (thermal sets: what `harmonic_energy_mev_per_atom` expects of all
        vibrations; NaN elsewhere and for compounds not in `atoms`) and imaginary_fraction (thermal sets).

    Raises:
        InputError: a column is missing, or a set is unknown.
    """
    atoms, imaginary_fractions = atoms or {}, imaginary_fractions or {}
    rows = []
    for (compound, kind, policy, temperature), group in _groups(frame):
        energies, lengths = group[_ENERGY], group[_LENGTH]
        thermal = kind == THERMAL
        known = thermal and compound in atoms
        rows.append(
            {
                "compound": compound,
                "set": kind,
                "policy": policy,
                "temperature_kelvin": temperature,
                "n": len(group),
                "energy_mev_per_atom_mean": energies.mean(),
                "energy_mev_per_atom_std": energies.std(),
                "rms_displacement_angstrom_mean": lengths.mean(),
                "rms_displacement_angstrom_std": lengths.std(),
                "harmonic_energy_mev_per_atom": (
                    harmonic_energy_mev_per_atom(atoms[compound], temperature) if known else np.nan
                ),
                "imaginary_fraction": imaginary_fractions.get(compound, np.nan) if thermal else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def draw_displacements(frame: pd.DataFrame, path: str | Path, atoms: Mapping[str, int] | None = None) -> None:
    """Write the figure of `displacement_figure` as SVG or PNG: same frame, same bytes.

    Raises:
        ValueError: see `displacement_figure`; or another suffix.
    """
    save_figure(displacement_figure(frame, atoms), path)


@styled
def displacement_figure(frame: pd.DataFrame, atoms: Mapping[str, int] | None = None) -> Figure:
    """Draw the energy above the crystal at rest against the rms displacement, one panel per compound.

    Every configuration is a faint dot; the mean of a set has bars of one standard deviation in both
    directions. The colour is the policy or the kind of random set, the marker the temperature. Short grey
    lines on the left: the energy that a harmonic crystal would have at each temperature.

    Args:
        frame: columns `FRAME_COLUMNS`, one row per configuration.
        atoms: compound → atoms in its supercell, for the harmonic energy; compounds not in it have no line.

    Raises:
        InputError: a column is missing, a set is unknown, or there is nothing to draw.
    """
    groups = _groups(frame)
    if not groups:
        raise InputError("displaced configurations: none has an energy and a displacement; nothing to draw")
    compounds = list(dict.fromkeys(key[0] for key, _ in groups))
    temperatures = sorted({key[3] for key, _ in groups if np.isfinite(key[3])})
    markers = {value: _MARKERS[i % len(_MARKERS)] for i, value in enumerate(temperatures)}
    columns = min(_PANELS_PER_ROW, len(compounds))
    rows = -(-len(compounds) // columns)
    height = 1.75 + 3.6 * rows
    figure = new_figure(max(8.2, 1.6 + 4.1 * columns), height)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, compound in zip(grid.flat, compounds, strict=False):
        here = [(key, group) for key, group in groups if key[0] == compound]
        _draw_compound(axes, here, markers)
        if atoms and compound in atoms:
            used = {key[3] for key, _ in here if key[1] == THERMAL}
            _draw_harmonic(axes, atoms[compound], sorted(used))
        axes.set_title(_subscripted(compound))
    for axes in grid.flat[len(compounds) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("energy above rest (meV/atom)")
    for column in range(columns):
        last = max(row for row in range(rows) if row * columns + column < len(compounds))
        grid[last, column].set_xlabel("rms displacement of an atom (Å)")
    _legend(figure, [key for key, _ in groups], markers)
    reading = (
        "Faint: configurations; large: means with one standard deviation. "
        "Lower at one displacement: nearer to what the crystal does."
    )
    if atoms is not None:
        reading += "\nGrey lines: energy of a classical harmonic crystal, ½ (3N − 3)/N k_B T."
    set_headings(figure, "What does it cost to displace the atoms?", reading)
    width = figure.get_figwidth()
    figure.subplots_adjust(
        left=0.75 / width, right=1 - (_LEGEND_INCHES + 0.15) / width, top=1 - 1.2 / height,
        bottom=0.5 / height, wspace=0.22, hspace=0.35,
    )  # fmt: skip
    return figure


@styled
def bands_of_compounds(constants: Mapping[str, ForceConstants], points: int = 240) -> Figure:
    """Draw the phonon bands of several compounds, one panel each, with the lowest frequency on the path.

    Imaginary frequencies are drawn as negative ones. A compound whose lattice has no standard path has a
    panel that says so.

    Args:
        constants: title of the panel, e.g. the formula → force constants.

    Raises:
        InputError: no compound.
    """
    if not constants:
        raise InputError("phonon bands: no compound to draw")
    columns = min(_PANELS_PER_ROW, len(constants))
    rows = -(-len(constants) // columns)
    height = 1.25 + 3.2 * rows
    figure = new_figure(max(6.4, 0.9 + 4.1 * columns), height)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, harmonic) in zip(grid.flat, constants.items(), strict=False):
        _draw_bands(axes, name, harmonic, points)
    for axes in grid.flat[len(constants) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency (THz; negative: imaginary)")
    set_headings(figure, "Phonon bands")
    width = figure.get_figwidth()
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.2 / width, top=1 - 0.8 / height, bottom=0.4 / height, hspace=0.32
    )
    return figure


def _groups(frame: pd.DataFrame) -> list[tuple[tuple[str, str, str, float], pd.DataFrame]]:
    """Return the usable configurations by compound, set, policy ('' for none) and temperature, in order."""
    missing = [column for column in FRAME_COLUMNS if column not in frame]
    if missing:
        raise InputError(f"displaced configurations: no column {', '.join(missing)}; add it to the table")
    unknown = sorted(set(frame["set"]) - set(_SET_ORDER))
    if unknown:
        raise InputError(f"displaced configurations: unknown set {unknown[0]!r}; choose of {_SET_ORDER}")
    usable = frame.dropna(subset=[_ENERGY, _LENGTH]).copy()
    # A random set has no policy and a temperature only where it is scaled to a thermal set.
    usable["policy"] = usable["policy"].fillna("").astype(str)
    usable["temperature_kelvin"] = usable["temperature_kelvin"].astype(float)
    parts = groups(usable, _GROUP, sort=False, dropna=False)
    compounds = list(dict.fromkeys(usable["compound"]))

    def order(key: tuple[Any, ...]) -> tuple:
        compound, kind, policy, temperature = key
        place = POLICIES.index(policy) if policy in POLICIES else len(POLICIES)
        return (
            compounds.index(compound),
            _SET_ORDER.index(kind),
            place,
            np.inf if np.isnan(temperature) else temperature,
        )

    return sorted(parts, key=lambda group: order(group[0]))


def _draw_compound(axes: Axes, groups: list, markers: dict[float, str]) -> None:
    """Draw the configurations and the means of one compound."""
    for (_, kind, policy, temperature), group in groups:
        colour, marker = _colour(kind, policy), markers.get(temperature, _NO_TEMPERATURE)
        lengths, energies = group[_LENGTH].to_numpy(), group[_ENERGY].to_numpy()
        axes.plot(lengths, energies, marker, color=colour, ms=3, alpha=0.35, mew=0, ls="none", zorder=1)
        axes.errorbar(
            lengths.mean(), energies.mean(),
            xerr=lengths.std(ddof=1) if len(group) > 1 else None,
            yerr=energies.std(ddof=1) if len(group) > 1 else None,
            fmt=marker, color=colour, mec="white", mew=0.7, ms=7.5, elinewidth=1.4, zorder=3,
        )  # fmt: skip
    axes.axhline(0, color="#333333", lw=0.8, zorder=0)
    axes.set_xlim(left=0)


def _draw_harmonic(axes: Axes, atoms: int, temperatures: list[float]) -> None:
    """Mark the energy of a classical harmonic crystal at each temperature at the left edge."""
    for temperature in temperatures:
        energy = harmonic_energy_mev_per_atom(atoms, temperature)
        axes.plot([0, 0.05], [energy, energy], transform=axes.get_yaxis_transform(), color=GREY, lw=1.4)
        axes.annotate(
            f"{temperature:g} K", (0.06, energy), xycoords=("axes fraction", "data"), va="center", fontsize=7,
            color=GREY,
        )  # fmt: skip


def _draw_bands(axes: Axes, name: str, harmonic: ForceConstants, points: int) -> None:
    """Draw bands with the names of the q-points."""
    bands = bands_along_path(harmonic, points)
    if bands is None:
        axes.set_title(_subscripted(name))
        axes.text(0.5, 0.5, "lattice without a standard path", transform=axes.transAxes, ha="center")
        axes.set_axis_off()
        return
    ticks, names = [float(bands.distances[0][0])], [_label(bands.segments[0][0])]
    previous = bands.segments[0][0]
    for (first, last), distance, frequencies in zip(
        bands.segments, bands.distances, bands.frequencies_thz, strict=True
    ):
        axes.plot(distance, frequencies, color=BLUE, lw=0.9)
        if previous != first:
            names[-1] += f"|{_label(first)}"
        ticks.append(float(distance[-1]))
        names.append(_label(last))
        previous = last
    for tick in ticks:
        axes.axvline(tick, color="#d0d0d0", lw=0.8, zorder=0)
    axes.axhline(0, color="#333333", lw=0.8)
    axes.set_xticks(ticks, names)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(ticks[0], ticks[-1])
    lowest = min(frequencies.min() for frequencies in bands.frequencies_thz)
    # A true minus, and no negative zero.
    title = f"{_subscripted(name)}   lowest " + f"{round(lowest, 2) + 0.0:.2f} THz".replace("-", "−")
    if harmonic.born_charges:
        title += f"\nBorn charges of {harmonic.born_charges.source}"
    axes.set_title(title, fontsize=9.5)


def _colour(kind: str, policy: str) -> str:
    return _POLICY_COLOUR.get(policy, GREY) if kind == THERMAL else _SET_COLOUR[kind]


def _legend(figure: Figure, keys: list[tuple[str, str, str, float]], markers: dict[float, str]) -> None:
    """Explain colours (policies and random sets) and markers (temperatures)."""
    from matplotlib.lines import Line2D

    names: dict[str, str] = {}
    for _, kind, policy, _ in keys:
        name = f"thermal, {policy}" if kind == THERMAL and policy else kind
        names.setdefault(name.replace("_", " "), _colour(kind, policy))
    handles = [Line2D([], [], color=colour, lw=4, label=name) for name, colour in names.items()]
    handles += [
        Line2D([], [], color="#333333", marker=marker, ls="none", label=f"{temperature:g} K")
        for temperature, marker in markers.items()
    ]
    if not all(np.isfinite(key[3]) for key in keys):
        handles.append(
            Line2D([], [], color="#333333", marker=_NO_TEMPERATURE, ls="none", label="no temperature")
        )
    figure.legend(
        handles=handles, loc="center left", frameon=False, handletextpad=0.5, fontsize=8.5,
        bbox_to_anchor=(1 - _LEGEND_INCHES / figure.get_figwidth(), 0.5),
    )  # fmt: skip


def _label(name: str) -> str:
    """Return the label of a q-point: 'G' is Γ, digits are subscripts."""
    return "Γ" if name == "G" else _subscripted(name)


def _subscripted(text: str) -> str:
    return text.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
