"""Highest phonon frequency of a crystal, by finite displacements.

At Γ of the cell that came in, whose other q-points are those of its larger multiples; or, where a length is
asked for, the largest of all q-points that fit into a supercell of the primitive cell. The column `q_points`
says which: 1 is Γ alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from matwheel.core.settings import Count, NotNegative, settings
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.symmetric_relaxation import standard_primitive
from matwheel.properties.interface import LimitsOfEach, PropertyOfEach, Refusal
from matwheel.vibrations.force_constants import (
    choose_supercell,
    commensurate_points,
    force_constants,
    modes_at,
)

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

SYMPREC_ANGSTROM = 0.01


@settings
class HighestPhononSettings(LimitsOfEach):
    """Where frequencies are looked for."""

    max_atoms: Count = 60
    """A larger cell is refused; each atom that symmetry leaves independent costs up to six evaluations."""
    shortest_length_angstrom: NotNegative = 0.0
    """Distance of an atom to its image in the supercell; 0 takes the cell that came in, and Γ alone."""
    max_supercell_atoms: Count = 100
    """A supercell has no more atoms, though it be shorter then."""


class HighestPhonon(PropertyOfEach):
    """Highest and lowest frequency at Γ, or at the q-points of a supercell."""

    name = "highest_phonon"
    values = ("highest_frequency_thz", "lowest_frequency_thz", "q_points")
    estimates = ("highest_frequency_thz",)
    double_precision = True
    settings_class = HighestPhononSettings

    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return the highest and the lowest frequency (THz, imaginary ones negative), and the q-points."""
        assert calculator is not None
        matrix = np.eye(3, dtype=np.int64)
        if self.settings.shortest_length_angstrom > 0:
            found = standard_primitive(crystal, SYMPREC_ANGSTROM)
            if found is None:
                raise Refusal("spglib finds no symmetry")
            crystal = found[0]
            most = max(self.settings.max_supercell_atoms, len(crystal.species))
            matrix = choose_supercell(crystal, self.settings.shortest_length_angstrom, most).matrix
        constants = force_constants(crystal, calculator, matrix)
        frequencies = modes_at(constants, commensurate_points(matrix)).frequencies_thz
        figures = float(frequencies.max()), float(frequencies.min()), float(len(frequencies))
        return dict(zip(self.values, figures, strict=True)), ""
