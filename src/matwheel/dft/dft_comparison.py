"""DFT's figures of a few crystals: which crystals, as a table, beside a potential's, and as verdicts.

What may be compared with a potential that was fitted to PBE: forces and stress at one geometry, relaxed
lattices, phonon frequencies, and differences of energy between geometries of one crystal. Total energies may
not: each program counts them from another zero, and formation energies would need the elements by the same
program. A potential fitted to the Materials Project learnt PBE+U for `HUBBARD_U_METALS` with oxygen or
fluorine; there it need not agree with plain PBE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_cell, layer_geometry, plane_normal, vacuum, with_vacuum
from matwheel.crystals.table import crystals_of_table, reduced_formula, space_group
from matwheel.dft.dft import (
    FAILED,
    GAMMA_PHONONS,
    OK,
    RELAXATION,
    SINGLE_POINT,
    TASKS,
    DFTResult,
    DFTSettings,
    gamma_displacements,
    gamma_frequencies,
)
from matwheel.dft.gpaw_process import EV_PER_ANGSTROM3_IN_GPA, in_plane_stress
from matwheel.potentials.relaxation import CONVERGED, displacement_rmsd
from matwheel.potentials.symmetric_relaxation import relax_to_minimum, symmetrise
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict
from matwheel.vibrations.phonon_settings import PhononSettings

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

HUBBARD_U_METALS = frozenset({"Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W"})
SYMPREC_ANGSTROM = 0.1  # of the space group after a relaxation, as in matwheel.potentials.relaxation

_TABLE_COLUMNS = {
    "id": str,
    "formula": str,
    "atoms": int,
    "single_point": str,
    "largest_force_ev_per_angstrom": float,
    "pressure_gpa": float,
    "band_gap_ev": float,
    "valence_band_maximum_ev": float,
    "magnetic_moment": float,
    "relaxation": str,
    "relaxation_steps": float,
    "relaxation_energy_mev_per_atom": float,
    "relaxation_volume_change": float,
    "relaxation_rmsd_angstrom": float,
    "relaxed_space_group": int,
    "relaxed_a_angstrom": float,
    "relaxed_b_angstrom": float,
    "relaxed_c_angstrom": float,
    "relaxed_band_gap_ev": float,
    "gamma_phonons": str,
    "lowest_gamma_frequency_thz": float,
    "reason": str,
    "kpoints": str,
    "cutoff_ev": float,
    "tool": str,
    "tool_version": str,
    "seconds": float,
}


def best_small(
    candidates: pd.DataFrame,
    relaxed: pd.DataFrame,
    max_atoms: int = 10,
    n: int = 3,
    elements: Collection[str] | None = None,
) -> list[Crystal]:
    """Return the relaxed geometries of the first `n` candidates that real DFT can afford.

    Args:
        candidates: column id, the best first.
        relaxed: table of `matwheel.potentials.relaxation`; rows whose status is not 'converged' are skipped.
        n: at most so many; fewer where there are not enough.
        elements: those the backend knows; None: all.
    """
    by_id = {crystal.id: crystal for crystal in crystals_of_table(relaxed[relaxed["status"].eq(CONVERGED)])}
    ranked = (by_id[candidate] for candidate in candidates["id"] if candidate in by_id)
    affordable = [
        crystal
        for crystal in ranked
        if 0 < len(crystal.species) <= max_atoms
        and (elements is None or set(crystal.species) <= set(elements))
    ]
    return affordable[:n]


def symmetric_minima(crystals: Sequence[Crystal], calculator: Calculator) -> list[Crystal]:
    """Return the potential's minima of relaxed crystals as idealised primitive cells, in the given order.

    A relaxation to ordinary forces leaves a symmetric crystal without exact symmetry, which costs DFT up to
    ten times as many k-points and displacements. The tolerances and the limit of the forces are those of the
    phonons. A crystal for which this fails is returned as it is.
    """
    settings = PhononSettings()
    minima = []
    for crystal in crystals:
        try:
            minima.append(_symmetric_minimum(crystal, calculator, settings))
        except Exception:  # broken cell, or a potential that fails: the crystal itself is still a geometry
            minima.append(crystal)
    return minima


def dft_table(results: Iterable[DFTResult], crystals: Sequence[Crystal]) -> pd.DataFrame:
    """Return one row per crystal with the figures of all its tasks; NaN or empty where a task gave none.

    Columns: id, formula, atoms; of the single point at the geometry that came in: its status, largest force,
    pressure, band gap, valence-band maximum, magnetic moment (μB, sum over the atoms); of the relaxation: its
    status, steps, energy gained, volume change (fraction), RMSD, space group (0: none), lengths of the cell,
    band gap; of the Γ-phonons: status and lowest optical frequency; then reason (of all tasks), kpoints,
    cutoff, tool, tool_version, seconds.
    """
    by_crystal = _by_crystal(results)
    rows = [_row(crystal, by_crystal.get(crystal.id, {})) for crystal in crystals]
    return pd.DataFrame(rows, columns=list(_TABLE_COLUMNS)).astype(_TABLE_COLUMNS)


def potential_results(
    crystals: Sequence[Crystal], calculator: Calculator, name: str, settings: DFTSettings
) -> list[DFTResult]:
    """Return a potential's single point and Γ-phonons in the form of DFT results, at the same geometries.

    Those of the two that are in `settings.tasks`; the geometries are already relaxed by the potential.
    """
    results = []
    for crystal in crystals:
        for task in (SINGLE_POINT, GAMMA_PHONONS):
            if task not in settings.tasks:
                continue
            try:
                figures = _figures_of_potential(crystal, task, calculator, settings)
                results.append(DFTResult(crystal.id, task, OK, tool=name, **figures))
            except Exception as error:  # one crystal must not end the batch
                reason = f"{type(error).__name__}: {error}"
                results.append(DFTResult(crystal.id, task, FAILED, reason, tool=name))
    return results


def compare_with_potential(
    results: Iterable[DFTResult], potential: Iterable[DFTResult], crystals: Sequence[Crystal]
) -> pd.DataFrame:
    """Return DFT's figures beside the potential's, one row per crystal; NaN where one of them is missing.

    Only what has one meaning in both: forces and pressure at the potential's geometry, the lattice after DFT
    relaxed it, Γ-phonons at the potential's geometry, and the energy that DFT gains by relaxing, which is
    what the potential's geometry costs. No total energies; the band gap is DFT's alone.

    Args:
        results: of `matwheel.dft.dft.calculate_all`.
        potential: of `potential_results`.
        crystals: the geometries that both were given, relaxed by the potential.

    Returns:
        Columns id, formula, atoms, hubbard_u (bool: the potential learnt PBE+U for it, so do not compare),
        then pairs `dft_…`, `potential_…` and differences; errors of lengths and volume in percent of DFT's,
        which mean little below 0.05 % (`DFTSettings.fmax_ev_per_angstrom`).
    """
    by_dft, by_potential = _by_crystal(results), _by_crystal(potential)
    rows = []
    for crystal in crystals:
        dft, other = by_dft.get(crystal.id, {}), by_potential.get(crystal.id, {})
        rows.append(
            {
                "id": crystal.id,
                "formula": reduced_formula(crystal),
                "atoms": len(crystal.species),
                "hubbard_u": learnt_with_hubbard_u(crystal),
                **_compare_single_points(dft.get(SINGLE_POINT), other.get(SINGLE_POINT)),
                **_compare_lattices(crystal, dft.get(RELAXATION)),
                **_compare_phonons(dft.get(GAMMA_PHONONS), other.get(GAMMA_PHONONS)),
            }
        )
    return pd.DataFrame(rows)


def dft_verdicts(
    results: Iterable[DFTResult], crystals: Sequence[Crystal], settings: DFTSettings
) -> list[Verdict]:
    """Return the verdict `dft` of each crystal on the geometry that came in, in their order.

    Pass: largest force and pressure are within their limits, and no phonon at Γ is below its own. Beyond a
    limit of force or pressure: undecided when DFT relaxes the crystal to a nearby geometry or did not try,
    else fail. A soft phonon: fail. What would fail is undecided when the potential learnt PBE+U for the
    crystal. Error: no single point. The value is the figure that decided, else the largest force.
    """
    by_crystal = _by_crystal(results)
    verdicts = []
    for crystal in crystals:
        own = by_crystal.get(crystal.id, {})
        point = own.get(SINGLE_POINT)
        if point is None:
            judged: dict[str, Any] = {"verdict": ERROR, "reason": "no single point was computed"}
        elif point.status != OK:
            judged = {"verdict": ERROR, "reason": f"{point.status}: {point.reason}"}
        else:
            judged = _judge(crystal, own, settings)
        any_task = next(iter(own.values()), None)
        verdicts.append(
            Verdict(
                crystal.id,
                "dft",
                **judged,
                tool=any_task.tool if any_task else settings.backend,
                tool_version=any_task.tool_version if any_task else "",
                seconds=float(sum(result.seconds or 0.0 for result in own.values())),
            )
        )
    return verdicts


def learnt_with_hubbard_u(crystal: Crystal) -> bool:
    """Return whether the Materials Project computes such a crystal with PBE+U."""
    elements = set(crystal.species)
    return bool(elements & {"O", "F"}) and bool(elements & HUBBARD_U_METALS)


def _symmetric_minimum(crystal: Crystal, calculator: Calculator, settings: PhononSettings) -> Crystal:
    from matwheel.potentials.atoms import to_atoms

    def energy_ev_per_atom(one: Crystal) -> float:
        return float(calculator.get_potential_energy(to_atoms(one))) / len(one.species)

    if vacuum(crystal, settings.vacuum_angstrom).dimensionality == 2:
        # With the vacuum along one vector there is one k-point along it.
        crystal = layer_cell(with_vacuum(crystal, settings.vacuum_angstrom), settings.vacuum_angstrom)
    found = symmetrise(
        crystal, energy_ev_per_atom, settings.symprec_angstrom, settings.symmetrisation_cost_mev_per_atom
    )
    minimum = relax_to_minimum(
        found[0] if found else crystal,
        calculator,
        fmax_ev_per_angstrom=settings.fmax_ev_per_angstrom,
        max_steps=settings.max_relaxation_steps,
        keep_symmetry=found is not None,
        vacuum_angstrom=settings.vacuum_angstrom,
    )
    return minimum.crystal


def _figures_of_potential(
    crystal: Crystal, task: str, calculator: Calculator, settings: DFTSettings
) -> dict[str, Any]:
    from matwheel.potentials.atoms import to_atoms

    if task == GAMMA_PHONONS:
        phonons, displaced = gamma_displacements(crystal, settings.displacement_angstrom)
        forces = [calculator.get_forces(to_atoms(one)).tolist() for one in displaced]
        return {"gamma_frequencies_thz": gamma_frequencies(phonons, forces)}
    atoms = to_atoms(crystal)
    return {
        "energy_ev": float(calculator.get_potential_energy(atoms)),
        "forces_ev_per_angstrom": calculator.get_forces(atoms).tolist(),
        "stress_gpa": (calculator.get_stress(atoms) * EV_PER_ANGSTROM3_IN_GPA).tolist(),
    }


def _by_crystal(results: Iterable[DFTResult]) -> dict[str, dict[str, DFTResult]]:
    by_crystal: dict[str, dict[str, DFTResult]] = {}
    for result in results:
        by_crystal.setdefault(result.candidate_id, {})[result.task] = result
    return by_crystal


def _number(value: float | None) -> float:
    return nan if value is None else float(value)


def _rmse(first: Any, second: Any) -> float:
    if first is None or second is None:
        return nan
    return float(np.sqrt(np.mean((np.array(first) - np.array(second)) ** 2)))


def _relaxed(crystal: Crystal, result: DFTResult | None) -> Crystal | None:
    if result is None or result.lattice is None:
        return None
    return Crystal(crystal.id, crystal.species, np.array(result.lattice), np.array(result.frac_coords))


def _relaxation_figures(crystal: Crystal, result: DFTResult | None) -> tuple[float, float, float]:
    """Return energy gained (meV/atom), volume change (fraction) and RMSD (Å) of a DFT relaxation."""
    relaxed = _relaxed(crystal, result)
    if result is None or relaxed is None:
        return nan, nan, nan
    gained = 1000 * (_number(result.energy_initial_ev) - _number(result.energy_ev)) / len(crystal.species)
    volume_change = relaxed.volume_angstrom3 / crystal.volume_angstrom3 - 1
    return gained, volume_change, displacement_rmsd(crystal, relaxed)


def _lowest_optical(result: DFTResult | None) -> float:
    """Return the lowest frequency at Γ but for the three translations, which the sum rule holds at zero."""
    frequencies = (result.gamma_frequencies_thz if result else None) or []
    return min(sorted(frequencies, key=abs)[3:], default=nan)


def _row(crystal: Crystal, tasks: Mapping[str, DFTResult]) -> dict[str, Any]:
    point, relaxation, phonons = (tasks.get(task) for task in TASKS)
    relaxed = _relaxed(crystal, relaxation)
    lengths = np.linalg.norm(relaxed.lattice, axis=1) if relaxed else np.full(3, nan)
    gained, volume_change, rmsd = _relaxation_figures(crystal, relaxation)
    any_task = next(iter(tasks.values()), None)
    moments = point.magnetic_moments if point else None
    return {
        "id": crystal.id,
        "formula": reduced_formula(crystal),
        "atoms": len(crystal.species),
        "single_point": point.status if point else "",
        "largest_force_ev_per_angstrom": point.largest_force_ev_per_angstrom if point else nan,
        "pressure_gpa": point.pressure_gpa if point else nan,
        "band_gap_ev": _number(point and point.band_gap_ev),
        "valence_band_maximum_ev": _number(point and point.valence_band_maximum_ev),
        "magnetic_moment": float(np.sum(moments)) if moments else nan,
        "relaxation": relaxation.status if relaxation else "",
        "relaxation_steps": _number(relaxation and relaxation.steps),
        "relaxation_energy_mev_per_atom": gained,
        "relaxation_volume_change": volume_change,
        "relaxation_rmsd_angstrom": rmsd,
        "relaxed_space_group": space_group(relaxed, SYMPREC_ANGSTROM) if relaxed else 0,
        **{f"relaxed_{axis}_angstrom": length for axis, length in zip("abc", lengths, strict=True)},
        "relaxed_band_gap_ev": _number(relaxation and relaxation.band_gap_ev),
        "gamma_phonons": phonons.status if phonons else "",
        "lowest_gamma_frequency_thz": _lowest_optical(phonons),
        "reason": "; ".join(f"{task}: {result.reason}" for task, result in tasks.items() if result.reason),
        "kpoints": "x".join(str(number) for number in any_task.kpoints or ()) if any_task else "",
        "cutoff_ev": _number(any_task and any_task.cutoff_ev),
        "tool": any_task.tool if any_task else "",
        "tool_version": any_task.tool_version if any_task else "",
        "seconds": float(sum(result.seconds or 0.0 for result in tasks.values())),
    }


def _compare_single_points(dft: DFTResult | None, potential: DFTResult | None) -> dict[str, float]:
    figures = {}
    for label, one in (("dft", dft), ("potential", potential)):
        figures[f"{label}_largest_force_ev_per_angstrom"] = one.largest_force_ev_per_angstrom if one else nan
        figures[f"{label}_pressure_gpa"] = one.pressure_gpa if one else nan
    figures["force_rmse_ev_per_angstrom"] = _rmse(
        dft and dft.forces_ev_per_angstrom, potential and potential.forces_ev_per_angstrom
    )
    figures["dft_band_gap_ev"] = _number(dft and dft.band_gap_ev)
    return figures


def _compare_lattices(crystal: Crystal, relaxation: DFTResult | None) -> dict[str, float]:
    relaxed = _relaxed(crystal, relaxation)
    gained, volume_change, rmsd = _relaxation_figures(crystal, relaxation)
    own = np.linalg.norm(crystal.lattice, axis=1)
    dft = np.linalg.norm(relaxed.lattice, axis=1) if relaxed else np.full(3, nan)
    figures: dict[str, float] = {}
    for axis, mine, theirs in zip("abc", dft, own, strict=True):
        figures[f"dft_{axis}_angstrom"] = float(mine)
        figures[f"potential_{axis}_angstrom"] = float(theirs)
    return figures | {
        "dft_relaxation_steps": _number(relaxation and relaxation.steps),
        "mean_length_error_percent": float(np.mean(np.abs(own / dft - 1)) * 100),
        "volume_error_percent": 100 * (1 / (1 + volume_change) - 1),
        "rmsd_angstrom": rmsd,
        "geometry_cost_mev_per_atom": gained,
        "dft_relaxed_band_gap_ev": _number(relaxation and relaxation.band_gap_ev),
    }


def _compare_phonons(dft: DFTResult | None, potential: DFTResult | None) -> dict[str, float]:
    figures = {}
    for label, one in (("dft", dft), ("potential", potential)):
        figures[f"{label}_lowest_optical_gamma_thz"] = _lowest_optical(one)
        frequencies = one.gamma_frequencies_thz if one else None
        figures[f"{label}_highest_gamma_thz"] = frequencies[-1] if frequencies else nan
    figures["gamma_rmse_thz"] = _rmse(
        dft and dft.gamma_frequencies_thz, potential and potential.gamma_frequencies_thz
    )
    return figures


def _judge(crystal: Crystal, tasks: Mapping[str, DFTResult], settings: DFTSettings) -> dict[str, Any]:
    point = tasks[SINGLE_POINT]
    limits = [
        (point.largest_force_ev_per_angstrom, settings.largest_force_ev_per_angstrom, "force", "eV/Å"),
        (abs(_pressure_gpa(crystal, point, settings)), settings.largest_pressure_gpa, "pressure", "GPa"),
    ]
    beyond = [limit for limit in limits if not limit[0] <= limit[1]]
    lowest = _lowest_optical(tasks.get(GAMMA_PHONONS))
    if lowest < settings.lowest_gamma_frequency_thz:
        value, threshold, verdict = lowest, settings.lowest_gamma_frequency_thz, FAIL
        reason = f"{settings.xc}: phonon of {lowest:.2f} THz at Γ, limit {threshold:g} THz"
    elif beyond:
        value, threshold = beyond[0][:2]
        figures = ", ".join(
            f"{name} {figure:.3g} {unit} (limit {limit:g})" for figure, limit, name, unit in beyond
        )
        near, outcome = _outcome_of_relaxation(crystal, tasks.get(RELAXATION), settings)
        verdict = UNDECIDED if near else FAIL
        reason = f"{settings.xc} at the potential's geometry: {figures}; {outcome}"
    else:
        value, threshold = limits[0][:2]
        verdict, reason = PASS, ""
    if verdict == FAIL and learnt_with_hubbard_u(crystal):
        verdict, reason = UNDECIDED, f"{reason}; the potential learnt PBE+U here, plain PBE is no judge"
    return {"verdict": verdict, "value": value, "threshold": threshold, "reason": reason}


def _pressure_gpa(crystal: Crystal, point: DFTResult, settings: DFTSettings) -> float:
    """Return the pressure at a geometry; of a layer that in its plane, on the volume without the vacuum."""
    try:
        layer = layer_geometry(crystal, settings.vacuum_angstrom)
    except ValueError:  # a broken cell, which was not computed either
        layer = None
    if layer is None or point.stress_gpa is None:
        return point.pressure_gpa
    normal = plane_normal(crystal, vacuum(crystal, settings.vacuum_angstrom).miller[0])
    within = in_plane_stress(np.array(point.stress_gpa), normal)[:3].sum() / 2
    return -float(within) * crystal.volume_angstrom3 / layer.filled_volume_angstrom3


def _outcome_of_relaxation(
    crystal: Crystal, relaxation: DFTResult | None, settings: DFTSettings
) -> tuple[bool, str]:
    """Return whether DFT may have found the crystal again nearby, and how to say what it found."""
    gained, volume_change, rmsd = _relaxation_figures(crystal, relaxation)
    if relaxation is None or not isfinite(volume_change):
        return True, "not relaxed"
    near = (
        abs(volume_change) <= settings.largest_relaxation_volume_change
        and rmsd <= settings.largest_relaxation_rmsd_angstrom
    )
    how = "relaxed" if relaxation.status == OK else "relaxed, not to the end"
    return near, f"{how}: volume {volume_change:+.1%}, RMSD {rmsd:.2f} Å, {gained:.0f} meV/atom gained"
