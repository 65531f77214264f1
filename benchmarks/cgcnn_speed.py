"""CPU time of one CGCNN training step on 256 crystals: ours against the published formulation.

    OMP_NUM_THREADS=1 python benchmarks/cgcnn_speed.py CRYSTAL_TABLE.parquet

The published formulation is stated anew here after Xie & Grossman (2018) and the description of
their program: every atom has exactly 12 neighbours in a dense array, one linear map of the
concatenated [h_i, h_j, e_ij], batch normalisation over all edges, and Python loops over crystals to
put a batch together and to pool. Both are timed on the same crystals, forward and backward, with
what it takes to put the batch together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from matwheel.compositions.element_features import element_features
from matwheel.crystals.graphs import build_graphs
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.predictors.cgcnn import CGCNN
from matwheel.predictors.graph_convolutions import graph_tensors

PUBLIC_CODE_MS = 724.0  # measured earlier, on two cores of another day; quoted, not comparable


class DenseConvolution(nn.Module):
    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width + edge_width, 2 * width)
        self.over_edges, self.over_atoms = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, atoms: torch.Tensor, edges: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        count, places = neighbours.shape
        own = atoms.unsqueeze(1).expand(count, places, atoms.shape[1])
        combined = self.linear(torch.cat([own, atoms[neighbours, :], edges], dim=2))
        combined = self.over_edges(combined.view(-1, combined.shape[2])).view(count, places, -1)
        gate, core = combined.chunk(2, dim=2)
        summed = torch.sum(torch.sigmoid(gate) * nn.functional.softplus(core), dim=1)
        return nn.functional.softplus(atoms + self.over_atoms(summed))


class DenseCGCNN(nn.Module):
    def __init__(self, features: int, edge_width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, 64)
        self.convolutions = nn.ModuleList(DenseConvolution(64, edge_width) for _ in range(3))
        self.hidden, self.output = nn.Linear(64, 128), nn.Linear(128, 1)

    def forward(self, atoms, edges, neighbours, crystals) -> torch.Tensor:
        atoms = self.embed(atoms)
        for convolution in self.convolutions:
            atoms = convolution(atoms, edges, neighbours)
        pooled = torch.cat([torch.mean(atoms[rows], dim=0, keepdim=True) for rows in crystals], dim=0)
        hidden = nn.functional.softplus(self.hidden(nn.functional.softplus(pooled)))
        return self.output(hidden)


def dense_crystals(graphs) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Atom features, edge features (atoms, 12, 41) and neighbours (atoms, 12) of each crystal, as stored."""
    table = torch.from_numpy(element_features().copy())
    centres = torch.arange(41) * 0.2
    crystals = []
    for row in range(len(graphs)):
        one = graphs.take(np.array([row]))
        # The published graph has one edge per image.
        edges = np.repeat(np.arange(len(one.target)), np.ceil(one.weight - 1e-6).astype(int))
        nearest = [edges[one.target[edges] == atom][:12] for atom in range(len(one.atomic_numbers))]
        distance = torch.from_numpy(np.stack([one.distance[edges] for edges in nearest]))
        neighbours = torch.from_numpy(np.stack([one.source[edges] for edges in nearest]))
        edges = torch.exp(-(((distance[..., None] - centres) / 0.2) ** 2))
        crystals.append((table[torch.from_numpy(one.atomic_numbers)], edges, neighbours))
    return crystals


def collate(crystals):
    atoms, edges, neighbours, owners, first = [], [], [], [], 0
    for features, edge_features, index in crystals:
        atoms.append(features)
        edges.append(edge_features)
        neighbours.append(index + first)
        owners.append(torch.arange(first, first + len(features)))
        first += len(features)
    return torch.cat(atoms), torch.cat(edges), torch.cat(neighbours), owners


def cpu_milliseconds(steps: list[Callable[[], None]], repeats: int) -> list[float]:
    """Median CPU time of each step, called in turn so that a machine that drifts wrongs none of them."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(repeats + 2):
        for step, taken in zip(steps, times, strict=True):
            started = time.process_time()
            step()
            taken.append(1e3 * (time.process_time() - started))
    # The first two calls warm up.
    return [statistics.median(taken[2:]) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crystal_table")
    parser.add_argument("--crystals", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graphs = build_graphs(crystals_of_table(read_table(options.crystal_table)))
    rows = np.random.default_rng(0).permutation(len(graphs))[: options.crystals]
    ours, dense = CGCNN(), DenseCGCNN(element_features().shape[1], 41)
    stored = dense_crystals(graphs.take(rows))

    def our_step() -> None:
        ours(graph_tensors(graphs, rows)).abs().mean().backward()

    def dense_step() -> None:
        dense(*collate(stored)).abs().mean().backward()

    ours_ms, dense_ms = cpu_milliseconds([our_step, dense_step], options.repeats)
    print(f"{len(rows)} crystals, {len(graphs.take(rows).atomic_numbers)} atoms, one thread, CPU ms per step")
    print(f"matwheel                 {ours_ms:7.0f}")
    print(f"published formulation    {dense_ms:7.0f}   {dense_ms / ours_ms:.1f} times")
    print(f"public code (quoted)     {PUBLIC_CODE_MS:7.0f}   {PUBLIC_CODE_MS / ours_ms:.1f} times")


if __name__ == "__main__":
    main()
