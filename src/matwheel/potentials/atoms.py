"""Crystals as ASE atoms and back, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matwheel.crystals.crystal import Crystal

if TYPE_CHECKING:
    from ase import Atoms


def to_atoms(crystal: Crystal) -> Atoms:
    """Return the crystal as periodic ASE atoms without a calculator, atoms in the same order.

    Raises:
        KeyError: a species is not the symbol of an element.
    """
    from ase import Atoms

    return Atoms(
        symbols=list(crystal.species),
        scaled_positions=crystal.frac_coords,
        cell=crystal.lattice,
        pbc=True,
    )


def from_atoms(crystal_id: str, atoms: Atoms) -> Crystal:
    """Return ASE atoms as a crystal; fractional coordinates are not wrapped into the cell.

    Raises:
        ValueError: the atoms are not periodic in all three directions.
    """
    if not atoms.pbc.all():
        raise ValueError(f"atoms {crystal_id}: not periodic in all three directions")
    return Crystal(
        crystal_id,
        tuple(atoms.get_chemical_symbols()),
        atoms.cell.array.copy(),
        atoms.get_scaled_positions(wrap=False),
    )
