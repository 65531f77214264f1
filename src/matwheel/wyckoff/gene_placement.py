"""Two ways of placing the atoms of a Wyckoff gene: spread out, or as PyXtal's random crystal."""

from __future__ import annotations

from functools import cache
from math import inf

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.wyckoff.lattice_shapes import NotBuilt, draw_lattice
from matwheel.wyckoff.space_group_operations import position_operations, pyxtal_group
from matwheel.wyckoff.wyckoff_genes import WyckoffGene

SPREAD, PYXTAL = "spread", "pyxtal"
_MOST_DISTANCES = 500_000  # per realisation; large cells get fewer draws, so that no time limit decides


def spread(
    name: str,
    gene: WyckoffGene,
    volume_angstrom3: float,
    known_shapes: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    draws: int,
    smallest_distance_factor: float,
) -> Crystal:
    """Return that of many draws in which the nearest atoms are farthest apart, conventional cell.

    Args:
        volume_angstrom3: of the conventional cell.
        known_shapes: of `LatticeShapes.like`, shape (k, 6).
        draws: draws of shape and free coordinates; fewer in large cells.
        smallest_distance_factor: smallest distance of two atoms in sums of their covalent radii.

    Raises:
        NotBuilt: in each draw two atoms are nearer than that.
    """
    operations = position_operations(gene.space_group)
    orbits = [(element, operations[letter]) for element, letter, number in gene.sites for _ in range(number)]
    species = np.concatenate([[element] * len(matrices) for element, matrices in orbits])
    first_atoms = np.cumsum([0, *(len(matrices) for _, matrices in orbits)])[:-1]
    radii = np.array([_covalent_radius(symbol) for symbol in species])
    contact = radii[first_atoms][:, None] + radii
    affordable = max(1, _MOST_DISTANCES // (27 * contact.size))
    draws = min(draws, affordable) if gene.free_coordinates else 1
    lattices = np.stack([draw_lattice(gene, volume_angstrom3, known_shapes, generator) for _ in range(draws)])
    points = generator.random((draws, len(orbits), 3))
    coords = np.concatenate(
        [
            np.einsum("mij,nj->nmi", matrices[:, :, :3], points[:, orbit]) + matrices[:, :, 3]
            for orbit, (_, matrices) in enumerate(orbits)
        ],
        axis=1,
    )
    closeness = (_shortest_distances(coords, first_atoms, lattices) / contact).min(axis=(1, 2))
    winner = int(np.argmax(closeness))
    if not closeness[winner] >= smallest_distance_factor:
        raise NotBuilt(
            f"no room: two atoms nearer than {smallest_distance_factor:g} times their radii "
            f"in each of {draws} draws"
        )
    return Crystal(name, tuple(species.tolist()), lattices[winner], coords[winner] % 1.0)


def place_by_pyxtal(
    name: str,
    gene: WyckoffGene,
    volume_angstrom3: float,
    known_shapes: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    draws: int,
    smallest_distance_factor: float,
) -> Crystal:
    """Return PyXtal's random crystal of a gene, conventional cell; arguments as of `spread`.

    Raises:
        NotBuilt: PyXtal lacks radii of an element, or none of `draws` attempts kept its distances.
    """
    from pyxtal.crystal import random_crystal
    from pyxtal.database.element import Element
    from pyxtal.lattice import Lattice
    from pyxtal.tolerance import Tol_matrix

    class OneAttempt(random_crystal):
        """PyXtal tries up to 400 times in one cell, up to minutes; here every attempt has a new cell."""

        def set_crystal(self) -> None:
            self.numattempts = 0
            self.set_lattice(self.lattice0)
            self.atom_sites = self._set_coords() or []

    for symbol in gene.elements:
        if not (Element(symbol).covalent_radius and Element(symbol).vdw_radius):
            raise NotBuilt(f"PyXtal has no radii of {symbol}")
    group = pyxtal_group(gene.space_group)
    labels = {position.letter: position.get_label() for position in group}
    sites = [
        [labels[letter] for own, letter, number in gene.sites if own == element for _ in range(number)]
        for element in gene.elements
    ]
    # PyXtal's tolerances are half the sum of covalent radii, times the factor.
    tolerances = Tol_matrix(prototype="atomic", factor=2 * smallest_distance_factor)
    for _ in range(draws):
        matrix = draw_lattice(gene, volume_angstrom3, known_shapes, generator)
        drawn = OneAttempt(
            dim=3,
            group=group,
            species=list(gene.elements),
            numIons=[gene.atoms[element] for element in gene.elements],
            lattice=Lattice.from_matrix(
                matrix, ltype=group.lattice_type, random=False, random_state=generator
            ),
            sites=sites,
            tm=tolerances,
            random_state=generator,
        )
        if drawn.valid:
            species = [site.specie for site in drawn.atom_sites for _ in range(len(site.coords))]
            coords = np.concatenate([site.coords for site in drawn.atom_sites])
            return Crystal(name, tuple(species), matrix, coords % 1.0)
    raise NotBuilt(f"no room: PyXtal placed the atoms in none of {draws} cells")


def _shortest_distances(
    coords: NDArray[np.float64], first_atoms: NDArray[np.integer], lattices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shortest distance between atoms and their images, shape (draws, first atoms, atoms), Å.

    Args:
        coords: fractional, shape (draws, atoms, 3).
        first_atoms: one atom of each orbit; its distances to all atoms are those of the orbit.
        lattices: shape (draws, 3, 3).
    """
    difference = coords[:, first_atoms, None] - coords[:, None]
    difference -= np.round(difference)
    shifts = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    metric = lattices @ lattices.transpose(0, 2, 1)
    images = difference[:, :, :, None] + shifts
    squared = np.einsum("dfasi,dij,dfasj->dfas", images, metric, images, optimize=True)
    # An atom is no neighbour of itself, but its images are.
    squared[:, np.arange(len(first_atoms)), first_atoms, 13] = inf
    return np.sqrt(np.maximum(squared.min(axis=3), 0))


@cache
def _covalent_radius(element: str) -> float:
    from ase.data import atomic_numbers, covalent_radii

    # ASE has no radius beyond curium, and says 0.2.
    radius = float(covalent_radii[atomic_numbers[element]])
    return radius if radius > 0.25 else float(covalent_radii[atomic_numbers["Cm"]])


PLACEMENTS = {SPREAD: spread, PYXTAL: place_by_pyxtal}
