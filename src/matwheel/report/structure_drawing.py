"""A still picture of a crystal: its conventional cell with the atoms on faces, edges and corners repeated."""

from __future__ import annotations

from itertools import product

import numpy as np

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.symmetry.standard_cells import standard_cell
from matwheel.figures.figures import new_figure, styled
from matwheel.report.pictures import png_source

MOST_ATOMS = 300
"""Larger cells are drawn as they are, without repeated atoms: more would be a blot."""

_ON_A_FACE = 0.02
"""Fractional coordinates this near to a face are drawn on both sides of the cell."""

_ROTATION = "-82x,18y,4z"
_SIZE_INCH = (3.0, 3.0)
_RADIUS_SCALE = 0.42
_SYMPREC_ANGSTROM = 0.1


@styled
def draw_crystal(crystal: Crystal) -> str:
    """Return the drawing of a crystal as the data URI of a PNG; the same crystal gives the same text.

    Drawn by ASE, c upwards, slightly turned; Jmol's colours, covalent radii times 0.42.
    """
    from ase import Atoms
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors
    from ase.visualize.plot import plot_atoms
    from matplotlib.lines import Line2D

    conventional = standard_cell(crystal, _SYMPREC_ANGSTROM, primitive=False)
    cell = with_repeated_atoms(conventional or crystal)
    # Positions, since fractional coordinates would be wrapped back into the cell.
    atoms = Atoms(cell.species, cell=cell.lattice, positions=cell.frac_coords @ cell.lattice, pbc=False)
    numbers = {symbol: atomic_numbers[symbol] for symbol in dict.fromkeys(crystal.species)}
    figure = new_figure(*_SIZE_INCH)
    axes = figure.add_axes((0.0, 0.09, 1.0, 0.91))
    radii = _RADIUS_SCALE * covalent_radii[atoms.numbers]
    plot_atoms(atoms, axes, rotation=_ROTATION, radii=radii, show_unit_cell=2)
    axes.set_axis_off()
    marks = [
        Line2D([], [], ls="none", marker="o", ms=8, mfc=jmol_colors[number], mec="#333333", label=symbol)
        for symbol, number in numbers.items()
    ]
    figure.legend(
        handles=marks, loc="lower center", ncols=len(marks), frameon=False, handletextpad=0.1,
        columnspacing=1.0,
    )  # fmt: skip
    return png_source(figure)


def with_repeated_atoms(crystal: Crystal) -> Crystal:
    """Return the cell with every atom on a face, an edge or a corner drawn on the opposite ones too."""
    inside = crystal.frac_coords % 1.0
    inside = np.where(inside > 1 - _ON_A_FACE, inside - 1.0, inside)
    species, coords = [], []
    for symbol, position in zip(crystal.species, inside, strict=True):
        shifts = [(0.0, 1.0) if abs(coordinate) < _ON_A_FACE else (0.0,) for coordinate in position]
        for shift in product(*shifts):
            species.append(symbol)
            coords.append(position + np.array(shift))
    if len(species) > MOST_ATOMS:
        return Crystal(crystal.id, crystal.species, crystal.lattice, inside)
    return Crystal(crystal.id, tuple(species), crystal.lattice, np.array(coords))
