"""Settings of the phonons: how they are computed, and the thresholds that judge them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field

from matwheel.core.settings import (
    Count,
    NotNegative,
    Numbers,
    Positive,
    Seconds,
    Steps,
    Tolerance,
    WrongSetting,
    settings,
)
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, VacuumGap

_THRESHOLDS = ("stop_at_gamma_below_thz", "unstable_below_thz", "stable_above_thz")
_SWITCHES = ("follow_unstable", "daughter_supercell")


@settings
class PhononSettings:
    """How phonons are computed and judged."""

    displacement_angstrom: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Length of the finite displacements. At 0.03 Å the soft mode of SrTiO3 is off by 0.1 THz; forces in
    single precision are good enough for 0.01 Å.
    """
    shortest_length_angstrom: Positive = 8.0
    """An atom in the supercell is as far from its images (within 5 %); of a layer, in its plane."""
    zone_boundary_atoms: Count = 100
    """Supercells of up to this size are doubled along every vector; larger ones only where the length asks
    for it.
    """
    max_supercell_atoms: Count = 200
    """No supercell is larger. Where that makes it too short, a crystal can be found unstable, else it is
    undecided.
    """
    unstable_below_thz: Annotated[float, Field(le=0)] = -0.5
    """A mode below it is unstable. Displacements of 0.005 to 0.02 Å move soft modes by 0.03 THz at most,
    forces left after the relaxation one near zero by 0.13 THz, and potentials of this kind err by a factor,
    which changes no sign: measured in docs/results/dynamical_stability.md.
    """
    stable_above_thz: Annotated[float, Field(le=0)] = -0.1
    """A mode from here on is stable; between the two, the band of errors below zero, nothing is decided."""
    soft_below_thz: NotNegative = 0.5
    """A crystal whose softest optical mode is below it passes as 'stable, soft'; 0 for no such name."""
    elastic_error_n_per_m: NotNegative = 2.0
    """An in-plane stiffness of a layer below minus this is unstable, between that and 0 undecided. A
    relaxation to 0.001 instead of 0.005 eV/Å changes it by 1.7 N/m at most.
    """
    elastic_strain: Annotated[float, Field(gt=0, le=0.1)] = 0.005
    """Of the in-plane stiffness of a layer."""
    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM
    stop_at_gamma_below_thz: Annotated[float, Field(le=0)] = -1.0
    """An optical mode at Γ below this ends the computation: unstable."""
    largest_acoustic_residual_thz: Positive = 0.5
    """Rigid translations may have this frequency before the sum rule."""
    fmax_ev_per_angstrom: Positive = 0.005
    """Of the relaxation with the symmetry kept: it ends when no force is larger."""
    max_relaxation_steps: Steps = 200
    """Largest number of steps of that relaxation."""
    symprec_angstrom: Tolerance = 0.05
    """Loosest tolerance of the symmetry."""
    symmetrisation_cost_mev_per_atom: Positive = 0.5
    """A tolerance whose idealised cell lies higher by more is too loose."""
    mesh_length_angstrom: Positive = 60.0
    """The q mesh has this / |a| divisions along a reciprocal vector."""
    band_points: Annotated[int, Field(ge=1, le=100_000)] = 240
    """Points on the band path."""
    follow_unstable: bool = True
    """Look for the structure that the softest mode leads to."""
    mode_amplitudes_angstrom: Numbers = (0.05, 0.1, 0.2, 0.4)
    """Largest displacements of an atom tried along the softest mode, both signs."""
    daughter_supercell: bool = True
    """Judge the daughter in a supercell too, not at its Γ alone."""
    max_generations: Annotated[int, Field(ge=1, le=100)] = 3
    """A daughter that is unstable is followed on, this many times in all."""
    smallest_gain_mev_per_atom: Positive = 0.1
    """A structure lower by less is the parent."""
    max_atom_evaluations: Count = 200_000
    """Budget of one crystal: evaluations of the potential, each counted once per atom. Who has spent it is
    undecided, or unstable if that is known by then.
    """
    time_limit_seconds: Seconds = 7200.0
    """Wall time of one crystal, a guard against a hang that ends the job."""

    def __post_init__(self) -> None:
        for low, high in pairwise(_THRESHOLDS):
            if getattr(self, low) > getattr(self, high):
                raise WrongSetting(f"give at least {low} ({getattr(self, low):g})", high)
