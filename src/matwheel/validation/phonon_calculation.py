"""The calculation behind the phonons: energies, relaxations and force constants with one potential."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from matwheel.crystals.crystal import Crystal
from matwheel.screening.verdicts import UNDECIDED
from matwheel.validation.atoms import to_atoms
from matwheel.validation.force_constants import (
    DensityOfStates,
    ForceConstants,
    Modes,
    SupercellChoice,
    choose_supercell,
    commensurate_points,
    density_of_states,
    force_constants,
    modes_at,
    zone_boundary_points,
)
from matwheel.validation.phonon_judgement import STABLE, Judgement, judge_modes, reason_to_doubt
from matwheel.validation.phonon_settings import PhononSettings
from matwheel.validation.relaxation import RelaxationSettings, initial_problem
from matwheel.validation.symmetric_relaxation import Minimum, relax_to_minimum, symmetrise

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class OutOfTime(Exception):
    """The time limit of the crystal has passed."""


@dataclass(frozen=True, eq=False)
class JudgedModes:
    """Modes at the q-points that decide, where they come from and what they say.

    Attributes:
        choice: the supercell.
        constants: force constants from displacements in it.
        modes: at all q-points that fit into it.
        judgement: what these say.
        density: of all modes; None for Γ alone.
        interpolated_unstable: whether they are stable but for a mode that is interpolated between them.
    """

    choice: SupercellChoice
    constants: ForceConstants
    modes: Modes
    judgement: Judgement
    density: DensityOfStates | None = None
    interpolated_unstable: bool = False


class PhononCalculation:
    """Calculations with one potential, counted, until a deadline (of `time.monotonic`) passes."""

    def __init__(self, calculator: Calculator, settings: PhononSettings, deadline: float) -> None:
        self.calculator, self.settings, self.deadline = calculator, settings, deadline
        self.evaluations = 0

    def count(self) -> None:
        """Count an evaluation of the potential.

        Raises:
            OutOfTime: the deadline has passed.
        """
        if time.monotonic() > self.deadline:
            raise OutOfTime
        self.evaluations += 1

    def energy(self, crystal: Crystal) -> float:
        """Return the energy per atom, eV."""
        self.count()
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return float(atoms.get_potential_energy()) / len(atoms)

    def largest_force(self, crystal: Crystal) -> float:
        """Return the largest force on an atom, eV/Å."""
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return float(np.linalg.norm(atoms.get_forces(), axis=1).max())

    def symmetric_cell(self, crystal: Crystal) -> tuple[Crystal, int]:
        """Return the symmetric primitive cell and its space-group number.

        Raises:
            ArithmeticError: energy or forces say that the crystal is not fit to be computed at all.
            ValueError: spglib finds no symmetry.
        """
        settings = self.settings
        force = self.largest_force(crystal)
        problem = initial_problem(self.energy(crystal), force, RelaxationSettings())
        if problem:
            raise ArithmeticError(problem)
        symmetric = symmetrise(
            crystal, self.energy, settings.symprec_angstrom, settings.symmetrisation_cost_mev_per_atom
        )
        if symmetric is None:
            raise ValueError("spglib finds no symmetry: broken cell, or atoms too close")
        return symmetric

    def relax(self, crystal: Crystal, *, keep_symmetry: bool) -> Minimum:
        """Relax positions and cell; see `relax_to_minimum`."""
        return relax_to_minimum(
            crystal,
            self.calculator,
            fmax_ev_per_angstrom=self.settings.fmax_ev_per_angstrom,
            max_steps=self.settings.max_relaxation_steps,
            keep_symmetry=keep_symmetry,
            after_evaluation=self.count,
        )

    def at_gamma(self, crystal: Crystal) -> JudgedModes:
        """Return the phonons at Γ, from displacements in the primitive cell."""
        choice = SupercellChoice(np.eye(3, dtype=np.int64), len(crystal.species), nan, False, False)
        constants = self._constants(crystal, choice)
        modes = modes_at(constants, np.zeros((1, 3)))
        return JudgedModes(choice, constants, modes, judge_modes(modes, self.settings))

    def in_supercell(self, gamma: JudgedModes) -> JudgedModes:
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
        found = self._judged(choice, gamma.constants if same else self._constants(crystal, choice))
        while found.interpolated_unstable:
            longer = choose_supercell(crystal, 1.1 * choice.shortest_length_angstrom, limit, limit)
            if not longer.long_enough or longer.atoms <= choice.atoms:
                break
            choice = longer
            try:
                found = self._judged(choice, self._constants(crystal, choice))
            except OutOfTime:
                break
        return found

    def _judged(self, choice: SupercellChoice, constants: ForceConstants) -> JudgedModes:
        """Judge the q-points that fit into the supercell of these force constants."""
        settings = self.settings
        modes = modes_at(constants, commensurate_points(choice.matrix))
        density = density_of_states(constants, settings.mesh_length_angstrom)
        judgement = judge_modes(modes, settings)
        interpolated_unstable = False
        if judgement.verdict == STABLE:
            boundary = judge_modes(modes_at(constants, zone_boundary_points()), settings)
            doubt = reason_to_doubt(choice, constants, density, boundary, settings)
            interpolated_unstable = density.lowest_far_from_gamma_thz < settings.unstable_below_thz
            if doubt:
                judgement = replace(
                    judgement, verdict=UNDECIDED, reason=doubt, threshold_thz=settings.unstable_below_thz
                )
        return JudgedModes(choice, constants, modes, judgement, density, interpolated_unstable)

    def _constants(self, crystal: Crystal, choice: SupercellChoice) -> ForceConstants:
        return force_constants(
            crystal,
            self.calculator,
            choice.matrix,
            self.settings.displacement_angstrom,
            before_evaluation=self.count,
        )
