"""What the ions of a crystal add to its dielectric constant, by phonons at Γ and formal charges.

With the mass-weighted modes e of the force constants at Γ, their squared frequencies λ and the charges q of
the ions, of masses m,

    ε_ion = e²/(3 ε₀ V) Σ_modes |Σ_ions q e / √m|² / max(|λ|, floor),

the mean over the three directions. Where a potential finds a mode at or below zero, the exact value would be
infinite or negative; the floor, of 0.5 THz and others, takes the place of the anharmonicity that holds such a
mode. Without masses, Φ itself takes the place of the dynamical matrix, and the floor is one of stiffness.

Formal charges stand for Born charges, so the value is an estimate up to a factor, whose rank counts. The
crystal is computed in the cell that it came in, whose Γ has all polar modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matwheel.core.settings import Count, settings
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.atoms import to_atoms
from matwheel.properties.formal_charges import BOND_VALENCE, formal_charges
from matwheel.properties.interface import LimitsOfEach, PropertyOfEach
from matwheel.vibrations.force_constants import force_constants

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

E2_OVER_EPSILON0_EV_ANGSTROM = 180.95128
"""e²/ε₀: the field constant in these units."""
FLOORS_THZ = (0.5, 1.0)
FLOORS_EV_PER_ANGSTROM2 = (0.3, 1.0)
THZ_PER_ROOT = 15.633302
"""Frequency in THz of a mode whose squared frequency is 1 eV/Å²/amu."""
COMPLIANCE_FLOOR_EV_PER_ANGSTROM2 = 0.3
ADDED_TO_LOGARITHMS = 1e-2
"""In the units of each quantity: a crystal without charges has a dielectric constant of zero."""
POLAR_SHARE = 0.01
"""A mode is polar from this share of the sum of all modes' strengths on."""
_NO_MODE_THZ = 100.0  # above any mode; of a cell with one atom, which has none


@settings
class IonicResponseSettings(LimitsOfEach):
    """Limits of the phonons at Γ."""

    max_atoms: Count = 60
    """A larger cell is refused; each atom that symmetry leaves independent costs up to six evaluations."""


