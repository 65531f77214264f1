"""Exfoliation energy of a layer: stacked again on itself by a potential with dispersion, and pulled apart.

The bulk crystal is not known, so it is looked for: the layer keeps its shape, one of it is in each cell, and
its image is shifted sideways to where atomic radii pack closest, a few such places are scanned along the
gap, and from the best of all the energy is minimised in shift and gap. What is not sought are stackings of
several layers (2H of the dichalcogenides) and layers that change their shape in the bulk.

The gradient by the third lattice vector c, atoms fixed, is the third row of h⁻ᵀ(W + RᵀF), with lattice h,
virial W = dE/dstrain, positions R and forces F.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.settings import Count, CountOrZero, settings
from matwheel.crystals.connectivity import atomic_numbers_of, connected_pieces
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, VacuumGap
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.dispersion import (
    DispersionModel,
    DispersionRefused,
    elements_without_parameters,
)
from matwheel.properties.interface import LimitsOfEach, PropertyOfEach, Refusal
from matwheel.properties.layers import Layer, layer_of
from matwheel.properties.stacking import COVALENT_SHARE, Stacking

if TYPE_CHECKING:
    import pandas as pd
    from ase.calculators.calculator import Calculator

SCAN_ANGSTROM = (-1.2, -0.7, -0.35, 0.0, 0.4)
"""Heights that are scanned, from that of contact, rising."""
APART_ANGSTROM = 0.8
"""Shifts that are scanned are this far from each other."""
FAR_GAP_ANGSTROM = 30.0
"""Gap at which layers are apart, beyond the reach of D3."""
LOWEST_HEIGHT_ANGSTROM = 1.8
"""From one layer to the next; D3 has ended processes on thinner cells."""
LOWEST_SHARE_OF_THICKNESS = 0.5
"""The same, as a share of the thickness of the layer."""
LARGEST_RATIO, LARGEST_GAIN_MEV_PER_ATOM = 1.6, 150.0
"""A minimum that binds stronger than the best scanned point by both is a hole of the potential."""
LATERAL_SOFTNESS = 4.0
"""How much further a shift is from the minimum than a height, as the minimisation begins."""
_STIFFNESS_EV_PER_ANGSTROM2 = 0.5, 5.0  # of a stacking by its height, least and most
_GRADIENT_LEFT = 3e-3  # √eV, in units of second derivatives of one: some 5 µeV from the minimum
_WIDEST_STEP_ANGSTROM = 3.0  # how far the minimisation may widen the best scanned height


@settings
class ExfoliationSettings(LimitsOfEach):
    """How far the stacking of a layer is looked for."""

    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM
    shifts: Count = 3
    """Sideways shifts that are scanned, at most."""
    minimiser_evaluations: CountOrZero = 12
    """Energies after which the minimisation in shift and gap ends; 0 takes the best scanned point."""


@dataclass(frozen=True)
class _Point:
    """One stacking.

    Attributes:
        x, y, height: from a layer to its image, Å.
        binding_ev: energy of layers apart minus that of this stacking.
    """

    x: float
    y: float
    height: float
    binding_ev: float


def _binding(point: _Point) -> float:
    return point.binding_ev


class ExfoliationEnergy(PropertyOfEach):
    """Energy per atom of layers apart minus that of the best stacking found; what is no layer is refused."""

    name = "exfoliation_energy"
    values = (
        "exfoliation_energy_mev_per_atom",
        "gap_angstrom",
        "slack_angstrom",
        "covalent_contact",
        "sheets",
        "evaluations",
    )
    estimates = ("exfoliation_energy_mev_per_atom",)
    settings_class = ExfoliationSettings

    def __init__(self, settings: ExfoliationSettings | None = None) -> None:
        super().__init__(settings)
        self._dispersion: DispersionModel | None = None

    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return the energy (meV/atom), the gap between layers (Å), how far their nearest atoms are beyond
        0.7 of the sum of their covalent radii (Å), their distance in units of that sum, connected sheets, and
        energies that were computed.
        """
        assert calculator is not None and self._dispersion is not None
        layer = layer_of(crystal, self.settings.vacuum_angstrom)
        unknown = elements_without_parameters(atomic_numbers_of(layer.species))
        if unknown:
            raise Refusal(f"D3 has no parameters for the atomic numbers {', '.join(map(str, unknown))}")
        search = _Search(layer, calculator, self._dispersion)
        best, doubt = search.best_stacking(self.settings.shifts, self.settings.minimiser_evaluations)
        sheets = connected_pieces(crystal)
        if sheets > 1:
            doubts = (doubt, f"{sheets} sheets without a bond between them in the layer")
            doubt = "; ".join(filter(None, doubts))
        contact, slack = search.stacking.covalent_contact(best.x, best.y, best.height)
        figures = (
            1000 * best.binding_ev / len(layer.species),
            best.height - layer.thickness_angstrom,
            slack,
            contact,
            sheets,
            search.evaluations,
        )
        return dict(zip(self.values, figures, strict=True)), doubt

    def compute(
        self,
        crystals: Sequence[Crystal],
        calculator: Calculator | None = None,
        log: Log = log_to_stderr,
        *,
        elements: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """See `Property.compute`; the process of the dispersion lives as long as the batch.

        Raises:
            InputError: also where the package of the dispersion is missing.
        """
        self._dispersion = DispersionModel()
        try:
            return super().compute(crystals, calculator, log, elements=elements)
        finally:
            self._dispersion.close()
            self._dispersion = None


class _BudgetSpent(Exception):
    """The evaluations of a minimisation are used up."""


class _Search:
    """The search for the best stacking of one layer."""

    def __init__(self, layer: Layer, calculator: Calculator, dispersion: DispersionModel) -> None:
        self._layer, self._calculator, self._dispersion = layer, calculator, dispersion
        self._lowest = max(LOWEST_HEIGHT_ANGSTROM, LOWEST_SHARE_OF_THICKNESS * layer.thickness_angstrom)
        self.stacking = Stacking(layer, self._lowest)
        self.evaluations = 0
        self._apart_ev = 0.0

    def best_stacking(self, shifts: int, evaluations: int) -> tuple[_Point, str]:
        """Return the best stacking, and why it is not the minimum, if it is not.

        Raises:
            Refusal: no scanned point can be computed.
        """
        self._apart_ev, _ = self._energy_and_gradient(
            0.0, 0.0, self._layer.thickness_angstrom + FAR_GAP_ANGSTROM
        )
        scanned, column = self._scanned(shifts)
        if not evaluations:
            return scanned, ""
        try:
            minimum = self._minimum(scanned, column, evaluations)
        except (ArithmeticError, DispersionRefused, RuntimeError, MemoryError) as error:
            return scanned, f"value of the scan: the minimisation ended ({error})"
        doubt = self._doubt(minimum, scanned)
        return (scanned, f"value of the scan: {doubt}") if doubt else (minimum, "")

    def _scanned(self, shifts: int) -> tuple[_Point, list[_Point]]:
        """Return the point of the scan that binds strongest, and all points at its shift."""
        columns = [
            self._column(x, y, contact)
            for x, y, contact in self.stacking.closest_packings(shifts, APART_ANGSTROM)
        ]
        points = [max(column, key=_binding) for column in columns if column]
        if not points:
            raise Refusal("no stacking of it keeps atoms apart")
        best = max(points, key=_binding)
        return best, next(column for column in columns if best in column)

    def _column(self, x: float, y: float, contact: float) -> list[_Point]:
        """Return scanned points at one shift by their height: those about contact, and on while they gain."""
        points: dict[int, _Point] = {}

        def scan(number: int) -> bool:
            """Return whether a point is there and is the best so far."""
            height = contact + SCAN_ANGSTROM[number]
            near = self.stacking.covalent_contact(x, y, height)[0] < COVALENT_SHARE
            if near or height < self._lowest:
                return False
            energy, _ = self._energy_and_gradient(x, y, height)
            points[number] = _Point(x, y, height, self._apart_ev - energy)
            return points[number].binding_ev == max(map(_binding, points.values()))

        middle = len(SCAN_ANGSTROM) // 2
        scan(middle)
        for numbers in (range(middle - 1, -1, -1), range(middle + 1, len(SCAN_ANGSTROM))):
            for number in numbers:
                if not scan(number) and number in points:
                    break
        return [points[number] for number in sorted(points)]

    def _minimum(self, scanned: _Point, column: Sequence[_Point], evaluations: int) -> _Point:
        """Return the best point of a minimisation from between the best points of the scan."""
        from scipy.optimize import minimize

        height, stiffness = _between(scanned, column)
        # In these units the second derivatives are near one, so that the first step is a good one.
        units = np.array([LATERAL_SOFTNESS, LATERAL_SOFTNESS, 1.0]) / stiffness**0.5
        best, left = scanned, evaluations

        def energy_and_gradient(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            nonlocal best, left
            if not left:
                raise _BudgetSpent
            left -= 1
            x, y, height = map(float, point * units)
            energy, gradient = self._energy_and_gradient(x, y, height)
            if self._apart_ev - energy > best.binding_ev:
                best = _Point(x, y, height, self._apart_ev - energy)
            return energy - self._apart_ev, gradient * units

        with contextlib.suppress(_BudgetSpent):
            minimize(
                energy_and_gradient,
                np.array([scanned.x, scanned.y, height]) / units,
                jac=True,
                method="L-BFGS-B",
                bounds=[
                    (None, None),
                    (None, None),
                    (self._lowest / units[2], (height + _WIDEST_STEP_ANGSTROM) / units[2]),
                ],
                options={"ftol": 0.0, "gtol": _GRADIENT_LEFT},
            )
        return best

    def _doubt(self, minimum: _Point, scanned: _Point) -> str:
        """Return why a minimum is a hole of the potential, or the empty string."""
        contact, _ = self.stacking.covalent_contact(minimum.x, minimum.y, minimum.height)
        if contact <= COVALENT_SHARE:
            return f"at the minimum atoms are {contact:.2f} of the sum of their covalent radii apart"
        per_atom = 1000 / len(self._layer.species)
        energy, least = minimum.binding_ev * per_atom, scanned.binding_ev * per_atom
        if energy >= max(LARGEST_RATIO * least, least + LARGEST_GAIN_MEV_PER_ATOM):
            return f"the minimum binds by {energy:.0f} meV/atom, a hole of the potential"
        return ""

    def _energy_and_gradient(self, x: float, y: float, height: float) -> tuple[float, NDArray[np.float64]]:
        """Return the energy (eV) and its gradient by (x, y, height) (eV/Å) of a stacking."""
        plane = self._layer.plane_angstrom
        fractions = np.array([x, y]) @ np.linalg.inv(plane)
        # A shift may have gone far; the stacking is the same, and its cell must not be skewed.
        x, y = (fractions - np.round(fractions)) @ plane
        atoms = to_atoms(self._layer.stacked(x, y, height))
        dispersion = self._dispersion.evaluate(atoms)
        atoms.calc = self._calculator
        virial = atoms.get_volume() * atoms.get_stress(voigt=False) + dispersion.virial_ev
        forces = atoms.get_forces() + dispersion.forces_ev_per_angstrom
        energy = float(atoms.get_potential_energy()) + dispersion.energy_ev
        gradient = np.linalg.inv(atoms.cell.array).T @ (virial + atoms.positions.T @ forces)
        self.evaluations += 1
        if not (np.isfinite(energy) and np.isfinite(gradient).all()):
            raise ArithmeticError("energy or forces are not finite")
        return energy, gradient[2]


def _between(best: _Point, column: Sequence[_Point]) -> tuple[float, float]:
    """Return the height (Å) and second derivative (eV/Å²) of the parabola through the best point and its
    neighbours along the height; the best point's height where it has no two.
    """
    place = column.index(best)
    least, most = _STIFFNESS_EV_PER_ANGSTROM2
    if not 0 < place < len(column) - 1:
        return best.height, (least * most) ** 0.5
    around = column[place - 1 : place + 2]
    heights = np.array([point.height for point in around])
    quadratic, linear, _ = np.polyfit(heights, [-point.binding_ev for point in around], 2)
    if not quadratic > 0:
        return best.height, least
    vertex = float(np.clip(-linear / (2 * quadratic), heights[0], heights[-1]))
    return vertex, float(np.clip(2 * quadratic, least, most))
