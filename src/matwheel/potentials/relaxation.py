"""Relaxation of crystals with a potential, in stages: one energy, sanity limits, then positions and cell.

A crystal that cannot be relaxed gets a status and a reason; it never ends the batch. The optimiser is ASE's
BFGS on the positions and the logarithm of the deformation of the cell. A layer under vacuum is relaxed in its
plane: the height of its cell stays, and with it a vacuum vector that is upright; wires and molecules are
refused. Budgets count steps; a clock guards against a hang, which ends the job and not the crystal.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.settings import Count, Positive, Seconds, Steps, Tolerance, WrongSetting, settings
from matwheel.core.table_rows import named_rows
from matwheel.core.time_limits import TimeLimitReached, hang_guard
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import (
    VACUUM_ANGSTROM,
    VacuumGap,
    filled_volume_angstrom3,
    plane_normal,
    vacuum,
    with_vacuum,
)
from matwheel.crystals.table import SYMPREC_ANGSTROM, reduced_formula, space_group, with_periodicity
from matwheel.potentials.atoms import from_atoms, to_atoms
from matwheel.potentials.computing_time import computing_clock
from matwheel.potentials.potentials import PotentialCard
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

CONVERGED = "converged"  # forces and stress below the limit: the geometry is the relaxed one
NOT_CONVERGED = "not_converged"  # steps used up: the geometry is the last one
EXPLODED = "exploded"  # energy, forces or cell left the sane range, at the first energy or later
FAILED = "error"  # the potential or the optimiser raised an error
REFUSED = "refused"  # not computed: too large, broken, a wire or molecule, or an element it was not fitted to
STATUSES = (CONVERGED, NOT_CONVERGED, EXPLODED, FAILED, REFUSED)
SHARD_SIZE = 25
_EXACT_SYMPREC_ANGSTROM = 1e-3


@settings
class RelaxationSettings:
    """Limits of a relaxation."""

    fmax_ev_per_angstrom: Positive = 0.05
    """Converged when no force on an atom and no row of the virial per atom (eV) is larger, as in ASE."""
    max_steps: Steps = 200
    """Largest number of optimiser steps."""
    largest_initial_force_ev_per_angstrom: Positive = 200.0
    """A crystal whose first forces (or virial per atom) are larger is not relaxed. Of 55 generated ones at 20
    to 200 eV/Å 48 converged, of 5 above that one; the others fell into holes of the potential
    (docs/architecture.md).
    """
    lowest_energy_ev_per_atom: float = -20.0
    """A lower energy is the potential's error."""
    highest_energy_ev_per_atom: float = 10.0
    """A higher energy is the potential's error."""
    largest_volume_ratio: Annotated[float, Field(gt=1)] = 4.0
    """A crystal that grows or shrinks by more than this factor has exploded; of a layer the area counts."""
    smallest_volume_angstrom3_per_atom: Positive = 2.0
    """A denser cell is refused; it would have too many neighbours. Of a layer the vacuum does not count."""
    max_atoms: Count = 200
    """A larger cell is refused."""
    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM
    time_limit_seconds: Seconds = 3600.0
    """Wall time of one crystal, a guard against a hang that ends the job; steps are the budget."""
    symprec_angstrom: Tolerance = 0.1
    """Tolerance of the space groups."""
    keep_symmetry: bool = False
    """Relax within the space group that the crystal has at 0.001 Å, with ASE's FixSymmetry; true for crystals
    built from genes.
    """

    def __post_init__(self) -> None:
        if self.lowest_energy_ev_per_atom >= self.highest_energy_ev_per_atom:
            highest = f"{self.highest_energy_ev_per_atom:g}"
            raise WrongSetting(
                f"give less than highest_energy_ev_per_atom ({highest})", "lowest_energy_ev_per_atom"
            )


