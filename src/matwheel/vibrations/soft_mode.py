"""Where an unstable crystal falls to: its softest mode followed to structures of lower energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

import numpy as np

from matwheel.crystals.crystal import Crystal
from matwheel.potentials.symmetric_relaxation import Minimum, symmetrise
from matwheel.verdicts import UNDECIDED
from matwheel.vibrations.force_constants import Modes, displaced_along_modes, lowest_point
from matwheel.vibrations.phonon_calculation import JudgedModes, PhononCalculation
from matwheel.vibrations.phonon_judgement import UNSTABLE, frequency_text, without_translations
from matwheel.vibrations.phonon_results import Daughter

_DEGENERATE_WITHIN_THZ = 0.02


def follow_soft_mode(
    calculation: PhononCalculation, unstable: JudgedModes, energy_ev_per_atom: float, daughter_id: str
) -> Iterator[Daughter]:
    """Yield what is known of the daughter of an unstable crystal, again whenever more is known.

    While a daughter is unstable itself it is followed on, for `max_generations` in all. What ends the
    calculation is raised; the last yielded daughter stays true.

    Args:
        unstable: modes of the crystal.
        energy_ev_per_atom: its energy.
        daughter_id: id that the daughter gets.
    """
    settings = calculation.settings
    modes, energy = unstable, energy_ev_per_atom
    yield Daughter(reason="no structure of lower energy along the softest mode")
    for generation in range(1, settings.max_generations + 1):
        child = structure_along_soft_mode(calculation, modes, energy)
        if child is None:
            return
        minimum, space_group, cells = child
        energy = minimum.energy_ev_per_atom
        gain = 1000 * (energy_ev_per_atom - energy)
        lower = f"falls to space group {space_group}, {gain:.1f} meV/atom lower"
        crystal = replace(minimum.crystal, id=daughter_id)
        daughter = Daughter(UNDECIDED, lower, crystal, gain, space_group, cells=cells, generation=generation)
        yield daughter
        if not minimum.converged:
            return
        modes = calculation.at_gamma(crystal)
        yield _judged(daughter, modes, "gamma")
        if modes.judgement.verdict != UNSTABLE and settings.daughter_supercell:
            modes = calculation.in_supercell(modes)
            yield _judged(daughter, modes, "supercell")
        if modes.judgement.verdict != UNSTABLE:
            return


def structure_along_soft_mode(
    calculation: PhononCalculation, unstable: JudgedModes, energy_ev_per_atom: float
) -> tuple[Minimum, int, int] | None:
    """Return the structure that the softest mode of a crystal of this energy leads to.

    Returns:
        The structure relaxed with its symmetry kept, its space-group number and the number of primitive cells
        of the crystal in which the mode was followed. None where nothing is lower in energy.

    Raises:
        ValueError: the mode needs a larger cell than `max_supercell_atoms`.
    """
    settings = calculation.settings
    best: tuple[Minimum, int] | None = None
    starts, cells = _lowest_along_soft_mode(calculation, unstable)
    for start in starts:
        free = calculation.relax(start, keep_symmetry=False)
        symmetric = symmetrise(
            free.crystal, calculation.energy, settings.symprec_angstrom, settings.smallest_gain_mev_per_atom
        )
        if symmetric is None:
            continue
        minimum = calculation.relax(symmetric[0], keep_symmetry=True)
        if best is None or minimum.energy_ev_per_atom < best[0].energy_ev_per_atom:
            best = minimum, symmetric[1]
    if best is None:
        return None
    gain_mev_per_atom = 1000 * (energy_ev_per_atom - best[0].energy_ev_per_atom)
    return None if gain_mev_per_atom < settings.smallest_gain_mev_per_atom else (*best, cells)


def _lowest_along_soft_mode(
    calculation: PhononCalculation, unstable: JudgedModes
) -> tuple[list[Crystal], int]:
    """Return the crystal displaced along its softest mode to the lowest energy, and its primitive cells.

    Two of them, by a displacement and its opposite, only where their energies differ: mostly they are
    equivalent.
    """
    settings, parent = calculation.settings, unstable.constants.crystal
    cell, displacement = displaced_along_modes(
        parent, unstable.modes, _softest_point(unstable.modes), _DEGENERATE_WITHIN_THZ
    )
    if len(cell.species) > settings.max_supercell_atoms:
        raise ValueError(f"the mode needs {len(cell.species)} atoms, above max_supercell_atoms")
    lowest: list[tuple[float, Crystal]] = []
    for sign in (1.0, -1.0):
        tried = []
        for amplitude in settings.mode_amplitudes_angstrom:
            shift = sign * amplitude * displacement @ np.linalg.inv(cell.lattice)
            moved = replace(cell, frac_coords=cell.frac_coords + shift)
            tried.append((calculation.energy(moved), moved))
        lowest.append(min(tried, key=lambda one: one[0]))
    if 1000 * abs(lowest[0][0] - lowest[1][0]) < settings.smallest_gain_mev_per_atom:
        lowest = lowest[:1]
    return [moved for _, moved in lowest], len(cell.species) // len(parent.species)


def _softest_point(modes: Modes) -> int:
    """Return the place of the q-point of the lowest mode; of equal ones as `lowest_point` chooses."""
    q_point = np.array(lowest_point(modes.q_points, without_translations(modes).min(axis=1))[1])
    difference = modes.q_points - q_point
    return int(np.abs(difference - np.round(difference)).max(axis=1).argmin())


def _judged(daughter: Daughter, modes: JudgedModes, stage: str) -> Daughter:
    """Return a daughter of unknown verdict with what its own phonons say."""
    judgement, charges = modes.judgement, modes.constants.born_charges
    where = "at Γ" if stage == "gamma" else "in its own supercell"
    if charges and stage == "supercell":
        where += f" with Born charges of {charges.source}"
    frequency = judgement.lowest_frequency_thz
    lowest = f" (lowest {frequency_text(frequency)} THz)" if isfinite(frequency) else ""
    return replace(
        daughter,
        verdict=judgement.verdict,
        stage=stage,
        reason=f"{daughter.reason}, {judgement.verdict} {where}{lowest}",
        lowest_frequency_thz=frequency,
    )
