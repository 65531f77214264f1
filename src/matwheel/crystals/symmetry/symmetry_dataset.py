"""What spglib says of a crystal's symmetry; the one place that asks it for a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spglib import SpglibDataset

    from matwheel.crystals.crystal import Crystal


def symmetry_dataset(crystal: Crystal, symprec_angstrom: float) -> SpglibDataset | None:
    """Return spglib's dataset of a crystal, or None where it finds no space group.

    Args:
        crystal: any crystal; broken cells have no symmetry.
    """
    import spglib

    # spglib may end the process, or never return, on cells without a volume or with numbers that are none.
    if not (
        crystal.species
        and np.isfinite(crystal.lattice).all()
        and np.isfinite(crystal.frac_coords).all()
        and crystal.volume_angstrom3 > 0
    ):
        return None
    elements = sorted(set(crystal.species))
    numbers = [elements.index(symbol) for symbol in crystal.species]
    try:
        return spglib.get_symmetry_dataset(
            (crystal.lattice, crystal.frac_coords, numbers),  # type: ignore[arg-type]  # takes arrays too
            symprec=symprec_angstrom,
        )
    except (
        Exception
    ):  # depending on its version, and on whether phonopy is imported, it raises or returns None
        return None