@dataclass(frozen=True)
class Relaxation:
    """What the relaxation of one crystal gave; NaN, and -1 for steps, where there is no figure.

    Attributes:
        status: one of `STATUSES`.
        reason: one sentence for a person; empty when converged.
        energy_ev_per_atom: energy of the last geometry.
        energy_initial_ev_per_atom: energy of the crystal as it came in.
        largest_force_initial_ev_per_angstrom, largest_force_ev_per_angstrom: largest force on an atom (eV/Å)
            or row of the virial per atom (eV), whichever is larger, as the optimiser does; before and after.
        steps: optimiser steps.
        volume_change: relaxed volume / initial volume - 1; of a layer, whose height stays, of its area.
        rmsd_angstrom: root mean square displacement of the atoms, see `displacement_rmsd`.
        space_group_before, space_group_after: numbers at `symprec_angstrom`; 0 where there is none.
        seconds: wall time, single point included; the only figure that differs between two runs.
    """

    status: str
    reason: str = ""
    energy_ev_per_atom: float = nan
    energy_initial_ev_per_atom: float = nan
    largest_force_initial_ev_per_angstrom: float = nan
    largest_force_ev_per_angstrom: float = nan
    steps: int = -1
    volume_change: float = nan
    rmsd_angstrom: float = nan
    space_group_before: int = 0
    space_group_after: int = 0
    seconds: float = nan


def relax(
    crystals: Sequence[Crystal],
    calculator: Calculator,
    settings: RelaxationSettings | None = None,
    log: Log = log_to_stderr,
    *,
    elements: Collection[str] | None = None,
) -> pd.DataFrame:
    """Relax crystals one after another.

    Args:
        calculator: ASE calculator with energy, forces and stress.
        elements: elements that the potential knows; a crystal with another one is refused. None: not checked
            here, and an error of the calculator becomes the crystal's status.

    Returns:
        The table of `relaxation_table`, in the given order.
    """
    settings = settings or RelaxationSettings()
    progress = Progress("relaxation: crystal", len(crystals), log)
    results, relaxed = [], []
    for number, crystal in enumerate(crystals, start=1):
        result, geometry = relax_crystal(crystal, calculator, settings, elements=elements)
        results.append(result)
        relaxed.append(geometry)
        if result.status not in (CONVERGED, NOT_CONVERGED):
            log(f"{crystal.id}: {result.status}: {result.reason}")
        progress.report(number)
    return relaxation_table(relaxed, results)


def relax_crystal(
    crystal: Crystal,
    calculator: Calculator,
    settings: RelaxationSettings,
    *,
    elements: Collection[str] | None = None,
) -> tuple[Relaxation, Crystal]:
    """Relax one crystal; no error of its data, the potential or the optimiser leaves this function.

    Raises:
        Hung: the steps, whose number is limited, do not end.

    Returns:
        The figures, and the relaxed crystal: the last geometry for the statuses 'converged' and
        'not_converged', the crystal as it came in for all others.
    """
    started = computing_clock(calculator)
    refusal = reason_to_refuse(crystal, settings, elements)
    if refusal:
        return Relaxation(REFUSED, refusal, seconds=computing_clock(calculator) - started), crystal
    run = _Run(crystal, settings)
    with hang_guard(
        settings.time_limit_seconds, f"relaxation of {crystal.id}", "relaxation.time_limit_seconds"
    ):
        try:
            with np.errstate(all="ignore"):
                status, reason = run.relax(calculator)
        except Exception as error:
            status, reason = FAILED, f"{type(error).__name__}: {error}"
    relaxed = run.relaxed if status in (CONVERGED, NOT_CONVERGED) else None
    result = Relaxation(status, reason, **run.figures(relaxed), seconds=computing_clock(calculator) - started)
    return result, relaxed or crystal


