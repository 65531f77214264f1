"""Dynamical stability: is a crystal at a minimum of its energy, or does a vibration lead elsewhere?

Order of work: symmetric primitive cell, relaxation with its symmetry kept, phonons at Γ from the unit cell (a
mode far below zero ends it), phonons at all q-points that fit into a supercell, and for an unstable crystal
the structure that the softest mode leads to.

What decides. At the q-points that fit into the supercell (Γ is one of them) the frequencies are exact, so
these decide; rigid translations at Γ do not count.

- unstable: a mode below `unstable_below_thz`;
- undecided: a mode between `unstable_below_thz` and `stable_above_thz`, or an optical one below
  `soft_optical_thz` (potentials are too soft by 5 to 20 %), or a reason not to trust the figures: the
  relaxation did not converge, the supercell is shorter than asked for, translations cost energy, a q-point
  between the sampled ones has an interpolated mode below `unstable_below_thz` (in the largest supercell too),
  or by interpolation the zone boundary would be undecided, where the supercell does not hold it;
- stable: otherwise.

Acoustic are the three modes that are most like a rigid translation at their q-point, all others optical. At
points of halves such as (½, 0, 0) all are optical: they are so in the doubled cell, and a verdict must not
depend on the cell. Negative frequencies closer to Γ than to any other sampled point are mostly artefacts
of the interpolation; they are reported and decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.errors import InputError
from matwheel.progress import Log, Progress, log_to_stderr
from matwheel.screening.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict
from matwheel.validation.atoms import to_atoms
from matwheel.validation.force_constants import (
    Bands,
    DensityOfStates,
    ForceConstants,
    Modes,
    SupercellChoice,
    bands_along_path,
    choose_supercell,
    commensurate_points,
    density_of_states,
    displaced_along_modes,
    force_constants,
    lowest_point,
    modes_at,
    zone_boundary_points,
)
from matwheel.validation.potentials import PotentialCard
from matwheel.validation.relaxation import RelaxationSettings, initial_problem, reason_to_refuse
from matwheel.validation.symmetric_relaxation import Minimum, relax_to_minimum, symmetrise

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

SCREEN = "phonons"
STABLE, UNSTABLE = "stable", "unstable"  # the other two are UNDECIDED and ERROR of the verdicts
VERDICT_OF = {STABLE: PASS, UNSTABLE: FAIL, UNDECIDED: UNDECIDED, ERROR: ERROR}
_DEGENERATE_WITHIN_THZ = 0.02
_NO_POINT = (nan, nan, nan)


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed and judged.

    Attributes:
        displacement_angstrom: length of the finite displacements. At 0.03 Å the soft mode of SrTiO3 is off by
            0.1 THz; forces in single precision are good enough for 0.01 Å.
        shortest_length_angstrom: an atom in the supercell is as far from its images (within 5 %).
        zone_boundary_atoms: supercells of up to this size are doubled along every vector; larger ones only
            where the length asks for it.
        max_supercell_atoms: no supercell is larger. Where that makes it too short, a crystal can be found
            unstable, else it is undecided.
        unstable_below_thz, stable_above_thz, soft_optical_thz: see the module. Layers that only dispersion
            forces hold have modes near 0 THz in potentials fitted to PBE, so layered crystals are mostly
            undecided; with `soft_optical_thz` 0 they pass when nothing else is wrong.
        stop_at_gamma_below_thz: an optical mode at Γ below this ends the computation: unstable.
        largest_acoustic_residual_thz: rigid translations may have this frequency before the sum rule.
        fmax_ev_per_angstrom, max_relaxation_steps: of the relaxation with the symmetry kept.
        symprec_angstrom: loosest tolerance of the symmetry.
        symmetrisation_cost_mev_per_atom: a tolerance whose idealised cell lies higher by more is too loose.
        mesh_length_angstrom: the q mesh has this / |a| divisions along a reciprocal vector.
        band_points: q-points on the band path.
        follow_unstable: look for the structure that the softest mode leads to.
        mode_amplitudes_angstrom: largest displacements of an atom tried along the softest mode, both signs.
        daughter_supercell: judge the daughter in a supercell too, not at its Γ alone.
        max_generations: a daughter that is unstable is followed on, this many times in all.
        smallest_gain_mev_per_atom: a structure lower by less is the parent.
        time_limit_seconds: wall time of one crystal, looked at between two evaluations of the potential.
    """

    displacement_angstrom: float = 0.01
    shortest_length_angstrom: float = 8.0
    zone_boundary_atoms: int = 100
    max_supercell_atoms: int = 200
    unstable_below_thz: float = -0.5
    stable_above_thz: float = -0.1
    soft_optical_thz: float = 0.5
    stop_at_gamma_below_thz: float = -1.0
    largest_acoustic_residual_thz: float = 0.5
    fmax_ev_per_angstrom: float = 0.005
    max_relaxation_steps: int = 200
    symprec_angstrom: float = 0.05
    symmetrisation_cost_mev_per_atom: float = 0.5
    mesh_length_angstrom: float = 60.0
    band_points: int = 240
    follow_unstable: bool = True
    mode_amplitudes_angstrom: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    daughter_supercell: bool = True
    max_generations: int = 3
    smallest_gain_mev_per_atom: float = 0.1
    time_limit_seconds: float = 900.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode_amplitudes_angstrom", tuple(self.mode_amplitudes_angstrom))
        below_zero = ("unstable_below_thz", "stable_above_thz", "stop_at_gamma_below_thz")
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name in (*below_zero, "follow_unstable", "daughter_supercell"):
                continue
            values = value if isinstance(value, tuple) else (value,)
            may_be_zero = setting.name == "soft_optical_thz"
            if not values or not all(
                isfinite(one) and (one > 0 or (may_be_zero and one == 0)) for one in values
            ):
                raise InputError(f"phonon setting {setting.name} is {value}; give a positive number")
        order = (self.stop_at_gamma_below_thz, self.unstable_below_thz, self.stable_above_thz, 0.0)
        if not all(isfinite(one) for one in order) or list(order) != sorted(order):
            raise InputError(
                "phonon settings must be in the order stop_at_gamma_below_thz ≤ unstable_below_thz ≤ "
                f"stable_above_thz ≤ 0; they are {order[0]}, {order[1]}, {order[2]}"
            )


