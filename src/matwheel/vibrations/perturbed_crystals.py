"""Copies of crystals with displaced atoms, as augmentation of a dataset: thermal ones and random ones.

Thermal displacements are those of the vibrations at Γ of the crystal's own cell, by a potential. A random
configuration has independent uniform displacements, scaled to the rms displacement of the thermal one with
the same index, so that the two kinds differ in direction only. The geometry of a dataset is rarely a minimum
of the potential: the forces at rest are subtracted, and vibrations that are imaginary there are handled by
the policy of `matwheel.vibrations.displacements`.

A copy depends on the seed, the id of its crystal and its index only. A crystal that cannot be perturbed gets
a status and a reason and no copy of either kind; it never ends the batch.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite, nan
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Count, NotNegative, Positive, Seconds, Tolerance, settings
from matwheel.core.time_limits import TimeLimitReached, hang_guard
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystal_table
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.relaxation import RelaxationSettings, reason_to_refuse
from matwheel.vibrations.displacements import (
    UNIFORM_SCALED,
    DisplacementSettings,
    NoVibrationLeft,
    amplitude_deviations,
    displaced_crystal,
    random_displacements,
    rms_displacement,
    thermal_displacements,
    vibrations,
)
from matwheel.vibrations.force_constants import force_constants, supercell_at_rest
from matwheel.vibrations.perturbed_rows import COLUMNS, RANDOM, THERMAL

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

PERTURBED = "ok"
REFUSED = "refused"  # not computed: too large, broken, or an element the potential does not know
LARGE_FORCES = "large_forces"  # so far from a minimum that its vibrations mean nothing
NO_VIBRATION = "no_vibration"  # one atom, or all vibrations are left out by the policy
FAILED = "error"  # the potential raised an error, or its forces are not finite
STATUSES = (PERTURBED, REFUSED, LARGE_FORCES, NO_VIBRATION, FAILED)


@settings
class PerturbationSettings:
    """How crystals are perturbed."""

    temperature_kelvin: NotNegative = 300.0
    """Of the thermal displacements; 0 for zero-point motion alone."""
    per_crystal: Annotated[int, Field(ge=1, le=1000)] = 1
    """Thermal copies of each crystal, and as many random ones."""
    largest_atoms: Count = 40
    """A crystal with more atoms in the cell is refused."""
    largest_rms_angstrom: Positive = 0.4
    """A configuration with a larger rms displacement is scaled down to it as a whole; soft vibrations would
    tear the crystal apart. At 300 K those of 4 of 60 crystals tried are longer than 0.4 Å.
    """
    largest_force_ev_per_angstrom: Positive = 10.0
    """A crystal with a larger force on an atom at rest is left out."""
    displacement_angstrom: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Of the finite displacements. At 0.03 Å frequencies in float32 are within 1e-4 THz of those in float64.
    """
    symprec_angstrom: Tolerance = 0.01
    """Tolerance of the symmetry that spares displacements."""
    time_limit_seconds: Seconds = 600.0
    """Wall time of one crystal, a guard against a hang that ends the job."""
    policy: Literal["absolute", "cutoff", "clip", "freeze"] = "cutoff"
    """What is done about imaginary vibrations; self_consistent is not offered, it needs hundreds of
    evaluations per crystal.
    """
    cutoff_thz: Positive = 0.5
    """Vibrations with |ω| / 2π below it stand still, for the policy cutoff."""
    largest_displacement_angstrom: Positive = 0.5
    """Of an atom, for the policy clip."""

    @property
    def displacements(self) -> DisplacementSettings:
        """What of these settings is about imaginary vibrations."""
        return DisplacementSettings(
            policy=self.policy,
            cutoff_thz=self.cutoff_thz,
            largest_displacement_angstrom=self.largest_displacement_angstrom,
        )


class _Figures(TypedDict, total=False):
    """Figures of `PerturbationStatus`, as far as a crystal came."""

    evaluations: int
    largest_force_ev_per_angstrom: float
    lowest_frequency_thz: float
    imaginary_fraction: float
    moved_fraction: float
    capped: int