def reason_to_refuse(
    crystal: Crystal, settings: RelaxationSettings, elements: Collection[str] | None = None
) -> str:
    """Return why a crystal is not even computed, or the empty string."""
    from ase.data import atomic_numbers

    atoms = len(crystal.species)
    if atoms == 0:
        return "no atoms"
    if atoms > settings.max_atoms:
        return f"{atoms} atoms, more than the {settings.max_atoms} allowed by max_atoms"
    if not _is_finite(crystal):
        return "lattice or positions are not finite"
    try:
        volume = filled_volume_angstrom3(crystal, settings.vacuum_angstrom) / atoms
    except ValueError:  # no volume
        volume = crystal.volume_angstrom3 / atoms
    if not volume >= settings.smallest_volume_angstrom3_per_atom:
        limit = settings.smallest_volume_angstrom3_per_atom
        return f"volume {volume:.3g} Å³ per atom is below {limit:g} Å³, too many neighbours"
    unknown = sorted(set(crystal.species) - (set(atomic_numbers) - {"X"}))
    if unknown:
        return f"{', '.join(unknown)}: not an element"
    unsupported = sorted(set(crystal.species) - set(elements)) if elements is not None else []
    if unsupported:
        return f"the potential was not fitted to {', '.join(unsupported)}"
    return reason_to_refuse_vacuum(crystal, settings.vacuum_angstrom) or _reason_to_refuse_isolated(
        crystal, settings.vacuum_angstrom
    )


def _reason_to_refuse_isolated(crystal: Crystal, range_angstrom: float) -> str:
    """Return why atoms without a neighbour cannot be judged, or the empty string.

    A potential sees no neighbour beyond its range: the energy is that of free atoms and all forces are zero,
    which would pass for a minimum.
    """
    from matscipy.neighbours import neighbour_list

    with_neighbours = neighbour_list(
        "i", cell=crystal.lattice, positions=crystal.frac_coords @ crystal.lattice,
        pbc=np.array(crystal.pbc), cutoff=range_angstrom,
    )  # fmt: skip
    alone = sorted(set(range(len(crystal.species))) - set(with_neighbours.tolist()))
    if not alone:
        return ""
    symbols = ", ".join(sorted({crystal.species[place] for place in alone}))
    return (
        f"{len(alone)} of {len(crystal.species)} atoms ({symbols}) have no neighbour within "
        f"{range_angstrom:g} Å, the range of the potential, which cannot judge them"
    )


def reason_to_refuse_vacuum(crystal: Crystal, vacuum_angstrom: float) -> str:
    """Return why something under vacuum is neither crystal nor layer, or the empty string."""
    found = vacuum(crystal, vacuum_angstrom)
    if found.dimensionality >= 2:
        return ""
    directions = "two directions" if found.dimensionality else "all directions"
    return (
        f"a {found.name}: gaps above {vacuum_angstrom:g} Å in {directions}; only crystals and layers are "
        "relaxed and judged"
    )


def displacement_rmsd(before: Crystal, after: Crystal) -> float:
    """Return the root mean square displacement of the atoms, Å.

    The displacements are those of the fractional coordinates, without periodic wrapping (a relaxation moves
    atoms continuously), less their mean over the atoms (a drift of the whole crystal), times the lattice
    of `after`. So a homogeneous strain of the cell does not count.
    """
    shift = after.frac_coords - before.frac_coords
    displacements = (shift - shift.mean(axis=0)) @ after.lattice
    return float(np.sqrt((displacements**2).sum(axis=1).mean()))


def relaxation_table(crystals: Sequence[Crystal], results: Sequence[Relaxation]) -> pd.DataFrame:
    """Return results as a crystal table of the geometries with the figures of `Relaxation` as properties.

    Columns: id, species, lattice, frac_coords, formula, space_group (number at 0.01 Å), pbc (only where a
    crystal is not periodic in all directions), then the figures. The geometry is relaxed where status is
    'converged' or 'not_converged', else it is the crystal as it came in.
    """
    frame = pd.DataFrame(
        {
            "id": [crystal.id for crystal in crystals],
            "species": [list(crystal.species) for crystal in crystals],
            "lattice": [crystal.lattice.ravel().tolist() for crystal in crystals],
            "frac_coords": [crystal.frac_coords.ravel().tolist() for crystal in crystals],
            "formula": [_formula(crystal) for crystal in crystals],
            "space_group": [_space_group(crystal, SYMPREC_ANGSTROM) for crystal in crystals],
        }
    )
    frame = frame.astype({name: np.int64 if name == "space_group" else object for name in frame})
    frame = with_periodicity(frame, crystals)
    figures = pd.DataFrame(
        [asdict(result) for result in results], columns=[f.name for f in fields(Relaxation)]
    )
    types = {"float": float, "int": np.int64, "str": object}
    figures = figures.astype({f.name: types[str(f.type)] for f in fields(Relaxation)})
    return pd.concat([frame, figures], axis=1)


