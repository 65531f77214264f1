"""Formation energy by a potential: energy of the crystal as it came in minus that of its elements, relaxed.

Both are the potential's own and raw: no correction of anions or of +U is added, so values rank crystals of
one kind rather than compare with tables. The elements' structures are measured ones
(`matwheel.potentials.elemental_structures`), relaxed once per batch and found in the store afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING

from matwheel.core.settings import Positive, Steps, settings
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.elemental_structures import elemental_structures
from matwheel.potentials.symmetric_relaxation import relax_to_minimum
from matwheel.properties.interface import LimitsOfEach, PropertyOfEach, Refusal

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@settings
class FormationEnergySettings(LimitsOfEach):
    """How far the elements are relaxed."""

    fmax_ev_per_angstrom: Positive = 0.02
    """An element is relaxed when no force on an atom and no row of the virial per atom (eV) is larger."""
    relaxation_steps: Steps = 100
    """Largest number of steps of an element's relaxation."""


class FormationEnergy(PropertyOfEach):
    """Energy per atom against the elements by the same potential."""

    name = "formation_energy"
    values = ("formation_energy_ev_per_atom", "energy_ev_per_atom")
    estimates = ("formation_energy_ev_per_atom",)
    settings_class = FormationEnergySettings

    def __init__(self, settings: FormationEnergySettings | None = None) -> None:
        super().__init__(settings)
        self._elements: tuple[Calculator | None, dict[str, float]] = None, {}

    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return the formation energy and the energy itself, eV/atom."""
        assert calculator is not None
        counts = crystal.element_counts
        references = {symbol: self._energy_of_element(symbol, calculator) for symbol in counts}
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        energy = float(atoms.get_potential_energy()) / len(atoms)
        elements = sum(count * references[symbol] for symbol, count in counts.items()) / len(atoms)
        return dict(zip(self.values, (energy - elements, energy), strict=True)), ""

    def _energy_of_element(self, symbol: str, calculator: Calculator) -> float:
        """Return the energy of an element at its minimum, eV/atom.

        Raises:
            Refusal: no structure of it is known here, or the potential cannot relax it.
        """
        if self._elements[0] is not calculator:
            self._elements = calculator, {}
        energies = self._elements[1]
        if symbol not in energies:
            energies[symbol] = self._relaxed_energy(symbol, calculator)
        if not isfinite(energies[symbol]):
            raise Refusal(f"{symbol} has no reference energy: no structure, or one that cannot be relaxed")
        return energies[symbol]

    def _relaxed_energy(self, symbol: str, calculator: Calculator) -> float:
        structures = elemental_structures([symbol])
        if not structures:
            return float("nan")
        try:
            minimum = relax_to_minimum(
                structures[0],
                calculator,
                fmax_ev_per_angstrom=self.settings.fmax_ev_per_angstrom,
                max_steps=self.settings.relaxation_steps,
                keep_symmetry=False,
            )
        except Exception:  # an element that the potential cannot compute refuses its compounds, no others
            return float("nan")
        return minimum.energy_ev_per_atom
