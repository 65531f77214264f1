"""Training crystals as flat tensors: Niggli-reduced cells, elements, positions, graphs and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal, from_structure, to_structure
from matwheel.crystals.graphs import CrystalGraphs, build_graphs
from matwheel.predictors.graph_convolutions import GraphTensors, graph_tensors

ELEMENTS = 100
"""Element classes; class i is atomic number i + 1."""


@dataclass(frozen=True, eq=False)
class CrystalBatch:
    """Some crystals, sorted by their number of atoms, on one device.

    Attributes:
        rows: positions in the training set, shape (crystals,).
        atom_counts: shape (crystals,).
        counts: the same as a list.
        crystal_of_atom: shape (atoms,).
        types: element classes, shape (atoms,).
        frac_coords: shape (atoms, 3).
        lattices: shape (crystals, 3, 3), Å.
        labels: shape (crystals,).
        graphs: neighbour graphs for the encoder; None where it is not needed.
    """

    rows: NDArray[np.int64]
    atom_counts: Tensor
    counts: list[int]
    crystal_of_atom: Tensor
    types: Tensor
    frac_coords: Tensor
    lattices: Tensor
    labels: Tensor
    graphs: GraphTensors | None


@dataclass(frozen=True, eq=False)
class CrystalTensors:
    """Crystals with their labels, ready for training; see `crystal_tensors`."""

    types: list[Tensor]
    frac_coords: list[Tensor]
    lattices: Tensor
    labels: Tensor
    atom_counts: NDArray[np.int64]
    graphs: CrystalGraphs

    def __len__(self) -> int:
        return len(self.types)

    def batch(self, rows: NDArray[np.int64], device: torch.device, *, graphs: bool = True) -> CrystalBatch:
        """Return the crystals at the positions `rows`, sorted by their number of atoms."""
        rows = rows[np.argsort(self.atom_counts[rows], kind="stable")]
        counts = self.atom_counts[rows]
        index = torch.from_numpy(rows)
        return CrystalBatch(
            rows=rows,
            atom_counts=torch.from_numpy(counts).to(device),
            counts=counts.tolist(),
            crystal_of_atom=torch.from_numpy(np.repeat(np.arange(len(rows)), counts)).to(device),
            types=torch.cat([self.types[row] for row in rows]).to(device),
            frac_coords=torch.cat([self.frac_coords[row] for row in rows]).to(device),
            lattices=self.lattices[index].to(device),
            labels=self.labels[index].to(device),
            graphs=graph_tensors(self.graphs, rows, device) if graphs else None,
        )


def crystal_tensors(crystals: Sequence[Crystal], labels: ArrayLike) -> CrystalTensors:
    """Return crystals and labels (n,) as tensors; cells are Niggli-reduced first.

    Raises:
        InputError: labels that do not fit the crystals or are not finite, an element beyond fermium, a
            crystal without atoms, volume or neighbours.
    """
    from pymatgen.core import Element

    values = np.asarray(labels, dtype=np.float64).ravel()
    if len(values) != len(crystals):
        raise InputError(f"{len(crystals)} crystals, but {len(values)} labels; give one label per crystal")
    for crystal, value in zip(crystals, values, strict=True):
        if not np.isfinite(value):
            raise InputError(f"crystal {crystal.id}: label {value} is not finite; remove the crystal")
    graphs = build_graphs(crystals)
    reduced = [niggli_reduced(crystal) for crystal in crystals]
    number = {symbol: Element(symbol).Z for crystal in reduced for symbol in set(crystal.species)}
    for crystal in reduced:
        beyond = [symbol for symbol in crystal.species if number[symbol] > ELEMENTS]
        if beyond:
            raise InputError(f"crystal {crystal.id}: {beyond[0]} lies beyond element {ELEMENTS}; remove it")
    lattices = np.array([crystal.lattice for crystal in reduced], dtype=np.float64).reshape(-1, 3, 3)
    return CrystalTensors(
        types=[torch.tensor([number[symbol] - 1 for symbol in crystal.species]) for crystal in reduced],
        frac_coords=[torch.tensor(crystal.frac_coords, dtype=torch.float32) for crystal in reduced],
        lattices=torch.tensor(lattices, dtype=torch.float32),
        labels=torch.tensor(values, dtype=torch.float32),
        atom_counts=np.array([len(crystal.species) for crystal in reduced], dtype=np.int64),
        graphs=graphs,
    )


def niggli_reduced(crystal: Crystal) -> Crystal:
    """Return the crystal in its Niggli cell; the cell as given where the reduction does not converge."""
    try:
        reduced = to_structure(crystal).get_reduced_structure("niggli")
    except InputError:
        return crystal
    # Not the primitive cell: as many atoms as before, so labels per cell keep their meaning.
    return from_structure(crystal.id, reduced)
