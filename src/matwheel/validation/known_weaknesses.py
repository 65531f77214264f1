"""Crystals of which a potential is known to say the wrong thing, so that a verdict on them can say so.

Each was found by `benchmarks/layers.py`; what is known is by experiment or by PBE. The list is what was
looked at, not what there is: a potential that errs on rutile errs on crystals like it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weakness:
    """One wrong verdict.

    Attributes:
        potential: name in the registry.
        formula: reduced.
        space_group: number; of a layer as its cell under vacuum has it.
        dimensionality: 3, or 2 for a layer.
        name: what a chemist calls it.
        said: 'stable' or 'unstable'.
        known: what it is, and by what.
    """

    potential: str
    formula: str
    space_group: int
    dimensionality: int
    name: str
    said: str
    known: str


DYNAMICAL_STABILITY = (
    Weakness("7net-0", "TiO2", 136, 3, "rutile", "unstable", "stable by experiment"),
    Weakness("7net-0", "Zr", 229, 3, "bcc zirconium", "stable", "unstable at rest by PBE"),
    Weakness("7net-0", "Si", 164, 2, "silicene", "unstable", "stable by PBE"),
    Weakness("7net-0", "MoS2", 164, 2, "the 1T layer of MoS2", "stable", "unstable by PBE"),
)


def weakness_note(potential: str, formula: str, space_group: int, dimensionality: int) -> str:
    """Return what is known to be wrong in the potential's verdict on a crystal, or the empty string."""
    asked = (potential, formula, space_group, dimensionality)
    for one in DYNAMICAL_STABILITY:
        if asked == (one.potential, one.formula, one.space_group, one.dimensionality):
            return f"known weakness of {one.potential}: {one.name} is {one.known}, not {one.said}"
    return ""
