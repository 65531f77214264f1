"""Neighbour graphs of crystals: flat arrays, built once per dataset, with a cut that ignores atom order.

A plain "12 nearest neighbours" depends on the order of the atoms wherever the 12th and the 13th are
equally far, as they are for a third of the atoms of layered crystals. Here the whole shell at the cut
is kept and its members share the places that are left, by weights: the weights of an atom's edges
add up to 12, whatever the order of the atoms, the choice of the cell or its orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.core.settings import NotNegative, Positive, settings
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.neighbours import numbers_of_elements, pairs_within, refuse_without_cell

_EQUAL_DISTANCE_ANGSTROM = 1e-4
# The first search radius holds this many times the neighbours asked for, at the mean density.
_FIRST_SEARCH_SHARE = 2.0


@settings
class GraphSettings:
    """How neighbours are chosen."""

    neighbours: Annotated[int, Field(ge=1, le=1000)] = 12
    """Places per atom (the sum of its edge weights)."""
    cutoff_angstrom: Positive = 8.0
    """Neighbours are looked for within this distance; an atom that has fewer than `neighbours` there gets its
    search radius enlarged by half until it has enough.
    """
    largest_cutoff_angstrom: Positive = 41.0
    """Where that enlargement ends; an atom with at least one neighbour keeps those it has, one without any
    makes the crystal unusable.
    """
    shell_tolerance_angstrom: NotNegative = 0.01
    """Neighbours this close in distance to the last one form its shell."""


@dataclass(frozen=True, eq=False)
class CrystalGraphs:
    """The neighbour graphs of many crystals, one after the other.

    Attributes:
        ids: crystal ids, length n.
        atom_offsets: first atom of each crystal and the total, shape (n + 1,).
        edge_offsets: first edge of each crystal and the total, shape (n + 1,).
        atomic_numbers: shape (atoms,).
        source, target: atoms of each edge, counted from the first atom of their crystal, shape
            (edges,); messages flow from source to target. Sorted by target, then by distance.
        distance: shape (edges,), Å.
        weight: shape (edges,), the number of periodic images an edge stands for, those of the shell at
            the cut counted by their share of the places left.
    """

    ids: tuple[str, ...]
    atom_offsets: NDArray[np.int64]
    edge_offsets: NDArray[np.int64]
    atomic_numbers: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    distance: NDArray[np.float32]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the positions of `ids`.

        Raises:
            InputError: an id has no graph here.
        """
        missing = [name for name in ids if name not in self._rows]
        if missing:
            raise InputError(
                f"no graph for crystal {missing[0]} ({len(missing)} missing); build graphs first"
            )
        return np.array([self._rows[name] for name in ids], dtype=np.int64)

    def select(self, ids: Sequence[str]) -> CrystalGraphs:
        """Return the graphs of `ids`, in that order."""
        return self.take(self.rows_of(ids))

    def take(self, rows: NDArray[np.int64]) -> CrystalGraphs:
        """Return the graphs at the positions `rows`, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        atoms, atom_offsets = _flat_positions(self.atom_offsets, rows)
        edges, edge_offsets = _flat_positions(self.edge_offsets, rows)
        return CrystalGraphs(
            ids=tuple(self.ids[row] for row in rows),
            atom_offsets=atom_offsets,
            edge_offsets=edge_offsets,
            atomic_numbers=self.atomic_numbers[atoms],
            source=self.source[edges],
            target=self.target[edges],
            distance=self.distance[edges],
            weight=self.weight[edges],
        )


def concatenate_graphs(parts: Sequence[CrystalGraphs]) -> CrystalGraphs:
    """Return the graphs of several sets as one, in the given order."""

    def offsets(name: str) -> NDArray[np.int64]:
        counts = [np.diff(getattr(part, name)) for part in parts]
        return np.concatenate(
            [[0], np.cumsum(np.concatenate([*counts, np.zeros(0, dtype=np.int64)]))]
        ).astype(np.int64)

    def joined(name: str, dtype: type) -> NDArray:
        return np.concatenate([*(getattr(part, name) for part in parts), np.zeros(0, dtype=dtype)])

    return CrystalGraphs(
        ids=tuple(name for part in parts for name in part.ids),
        atom_offsets=offsets("atom_offsets"),
        edge_offsets=offsets("edge_offsets"),
        atomic_numbers=joined("atomic_numbers", np.int64),
        source=joined("source", np.int64),
        target=joined("target", np.int64),
        distance=joined("distance", np.float32),
        weight=joined("weight", np.float32),
    )


def build_graphs(crystals: Sequence[Crystal], settings: GraphSettings | None = None) -> CrystalGraphs:
    """Return the neighbour graphs of `crystals`.

    Raises:
        InputError: a crystal without atoms, without volume, with values that are not finite, with an
            unknown element, or with an atom that has no neighbour within the largest cut-off.
    """
    settings = settings or GraphSettings()
    numbers = numbers_of_elements(crystals)
    atom_counts = np.array([len(crystal.species) for crystal in crystals], dtype=np.int64)
    atom_offsets = np.concatenate([[0], np.cumsum(atom_counts)]).astype(np.int64)

    found = [_neighbours(crystal, settings) for crystal in crystals]
    edge_owner = np.repeat(np.arange(len(crystals)), [len(pairs[0]) for pairs in found])
    target = np.concatenate([np.zeros(0, dtype=np.int64), *(pairs[0] for pairs in found)])
    source = np.concatenate([np.zeros(0, dtype=np.int64), *(pairs[1] for pairs in found)])
    distance = np.concatenate([np.zeros(0), *(pairs[2] for pairs in found)])

    atom = target + atom_offsets[edge_owner]
    # One integer key of atom and distance (to 1e-9 Å) sorts twice as fast as two keys, and unlike a
    # sum of both it orders a crystal's edges the same wherever the crystal stands in the set.
    steps = 2**36
    fine = (distance * (steps / (settings.largest_cutoff_angstrom + 1.0))).astype(np.int64)
    order = np.argsort(atom * steps + fine, kind="stable")
    atom, source, distance = atom[order], source[order], distance[order]
    counts = np.bincount(atom, minlength=int(atom_offsets[-1]))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if len(counts) else counts
    last_place = first + np.minimum(counts, settings.neighbours) - 1
    shell = distance[last_place][atom] if len(atom) else distance
    inside = distance < shell - settings.shell_tolerance_angstrom
    in_shell = ~inside & (distance <= shell + settings.shell_tolerance_angstrom)
    places = np.minimum(counts, settings.neighbours) - np.bincount(atom, inside, len(counts))
    members = np.bincount(atom, in_shell, len(counts))
    weight = np.where(inside, 1.0, (places / np.maximum(members, 1))[atom])
    kept = inside | in_shell
    atom, source, distance, weight = _merge_equal_edges(
        atom[kept], source[kept], distance[kept], weight[kept]
    )
    owner = np.repeat(np.arange(len(crystals)), atom_counts)[atom]
    return CrystalGraphs(
        ids=tuple(crystal.id for crystal in crystals),
        atom_offsets=atom_offsets,
        edge_offsets=np.searchsorted(owner, np.arange(len(crystals) + 1)).astype(np.int64),
        atomic_numbers=np.array(
            [numbers[symbol] for crystal in crystals for symbol in crystal.species], dtype=np.int64
        ),
        source=source,
        target=atom - atom_offsets[owner],
        distance=distance.astype(np.float32),
        weight=weight.astype(np.float32),
    )


def _merge_equal_edges(
    atom: NDArray[np.int64],
    source: NDArray[np.int64],
    distance: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return edges in which images of one source at one distance from one atom are one edge.

    Such images send the same message, so one edge with the sum of their weights stands for them; a
    third of the edges of the two paper datasets are spared. Sorted by atom, then by distance.
    """
    if not len(atom):
        return atom, source, distance, weight
    fine = np.rint(distance / _EQUAL_DISTANCE_ANGSTROM).astype(np.int64)
    order = np.lexsort((fine, source, atom))
    atom, source, fine = atom[order], source[order], fine[order]
    is_first = np.ones(len(atom), dtype=bool)
    is_first[1:] = (np.diff(atom) != 0) | (np.diff(source) != 0) | (np.diff(fine) != 0)
    first = np.flatnonzero(is_first)
    merged = np.add.reduceat(weight[order], first)
    mean_distance = np.add.reduceat(weight[order] * distance[order], first) / merged
    atom, source = atom[first], source[first]
    order = np.lexsort((mean_distance, atom))
    return atom[order], source[order], mean_distance[order], merged[order]


