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
    Weakness("7net-l3i5", "TiO2", 136, 3, "rutile", "unstable", "stable by experiment"),
    Weakness("7net-l3i5", "Si", 164, 2, "silicene", "unstable", "stable by PBE"),
)
# All crystals above were asked of these, so one of them is right where it is not listed.
ASKED = ("7net-0", "7net-l3i5")


def weakness_note(potential: str, formula: str, space_group: int, dimensionality: int) -> str:
    """Return what is known to be wrong in the potential's verdict on a crystal, or the empty string.

    The other potentials that were asked are named with their opinion.
    """
    crystal = (formula, space_group, dimensionality)
    wrong = {
        one.potential: one
        for one in DYNAMICAL_STABILITY
        if crystal == (one.formula, one.space_group, one.dimensionality)
    }
    if potential not in wrong:
        return ""
    one = wrong[potential]
    others = [f"{name} is {'wrong too' if name in wrong else 'right'}" for name in ASKED if name != potential]
    note = f"known weakness of {potential}: {one.name} is {one.known}, not {one.said}"
    return f"{note} ({', '.join(others)})"
