"""Cells in the standard setting of spglib."""

from __future__ import annotations

import numpy as np

from matwheel.crystals.crystal import Crystal


def standard_cell(crystal: Crystal, symprec_angstrom: float, *, primitive: bool) -> Crystal | None:
    """Return a cell in spglib's standard setting, idealised; None where spglib finds no symmetry.

    The lattice may be turned in space and atoms come in another order.

    Args:
        crystal: with finite numbers and a cell that has a volume.
        primitive: the primitive cell, not the conventional one.
    """
    import spglib

    elements = sorted(set(crystal.species))
    numbers = [elements.index(symbol) for symbol in crystal.species]
    cell = (crystal.lattice, crystal.frac_coords, numbers)
    try:
        standard = spglib.standardize_cell(
            cell,  # type: ignore[arg-type]  # takes arrays too
            to_primitive=primitive,
            symprec=symprec_angstrom,
        )
    except Exception:  # depending on its version, spglib raises or returns None
        return None
    if standard is None:
        return None
    lattice, positions, kinds = standard
    return Crystal(
        crystal.id, tuple(elements[kind] for kind in kinds), np.asarray(lattice), np.asarray(positions)
    )
