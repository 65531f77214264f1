"""Sets of displaced configurations of one compound, as tables, and their labels by a potential.

A set is named by how its atoms are displaced: `thermal_cutoff_300` (policy and temperature in kelvin),
`uniform_scaled_cutoff_300` (random, but each configuration with the rms displacement of the thermal one of
its index), `uniform_one_sided`, `uniform_symmetric`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from matwheel.chapters.phonon.labelled_configurations import OK
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import layer_cell, vacuum, with_vacuum
from matwheel.crystals.table import crystal_table, crystals_of_table
from matwheel.dft.gpaw_process import EV_PER_ANGSTROM3_IN_GPA
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.computing_time import computing_clock
from matwheel.potentials.symmetric_relaxation import relax_to_minimum, standard_primitive
from matwheel.vibrations.displacements import (
    POLICIES,
    THERMAL,
    UNIFORM_ONE_SIDED,
    UNIFORM_SCALED,
    UNIFORM_SYMMETRIC,
    DisplacementSettings,
    NoVibrationLeft,
    Policy,
    Vibrations,
    displaced_crystal,
    random_displacements,
    rms_displacement,
    thermal_displacements,
)

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

POTENTIAL_LATTICE, GIVEN_LATTICE = LATTICES = ("potential", "given")
FAILED = "error"
_SYMPREC_ANGSTROM = 0.01
_WITH_TEMPERATURE = re.compile(rf"({THERMAL}|{UNIFORM_SCALED})_({'|'.join(POLICIES)})_(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class ConfigurationSet:
    """How the configurations of a set are displaced.

    Attributes:
        kind: one of `matwheel.vibrations.displacements.SETS`.
        policy: about imaginary vibrations; empty for sets that know none.
        temperature_kelvin: of the set, or of the thermal set that a scaled one belongs to; else NaN.
    """

    kind: str
    policy: Policy | Literal[""] = ""
    temperature_kelvin: float = nan

    @classmethod
    def of_name(cls, name: str) -> ConfigurationSet:
        """Return the set of a name.

        Raises:
            InputError: there is none.
        """
        if name in (UNIFORM_ONE_SIDED, UNIFORM_SYMMETRIC):
            return cls(name)
        found = _WITH_TEMPERATURE.fullmatch(name)
        if found is None:
            raise InputError(
                f"unknown set of configurations {name!r}; examples: thermal_cutoff_300, "
                "uniform_scaled_cutoff_300, uniform_one_sided, uniform_symmetric"
            )
        policy = next(name for name in POLICIES if name == found[2])
        return cls(found[1], policy, float(found[3]))

    def __str__(self) -> str:
        return "_".join([self.kind, *([self.policy, f"{self.temperature_kelvin:g}"] if self.policy else [])])


def crystal_at_rest(
    crystal: Crystal,
    calculator: Calculator,
    lattice: str = POTENTIAL_LATTICE,
    fmax_ev_per_angstrom: float = 0.005,
    max_steps: int = 200,
) -> Crystal:
    """Return the idealised primitive cell that configurations are displaced from.

    Args:
        lattice: 'potential': cell and positions relaxed with their symmetry kept; 'given': as in `crystal`.

    A layer comes in the cell of `crystals.dimensionality.layer_cell`.

    Raises:
        InputError: a wire or molecule, spglib finds no symmetry, or the relaxation does not converge.
    """
    if lattice not in LATTICES:
        raise InputError(f"setting phonon.lattice is {lattice!r}; choose one of {', '.join(LATTICES)}")
    dimensionality = _dimensionality(crystal)
    if dimensionality == 2:
        crystal = layer_cell(with_vacuum(crystal))
    standard = standard_primitive(crystal, _SYMPREC_ANGSTROM)
    if standard is None:
        raise InputError(
            f"{crystal.id}: spglib finds no symmetry; mend the cell or the positions in its file"
        )
    if lattice == GIVEN_LATTICE:
        return replace(standard[0], id=crystal.id)
    minimum = relax_to_minimum(
        standard[0],
        calculator,
        fmax_ev_per_angstrom=fmax_ev_per_angstrom,
        max_steps=max_steps,
        keep_symmetry=True,
    )
    if not minimum.converged:
        raise InputError(
            f"{crystal.id}: forces of {minimum.largest_force_ev_per_angstrom:.3f} eV/Å are left after "
            f"{minimum.steps} steps; start from a better cell or set phonon.lattice to given"
        )
    return replace(minimum.crystal, id=crystal.id)


def supercell_multiples(crystal: Crystal, multiples: Sequence[int]) -> list[int]:
    """Return the multiples of the cell of `crystal_at_rest`: 1 along the vacuum of a layer.

    Raises:
        InputError: a wire or molecule.
    """
    first, second, third = multiples
    return [first, second, 1 if _dimensionality(crystal) == 2 else third]


def _dimensionality(crystal: Crystal) -> int:
    found = vacuum(crystal)
    if found.dimensionality < 2:
        raise InputError(f"{crystal.id}: a {found.name} under vacuum; give a crystal or a layer")
    return found.dimensionality


def energy_per_atom(crystal: Crystal, calculator: Calculator) -> float:
    """Return the potential's energy of a crystal, eV/atom."""
    atoms = to_atoms(crystal)
    atoms.calc = calculator
    return float(atoms.get_potential_energy()) / len(atoms)


