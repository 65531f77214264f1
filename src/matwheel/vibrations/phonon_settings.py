"""Settings of the phonons: how they are computed, and the thresholds that judge them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from matwheel.core.errors import InputError
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM

_THRESHOLDS = ("stop_at_gamma_below_thz", "unstable_below_thz", "stable_above_thz")
_SWITCHES = ("follow_unstable", "daughter_supercell")


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed and judged.

    Attributes:
        displacement_angstrom: length of the finite displacements. At 0.03 Å the soft mode of SrTiO3 is off by
            0.1 THz; forces in single precision are good enough for 0.01 Å.
        shortest_length_angstrom: an atom in the supercell is as far from its images (within 5 %); of a layer,
            in its plane.
        zone_boundary_atoms: supercells of up to this size are doubled along every vector; larger ones only
            where the length asks for it.
        max_supercell_atoms: no supercell is larger. Where that makes it too short, a crystal can be found
            unstable, else it is undecided.
        unstable_below_thz, stable_above_thz: a mode below the first is unstable, one from the second on
            stable; between the two, the band of errors below zero, nothing is decided. Displacements of 0.005
            to 0.02 Å move soft modes by 0.03 THz at most, forces left after the relaxation one near zero by
            0.13 THz, and potentials of this kind err by a factor, which changes no sign: measured in
            docs/results/dynamical_stability.md.
        soft_below_thz: a crystal whose softest optical mode is below it passes as 'stable, soft'.
        elastic_error_n_per_m: a stiffness of a layer below minus this is unstable, and between that and 0
            undecided. A relaxation to 0.001 instead of 0.005 eV/Å changes it by 1.7 N/m at most.
        elastic_strain: of the stiffness of a layer.
        vacuum_angstrom: a gap between atoms along a lattice direction above which nothing holds the two sides
            together; the range of the potential. What has one such direction is a layer.
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
        max_atom_evaluations: budget of one crystal: evaluations of the potential, each counted once per atom.
            Who has spent it is undecided, or unstable if that is known by then.
        time_limit_seconds: wall time of one crystal, a guard against a hang that ends the job.
    """

    displacement_angstrom: float = 0.01
    shortest_length_angstrom: float = 8.0
    zone_boundary_atoms: int = 100
    max_supercell_atoms: int = 200
    unstable_below_thz: float = -0.5
    stable_above_thz: float = -0.1
    soft_below_thz: float = 0.5
    elastic_error_n_per_m: float = 2.0
    elastic_strain: float = 0.005
    vacuum_angstrom: float = VACUUM_ANGSTROM
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
    max_atom_evaluations: int = 200_000
    time_limit_seconds: float = 7200.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode_amplitudes_angstrom", tuple(self.mode_amplitudes_angstrom))
        for setting in fields(self):
            if setting.name in (*_THRESHOLDS, *_SWITCHES):
                continue
            value = getattr(self, setting.name)
            numbers = value if isinstance(value, tuple) else (value,)
            may_be_zero = setting.name in ("soft_below_thz", "elastic_error_n_per_m")
            allowed = [isfinite(one) and (one > 0 or (may_be_zero and one == 0)) for one in numbers]
            if not allowed or not all(allowed):
                raise InputError(f"phonon setting {setting.name} is {value}; give a positive number")
        thresholds = [getattr(self, name) for name in _THRESHOLDS]
        order = [*thresholds, 0.0]
        if not all(map(isfinite, thresholds)) or order != sorted(order):
            raise InputError(
                f"phonon settings must be in the order {' ≤ '.join(_THRESHOLDS)} ≤ 0; "
                f"they are {', '.join(map(str, thresholds))}"
            )
