"""Settings of the phonons: how they are computed, and the thresholds that judge them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from matwheel.errors import InputError

_THRESHOLDS = ("stop_at_gamma_below_thz", "unstable_below_thz", "stable_above_thz")
_SWITCHES = ("follow_unstable", "daughter_supercell")


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
        unstable_below_thz, stable_above_thz, soft_optical_thz: see `phonon_judgement`. Layers that only
            dispersion forces hold have modes near 0 THz in potentials fitted to PBE, so layered crystals are
            mostly undecided; with `soft_optical_thz` 0 they pass when nothing else is wrong.
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
        for setting in fields(self):
            if setting.name in (*_THRESHOLDS, *_SWITCHES):
                continue
            value = getattr(self, setting.name)
            numbers = value if isinstance(value, tuple) else (value,)
            may_be_zero = setting.name == "soft_optical_thz"
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
