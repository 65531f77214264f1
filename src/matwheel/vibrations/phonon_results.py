"""Phonons of crystals as results: what was found, its table and its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.table_rows import named_rows
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.potentials.potentials import PotentialCard
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict
from matwheel.vibrations.force_constants import Bands, DensityOfStates
from matwheel.vibrations.known_weaknesses import weakness_note
from matwheel.vibrations.phonon_judgement import (
    NO_POINT,
    SOFT,
    STABLE,
    UNSTABLE,
    frequency_text,
    q_point_text,
)
from matwheel.vibrations.phonon_settings import PhononSettings

SCREEN = "phonons"
# In place of a file of Born charges.
NO_CHARGES, NOT_OF_A_LAYER = "none", "not used: a layer"
VERDICT_OF = {STABLE: PASS, SOFT: PASS, UNSTABLE: FAIL, UNDECIDED: UNDECIDED, ERROR: ERROR}


@dataclass(frozen=True, eq=False)
class Daughter:
    """What the softest mode of an unstable crystal leads to.

    Attributes:
        verdict: as for a crystal, by its own phonons; empty where no lower structure was
            found.
        stage: where these were taken: 'gamma' of its own cell, which holds the mode that was followed, or
            'supercell' of that; empty where they were not reached.
        reason: one sentence for a person.
        crystal: its primitive cell, relaxed with its symmetry kept; None where there is none.
        energy_gain_mev_per_atom: energy of the parent less that of the daughter.
        space_group: number of its space group; 0 where there is none.
        lowest_frequency_thz: their lowest frequency.
        cells: primitive cells of the parent in the cell in which the mode was followed.
        generation: 1 for a child of the crystal, 2 for a child of an unstable child.
    """

    verdict: str = ""
    reason: str = ""
    crystal: Crystal | None = field(default=None, repr=False)
    energy_gain_mev_per_atom: float = nan
    space_group: int = 0
    lowest_frequency_thz: float = nan
    cells: int = 0
    generation: int = 0
    stage: str = ""


@dataclass(frozen=True, eq=False)
class PhononResult:
    """Phonons of one crystal and what they say of its stability; NaN, 0 and None where it did not get so far.

    Attributes:
        id: the crystal's id.
        verdict: 'stable', 'stable, soft', 'unstable', 'undecided', or 'error': could not be computed.
        reason: one sentence for a person.
        threshold_thz: the threshold that decided.
        stage: the last that gave figures: 'none', 'relaxation', 'gamma' (unit cell only) or 'supercell'.
        lowest_frequency_thz: lowest frequency at the q-points that decide, without rigid translations.
        q_point: where that is, in fractions of the reciprocal vectors of `crystal`, within -½ … ½.
        lowest_optical_thz: lowest frequency of an optical mode at these points.
        lowest_interpolated_thz: lowest frequency on the q mesh, Γ left out.
        interpolated_q_point: where that is.
        gamma_frequencies_thz: all frequencies at Γ from the unit cell, shape (3 × atoms,).
        acoustic_residual_raw_thz: largest |frequency| of a rigid translation before the acoustic sum rule.
        acoustic_residual_thz: the same after it.
        supercell: rows of integers, the supercell's vectors in those of `crystal`; empty before.
        supercell_atoms: number of its atoms.
        supercell_length_angstrom: distance of an atom to its nearest image in it.
        displacements: displaced supercells that were computed, of the last stage.
        force_evaluations: evaluations of the potential, all stages together.
        crystal: the primitive cell, relaxed with the symmetry kept; of a layer, that of `layer_cell`.
        dimensionality: 3 for a crystal, 2 for a layer; 0 before it is known.
        lowest_stiffness_n_per_m: lowest in-plane stiffness of a layer whose modes pass, with relaxed ions.
        space_group: its space-group number.
        energy_ev_per_atom: its energy.
        largest_force_ev_per_angstrom: largest force or virial per atom left.
        relaxation_steps: steps of that relaxation.
        bands, density: for the figure; None unless the supercell was reached. The bands of a layer, and
            nothing else, obey the rotational sum rules.
        rotational_shift_thz: largest change of a frequency by these rules at the q-points that decide; the
            bands are without them where it exceeds the threshold of what is unstable, or is NaN.
        born_charges: file whose Born charges split longitudinal and transverse modes in these, 'none' where
            no file is of the crystal, or 'not used: a layer'; empty where none were given or needed.
        daughter: of an unstable crystal, if it was asked for.
        seconds: wall time.
        settings: with all thresholds.
    """

    id: str
    verdict: str
    reason: str
    threshold_thz: float = nan
    stage: str = "none"
    lowest_frequency_thz: float = nan
    q_point: tuple[float, float, float] = NO_POINT
    lowest_optical_thz: float = nan
    lowest_interpolated_thz: float = nan
    interpolated_q_point: tuple[float, float, float] = NO_POINT
    gamma_frequencies_thz: NDArray[np.float64] | None = field(default=None, repr=False)
    acoustic_residual_raw_thz: float = nan
    acoustic_residual_thz: float = nan
    supercell: tuple[tuple[int, int, int], ...] = ()
    supercell_atoms: int = 0
    supercell_length_angstrom: float = nan
    displacements: int = 0
    force_evaluations: int = 0
    crystal: Crystal | None = field(default=None, repr=False)
    dimensionality: int = 0
    lowest_stiffness_n_per_m: float = nan
    space_group: int = 0
    energy_ev_per_atom: float = nan
    largest_force_ev_per_angstrom: float = nan
    relaxation_steps: int = 0
    bands: Bands | None = field(default=None, repr=False)
    density: DensityOfStates | None = field(default=None, repr=False)
    rotational_shift_thz: float = nan
    born_charges: str = ""
    daughter: Daughter | None = None
    seconds: float = nan
    settings: PhononSettings = field(default_factory=PhononSettings, repr=False)


def full_reason(result: PhononResult) -> str:
    """Return the reason of the verdict, with what became of an unstable crystal."""
    parts = (result.reason, result.daughter.reason if result.daughter else "")
    return "; ".join(part for part in parts if part)


def summary(result: PhononResult) -> str:
    """Return a result as one line: verdict, lowest mode, size of the computation, reason, time."""
    parts = [f"{result.id}: {result.verdict}"]
    if isfinite(result.lowest_frequency_thz):
        parts.append(
            f"lowest {frequency_text(result.lowest_frequency_thz)} THz at q = {q_point_text(result.q_point)}"
        )
    if result.supercell_atoms:
        parts.append(f"{result.supercell_atoms} atoms, {result.displacements} displacements")
    if full_reason(result):
        parts.append(full_reason(result))
    return ", ".join(parts) + f", {result.seconds:.1f} s"


def phonon_table(results: Sequence[PhononResult]) -> pd.DataFrame:
    """Return results as a table, one row per crystal in the given order.

    Columns: those of `phonon_row`; frequencies in THz, imaginary ones negative.
    """
    columns = list(phonon_row(PhononResult("", ERROR, "")))
    return pd.DataFrame([phonon_row(result) for result in results], columns=columns)


def phonon_row(result: PhononResult) -> dict[str, Any]:
    """Return the figures of a result as a flat row; vectors and matrices are short texts."""
    daughter = result.daughter or Daughter()
    settings = result.settings
    crystal = daughter.crystal
    return {
        "id": result.id,
        "formula": reduced_formula(result.crystal) if result.crystal else "",
        "verdict": result.verdict,
        "reason": full_reason(result),
        "stage": result.stage,
        "lowest_frequency_thz": result.lowest_frequency_thz,
        "q_point": q_point_text(result.q_point),
        "threshold_thz": settings.stable_above_thz if isnan(result.threshold_thz) else result.threshold_thz,
        "lowest_optical_thz": result.lowest_optical_thz,
        "lowest_interpolated_thz": result.lowest_interpolated_thz,
        "interpolated_q_point": q_point_text(result.interpolated_q_point),
        "born_charges": result.born_charges,
        "acoustic_residual_raw_thz": result.acoustic_residual_raw_thz,
        "acoustic_residual_thz": result.acoustic_residual_thz,
        "dimensionality": result.dimensionality,
        "lowest_stiffness_n_per_m": result.lowest_stiffness_n_per_m,
        "space_group": result.space_group,
        "atoms": len(result.crystal.species) if result.crystal else 0,
        "energy_ev_per_atom": result.energy_ev_per_atom,
        "largest_force_ev_per_angstrom": result.largest_force_ev_per_angstrom,
        "relaxation_steps": result.relaxation_steps,
        "supercell": _supercell_text(result.supercell),
        "supercell_atoms": result.supercell_atoms,
        "supercell_length_angstrom": result.supercell_length_angstrom,
        "displacements": result.displacements,
        "force_evaluations": result.force_evaluations,
        "daughter_id": crystal.id if crystal else "",
        "daughter_verdict": daughter.verdict,
        "daughter_stage": daughter.stage,
        "daughter_energy_gain_mev_per_atom": daughter.energy_gain_mev_per_atom,
        "daughter_space_group": daughter.space_group,
        "daughter_atoms": len(crystal.species) if crystal else 0,
        "daughter_lowest_frequency_thz": daughter.lowest_frequency_thz,
        "daughter_generation": daughter.generation,
        "unstable_below_thz": settings.unstable_below_thz,
        "stable_above_thz": settings.stable_above_thz,
        "soft_below_thz": settings.soft_below_thz,
        "displacement_angstrom": settings.displacement_angstrom,
        "seconds": result.seconds,
    }


def daughters_of(results: Sequence[PhononResult]) -> list[Crystal]:
    """Return the daughter structures that were found, in the order of the results."""
    return [result.daughter.crystal for result in results if result.daughter and result.daughter.crystal]


def phonon_verdict(
    candidate_id: str, result: PhononResult, settings: PhononSettings, card: PotentialCard
) -> Verdict:
    """Return the verdict of the screen `phonons`: the lowest frequency (THz) against the deciding threshold.

    Stable passes, soft or not, unstable fails; the reason names the daughter structure where one was found,
    what the potential is known to be wrong about, and the Born charges where some were given.
    """
    threshold = result.threshold_thz
    formula = reduced_formula(result.crystal) if result.crystal else ""
    return _verdict(
        candidate_id,
        result.verdict,
        result.lowest_frequency_thz,
        settings.stable_above_thz if isnan(threshold) else threshold,
        _with_charges(full_reason(result), result.born_charges),
        result.seconds,
        card,
        (formula, result.space_group, result.dimensionality),
    )


def phonon_verdicts(table: pd.DataFrame, card: PotentialCard) -> list[Verdict]:
    """Return the verdicts of a table of `phonon_table`, in row order; the same as `phonon_verdict`."""
    return [
        _verdict(
            row.id,
            row.verdict,
            float(row.lowest_frequency_thz),
            float(row.threshold_thz),
            _with_charges(row.reason, row.born_charges),
            float(row.seconds),
            card,
            (row.formula, int(row.space_group), int(row.dimensionality)),
        )
        for row in named_rows(table)
    ]


def _with_charges(reason: str, born_charges: str) -> str:
    return "; ".join(part for part in (reason, born_charges and f"Born charges: {born_charges}") if part)


def _verdict(
    candidate_id: str,
    verdict: str,
    value: float,
    threshold: float,
    reason: str,
    seconds: float,
    card: PotentialCard,
    crystal: tuple[str, int, int],
) -> Verdict:
    """Return a verdict; `crystal` is formula, space-group number and dimensionality."""
    reason = "; ".join(part for part in (reason, weakness_note(card.name, *crystal)) if part)
    return Verdict(
        candidate_id,
        SCREEN,
        VERDICT_OF[verdict],
        value,
        threshold,
        reason,
        tool=f"phonopy with {card.name}",
        tool_version=card.version,
        seconds=seconds,
    )


def _supercell_text(matrix: Sequence[Sequence[int]]) -> str:
    """Return a supercell as text: '2 2 2', or its rows '1 1 0, 0 2 0, 0 0 2' where it is not diagonal."""
    if not matrix:
        return ""
    array = np.array(matrix)
    if np.array_equal(array, np.diag(np.diag(array))):
        return " ".join(str(number) for number in np.diag(array))
    return ", ".join(" ".join(str(number) for number in row) for row in matrix)
