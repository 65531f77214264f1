"""Bonds of displaced crystals: unordered pairs of atoms with their periodic image, at rest and displaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.neighbours import pairs_within

if TYPE_CHECKING:
    import torch

    from matwheel.chapters.phonon.distance_network import EdgeBatch

    Network = Callable[..., torch.Tensor]

_SAME_LATTICE_ANGSTROM = 1e-4


def pair_name(first: str, second: str) -> str:
    """Return the name of a bond type, the less electronegative element first: 'Ag-S', 'S-Br'."""
    from matwheel.wyckoff.wyckoff_genes import element_order

    order = element_order()
    for element in (first, second):
        if element not in order:
            raise InputError(f"unknown element {element!r} in a pair; write it as 'Ag-S'")
    return "-".join(sorted((first, second), key=order.index))


@dataclass(frozen=True, eq=False)
class Bonds:
    """The directed edges of displaced crystals, each with its distance at rest and displaced.

    An edge is listed where either distance is within the cut-off, so that one list serves both ends of a
    path; the network must let messages vanish at the cut-off.

    Attributes:
        atomic_numbers: shape (atoms,).
        crystal: configuration of each atom, ascending, shape (atoms,).
        source, target: atoms of each edge, shape (edges,); sorted by configuration.
        distance_angstrom: of the displaced crystals, shape (edges,).
        rest_distance_angstrom: shape (edges,).
        bond: number of the bond of each edge, shape (edges,); two edges share one, 0 … bonds − 1.
    """

    atomic_numbers: NDArray[np.int64]
    crystal: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    distance_angstrom: NDArray[np.float64]
    rest_distance_angstrom: NDArray[np.float64]
    bond: NDArray[np.int64]
    n: int
    cutoff_angstrom: float

    @cached_property
    def configuration(self) -> NDArray[np.int64]:
        """Configuration of each edge, shape (edges,)."""
        return self.crystal[self.target]

    @cached_property
    def first_edges(self) -> NDArray[np.int64]:
        """One edge of each bond, shape (bonds,)."""
        return np.unique(self.bond, return_index=True)[1]

    @cached_property
    def pair_of_bond(self) -> NDArray[np.object_]:
        """Bond type of each bond, e.g. 'Ag-S', shape (bonds,)."""
        from ase.data import chemical_symbols

        ends = self.atomic_numbers[np.stack([self.source, self.target])][:, self.first_edges]
        codes, places = np.unique(200 * ends.min(axis=0) + ends.max(axis=0), return_inverse=True)
        names = [pair_name(chemical_symbols[code // 200], chemical_symbols[code % 200]) for code in codes]
        return np.array(names, dtype=object)[places]

    def of_bonds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of an edge quantity over the edges of each bond, shape (bonds,)."""
        sums = np.bincount(self.bond, weights=values, minlength=len(self.first_edges))
        return np.asarray(sums, dtype=np.float64)

    def pieces(self, configurations: int = 16) -> Iterator[tuple[Bonds, slice]]:
        """Yield the bonds of so many configurations at a time, which bounds memory, with their edges."""
        for start in range(0, self.n, configurations):
            stop = min(start + configurations, self.n)
            first_atom, last_atom = np.searchsorted(self.crystal, [start, stop])
            first, last = np.searchsorted(self.configuration, [start, stop])
            edges = slice(int(first), int(last))
            part = Bonds(
                atomic_numbers=self.atomic_numbers[first_atom:last_atom],
                crystal=self.crystal[first_atom:last_atom] - start,
                source=self.source[edges] - first_atom,
                target=self.target[edges] - first_atom,
                distance_angstrom=self.distance_angstrom[edges],
                rest_distance_angstrom=self.rest_distance_angstrom[edges],
                bond=self.bond[edges] - self.bond[edges].min(initial=len(self.bond)),
                n=stop - start,
                cutoff_angstrom=self.cutoff_angstrom,
            )
            yield part, edges


