"""Labels of displaced configurations by density-functional theory, and how a potential compares with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from matwheel.chapters.phonon.labelled_configurations import OK, REST
from matwheel.core.progress import Log, log_to_stderr
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table, crystals_of_table
from matwheel.dft.dft import SINGLE_POINT, Backend, DFTResult, DFTSettings, calculate


def rest_settings(settings: DFTSettings) -> DFTSettings:
    """Return the settings for the crystal at rest: those of configurations, with the Pulay correction."""
    return replace(settings, pulay_correction=True)


def label_with_dft(
    table: pd.DataFrame,
    rest: Crystal,
    settings: DFTSettings,
    backend: Backend,
    folder: str | Path,
    log: Log = log_to_stderr,
) -> pd.DataFrame:
    """Return labels of configurations by DFT, a row for each in order; one that fails says why.

    The correction of the stress for the finite set of plane waves hardly depends on where atoms are, so it is
    computed once, of the primitive cell at rest with k-points that fold onto those of the supercell.

    Args:
        table: of `configurations`.
        folder: finished calculations stay there, by a hash of all they depend on, and are found again.

    Returns:
        Columns id, energy_ev_per_atom (from the program's own zero), stress_gpa (hydrostatic, positive when
        the cell wants to shrink), band_gap_ev, valence_band_maximum_ev (NaN for a metal),
        forces_ev_per_angstrom, status, reason, cpu_seconds, tool_version.
    """
    at_rest = calculate(rest, SINGLE_POINT, rest_settings(settings), backend, folder)
    if at_rest.status != OK:
        reason = f"the crystal at rest: {at_rest.status}, {at_rest.reason}"
        return dft_table([DFTResult(name, SINGLE_POINT, at_rest.status, reason) for name in table["id"]], nan)
    results = []
    for crystal in crystals_of_table(table):
        results.append(calculate(crystal, SINGLE_POINT, settings, backend, folder))
        log(f"{crystal.id}: {results[-1].status} {results[-1].reason}".rstrip())
    return dft_table(results, at_rest.pulay_pressure_gpa or 0.0)


def dft_table(results: Sequence[DFTResult], pulay_pressure_gpa: float) -> pd.DataFrame:
    """Return results of configurations as the table that `label_with_dft` describes."""
    return pd.DataFrame([_labels(result, pulay_pressure_gpa) for result in results])


def rest_row(compound: str, rest: Crystal, result: DFTResult) -> pd.DataFrame:
    """Return the crystal at rest as a row of a labelled table, its set named 'rest'."""
    described = {"compound": compound, "set": REST, "kind": REST, "policy": ""}
    frame = crystal_table([rest], {name: [value] for name, value in described.items()})
    frame["id"] = f"{compound}-{REST}"
    for name in ("temperature_kelvin", "rms_displacement_angstrom"):
        frame[name] = 0.0
    for name in ("index", "block"):
        frame[name] = -1
    # Its stress is corrected already.
    labels = dft_table([result], 0.0).drop(columns="id")
    return pd.concat([frame, labels], axis=1)


def compare_with_dft(dft: pd.DataFrame, potential: pd.DataFrame) -> pd.DataFrame:
    """Return, per set of configurations, how a potential's energies, forces and stresses agree with DFT's.

    Energies are compared after the mean difference of all configurations, which is the difference of the two
    zeros, has been taken away, and stresses likewise.

    Args:
        dft, potential: columns id, set, energy_ev_per_atom, stress_gpa, forces_ev_per_angstrom.

    Returns:
        Columns set, n, energy_mae_mev_per_atom, energy_correlation, force_mae_ev_per_angstrom,
        force_correlation, force_slope (of the potential's forces on DFT's; below 1: soft), stress_mae_gpa,
        stress_correlation; the last row is of all sets.
    """
    both = dft.merge(potential, on="id", suffixes=("", "_potential"), validate="one_to_one")
    for name in ("energy_ev_per_atom", "stress_gpa"):
        difference = both[f"{name}_potential"] - both[name]
        both[f"{name}_potential"] -= difference.mean()
    parts = [(name, part) for name, part in both.groupby("set", sort=True)] + [("all", both)]
    return pd.DataFrame([{"set": name, "n": len(part), **_agreement(part)} for name, part in parts])


def _agreement(part: pd.DataFrame) -> dict[str, float]:
    energy, other = part["energy_ev_per_atom"], part["energy_ev_per_atom_potential"]
    stress, other_stress = part["stress_gpa"], part["stress_gpa_potential"]
    forces = np.concatenate([np.asarray(row, dtype=float) for row in part["forces_ev_per_angstrom"]])
    others = np.concatenate(
        [np.asarray(row, dtype=float) for row in part["forces_ev_per_angstrom_potential"]]
    )
    return {
        "energy_mae_mev_per_atom": 1000 * float((energy - other).abs().mean()),
        "energy_correlation": _correlation(energy, other),
        "force_mae_ev_per_angstrom": float(np.abs(forces - others).mean()),
        "force_correlation": _correlation(forces, others),
        "force_slope": float((forces @ others) / (forces @ forces)),
        "stress_mae_gpa": float((stress - other_stress).abs().mean()),
        "stress_correlation": _correlation(stress, other_stress),
    }


def _correlation(first: np.ndarray | pd.Series, second: np.ndarray | pd.Series) -> float:
    return float(np.corrcoef(first, second)[0, 1]) if len(first) > 2 else nan


def _labels(result: DFTResult, pulay_pressure_gpa: float) -> dict[str, object]:
    forces, stress = result.forces_ev_per_angstrom, result.stress_gpa
    maximum = result.valence_band_maximum_ev
    return {
        "id": result.candidate_id,
        "energy_ev_per_atom": nan if result.energy_ev is None else result.energy_ev / len(forces or [0]),
        "stress_gpa": nan if stress is None else float(np.mean(stress[:3])) - pulay_pressure_gpa,
        "band_gap_ev": nan if result.band_gap_ev is None else result.band_gap_ev,
        "valence_band_maximum_ev": nan if maximum is None else maximum,
        "forces_ev_per_angstrom": None
        if forces is None
        else np.asarray(forces, dtype=float).ravel().tolist(),
        "status": result.status,
        "reason": result.reason,
        "cpu_seconds": nan if result.cpu_seconds is None else result.cpu_seconds,
        "tool_version": result.tool_version,
    }