def configurations(
    compound: str,
    wanted: ConfigurationSet,
    modes: Vibrations,
    indices: Sequence[int],
    *,
    seed: int,
    settings: DisplacementSettings,
    block_size: int,
) -> pd.DataFrame:
    """Return configurations of a set, a crystal table with what each one is.

    Where the policy leaves no vibration there is no configuration.

    Columns beside those of a crystal table: compound, set, kind, policy, temperature_kelvin, index, block
    (index // block_size), rms_displacement_angstrom.

    Args:
        modes: of the crystal at rest; for the policy self_consistent those of its temperature.
        indices: of the configurations; each depends on the seed and its index only.

    Raises:
        InputError: a temperature below 0.
    """
    settings = replace(settings, policy=wanted.policy or settings.policy)
    displaced = None
    if wanted.kind in (THERMAL, UNIFORM_SCALED):
        try:
            displaced = thermal_displacements(modes, wanted.temperature_kelvin, indices, seed, settings)
        except NoVibrationLeft:
            indices, displaced = [], np.zeros((0, len(modes.supercell.species), 3))
    if wanted.kind != THERMAL:
        displaced = random_displacements(
            wanted.kind,
            len(modes.supercell.species),
            wanted.temperature_kelvin,
            indices,
            seed,
            settings,
            None if displaced is None else rms_displacement(displaced),
        )
    assert displaced is not None
    crystals = [
        displaced_crystal(f"{compound}-{wanted}-{index:05d}", modes.supercell, displacement)
        for index, displacement in zip(indices, displaced, strict=True)
    ]
    return crystal_table(
        crystals,
        {
            "compound": [compound] * len(crystals),
            "set": [str(wanted)] * len(crystals),
            "kind": [wanted.kind] * len(crystals),
            "policy": [wanted.policy] * len(crystals),
            "temperature_kelvin": [wanted.temperature_kelvin] * len(crystals),
            "index": list(indices),
            "block": [index // block_size for index in indices],
            "rms_displacement_angstrom": rms_displacement(displaced).tolist(),
        },
    )


def label_with_potential(table: pd.DataFrame, calculator: Calculator) -> pd.DataFrame:
    """Return labels of configurations by a potential, a row for each in order; one that fails says why.

    Columns: id, energy_ev_per_atom, stress_gpa (hydrostatic: a third of the trace, positive when the cell
    wants to shrink), forces_ev_per_angstrom (list of 3 × atoms), status ('ok', 'error'), reason, seconds.
    """
    rows = [_potential_labels(crystal, calculator) for crystal in crystals_of_table(table)]
    return pd.DataFrame(rows, columns=[*_NO_LABELS, "id", "status", "reason", "seconds"])[
        ["id", *_NO_LABELS, "status", "reason", "seconds"]
    ]


_NO_LABELS: Mapping[str, Any] = {"energy_ev_per_atom": nan, "stress_gpa": nan, "forces_ev_per_angstrom": None}


def _potential_labels(crystal: Crystal, calculator: Calculator) -> dict[str, Any]:
    started = computing_clock(calculator)
    labels: dict[str, Any] = dict(_NO_LABELS)
    status, reason = OK, ""
    try:
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        found: dict[str, Any] = {
            "energy_ev_per_atom": float(atoms.get_potential_energy()) / len(atoms),
            "stress_gpa": float(atoms.get_stress(voigt=True)[:3].mean()) * EV_PER_ANGSTROM3_IN_GPA,
            "forces_ev_per_angstrom": np.asarray(atoms.get_forces(), dtype=np.float64).ravel().tolist(),
        }
        if not np.isfinite([found["energy_ev_per_atom"], *found["forces_ev_per_angstrom"]]).all():
            raise ArithmeticError("energy or forces are not finite")
        labels = found
    except Exception as error:  # one configuration must not end the batch
        status, reason = FAILED, f"{type(error).__name__}: {error}"
    return {
        "id": crystal.id,
        **labels,
        "status": status,
        "reason": reason,
        "seconds": computing_clock(calculator) - started,
    }