def save_graphs(graphs: CrystalGraphs, path: str | Path) -> None:
    """Write graphs as a compressed npz archive: whole or not at all, the same bytes for the same content."""
    write_arrays(
        path,
        ids=np.array(graphs.ids, dtype=np.str_),
        atom_counts=np.diff(graphs.atom_offsets).astype(np.int32),
        edge_counts=np.diff(graphs.edge_offsets).astype(np.int32),
        atomic_numbers=graphs.atomic_numbers.astype(np.uint8),
        source=graphs.source.astype(np.int32),
        target=graphs.target.astype(np.int32),
        distance=graphs.distance,
        weight=graphs.weight,
    )


def load_graphs(path: str | Path) -> CrystalGraphs:
    """Read graphs written by `save_graphs`."""
    with np.load(path, allow_pickle=False) as saved:
        return CrystalGraphs(
            ids=tuple(str(name) for name in saved["ids"]),
            atom_offsets=np.concatenate([[0], np.cumsum(saved["atom_counts"], dtype=np.int64)]),
            edge_offsets=np.concatenate([[0], np.cumsum(saved["edge_counts"], dtype=np.int64)]),
            atomic_numbers=saved["atomic_numbers"].astype(np.int64),
            source=saved["source"].astype(np.int64),
            target=saved["target"].astype(np.int64),
            distance=saved["distance"],
            weight=saved["weight"],
        )