@dataclass(frozen=True, eq=False)
class Daughter:
    """What the softest mode of an unstable crystal leads to.

    Attributes:
        verdict: 'stable', 'unstable' or 'undecided' by its own phonons; empty where no lower structure was
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
        verdict: 'stable', 'unstable', 'undecided', or 'error': could not be computed.
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
        crystal: the primitive cell, relaxed with the symmetry kept.
        space_group: its space-group number.
        energy_ev_per_atom: its energy.
        largest_force_ev_per_angstrom: largest force or virial per atom left.
        relaxation_steps: steps of that relaxation.
        bands, density: for the figure; None unless the supercell was reached.
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
    q_point: tuple[float, float, float] = _NO_POINT
    lowest_optical_thz: float = nan
    lowest_interpolated_thz: float = nan
    interpolated_q_point: tuple[float, float, float] = _NO_POINT
    gamma_frequencies_thz: NDArray[np.float64] | None = field(default=None, repr=False)
    acoustic_residual_raw_thz: float = nan
    acoustic_residual_thz: float = nan
    supercell: tuple[tuple[int, int, int], ...] = ()
    supercell_atoms: int = 0
    supercell_length_angstrom: float = nan
    displacements: int = 0
    force_evaluations: int = 0
    crystal: Crystal | None = field(default=None, repr=False)
    space_group: int = 0
    energy_ev_per_atom: float = nan
    largest_force_ev_per_angstrom: float = nan
    relaxation_steps: int = 0
    bands: Bands | None = field(default=None, repr=False)
    density: DensityOfStates | None = field(default=None, repr=False)
    daughter: Daughter | None = None
    seconds: float = nan
    settings: PhononSettings = field(default_factory=PhononSettings, repr=False)


@dataclass(frozen=True)
class Judgement:
    """What a set of modes says: 'stable', 'unstable' or 'undecided', why, and the threshold that decided."""

    verdict: str
    reason: str
    threshold_thz: float
    lowest_frequency_thz: float
    q_point: tuple[float, float, float]
    lowest_optical_thz: float


def phonons_of(
    crystals: Sequence[Crystal],
    calculator: Calculator,
    settings: PhononSettings | None = None,
    log: Log = log_to_stderr,
    *,
    elements: Collection[str] | None = None,
) -> list[PhononResult]:
    """Return the phonons of crystals, one after another, in the given order; see `phonon_stability`."""
    progress = Progress("phonons: crystal", len(crystals), log)
    results = []
    for number, crystal in enumerate(crystals, start=1):
        results.append(phonon_stability(crystal, calculator, settings, log, elements=elements))
        progress.report(number)
    return results


def phonon_stability(
    crystal: Crystal,
    calculator: Calculator,
    settings: PhononSettings | None = None,
    log: Log = log_to_stderr,
    *,
    elements: Collection[str] | None = None,
) -> PhononResult:
    """Return the phonons of a crystal and its verdict; no error of its data or the potential leaves this.

    Args:
        calculator: ASE calculator with energy, forces and stress.
        elements: elements that the potential knows; a crystal with another one is an error. None: not checked
            here, and an error of the calculator becomes the reason.
        log: gets one line on the result.
    """
    settings = settings or PhononSettings()
    started = time.monotonic()
    run = _Run(crystal, calculator, settings, started + settings.time_limit_seconds)
    refusal = _reason_to_refuse(crystal, elements)
    if refusal:
        run.figures.update(verdict=ERROR, reason=refusal)
    else:
        with np.errstate(all="ignore"):
            run.guarded(run.judge)
            if run.figures["verdict"] == UNSTABLE and settings.follow_unstable:
                run.guarded(run.follow)
    result = PhononResult(
        crystal.id,
        **run.figures,
        force_evaluations=run.evaluations,
        seconds=time.monotonic() - started,
        settings=settings,
    )
    log(_log_line(result))
    return result


def judge_modes(modes: Modes, settings: PhononSettings) -> Judgement:
    """Judge frequencies at q-points where they are exact; the three translations at Γ do not count."""
    frequencies = modes.frequencies_thz.copy()
    at_gamma = ~np.any(np.abs(modes.q_points) > 1e-9, axis=1)
    frequencies[at_gamma[:, None] & modes.acoustic] = np.inf
    halves = np.all(np.abs(2 * modes.q_points - np.round(2 * modes.q_points)) < 1e-6, axis=1)
    exempt = modes.acoustic & ~halves[:, None]
    optical = float(np.where(exempt, np.inf, frequencies).min(initial=np.inf))
    lowest, q_point = lowest_point(modes.q_points, frequencies.min(axis=1, initial=np.inf))
    if not isfinite(lowest):
        # One atom per cell and Γ alone: nothing but translations.
        return Judgement(
            UNDECIDED,
            "no modes but translations were sampled",
            settings.stable_above_thz,
            nan,
            _NO_POINT,
            nan,
        )
    figures = (lowest, q_point, optical if isfinite(optical) else nan)
    where = f"{_rounded(lowest):.2f} THz at q = {_shown(q_point)}"
    if lowest < settings.unstable_below_thz:
        return Judgement(UNSTABLE, f"lowest mode {where}", settings.unstable_below_thz, *figures)
    if lowest < settings.stable_above_thz:
        band = f"{settings.unstable_below_thz:g} and {settings.stable_above_thz:g} THz"
        reason = f"lowest mode {where}, between {band}"
        return Judgement(UNDECIDED, reason, settings.stable_above_thz, *figures)
    if settings.soft_optical_thz and optical < settings.soft_optical_thz:
        reason = f"softest optical mode {_rounded(optical):.2f} THz, below {settings.soft_optical_thz:g} THz"
        return Judgement(UNDECIDED, reason, settings.soft_optical_thz, *figures)
    return Judgement(STABLE, "", settings.stable_above_thz, *figures)


def phonon_verdict(
    candidate_id: str, result: PhononResult, settings: PhononSettings, card: PotentialCard
) -> Verdict:
    """Return the verdict of the screen `phonons`: the lowest frequency (THz) against the deciding threshold.

    Stable passes, unstable fails; the reason names the daughter structure where one was found.
    """
    threshold = result.threshold_thz
    return _verdict(
        candidate_id,
        result.verdict,
        result.lowest_frequency_thz,
        settings.stable_above_thz if isnan(threshold) else threshold,
        full_reason(result),
        result.seconds,
        card,
    )


def phonon_verdicts(table: pd.DataFrame, card: PotentialCard) -> list[Verdict]:
    """Return the verdicts of a table of `phonon_table`, in row order; the same as `phonon_verdict`."""
    return [
        _verdict(
            row.id,
            row.verdict,
            float(row.lowest_frequency_thz),
            float(row.threshold_thz),
            row.reason,
            float(row.seconds),
            card,
        )
        for row in table.itertuples(index=False)
    ]


def full_reason(result: PhononResult) -> str:
    """Return the reason of the verdict, with what became of an unstable crystal."""
    parts = (result.reason, result.daughter.reason if result.daughter else "")
    return "; ".join(part for part in parts if part)


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
        "q_point": _shown(result.q_point),
        "threshold_thz": settings.stable_above_thz if isnan(result.threshold_thz) else result.threshold_thz,
        "lowest_optical_thz": result.lowest_optical_thz,
        "lowest_interpolated_thz": result.lowest_interpolated_thz,
        "interpolated_q_point": _shown(result.interpolated_q_point),
        "acoustic_residual_raw_thz": result.acoustic_residual_raw_thz,
        "acoustic_residual_thz": result.acoustic_residual_thz,
        "space_group": result.space_group,
        "atoms": len(result.crystal.species) if result.crystal else 0,
        "energy_ev_per_atom": result.energy_ev_per_atom,
        "largest_force_ev_per_angstrom": result.largest_force_ev_per_angstrom,
        "relaxation_steps": result.relaxation_steps,
        "supercell": _shown_matrix(result.supercell),
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
        "soft_optical_thz": settings.soft_optical_thz,
        "displacement_angstrom": settings.displacement_angstrom,
        "seconds": result.seconds,
    }


def daughters_of(results: Sequence[PhononResult]) -> list[Crystal]:
    """Return the daughter structures that were found, in the order of the results."""
    return [result.daughter.crystal for result in results if result.daughter and result.daughter.crystal]


class _OutOfTime(Exception):
    """The time limit of the crystal has passed."""


@dataclass(frozen=True, eq=False)
class _Phonons:
    """Modes at the q-points that decide, where they come from and what they say."""

    choice: SupercellChoice
    constants: ForceConstants
    modes: Modes
    judgement: Judgement
    density: DensityOfStates | None = None
    interpolated_unstable: bool = False


class _Run:
    """One crystal under way; its figures survive whatever ends it."""

    def __init__(
        self, crystal: Crystal, calculator: Calculator, settings: PhononSettings, deadline: float
    ) -> None:
        self.crystal, self.calculator, self.settings, self.deadline = crystal, calculator, settings, deadline
        self.figures: dict[str, Any] = {"verdict": ERROR, "reason": "not computed"}
        self.evaluations = 0
        self.last: _Phonons | None = None

    def guarded(self, step: Callable[[], None]) -> None:
        """Run a step; what ends it becomes the reason, beside what was already found."""
        try:
            step()
            return
        except _OutOfTime:
            status, reason = UNDECIDED, f"not finished after {self.settings.time_limit_seconds:g} s"
        except Exception as error:
            status, reason = ERROR, f"{type(error).__name__}: {error}"
        if step == self.follow:
            daughter = self.figures.get("daughter") or Daughter()
            found = daughter.reason if daughter.crystal else "search for a daughter structure"
            self.figures["daughter"] = replace(daughter, reason=f"{found}; then: {reason}")
        elif self.figures["verdict"] == UNSTABLE:
            self.figures["reason"] += f"; the supercell: {reason}"
        else:
            self.figures.update(verdict=status, reason=reason, threshold_thz=nan)

    def count(self) -> None:
        if time.monotonic() > self.deadline:
            raise _OutOfTime
        self.evaluations += 1

    def energy(self, crystal: Crystal) -> float:
        """Return the energy per atom, eV."""
        self.count()
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return float(atoms.get_potential_energy()) / len(atoms)

    def forces(self, crystal: Crystal) -> float:
        """Return the largest force on an atom, eV/Å."""
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return float(np.linalg.norm(atoms.get_forces(), axis=1).max())

    def judge(self) -> None:
        """Relax, look at Γ, then at the supercell."""
        settings = self.settings
        symmetric = self.symmetric_cell()
        minimum = self.relax(symmetric[0], keep_symmetry=True)
        crystal = minimum.crystal
        self.figures.update(
            stage="relaxation",
            crystal=crystal,
            space_group=symmetric[1],
            energy_ev_per_atom=minimum.energy_ev_per_atom,
            largest_force_ev_per_angstrom=minimum.largest_force_ev_per_angstrom,
            relaxation_steps=minimum.steps,
        )
        if not minimum.converged:
            self.figures.update(
                verdict=UNDECIDED,
                reason=f"not relaxed: {minimum.largest_force_ev_per_angstrom:.3g} eV/Å left after "
                f"{minimum.steps} steps",
            )
            return
        atoms = len(crystal.species)
        if atoms > settings.max_supercell_atoms:
            self.figures.update(
                verdict=UNDECIDED,
                reason=f"{atoms} atoms in the primitive cell, above max_supercell_atoms "
                f"{settings.max_supercell_atoms}",
            )
            return
        gamma = self.gamma(crystal)
        self.figures["gamma_frequencies_thz"] = gamma.modes.frequencies_thz[0]
        self.record(gamma, "gamma")
        if gamma.judgement.lowest_optical_thz < settings.stop_at_gamma_below_thz:
            return
        sampled = self.supercell(gamma)
        self.record(sampled, "supercell")
        density = sampled.density
        assert density is not None
        self.figures.update(
            density=density,
            bands=bands_along_path(sampled.constants, settings.band_points),
            lowest_interpolated_thz=density.lowest_frequency_thz,
            interpolated_q_point=density.q_point,
        )

    def symmetric_cell(self) -> tuple[Crystal, int]:
        """Return the symmetric primitive cell, if the crystal is fit to be computed at all."""
        settings = self.settings
        force = self.forces(self.crystal)
        problem = initial_problem(self.energy(self.crystal), force, RelaxationSettings())
        if problem:
            raise ArithmeticError(problem)
        symmetric = symmetrise(
            self.crystal, self.energy, settings.symprec_angstrom, settings.symmetrisation_cost_mev_per_atom
        )
        if symmetric is None:
            raise ValueError("spglib finds no symmetry: broken cell, or atoms too close")
        return symmetric

    def relax(self, crystal: Crystal, *, keep_symmetry: bool) -> Minimum:
        return relax_to_minimum(
            crystal,
            self.calculator,
            fmax_ev_per_angstrom=self.settings.fmax_ev_per_angstrom,
            max_steps=self.settings.max_relaxation_steps,
            keep_symmetry=keep_symmetry,
            after_evaluation=self.count,
        )

    def gamma(self, crystal: Crystal) -> _Phonons:
        """Return the phonons at Γ, from displacements in the primitive cell."""
        choice = SupercellChoice(np.eye(3, dtype=np.int64), len(crystal.species), nan, False, False)
        constants = self.constants(crystal, choice)
        modes = modes_at(constants, np.zeros((1, 3)))
        return _Phonons(choice, constants, modes, judge_modes(modes, self.settings))

    def supercell(self, gamma: _Phonons) -> _Phonons:
        """Return the phonons at the q-points that fit into a supercell.

        Where nothing but an interpolated mode speaks against the crystal, a longer supercell is tried, if
        there is one within the limit.
        """
        settings, crystal = self.settings, gamma.constants.crystal
        limit = settings.max_supercell_atoms
        choice = choose_supercell(
            crystal, settings.shortest_length_angstrom, limit, settings.zone_boundary_atoms
        )
        same = choice.atoms == gamma.choice.atoms
        found = self.sampled(choice, gamma.constants if same else self.constants(crystal, choice))
        while found.interpolated_unstable:
            longer = choose_supercell(crystal, 1.1 * choice.shortest_length_angstrom, limit, limit)
            if not longer.long_enough or longer.atoms <= choice.atoms:
                break
            choice = longer
            try:
                found = self.sampled(choice, self.constants(crystal, choice))
            except _OutOfTime:
                break
        return found

    def sampled(self, choice: SupercellChoice, constants: ForceConstants) -> _Phonons:
        """Judge the q-points that fit into the supercell of these force constants."""
        settings = self.settings
        modes = modes_at(constants, commensurate_points(choice.matrix))
        density = density_of_states(constants, settings.mesh_length_angstrom)
        judgement = judge_modes(modes, settings)
        interpolated_unstable = False
        if judgement.verdict == STABLE:
            boundary = judge_modes(modes_at(constants, zone_boundary_points()), settings)
            doubt = _reason_to_doubt(choice, constants, density, boundary, settings)
            interpolated_unstable = density.lowest_far_from_gamma_thz < settings.unstable_below_thz
            if doubt:
                judgement = replace(
                    judgement, verdict=UNDECIDED, reason=doubt, threshold_thz=settings.unstable_below_thz
                )
        return _Phonons(choice, constants, modes, judgement, density, interpolated_unstable)

    def constants(self, crystal: Crystal, choice: SupercellChoice) -> ForceConstants:
        return force_constants(
            crystal,
            self.calculator,
            choice.matrix,
            self.settings.displacement_angstrom,
            before_evaluation=self.count,
        )

    def record(self, phonons: _Phonons, stage: str) -> None:
        """Keep the figures."""
        judgement, constants, choice = phonons.judgement, phonons.constants, phonons.choice
        self.last = phonons
        self.figures.update(
            verdict=judgement.verdict,
            reason=judgement.reason,
            threshold_thz=judgement.threshold_thz,
            stage=stage,
            lowest_frequency_thz=judgement.lowest_frequency_thz,
            q_point=judgement.q_point,
            lowest_optical_thz=judgement.lowest_optical_thz,
            acoustic_residual_raw_thz=constants.acoustic_residual_raw_thz,
            acoustic_residual_thz=constants.acoustic_residual_thz,
            supercell=tuple(tuple(int(number) for number in row) for row in choice.matrix),
            supercell_atoms=choice.atoms,
            supercell_length_angstrom=choice.shortest_length_angstrom,
            displacements=constants.displacements,
        )

    def follow(self) -> None:
        """Follow the softest mode to a structure of lower energy, and on if that is unstable too."""
        settings = self.settings
        reference = energy = self.figures["energy_ev_per_atom"]
        phonons = self.last
        assert phonons is not None
        self.figures["daughter"] = Daughter(reason="no structure of lower energy along the softest mode")
        for generation in range(1, settings.max_generations + 1):
            child = self.child(phonons, energy)
            if child is None:
                return
            minimum, space_group, cells = child
            energy = minimum.energy_ev_per_atom
            gain = 1000 * (reference - energy)
            lower = f"falls to space group {space_group}, {gain:.1f} meV/atom lower"
            crystal = replace(minimum.crystal, id=f"{self.crystal.id}-daughter")
            daughter = Daughter(
                UNDECIDED, lower, crystal, gain, space_group, cells=cells, generation=generation
            )
            self.figures["daughter"] = daughter
            if not minimum.converged:
                return
            phonons = self.gamma(crystal)
            self.figures["daughter"] = _described(daughter, lower, phonons.judgement, "gamma")
            if phonons.judgement.verdict != UNSTABLE and settings.daughter_supercell:
                phonons = self.supercell(phonons)
                self.figures["daughter"] = _described(daughter, lower, phonons.judgement, "supercell")
            if phonons.judgement.verdict != UNSTABLE:
                return

    def child(self, phonons: _Phonons, energy: float) -> tuple[Minimum, int, int] | None:
        """Return the structure the softest of these modes leads to, its space group and its cells."""
        settings, modes, parent = self.settings, phonons.modes, phonons.constants.crystal
        at_gamma = ~np.any(np.abs(modes.q_points) > 1e-9, axis=1)
        frequencies = np.where(at_gamma[:, None] & modes.acoustic, np.inf, modes.frequencies_thz)
        q_point = np.array(lowest_point(modes.q_points, frequencies.min(axis=1))[1])
        distance = np.abs((modes.q_points - q_point) - np.round(modes.q_points - q_point)).max(axis=1)
        cell, displacement = displaced_along_modes(
            parent, modes, int(distance.argmin()), _DEGENERATE_WITHIN_THZ
        )
        cells = len(cell.species) // len(parent.species)
        if len(cell.species) > settings.max_supercell_atoms:
            raise ValueError(f"the mode needs {len(cell.species)} atoms, above max_supercell_atoms")
        lowest: list[tuple[float, Crystal]] = []
        for sign in (1.0, -1.0):
            tried = []
            for amplitude in settings.mode_amplitudes_angstrom:
                shift = sign * amplitude * displacement @ np.linalg.inv(cell.lattice)
                moved = Crystal(parent.id, cell.species, cell.lattice, cell.frac_coords + shift)
                tried.append((self.energy(moved), moved))
            lowest.append(min(tried, key=lambda one: one[0]))
        # A mode and its opposite are mostly equivalent; only where they differ are both relaxed.
        if 1000 * abs(lowest[0][0] - lowest[1][0]) < settings.smallest_gain_mev_per_atom:
            lowest = lowest[:1]
        best: tuple[Minimum, int] | None = None
        for _, start in lowest:
            free = self.relax(start, keep_symmetry=False)
            symmetric = symmetrise(
                free.crystal, self.energy, settings.symprec_angstrom, settings.smallest_gain_mev_per_atom
            )
            if symmetric is None:
                continue
            minimum = self.relax(symmetric[0], keep_symmetry=True)
            if best is None or minimum.energy_ev_per_atom < best[0].energy_ev_per_atom:
                best = minimum, symmetric[1]
        if best is None or 1000 * (energy - best[0].energy_ev_per_atom) < settings.smallest_gain_mev_per_atom:
            return None
        return *best, cells


def _reason_to_refuse(crystal: Crystal, elements: Collection[str] | None) -> str:
    # The size is judged later, on the primitive cell.
    return reason_to_refuse(crystal, RelaxationSettings(max_atoms=10**9), elements)


def _reason_to_doubt(
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
    if density.lowest_far_from_gamma_thz < settings.unstable_below_thz:
        return (
            "no unstable mode at the q-points of the supercell, but "
            f"{density.lowest_far_from_gamma_thz:.2f} THz interpolated at q = {_shown(density.far_q_point)}; "
            "take a larger supercell"
        )
    if boundary.verdict != STABLE:
        return f"interpolated to the zone boundary that the supercell does not hold: {boundary.reason}"
    return ""


def _described(daughter: Daughter, lower: str, judgement: Judgement, stage: str) -> Daughter:
    """Return the daughter with what its own phonons say."""
    where = "at Γ" if stage == "gamma" else "in its own supercell"
    frequency = judgement.lowest_frequency_thz
    lowest = f" (lowest {_rounded(frequency):.2f} THz)" if isfinite(frequency) else ""
    return replace(
        daughter,
        verdict=judgement.verdict,
        stage=stage,
        reason=f"{lower}, {judgement.verdict} {where}{lowest}",
        lowest_frequency_thz=frequency,
    )


def _verdict(
    candidate_id: str,
    verdict: str,
    value: float,
    threshold: float,
    reason: str,
    seconds: float,
    card: PotentialCard,
) -> Verdict:
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


def _log_line(result: PhononResult) -> str:
    parts = [f"{result.id}: {result.verdict}"]
    if isfinite(result.lowest_frequency_thz):
        parts.append(
            f"lowest {_rounded(result.lowest_frequency_thz):.2f} THz at q = {_shown(result.q_point)}"
        )
    if result.supercell_atoms:
        parts.append(f"{result.supercell_atoms} atoms, {result.displacements} displacements")
    if full_reason(result):
        parts.append(full_reason(result))
    return ", ".join(parts) + f", {result.seconds:.1f} s"


def _rounded(frequency_thz: float) -> float:
    """Return a frequency with two decimals, without the sign of a zero."""
    return round(frequency_thz, 2) + 0.0


def _shown(point: tuple[float, float, float]) -> str:
    """Return a q-point as text, e.g. '(0.5, 0.5, 0)'; empty where there is none."""
    return "" if isnan(point[0]) else f"({', '.join(f'{value + 0.0:.4g}' for value in point)})"


def _shown_matrix(matrix: Sequence[Sequence[int]]) -> str:
    """Return a supercell as text: '2 2 2', or its rows '1 1 0, 0 2 0, 0 0 2' where it is not diagonal."""
    if not matrix:
        return ""
    array = np.array(matrix)
    if np.array_equal(array, np.diag(np.diag(array))):
        return " ".join(str(number) for number in np.diag(array))
    return ", ".join(" ".join(str(number) for number in row) for row in matrix)