def relaxation_verdicts(
    table: pd.DataFrame, card: PotentialCard, settings: RelaxationSettings
) -> list[Verdict]:
    """Return the verdicts `single_point` and `relaxation` of each row, in row order.

    `single_point`: pass; fail when energy or forces of the crystal as it came in are out of bounds; error
    when there is no such figure (refused, an error).
    `relaxation`, of those that passed: pass when converged; undecided when the steps were used up; error when
    it exploded or failed. Who failed the first has no verdict of the second.
    """
    verdicts = []
    for row in named_rows(table):
        seconds = float(row.seconds)
        first = _single_point_verdict(row, settings)
        passed = first["verdict"] == PASS
        verdicts.append(
            Verdict(
                row.id,
                "single_point",
                **first,
                tool=card.name,
                tool_version=card.version,
                seconds=nan if passed else seconds,
            )
        )
        if passed:
            verdict = {CONVERGED: PASS, NOT_CONVERGED: UNDECIDED}.get(row.status, ERROR)
            verdicts.append(
                Verdict(
                    row.id,
                    "relaxation",
                    verdict,
                    float(row.largest_force_ev_per_angstrom),
                    settings.fmax_ev_per_angstrom,
                    row.reason,
                    card.name,
                    card.version,
                    seconds=seconds,
                )
            )
    return verdicts


class _Run:
    """One relaxation under way; its figures survive whatever ends it."""

    def __init__(self, crystal: Crystal, settings: RelaxationSettings) -> None:
        self.crystal = with_vacuum(crystal, settings.vacuum_angstrom)
        self.settings, self.started = settings, time.monotonic()
        found = vacuum(self.crystal, settings.vacuum_angstrom)
        self.normal = plane_normal(self.crystal, found.miller[0]) if found.dimensionality == 2 else None
        self.energy = self.energy_initial = self.force = self.force_initial = nan
        self.steps = 0
        self.relaxed: Crystal | None = None

    def relax(self, calculator: Calculator) -> tuple[str, str]:
        from ase.optimize import BFGS

        from matwheel.potentials.cell_filter import CellFilter

        settings = self.settings
        atoms = to_atoms(self.crystal)
        if settings.keep_symmetry:
            from ase.constraints import FixSymmetry

            atoms.set_constraint(FixSymmetry(atoms, symprec=_EXACT_SYMPREC_ANGSTROM))
        atoms.calc = calculator
        cell = CellFilter(atoms, self.normal)
        self.energy_initial, self.force_initial = _energy_and_force(cell)
        self.energy, self.force = self.energy_initial, self.force_initial
        problem = initial_problem(self.energy_initial, self.force_initial, settings)
        if problem:
            return EXPLODED, problem
        optimizer = BFGS(cell, logfile=None)  # type: ignore[arg-type]  # ASE moves filters of atoms too
        converged = False
        for now_converged in optimizer.irun(fmax=settings.fmax_ev_per_angstrom, steps=settings.max_steps):
            converged, self.steps = now_converged, optimizer.nsteps
            self.energy, self.force = _energy_and_force(cell)
            problem = self._problem(atoms.get_volume())
            if problem:
                return EXPLODED, f"{problem} at step {self.steps}"
            if time.monotonic() - self.started > settings.time_limit_seconds:
                raise TimeLimitReached
        atoms.set_constraint()
        self.relaxed = replace(from_atoms(self.crystal.id, atoms), pbc=self.crystal.pbc)
        if converged:
            return CONVERGED, ""
        return NOT_CONVERGED, f"force {self.force:.3g} eV/Å left after {self.steps} steps"

    def _problem(self, volume_angstrom3: float) -> str:
        ratio = volume_angstrom3 / self.crystal.volume_angstrom3
        largest = self.settings.largest_volume_ratio
        if not 1 / largest <= ratio <= largest:
            size = "volume" if self.normal is None else "area"
            return f"{size} is {ratio:.3g} times the initial one, limit {largest:g}"
        return _energy_problem(self.energy, self.force, self.settings)

    def figures(self, relaxed: Crystal | None) -> dict[str, Any]:
        symprec = self.settings.symprec_angstrom
        return {
            "energy_ev_per_atom": self.energy,
            "energy_initial_ev_per_atom": self.energy_initial,
            "largest_force_initial_ev_per_angstrom": self.force_initial,
            "largest_force_ev_per_angstrom": self.force,
            "steps": self.steps,
            "volume_change": relaxed.volume_angstrom3 / self.crystal.volume_angstrom3 - 1 if relaxed else nan,
            "rmsd_angstrom": displacement_rmsd(self.crystal, relaxed) if relaxed else nan,
            "space_group_before": _space_group(self.crystal, symprec),
            "space_group_after": _space_group(relaxed, symprec) if relaxed else 0,
        }