@dataclass(frozen=True)
class PerturbationStatus:
    """What came of one crystal; NaN where there is no figure.

    Attributes:
        id: of the crystal.
        atoms: in its cell.
        status: one of `STATUSES`.
        reason: one sentence for a person; empty when perturbed.
        evaluations: of the potential, at rest included.
        largest_force_ev_per_angstrom: on an atom at rest.
        lowest_frequency_thz: of the vibrations at Γ, imaginary ones as negative numbers.
        imaginary_fraction: of these vibrations.
        moved_fraction: of these vibrations, those that the policy displaces.
        capped: thermal copies that were scaled down to `largest_rms_angstrom`.
    """

    id: str
    atoms: int
    status: str = PERTURBED
    reason: str = ""
    evaluations: int = 0
    largest_force_ev_per_angstrom: float = nan
    lowest_frequency_thz: float = nan
    imaginary_fraction: float = nan
    moved_fraction: float = nan
    capped: int = 0


@dataclass(frozen=True, eq=False)
class Perturbation:
    """Displacements of one crystal, and what came of it.

    Attributes:
        status: of the crystal.
        at_rest: the crystal, coordinates within the cell.
        thermal, random: displacements, shape (copies, atoms, 3), Å; no copies where the status is not 'ok'.
    """

    status: PerturbationStatus
    at_rest: Crystal
    thermal: NDArray[np.float64] = field(repr=False)
    random: NDArray[np.float64] = field(repr=False)


class _NoCopies(Exception):
    """The crystal gets none; status and reason as arguments."""


