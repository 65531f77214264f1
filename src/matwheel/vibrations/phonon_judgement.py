"""What phonon modes say of a crystal: stable, unstable or undecided.

At the q-points that fit into the supercell (Γ is one of them) the frequencies are exact, so
these decide; rigid translations at Γ do not count. Of a layer these points lie in its plane.

The sign decides. A potential that is too soft by 5 to 25 % moves no frequency through zero, so a positive
lowest frequency speaks for the crystal, however low:

- unstable: a mode below `unstable_below_thz`, or a layer whose stiffness is below minus
  `elastic_error_n_per_m`;
- undecided: a mode between `unstable_below_thz` and `stable_above_thz`, the band of errors below zero, or
  such a stiffness, or a reason not to trust the figures: the relaxation did not converge, the supercell is
  shorter than asked for, translations cost energy, a q-point between the sampled ones has an interpolated
  mode below `unstable_below_thz` (in the largest supercell too), or by interpolation the zone boundary would
  be undecided, where the supercell does not hold it;
- stable: otherwise; 'stable, soft', which passes, where an optical mode is below `soft_below_thz`.

Acoustic are the three modes that are most like a rigid translation at their q-point, all others optical. At
points of halves such as (½, 0, 0) all are optical: they are so in the doubled cell, and a verdict must not
depend on the cell. Negative frequencies closer to Γ than to any other sampled point are mostly artefacts
of the interpolation; they are reported and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, isnan, nan

import numpy as np
from numpy.typing import NDArray

from matwheel.verdicts import UNDECIDED
from matwheel.vibrations.force_constants import (
    DensityOfStates,
    ForceConstants,
    Modes,
    SupercellChoice,
    lowest_point,
)
from matwheel.vibrations.phonon_settings import PhononSettings

STABLE, SOFT, UNSTABLE = "stable", "stable, soft", "unstable"  # the fourth is UNDECIDED of the verdicts
PASSING = (STABLE, SOFT)
NO_POINT = (nan, nan, nan)


@dataclass(frozen=True)
class Judgement:
    """What a set of modes says: one of the verdicts above, why, and the threshold that decided."""

    verdict: str
    reason: str
    threshold_thz: float
    lowest_frequency_thz: float
    q_point: tuple[float, float, float]
    lowest_optical_thz: float


def judge_modes(modes: Modes, settings: PhononSettings) -> Judgement:
    """Judge frequencies at q-points where they are exact; the three translations at Γ do not count."""
    frequencies = without_translations(modes)
    halves = np.all(np.abs(2 * modes.q_points - np.round(2 * modes.q_points)) < 1e-6, axis=1)
    exempt = modes.acoustic & ~halves[:, None]
    optical = float(np.where(exempt, np.inf, frequencies).min(initial=np.inf))
    lowest, q_point = lowest_point(modes.q_points, frequencies.min(axis=1, initial=np.inf))
    if not isfinite(lowest):
        # One atom per cell and Γ alone: nothing but translations.
        reason = "no modes but translations were sampled"
        return Judgement(UNDECIDED, reason, settings.stable_above_thz, nan, NO_POINT, nan)
    figures = (lowest, q_point, optical if isfinite(optical) else nan)
    where = f"{frequency_text(lowest)} THz at q = {q_point_text(q_point)}"
    if lowest < settings.unstable_below_thz:
        return Judgement(UNSTABLE, f"lowest mode {where}", settings.unstable_below_thz, *figures)
    if lowest < settings.stable_above_thz:
        band = f"{settings.unstable_below_thz:g} and {settings.stable_above_thz:g} THz"
        reason = f"lowest mode {where}, between {band}: within the error of zero"
        return Judgement(UNDECIDED, reason, settings.stable_above_thz, *figures)
    if optical < settings.soft_below_thz:
        reason = (
            f"soft, not unstable: softest optical mode {frequency_text(optical)} THz, below "
            f"{settings.soft_below_thz:g} THz"
        )
        return Judgement(SOFT, reason, settings.stable_above_thz, *figures)
    return Judgement(STABLE, "", settings.stable_above_thz, *figures)


def without_translations(modes: Modes) -> NDArray[np.float64]:
    """Return the frequencies with the three rigid translations at Γ as infinity, shape (points, bands)."""
    at_gamma = ~np.any(np.abs(modes.q_points) > 1e-9, axis=1)
    return np.where(at_gamma[:, None] & modes.acoustic, np.inf, modes.frequencies_thz)


def reason_to_doubt(
    choice: SupercellChoice,
    constants: ForceConstants,
    density: DensityOfStates,
    boundary: Judgement,
    settings: PhononSettings,
) -> str:
    """Return why frequencies without an unstable mode are not to be trusted, or the empty string."""
    if not choice.long_enough:
        return (
            f"no unstable mode in a supercell of {choice.shortest_length_angstrom:.1f} Å, but "
            f"{settings.shortest_length_angstrom:g} Å take more than {settings.max_supercell_atoms} atoms"
        )
    residual = constants.acoustic_residual_raw_thz
    if residual > settings.largest_acoustic_residual_thz:
        return (
            f"translations have {residual:.2f} THz before the sum rule, above "
            f"{settings.largest_acoustic_residual_thz:g} THz: the forces are too noisy"
        )
    lowest = density.lowest_far_from_gamma_thz
    if lowest < settings.unstable_below_thz:
        where = f"{frequency_text(lowest)} THz interpolated at q = {q_point_text(density.far_q_point)}"
        return f"no unstable mode at the q-points of the supercell, but {where}; take a larger supercell"
    if boundary.verdict not in PASSING:
        return f"interpolated to the zone boundary that the supercell does not hold: {boundary.reason}"
    return ""


def judge_stiffness(judgement: Judgement, lowest_n_per_m: float, settings: PhononSettings) -> Judgement:
    """Return the judgement of a layer whose modes pass, with what its stiffness against long waves says."""
    if lowest_n_per_m >= 0:
        return judgement
    error = settings.elastic_error_n_per_m
    verdict = UNSTABLE if lowest_n_per_m < -error else UNDECIDED
    known = "" if verdict == UNSTABLE else f", within its error of {error:g} N/m"
    reason = (
        f"no unstable mode in the supercell, but an in-plane stiffness of {lowest_n_per_m:.2f} N/m{known}"
    )
    return replace(judgement, verdict=verdict, reason=reason)


def frequency_text(frequency_thz: float) -> str:
    """Return a frequency with two decimals, without the sign of a zero."""
    return f"{round(frequency_thz, 2) + 0.0:.2f}"


def q_point_text(point: tuple[float, float, float]) -> str:
    """Return a q-point as text, e.g. '(0.5, 0.5, 0)'; empty where there is none."""
    return "" if isnan(point[0]) else f"({', '.join(f'{value + 0.0:.4g}' for value in point)})"