def bonds_of(
    crystals: Sequence[Crystal], at_rest: Crystal | Sequence[Crystal], cutoff_angstrom: float
) -> Bonds:
    """Return the bonds of displaced crystals.

    Args:
        crystals: displaced crystals; at least one.
        at_rest: the crystal that all are displaced from, or one for each; same atoms in the same order, same
            lattice. Coordinates may be wrapped differently.

    Raises:
        InputError: a crystal that does not belong to its crystal at rest, or no bond at all.
    """
    from ase.data import atomic_numbers

    rest_of_each = [at_rest] * len(crystals) if isinstance(at_rest, Crystal) else list(at_rest)
    if not crystals or len(rest_of_each) != len(crystals):
        raise InputError(
            f"{len(crystals)} displaced crystals and {len(rest_of_each)} at rest; give one for each"
        )
    if not (isfinite(cutoff_angstrom) and cutoff_angstrom > 0):
        raise InputError(f"the cut-off is {cutoff_angstrom} Å; give a positive number")
    parts: list[tuple[NDArray[Any], ...]] = []
    atoms = bonds = 0
    for number, (crystal, rest) in enumerate(zip(crystals, rest_of_each, strict=True)):
        moved = displacements_from_rest(crystal, rest)
        reach = cutoff_angstrom + 2 * np.linalg.norm(moved, axis=1).max()
        source, target, vectors, bond = edges_within(rest, reach)
        at_rest_angstrom = np.linalg.norm(vectors, axis=1)
        displaced = np.linalg.norm(vectors + moved[source] - moved[target], axis=1)
        kept = np.minimum(at_rest_angstrom, displaced) < cutoff_angstrom
        own = np.unique(bond[kept], return_inverse=True)[1]
        parts.append(
            (
                np.array([atomic_numbers[symbol] for symbol in crystal.species]),
                np.full(len(crystal.species), number),
                source[kept] + atoms, target[kept] + atoms, displaced[kept], at_rest_angstrom[kept],
                own + bonds,
            )
        )  # fmt: skip
        atoms += len(crystal.species)
        bonds += int(own.max(initial=-1)) + 1
    if not bonds:
        raise InputError(f"no bond within {cutoff_angstrom:g} Å; take a larger cut-off")
    numbers, owner, first, second, distance, rest_distance, bond_of_edge = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Bonds(
        numbers, owner, first, second, distance, rest_distance, bond_of_edge, len(crystals), cutoff_angstrom
    )


def edge_batch(bonds: Bonds, distance_angstrom: ArrayLike | None = None) -> EdgeBatch:
    """Return the bonds as input of a distance network, at the displaced distances unless others are given."""
    import torch

    from matwheel.chapters.phonon.distance_network import EdgeBatch

    distance = bonds.distance_angstrom if distance_angstrom is None else np.asarray(distance_angstrom)
    return EdgeBatch(
        atomic_numbers=torch.from_numpy(bonds.atomic_numbers),
        source=torch.from_numpy(bonds.source),
        target=torch.from_numpy(bonds.target),
        distance=torch.as_tensor(distance, dtype=torch.get_default_dtype()),
        crystal=torch.from_numpy(bonds.crystal),
        n=bonds.n,
    )


def displacements_from_rest(crystal: Crystal, at_rest: Crystal) -> NDArray[np.float64]:
    """Return how far each atom stands from its place at rest, by the nearest image, shape (atoms, 3), Å."""
    if crystal.species != at_rest.species:
        raise InputError(
            f"crystal {crystal.id} and the crystal at rest, {at_rest.id}, differ in atoms or their order"
        )
    if np.abs(crystal.lattice - at_rest.lattice).max() > _SAME_LATTICE_ANGSTROM:
        raise InputError(f"crystal {crystal.id} has another lattice than the crystal at rest, {at_rest.id}")
    difference = crystal.frac_coords - at_rest.frac_coords
    return (difference - np.round(difference)) @ at_rest.lattice


def edges_within(
    crystal: Crystal, reach_angstrom: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return source, target, vector from target to source (Å) and bond of all edges, in a stable order."""
    source, target, image = images_within(crystal, reach_angstrom)
    wrapped = crystal.frac_coords % 1.0
    vectors = (wrapped[source] + image - wrapped[target]) @ crystal.lattice
    # The two directions of a bond become equal once the end with the lower number, or image, comes first.
    forward = np.column_stack([target, source, image])
    backward = np.column_stack([source, target, -image])
    positive = image[np.arange(len(image)), (image != 0).argmax(axis=1)] > 0
    swap = (target > source) | ((target == source) & ~positive)
    bond = np.unique(np.where(swap[:, None], backward, forward), axis=0, return_inverse=True)[1]
    return source, target, vectors, bond.ravel()


def images_within(
    crystal: Crystal, reach_angstrom: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return source, target and periodic image of the source, positions wrapped into the cell."""
    target, source, image, _ = pairs_within(crystal, reach_angstrom)
    order = np.lexsort((*image.T[::-1], source, target))
    return source[order], target[order], image[order]
