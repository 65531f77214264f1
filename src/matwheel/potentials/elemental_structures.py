"""Measured crystal structures of the elements, as starting points of a relaxation."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from matwheel.crystals.crystal import Crystal, from_structure
from matwheel.potentials.atoms import from_atoms

_LATTICES = ("fcc", "bcc", "hcp", "diamond")

# Elements of other structures, as measured (Donohue, The Structures of the Elements, Wiley 1974): space
# group, lattice (a, b, c in Å, then α, β, γ in degrees) and one position per orbit. They are starting points
# of a relaxation. Fluorine stands in the structure of the other halogens; a molecular crystal's packing is
# worth a few meV.
_ORTHORHOMBIC = (90.0, 90.0, 90.0)
_HEXAGONAL = (90.0, 90.0, 120.0)
_MEASURED: Mapping[str, tuple[str, tuple[float, ...], tuple[tuple[float, float, float], ...]]] = {
    "B": ("R-3m", (4.91, 4.91, 12.57, *_HEXAGONAL), ((0.119, 0.881, 0.891), (0.197, 0.803, 0.024))),
    "Br": ("Cmce", (6.67, 4.48, 8.72, *_ORTHORHOMBIC), ((0.0, 0.135, 0.110),)),
    "Cl": ("Cmce", (6.15, 4.40, 8.15, *_ORTHORHOMBIC), ((0.0, 0.117, 0.102),)),
    "F": ("Cmce", (5.20, 3.30, 7.50, *_ORTHORHOMBIC), ((0.0, 0.106, 0.081),)),
    "I": ("Cmce", (7.14, 4.69, 9.78, *_ORTHORHOMBIC), ((0.0, 0.154, 0.117),)),
    "Mn": (
        "I-43m",
        (8.91, 8.91, 8.91, *_ORTHORHOMBIC),
        ((0.0, 0.0, 0.0), (0.317, 0.317, 0.317), (0.356, 0.356, 0.034), (0.089, 0.089, 0.282)),
    ),
    "Se": ("P3_121", (4.37, 4.37, 4.95, *_HEXAGONAL), ((0.225, 0.0, 1 / 3),)),
    "Te": ("P3_121", (4.46, 4.46, 5.93, *_HEXAGONAL), ((0.263, 0.0, 1 / 3),)),
    "U": ("Cmcm", (2.85, 5.87, 4.96, *_ORTHORHOMBIC), ((0.0, 0.102, 0.25),)),
}

_FURTHER: Mapping[str, tuple[str, tuple[float, ...], tuple[tuple[float, float, float], ...]]] = {
    "As": ("R-3m", (3.76, 3.76, 10.55, *_HEXAGONAL), ((0.0, 0.0, 0.227),)),
    "Bi": ("R-3m", (4.55, 4.55, 11.86, *_HEXAGONAL), ((0.0, 0.0, 0.234),)),
    "Ga": ("Cmce", (4.52, 7.66, 4.53, *_ORTHORHOMBIC), ((0.0, 0.154, 0.081),)),
    "H": ("Pa-3", (5.31, 5.31, 5.31, *_ORTHORHOMBIC), ((0.0403, 0.0403, 0.0403),)),
    "He": ("Fm-3m", (4.24, 4.24, 4.24, *_ORTHORHOMBIC), ((0.0, 0.0, 0.0),)),
    "Hg": ("R-3m", (3.46, 3.46, 6.68, *_HEXAGONAL), ((0.0, 0.0, 0.0),)),
    "In": ("I4/mmm", (3.25, 3.25, 4.95, *_ORTHORHOMBIC), ((0.0, 0.0, 0.0),)),
    "N": ("Pa-3", (5.65, 5.65, 5.65, *_ORTHORHOMBIC), ((0.0562, 0.0562, 0.0562),)),
    "Np": ("Pnma", (6.66, 4.72, 4.89, *_ORTHORHOMBIC), ((0.036, 0.25, 0.208), (0.319, 0.25, 0.842))),
    "O": ("Pa-3", (5.40, 5.40, 5.40, *_ORTHORHOMBIC), ((0.0647, 0.0647, 0.0647),)),
    "P": ("Cmce", (3.31, 10.48, 4.38, *_ORTHORHOMBIC), ((0.0, 0.102, 0.081),)),
    "Pa": ("I4/mmm", (3.93, 3.93, 3.24, *_ORTHORHOMBIC), ((0.0, 0.0, 0.0),)),
    "Pm": ("P6_3/mmc", (3.65, 3.65, 11.65, *_HEXAGONAL), ((0.0, 0.0, 0.0), (1 / 3, 2 / 3, 0.25))),
    "Pu": (
        "P2_1/m",
        (6.18, 4.82, 10.96, 90.0, 101.8, 90.0),
        (
            (0.345, 0.25, 0.162), (0.767, 0.25, 0.168), (0.128, 0.25, 0.340), (0.657, 0.25, 0.457),
            (0.025, 0.25, 0.618), (0.473, 0.25, 0.653), (0.328, 0.25, 0.926), (0.871, 0.25, 0.894),
        ),
    ),
    "S": (
        "Fddd",
        (10.46, 12.87, 24.49, *_ORTHORHOMBIC),
        (
            (0.9806, 0.0776, 0.0763), (0.9094, 0.1552, 0.2012),
            (0.8320, 0.1045, 0.1290), (0.9112, 0.0324, 0.2541),
        ),
    ),
    "Sb": ("R-3m", (4.31, 4.31, 11.27, *_HEXAGONAL), ((0.0, 0.0, 0.2335),)),
    "Sm": ("R-3m", (3.63, 3.63, 26.21, *_HEXAGONAL), ((0.0, 0.0, 0.0), (0.0, 0.0, 0.222))),
    "Sn": ("Fd-3m", (6.49, 6.49, 6.49, *_ORTHORHOMBIC), ((0.0, 0.0, 0.0),)),
}  # fmt: skip
"""Elements without a prototype: the hull takes theirs from Materials Project's tables. Molecules of H, N and
O stand in one packing, that of α-nitrogen.
"""


def elemental_structures(elements: Collection[str]) -> list[Crystal]:
    """Return a measured structure of each element that has one here, sorted by symbol.

    All 89 elements of MPtrj have one: `elemental_prototypes`, or one of `_FURTHER`. They are to be relaxed.
    """
    further = [_measured(symbol, *_FURTHER[symbol]) for symbol in set(elements) & set(_FURTHER)]
    return sorted([*elemental_prototypes(elements), *further], key=lambda crystal: crystal.species[0])


def elemental_prototypes(elements: Collection[str]) -> list[Crystal]:
    """Return the measured crystal structures of elements, where they are simple, sorted by symbol.

    fcc, bcc, hcp and diamond with the lattice constants of ASE's table, and the nine elements of `_MEASURED`.
    Ids are 'prototype-<symbol>'. They are to be relaxed.
    """
    from ase.build import bulk
    from ase.data import atomic_numbers, reference_states

    crystals = []
    for symbol in sorted(set(elements)):
        name, number = f"prototype-{symbol}", atomic_numbers.get(symbol, 0)
        if symbol in _MEASURED:
            crystals.append(_measured(symbol, *_MEASURED[symbol]))
            continue
        state = reference_states[number] if 0 < number < len(reference_states) else None
        if state is None or state["symmetry"] not in _LATTICES:
            continue
        # ASE knows some elements (N2) by the lattice of their molecules only, and refuses to build those.
        with contextlib.suppress(ValueError):
            crystals.append(from_atoms(name, bulk(symbol)))
    return crystals


def _measured(
    symbol: str,
    group: str,
    lattice: tuple[float, ...],
    positions: tuple[tuple[float, float, float], ...],
) -> Crystal:
    from pymatgen.core import Lattice, Structure

    cell = Lattice.from_parameters(*lattice)
    structure = Structure.from_spacegroup(group, cell, [symbol] * len(positions), positions)
    return from_structure(f"prototype-{symbol}", structure.get_primitive_structure())
