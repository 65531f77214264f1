"""The calculation behind the phonons: energies, relaxations and force constants with one potential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_cell, vacuum, with_vacuum
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.relaxation import RelaxationSettings, initial_problem
from matwheel.potentials.symmetric_relaxation import Minimum, relax_to_minimum, symmetrise
from matwheel.verdicts import UNDECIDED
from matwheel.vibrations.born_charges import ChargedCrystal, born_charges_of
from matwheel.vibrations.force_constants import (
    DensityOfStates,
    ForceConstants,
    Modes,
    SupercellChoice,
    choose_supercell,
    commensurate_points,
    density_of_states,
    force_constants,
    is_layer,
    modes_at,
    zone_boundary_points,
)
from matwheel.vibrations.layer_elasticity import layer_stiffness
from matwheel.vibrations.phonon_judgement import (
    PASSING,
    Judgement,
    judge_modes,
    judge_stiffness,
    reason_to_doubt,
)
from matwheel.vibrations.phonon_results import NO_CHARGES, NOT_OF_A_LAYER
from matwheel.vibrations.phonon_settings import PhononSettings

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class BudgetSpent(Exception):
    """The evaluations of the crystal are used up; the message says how many there were."""


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
        lowest_stiffness_n_per_m: lowest in-plane stiffness of a layer whose modes pass; else NaN.
    """

    choice: SupercellChoice
    constants: ForceConstants
    modes: Modes
    judgement: Judgement
    density: DensityOfStates | None = None
    interpolated_unstable: bool = False
    lowest_stiffness_n_per_m: float = nan


class PhononCalculation:
    """Calculations with one potential, counted, until the budget of the settings is spent.

    Args:
        calculator: ASE calculator with energy, forces and stress.
        known_charges: Born charges; those of a crystal that is computed go with its force constants.
    """

    def __init__(
        self,
        calculator: Calculator,
        settings: PhononSettings,
        known_charges: Sequence[ChargedCrystal] = (),
    ) -> None:
        self.calculator, self.settings, self.known_charges = calculator, settings, known_charges
        self.evaluations = self.atom_evaluations = 0

    def count(self, atoms: int) -> None:
        """Count an evaluation of the potential.

        Raises:
            BudgetSpent: it is one too many.
        """
        most = self.settings.max_atom_evaluations
        if self.atom_evaluations + atoms > most:
            raise BudgetSpent(
                f"{self.evaluations} evaluations used up the {most} atom-evaluations of max_atom_evaluations"
            )
        self.evaluations += 1
        self.atom_evaluations += atoms

    def energy(self, crystal: Crystal) -> float:
        """Return the energy per atom, eV."""
        self.count(len(crystal.species))
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return float(atoms.get_potential_energy()) / len(atoms)

    def largest_force(self, crystal: Crystal) -> float:
        """Return the largest force on an atom, eV/Å."""
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return float(np.linalg.norm(atoms.get_forces(), axis=1).max())

    def forces_and_stress(self, crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return forces, shape (atoms, 3), eV/Å, and stress, shape (3, 3), eV/Å³."""
        self.count(len(crystal.species))
        atoms = to_atoms(crystal)
        atoms.calc = self.calculator
        return np.asarray(atoms.get_forces(), dtype=np.float64), atoms.get_stress(voigt=False)

    def symmetric_cell(self, crystal: Crystal) -> tuple[Crystal, int]:
        """Return the symmetric primitive cell and its space-group number; of a layer, that of `layer_cell`.

        Raises:
            ArithmeticError: energy or forces say that the crystal is not fit to be computed at all.
            ValueError: spglib finds no symmetry.
        """
        settings = self.settings
        if vacuum(crystal, settings.vacuum_angstrom).dimensionality == 2:
            crystal = layer_cell(with_vacuum(crystal, settings.vacuum_angstrom), settings.vacuum_angstrom)
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
            vacuum_angstrom=self.settings.vacuum_angstrom,
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
        there is one within the limit. A layer whose modes pass is strained.
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
            except BudgetSpent:
                break
        if is_layer(crystal) and found.judgement.verdict in PASSING:
            stiffness = layer_stiffness(
                crystal,
                self.forces_and_stress,
                gamma.constants.matrix_ev_per_angstrom2,
                settings.elastic_strain,
            ).lowest_n_per_m
            judgement = judge_stiffness(found.judgement, stiffness, settings)
            found = replace(found, judgement=judgement, lowest_stiffness_n_per_m=stiffness)
        return found

    def _judged(self, choice: SupercellChoice, constants: ForceConstants) -> JudgedModes:
        """Judge the q-points that fit into the supercell of these force constants."""
        settings = self.settings
        modes = modes_at(constants, commensurate_points(choice.matrix))
        density = density_of_states(constants, settings.mesh_length_angstrom)
        judgement = judge_modes(modes, settings)
        interpolated_unstable = False
        if judgement.verdict in PASSING:
            boundary = judge_modes(modes_at(constants, zone_boundary_points(constants.crystal)), settings)
            doubt = reason_to_doubt(choice, constants, density, boundary, settings)
            interpolated_unstable = density.lowest_far_from_gamma_thz < settings.unstable_below_thz
            if doubt:
                judgement = replace(
                    judgement, verdict=UNDECIDED, reason=doubt, threshold_thz=settings.unstable_below_thz
                )
        return JudgedModes(choice, constants, modes, judgement, density, interpolated_unstable)

    def _constants(self, crystal: Crystal, choice: SupercellChoice) -> ForceConstants:
        constants = force_constants(
            crystal,
            self.calculator,
            choice.matrix,
            self.settings.displacement_angstrom,
            before_evaluation=self.count,
        )
        return replace(constants, born_charges=born_charges_of(crystal, self.known_charges))

    def charges_used(self, constants: ForceConstants) -> str:
        """Return the file whose Born charges split modes, or why none do; empty where none are known."""
        if not self.known_charges:
            return ""
        if is_layer(constants.crystal):
            return NOT_OF_A_LAYER
        return constants.born_charges.source if constants.born_charges else NO_CHARGES