class IonicResponse(PropertyOfEach):
    """Ionic part of the dielectric constant, and twelve features of the lattice's response."""

    name = "ionic_response"
    values = (
        "ionic_dielectric_constant",
        "log_ionic_dielectric_floor_0_5_thz",
        "log_ionic_dielectric_floor_1_thz",
        "log_ionic_dielectric_floor_0_3_ev_per_angstrom2",
        "log_ionic_dielectric_floor_1_ev_per_angstrom2",
        "lowest_frequency_thz",
        "lowest_polar_frequency_thz",
        "log_plasma_frequency_thz",
        "log_mean_compliance_angstrom2_per_ev",
        "log_largest_compliance_angstrom2_per_ev",
        "log_stiffness_per_atom_ev_per_angstrom2",
        "log_polar_stiffness_ev_per_angstrom2",
        "log_squared_charges_per_volume_e2_per_angstrom3",
    )
    estimates = ("ionic_dielectric_constant",)
    double_precision = True
    settings_class = IonicResponseSettings

    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return ε_ion at a floor of 0.5 THz, then the features; unstable modes have negative frequencies."""
        assert calculator is not None
        constants = force_constants(crystal, calculator, (1, 1, 1))
        charges, source = formal_charges(crystal)
        masses = to_atoms(crystal).get_masses()
        figures = lattice_response(
            _as_matrix(constants.matrix_ev_per_angstrom2), masses, charges, crystal.volume_angstrom3
        )
        doubts = [] if source == BOND_VALENCE else [f"charges by {source}"]
        lowest_thz = figures[self.values.index("lowest_frequency_thz")]
        if lowest_thz < -FLOORS_THZ[0]:
            doubts.append(f"unstable at Γ: {lowest_thz:.2f} THz")
        return dict(zip(self.values, figures, strict=True)), "; ".join(doubts)


def lattice_response(
    constants_ev_per_angstrom2: NDArray[np.float64],
    masses_amu: NDArray[np.float64],
    charges_e: NDArray[np.float64],
    volume_angstrom3: float,
) -> tuple[float, ...]:
    """Return the values of `IonicResponse`, in its order.

    Args:
        constants_ev_per_angstrom2: force constants at Γ, shape (3 atoms, 3 atoms).
        masses_amu, charges_e: shape (atoms,).
        volume_angstrom3: of the cell.
    """
    modes = _modes(constants_ev_per_angstrom2, charges_e, masses_amu)
    rigid = _modes(constants_ev_per_angstrom2, charges_e, np.ones_like(masses_amu))
    by_frequency = [modes.dielectric((floor / THZ_PER_ROOT) ** 2, volume_angstrom3) for floor in FLOORS_THZ]
    by_stiffness = [rigid.dielectric(floor, volume_angstrom3) for floor in FLOORS_EV_PER_ANGSTROM2]
    compliance = rigid.compliance(COMPLIANCE_FLOOR_EV_PER_ANGSTROM2)
    squared_charges = float(charges_e @ charges_e)
    plasma = E2_OVER_EPSILON0_EV_ANGSTROM / volume_angstrom3 * float((charges_e**2 / masses_amu).sum())
    stiffness = float(np.trace(constants_ev_per_angstrom2)) / len(masses_amu)
    polar_stiffness = 0.0
    if squared_charges > 0:
        polar = np.kron(charges_e[:, None], np.eye(3))  # displacements by the charges, one per direction
        weighted = np.trace(polar.T @ constants_ev_per_angstrom2 @ polar)
        polar_stiffness = float(weighted) / (3 * squared_charges)
    frequencies = np.sign(modes.eigenvalues) * np.sqrt(np.abs(modes.eigenvalues)) * THZ_PER_ROOT
    polar_modes = modes.strengths >= POLAR_SHARE * modes.strengths.sum()  # all, where none is polar
    return (
        by_frequency[0],
        *(_log(value) for value in (*by_frequency, *by_stiffness)),
        float(frequencies.min(initial=_NO_MODE_THZ)),
        float(frequencies[polar_modes].min(initial=_NO_MODE_THZ)),
        _log(plasma**0.5 * THZ_PER_ROOT),
        _log(float(compliance.mean())),
        _log(float(compliance.max())),
        _log(stiffness),
        _log(polar_stiffness),
        _log(squared_charges / volume_angstrom3),
    )


@dataclass(frozen=True, eq=False)
class _Modes:
    """Modes at Γ, translations left out, with what a field does to them.

    Attributes:
        eigenvalues: eV/Å²/amu, or eV/Å² where all masses are one, ascending, shape (modes,).
        vectors: shape (3 atoms, modes).
        strengths: squared effective charge of each mode, e²/amu or e², shape (modes,).
    """

    eigenvalues: NDArray[np.float64]
    vectors: NDArray[np.float64]
    strengths: NDArray[np.float64]

    def dielectric(self, floor: float, volume_angstrom3: float) -> float:
        """Return ε_ion with eigenvalues of at least `floor`."""
        response = float((self.strengths / np.maximum(np.abs(self.eigenvalues), floor)).sum())
        return E2_OVER_EPSILON0_EV_ANGSTROM / (3 * volume_angstrom3) * response

    def compliance(self, floor: float) -> NDArray[np.float64]:
        """Return how far each atom moves per force, mean over the directions, shape (atoms,)."""
        diagonal = (self.vectors**2 / np.maximum(np.abs(self.eigenvalues), floor)).sum(axis=1)
        return diagonal.reshape(-1, 3).mean(axis=1)


def _modes(
    constants: NDArray[np.float64], charges: NDArray[np.float64], masses: NDArray[np.float64]
) -> _Modes:
    roots = np.repeat(np.sqrt(masses), 3)
    translations = np.kron(np.sqrt(masses)[:, None], np.eye(3))
    # Columns after the third of a full basis that begins with the translations.
    others = np.linalg.qr(translations, mode="complete")[0][:, 3:]
    dynamical = constants / np.outer(roots, roots)
    eigenvalues, within = np.linalg.eigh(others.T @ ((dynamical + dynamical.T) / 2) @ others)
    vectors = others @ within
    moved = (vectors / roots[:, None]).reshape(len(masses), 3, -1)
    effective = np.einsum("a,adm->dm", charges, moved)
    return _Modes(eigenvalues, vectors, (effective**2).sum(axis=0))


def _as_matrix(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return blocks of shape (atoms, atoms, 3, 3) as a symmetric matrix."""
    atoms = len(blocks)
    matrix = blocks.transpose(0, 2, 1, 3).reshape(3 * atoms, 3 * atoms)
    return (matrix + matrix.T) / 2


def _log(value: float) -> float:
    return log(max(0.0, value) + ADDED_TO_LOGARITHMS)  # an unstable crystal's stiffness is negative