def _flat_positions(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions that belong to `rows` in an array cut at `offsets`, and the new offsets."""
    counts = offsets[rows + 1] - offsets[rows]
    new_offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    positions = np.arange(new_offsets[-1]) + np.repeat(offsets[rows] - new_offsets[:-1], counts)
    return positions, new_offsets


def _neighbours(
    crystal: Crystal, settings: GraphSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return target, source and distance of all pairs that may be among each target's nearest.

    The radius starts from the number density, so that neither a collapsed nor an empty cell costs
    more than an ordinary one, and grows for the atoms that still lack neighbours.
    """
    refuse_without_cell(crystal)
    atoms, volume = len(crystal.species), crystal.volume_angstrom3
    radius = min(
        settings.cutoff_angstrom,
        (3 * settings.neighbours * _FIRST_SEARCH_SHARE * volume / (4 * np.pi * atoms)) ** (1 / 3),
    )
    waiting = np.arange(atoms)
    found = []
    while True:
        target, source, _, distance = pairs_within(crystal, radius, waiting)
        # Only what lies well inside the radius counts, or the shell at the cut might be incomplete.
        complete = distance <= radius - 2 * settings.shell_tolerance_angstrom
        enough = np.bincount(target[complete], minlength=atoms) >= settings.neighbours
        final = radius >= settings.largest_cutoff_angstrom
        if final:
            lonely = waiting[np.bincount(target, minlength=atoms)[waiting] == 0]
            if len(lonely):
                raise InputError(
                    f"crystal {crystal.id}: atom {lonely[0]} has no neighbour within "
                    f"{settings.largest_cutoff_angstrom:g} Å; remove it from the set"
                )
            enough[:] = True
        done = enough[target]
        found.append((target[done], source[done], distance[done]))
        waiting = waiting[~enough[waiting]]
        if not len(waiting):
            targets, sources, distances = zip(*found, strict=True)
            return np.concatenate(targets), np.concatenate(sources), np.concatenate(distances)
        radius = min(1.5 * radius, settings.largest_cutoff_angstrom)
