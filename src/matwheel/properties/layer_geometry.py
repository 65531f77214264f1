"""Size of a layer, whatever vacuum its cell has: features that need no potential."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING

from matwheel.core.settings import settings
from matwheel.crystals.connectivity import connected_pieces
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import VACUUM_ANGSTROM, VacuumGap
from matwheel.properties.interface import LimitsOfEach, PropertyOfEach
from matwheel.properties.layers import layer_of

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@settings
class LayerGeometrySettings(LimitsOfEach):
    """What counts as a layer."""

    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM


class LayerGeometry(PropertyOfEach):
    """Area per atom, thickness, vacuum and number of sheets of a layer; what is none is refused."""

    name = "layer_geometry"
    values = ("log_area_angstrom2_per_atom", "thickness_angstrom", "vacuum_angstrom", "sheets")
    uses_potential = False
    settings_class = LayerGeometrySettings

    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return natural log of the area per atom (Å²), thickness and vacuum (Å), and connected sheets."""
        layer = layer_of(crystal, self.settings.vacuum_angstrom)
        figures = (
            log(layer.area_angstrom2 / len(layer.species)),
            layer.thickness_angstrom,
            layer.vacuum_angstrom,
            connected_pieces(crystal),
        )
        return dict(zip(self.values, figures, strict=True)), ""