def initial_problem(
    energy_ev_per_atom: float, largest_force_ev_per_angstrom: float, settings: RelaxationSettings
) -> str:
    """Return why a crystal with these first figures is not worth relaxing, or the empty string."""
    limit = settings.largest_initial_force_ev_per_angstrom
    if limit < largest_force_ev_per_angstrom < inf:
        return f"largest force {largest_force_ev_per_angstrom:.3g} eV/Å is above {limit:g} eV/Å"
    return _energy_problem(energy_ev_per_atom, largest_force_ev_per_angstrom, settings)


def _energy_problem(energy: float, force: float, settings: RelaxationSettings) -> str:
    lowest, highest = settings.lowest_energy_ev_per_atom, settings.highest_energy_ev_per_atom
    if not (isfinite(energy) and isfinite(force)):
        return "energy or forces are not finite, as when two atoms are at one place"
    if not lowest <= energy <= highest:
        return f"energy {energy:.3g} eV/atom is outside {lowest:g} to {highest:g} eV/atom"
    return ""


def _single_point_verdict(row: Any, settings: RelaxationSettings) -> dict[str, Any]:
    energy, force = row.energy_initial_ev_per_atom, row.largest_force_initial_ev_per_angstrom
    limit = settings.largest_initial_force_ev_per_angstrom
    if row.status == EXPLODED and row.steps == 0:
        lowest, highest = settings.lowest_energy_ev_per_atom, settings.highest_energy_ev_per_atom
        value, threshold = force, limit
        if force <= limit and isfinite(energy):
            value, threshold = energy, lowest if energy < lowest else highest
        return {"verdict": FAIL, "value": value, "threshold": threshold, "reason": row.reason}
    if not (isfinite(energy) and isfinite(force)):
        return {"verdict": ERROR, "threshold": limit, "reason": row.reason}
    return {"verdict": PASS, "value": force, "threshold": limit}


def _energy_and_force(cell: Any) -> tuple[float, float]:
    """Return energy per atom and the largest row of forces and virial of a cell filter."""
    energy = float(cell.atoms.get_potential_energy()) / len(cell.atoms)
    return energy, float(np.linalg.norm(cell.get_forces(), axis=1).max())


def _formula(crystal: Crystal) -> str:
    try:
        return reduced_formula(crystal)
    except ValueError:  # a species that is no element
        return ""


def _space_group(crystal: Crystal, symprec_angstrom: float) -> int:
    if not _is_finite(crystal):  # spglib would end the process
        return 0
    try:
        return space_group(crystal, symprec_angstrom)
    except Exception:  # one strange cell must not end the batch
        return 0


def _is_finite(crystal: Crystal) -> bool:
    return bool(np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all())
