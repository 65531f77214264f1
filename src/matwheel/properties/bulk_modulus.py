"""Bulk modulus by two strained cells, ions relaxed in each.

The cell is relaxed, stretched and compressed by 1 % along all directions, and K = −ΔP/Δln V. Ions must relax
in the strained cells: clamped they make soft crystals stiff. The strain keeps the shape, so that the value is
Voigt's bound, above that of a crystal as anisotropic as graphite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from matwheel.core.settings import Count, Positive, Steps, settings
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, vacuum
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.symmetric_relaxation import relax_to_minimum
from matwheel.properties.interface import LimitsOfEach, PropertyOfEach, Refusal

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

STRAIN = 0.01
"""Of lengths."""
GPA_PER_EV_PER_ANGSTROM3 = 160.21766


@settings
class BulkModulusSettings(LimitsOfEach):
    """Limits of the relaxations."""

    max_atoms: Count = 60
    """A larger cell is refused."""
    fmax_ev_per_angstrom: Positive = 0.02
    """Relaxed when no force on an atom, and of the first cell no row of the virial per atom, is larger."""
    relaxation_steps: Steps = 60
    """Largest number of steps of the first cell."""
    strained_steps: Steps = 30
    """Largest number of steps of the ions in a strained cell."""


@dataclass(frozen=True)
class _Strained:
    """Pressures of a strained cell, eV/Å³, and the largest force that is left, eV/Å."""

    clamped: float
    relaxed: float
    largest_force: float


class BulkModulus(PropertyOfEach):
    """Bulk modulus at zero pressure; what has vacuum is refused."""

    name = "bulk_modulus"
    values = ("bulk_modulus_gpa", "clamped_bulk_modulus_gpa", "volume_angstrom3_per_atom")
    estimates = ("bulk_modulus_gpa",)
    settings_class = BulkModulusSettings

    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return the modulus with relaxed and with clamped ions (GPa), and the volume per atom (Å³)."""
        assert calculator is not None
        found = vacuum(crystal, VACUUM_ANGSTROM)
        if found.dimensionality < 3:
            raise Refusal(f"no crystal but a {found.name}: a gap of {found.gap_angstrom:.2f} Å")
        limit = self.settings.fmax_ev_per_angstrom
        minimum = relax_to_minimum(
            crystal,
            calculator,
            fmax_ev_per_angstrom=limit,
            max_steps=self.settings.relaxation_steps,
            keep_symmetry=False,
        )
        stretched, compressed = (
            self._strained(minimum.crystal, calculator, sign * STRAIN) for sign in (1, -1)
        )
        change = 3 * log((1 + STRAIN) / (1 - STRAIN))
        figures = (
            (compressed.relaxed - stretched.relaxed) / change * GPA_PER_EV_PER_ANGSTROM3,
            (compressed.clamped - stretched.clamped) / change * GPA_PER_EV_PER_ANGSTROM3,
            minimum.crystal.volume_angstrom3 / len(crystal.species),
        )
        left = max(minimum.largest_force_ev_per_angstrom, stretched.largest_force, compressed.largest_force)
        doubt = f"a force of {left:.3g} eV/Å is left" if left >= limit else ""
        return dict(zip(self.values, figures, strict=True)), doubt

    def _strained(self, crystal: Crystal, calculator: Calculator, strain: float) -> _Strained:
        from ase.optimize import BFGS

        atoms = to_atoms(crystal)
        atoms.set_cell((1 + strain) * atoms.cell.array, scale_atoms=True)
        atoms.calc = calculator

        def pressure() -> float:
            return -float(np.trace(atoms.get_stress(voigt=False))) / 3

        clamped = pressure()
        with BFGS(atoms, logfile=None) as optimizer:
            optimizer.run(fmax=self.settings.fmax_ev_per_angstrom, steps=self.settings.strained_steps)
        force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        return _Strained(clamped, pressure(), force)