def perturb_crystals(
    crystals: Sequence[Crystal],
    targets: Sequence[float],
    calculator: Calculator,
    settings: PerturbationSettings,
    seed: int,
    log: Log = log_to_stderr,
    *,
    elements: Collection[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Perturb crystals one after another.

    Args:
        targets: label of each crystal, which its copies keep.
        calculator: ASE calculator with forces.
        elements: elements that the potential knows; None: not checked here.

    Returns:
        The crystal table of the copies with the columns `perturbed_rows.COLUMNS`, parents in the given order,
        thermal copies before random ones; and one row per crystal with the fields of `PerturbationStatus`.
    """
    progress = Progress("perturbation: crystal", len(crystals), log)
    started = time.process_time()
    copies: list[Crystal] = []
    rows: list[tuple[str, str, int, float, float, float]] = []
    states = []
    for number, (crystal, target) in enumerate(zip(crystals, targets, strict=True), start=1):
        found = perturb_crystal(crystal, calculator, settings, seed, elements=elements)
        states.append(found.status)
        progress.report(number)
        if found.status.status != PERTURBED:
            log(f"{crystal.id}: {found.status.status}: {found.status.reason}")
            continue
        for kind, displacements in ((THERMAL, found.thermal), (RANDOM, found.random)):
            lengths = rms_displacement(displacements)
            for index, (displacement, length) in enumerate(zip(displacements, lengths, strict=True)):
                name = f"{crystal.id}-{kind}{settings.temperature_kelvin:g}-{index}"
                copies.append(displaced_crystal(name, found.at_rest, displacement))
                rows.append(
                    (crystal.id, kind, index, settings.temperature_kelvin, float(length), float(target))
                )
    status = status_table(states)
    capped, thermal = int(status["capped"].sum()), len(copies) // 2
    log(
        f"{status['status'].value_counts().to_dict()}; {capped} of {thermal} thermal copies were scaled down "
        f"to {settings.largest_rms_angstrom:g} Å; {time.process_time() - started:.1f} CPU s, "
        f"{status['evaluations'].sum()} evaluations"
    )
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in COLUMNS]
    table = crystal_table(copies, dict(zip(COLUMNS, columns, strict=True)))
    # A shard without copies has the same types, so that shards can be put together.
    types = {name: object for name in table.columns} | {"space_group": np.int64, "index": np.int64}
    types |= {name: float for name in COLUMNS if name not in ("parent", "kind", "index")}
    return table.astype(types), status


def perturb_crystal(
    crystal: Crystal,
    calculator: Calculator,
    settings: PerturbationSettings,
    seed: int,
    *,
    elements: Collection[str] | None = None,
) -> Perturbation:
    """Return displacements of one crystal; no error of its data or of the potential leaves this function."""
    figures: _Figures = {"evaluations": 0}
    none = np.zeros((0, len(crystal.species), 3))
    at_rest, thermal, random = crystal, none, none
    status, reason = PERTURBED, ""
    guard = hang_guard(
        settings.time_limit_seconds, f"perturbation of {crystal.id}", "perturbation.time_limit_seconds"
    )
    with guard, np.errstate(all="ignore"):
        try:
            at_rest, thermal = _thermal(crystal, calculator, settings, seed, elements, figures)
            random = random_displacements(
                UNIFORM_SCALED,
                len(at_rest.species),
                settings.temperature_kelvin,
                range(settings.per_crystal),
                derive_seed(seed, crystal.id),
                settings.displacements,
                rms_displacement(thermal),
            )
            if not np.isfinite(random).all():
                raise ArithmeticError("displacements are not finite")
        except _NoCopies as outcome:
            status, reason = outcome.args
        except Exception as error:  # whatever the potential raises is about this crystal alone
            status, reason = FAILED, f"{type(error).__name__}: {error}"
    if status != PERTURBED:
        at_rest, thermal, random = crystal, none, none
        figures.pop("capped", None)
    state = PerturbationStatus(crystal.id, len(crystal.species), status, reason, **figures)
    return Perturbation(state, at_rest, thermal, random)


def status_table(states: Sequence[PerturbationStatus]) -> pd.DataFrame:
    """Return one row per crystal with the fields of `PerturbationStatus`."""
    names = [item.name for item in fields(PerturbationStatus)]
    types = {"str": object, "int": np.int64, "float": float}
    frame = pd.DataFrame([asdict(state) for state in states], columns=names)
    return frame.astype({item.name: types[str(item.type)] for item in fields(PerturbationStatus)})


def _thermal(
    crystal: Crystal,
    calculator: Calculator,
    settings: PerturbationSettings,
    seed: int,
    elements: Collection[str] | None,
    figures: _Figures,
) -> tuple[Crystal, NDArray[np.float64]]:
    """Return the crystal at rest and its thermal displacements, shape (copies, atoms, 3), Å.

    `figures` is filled on the way, so that it survives whatever ends the crystal.
    """
    started = time.monotonic()

    def count(_: int) -> None:
        # Beside the alarm of the guard, which not every platform has.
        if time.monotonic() - started > settings.time_limit_seconds:
            raise TimeLimitReached
        figures["evaluations"] += 1

    refusal = _reason_to_refuse(crystal, settings, elements)
    if refusal:
        raise _NoCopies(REFUSED, refusal)
    atoms = to_atoms(crystal)
    atoms.calc = calculator
    # The calculator keeps this result, so that the same crystal in `force_constants` costs nothing more.
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    figures["largest_force_ev_per_angstrom"] = force
    if not isfinite(force):
        raise _NoCopies(FAILED, "forces are not finite, as when two atoms are at one place")
    if force > settings.largest_force_ev_per_angstrom:
        limit = settings.largest_force_ev_per_angstrom
        raise _NoCopies(LARGE_FORCES, f"largest force {force:.3g} eV/Å is above {limit:g} eV/Å")
    constants = force_constants(
        crystal,
        calculator,
        (1, 1, 1),
        settings.displacement_angstrom,
        symprec_angstrom=settings.symprec_angstrom,
        before_evaluation=count,
    )
    at_rest, masses = supercell_at_rest(constants)
    modes = vibrations(at_rest, constants.matrix_ev_per_angstrom2, masses)
    if not len(modes.frequencies_thz):
        raise _NoCopies(NO_VIBRATION, "one atom in the cell: it has no vibration at Γ")
    figures["lowest_frequency_thz"] = float(modes.frequencies_thz[0])
    figures["imaginary_fraction"] = modes.imaginary_fraction
    try:
        deviations = amplitude_deviations(
            modes.frequencies_thz, settings.temperature_kelvin, settings.displacements
        )
    except NoVibrationLeft as error:
        raise _NoCopies(NO_VIBRATION, str(error)) from None
    figures["moved_fraction"] = float((deviations > 0).mean())
    displaced = thermal_displacements(
        modes,
        settings.temperature_kelvin,
        range(settings.per_crystal),
        derive_seed(seed, crystal.id),
        settings.displacements,
    )
    lengths = rms_displacement(displaced)
    too_long = lengths > settings.largest_rms_angstrom
    figures["capped"] = int(too_long.sum())
    displaced[too_long] *= (settings.largest_rms_angstrom / lengths[too_long])[:, None, None]
    return at_rest, displaced


def _reason_to_refuse(
    crystal: Crystal, settings: PerturbationSettings, elements: Collection[str] | None
) -> str:
    atoms = len(crystal.species)
    if atoms > settings.largest_atoms:
        return f"{atoms} atoms, more than the {settings.largest_atoms} allowed by largest_atoms"
    return reason_to_refuse(crystal, RelaxationSettings(max_atoms=settings.largest_atoms), elements)
