"""All computed properties by name. A new one is one module and one line here (see docs/properties.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matwheel.core.registries import Registry, registered

if TYPE_CHECKING:
    from matwheel.properties.interface import Property

# name: (module, class)
PROPERTIES: Registry[tuple[str, str]] = {
    "bulk_modulus": ("matwheel.properties.bulk_modulus", "BulkModulus"),
    "exfoliation_energy": ("matwheel.properties.exfoliation_energy", "ExfoliationEnergy"),
    "formation_energy": ("matwheel.properties.formation_energy", "FormationEnergy"),
    "highest_phonon": ("matwheel.properties.highest_phonon", "HighestPhonon"),
    "ionic_response": ("matwheel.properties.ionic_response", "IonicResponse"),
    "layer_geometry": ("matwheel.properties.layer_geometry", "LayerGeometry"),
}


def make_property(name: str, settings: Mapping[str, Any] | None = None) -> Property:
    """Return a property; `settings` change single defaults.

    Raises:
        InputError: unknown property or setting.
    """
    made: Property = registered(PROPERTIES, name, "property").from_settings(settings or {})
    return made
