"""Dynamical stability: is a crystal at a minimum of its energy, or does a vibration lead elsewhere?

Order of work: symmetric primitive cell, relaxation with its symmetry kept, phonons at Γ from the unit cell (a
mode far below zero ends it), phonons at all q-points that fit into a supercell, the stiffness of a layer, and
for an unstable crystal the structure that the softest mode leads to.

The parts: `phonon_settings`; `phonon_calculation` with `force_constants`, `layer_elasticity` and
`symmetric_relaxation`; `phonon_judgement`, what decides; `soft_mode`, the search for a lower structure;
`rotational_sum_rules`, for the bands of layers in the figure; `phonon_results`, tables and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.time_limits import hang_guard
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.computing_time import computing_clock
from matwheel.potentials.relaxation import RelaxationSettings, reason_to_refuse
from matwheel.verdicts import ERROR, UNDECIDED
from matwheel.vibrations.born_charges import ChargedCrystal
from matwheel.vibrations.force_constants import bands_along_path
from matwheel.vibrations.phonon_calculation import BudgetSpent, JudgedModes, PhononCalculation
from matwheel.vibrations.phonon_judgement import UNSTABLE
from matwheel.vibrations.phonon_results import Daughter, PhononResult, summary
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.rotational_sum_rules import constants_to_draw
from matwheel.vibrations.soft_mode import follow_soft_mode

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def phonons_of(
    crystals: Sequence[Crystal],
    calculator: Calculator,
    settings: PhononSettings | None = None,
    log: Log = log_to_stderr,
    *,
    elements: Collection[str] | None = None,
    known_charges: Sequence[ChargedCrystal] = (),
) -> list[PhononResult]:
    """Return the phonons of crystals, one after another, in the given order; see `phonon_stability`."""
    progress = Progress("phonons: crystal", len(crystals), log)
    results = []
    for number, crystal in enumerate(crystals, start=1):
        results.append(
            phonon_stability(
                crystal, calculator, settings, log, elements=elements, known_charges=known_charges
            )
        )
        progress.report(number)
    return results


def phonon_stability(
    crystal: Crystal,
    calculator: Calculator,
    settings: PhononSettings | None = None,
    log: Log = log_to_stderr,
    *,
    elements: Collection[str] | None = None,
    known_charges: Sequence[ChargedCrystal] = (),
) -> PhononResult:
    """Return the phonons of a crystal and its verdict; no error of its data or the potential leaves this.

    Args:
        calculator: ASE calculator with energy, forces and stress.
        elements: elements that the potential knows; a crystal with another one is an error. None: not checked
            here, and an error of the calculator becomes the reason.
        known_charges: Born charges, of this crystal or others; what is of it splits its modes near Γ.
        log: gets one line on the result.

    Raises:
        Hung: the evaluations, whose number is limited, do not end.
    """
    settings = settings or PhononSettings()
    started = computing_clock(calculator)
    calculation = PhononCalculation(calculator, settings, known_charges)
    run = _Run(crystal, calculation)
    refusal = _reason_to_refuse(crystal, elements, settings)
    if refusal:
        run.figures.update(verdict=ERROR, reason=refusal)
    else:
        guard = hang_guard(
            settings.time_limit_seconds, f"phonons of {crystal.id}", "phonons.time_limit_seconds"
        )
        with guard, np.errstate(all="ignore"):
            run.judge()
            if run.figures["verdict"] == UNSTABLE and settings.follow_unstable:
                run.follow()
    result = PhononResult(
        crystal.id,
        **run.figures,
        force_evaluations=calculation.evaluations,
        seconds=computing_clock(calculator) - started,
        settings=settings,
    )
    log(summary(result))
    return result


class _Run:
    """One crystal under way; its figures, those of `PhononResult`, survive whatever ends it."""

    def __init__(self, crystal: Crystal, calculation: PhononCalculation) -> None:
        self.crystal, self.calculation, self.settings = crystal, calculation, calculation.settings
        self.figures: dict[str, Any] = {"verdict": ERROR, "reason": "not computed"}
        self.deciding: JudgedModes | None = None

    def judge(self) -> None:
        """Relax, look at Γ, then at the supercell."""
        ended = self._what_ended(self._judge)
        if ended is None:
            return
        verdict, reason = ended
        if self.figures["verdict"] == UNSTABLE:
            self.figures["reason"] += f"; the supercell: {reason}"
        else:
            self.figures.update(verdict=verdict, reason=reason, threshold_thz=nan)

    def follow(self) -> None:
        """Follow the softest mode to a structure of lower energy, and on if that is unstable too."""
        ended = self._what_ended(self._follow)
        if ended is not None:
            daughter = self.figures.get("daughter") or Daughter()
            found = daughter.reason if daughter.crystal else "search for a daughter structure"
            self.figures["daughter"] = replace(daughter, reason=f"{found}; then: {ended[1]}")

    def _what_ended(self, step: Callable[[], None]) -> tuple[str, str] | None:
        """Run a step; return None if it came to its end, else a verdict and what stopped it."""
        try:
            step()
        except BudgetSpent as spent:
            return UNDECIDED, f"not finished: {spent}"
        except Exception as error:
            return ERROR, f"{type(error).__name__}: {error}"
        return None

    def _judge(self) -> None:
        settings, calculation = self.settings, self.calculation
        symmetric, space_group = calculation.symmetric_cell(self.crystal)
        minimum = calculation.relax(symmetric, keep_symmetry=True)
        crystal = minimum.crystal
        self.figures.update(
            stage="relaxation",
            crystal=crystal,
            dimensionality=sum(crystal.pbc),
            space_group=space_group,
            energy_ev_per_atom=minimum.energy_ev_per_atom,
            largest_force_ev_per_angstrom=minimum.largest_force_ev_per_angstrom,
            relaxation_steps=minimum.steps,
        )
        if not minimum.converged:
            left = f"{minimum.largest_force_ev_per_angstrom:.3g} eV/Å left after {minimum.steps} steps"
            self.figures.update(verdict=UNDECIDED, reason=f"not relaxed: {left}")
            return
        atoms, most = len(crystal.species), settings.max_supercell_atoms
        if atoms > most:
            reason = f"{atoms} atoms in the primitive cell, above max_supercell_atoms {most}"
            self.figures.update(verdict=UNDECIDED, reason=reason)
            return
        gamma = calculation.at_gamma(crystal)
        self.figures["gamma_frequencies_thz"] = gamma.modes.frequencies_thz[0]
        self._record(gamma, "gamma")
        if gamma.judgement.lowest_optical_thz < settings.stop_at_gamma_below_thz:
            return
        sampled = calculation.in_supercell(gamma)
        self._record(sampled, "supercell")
        density = sampled.density
        assert density is not None
        # By more than that a mode at zero would be drawn as if it were unstable.
        drawn, shift = constants_to_draw(sampled.constants, -settings.unstable_below_thz)
        self.figures.update(
            density=density,
            born_charges=calculation.charges_used(sampled.constants),
            bands=bands_along_path(drawn, settings.band_points),
            rotational_shift_thz=shift,
            lowest_interpolated_thz=density.lowest_frequency_thz,
            interpolated_q_point=density.q_point,
        )

    def _record(self, modes: JudgedModes, stage: str) -> None:
        """Keep the figures of the modes that decide for now."""
        judgement, constants, choice = modes.judgement, modes.constants, modes.choice
        self.deciding = modes
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
            lowest_stiffness_n_per_m=modes.lowest_stiffness_n_per_m,
        )

    def _follow(self) -> None:
        assert self.deciding is not None
        energy, daughter_id = self.figures["energy_ev_per_atom"], f"{self.crystal.id}-daughter"
        for daughter in follow_soft_mode(self.calculation, self.deciding, energy, daughter_id):
            self.figures["daughter"] = daughter


def _reason_to_refuse(crystal: Crystal, elements: Collection[str] | None, settings: PhononSettings) -> str:
    # The size is judged later, on the primitive cell.
    limits = RelaxationSettings(max_atoms=10**9, vacuum_angstrom=settings.vacuum_angstrom)
    return reason_to_refuse(crystal, limits, elements)
