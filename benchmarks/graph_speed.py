"""CPU time of the neighbour graphs of a whole dataset: ours against a search site by site.

    OMP_NUM_THREADS=1 python benchmarks/graph_speed.py CRYSTAL_TABLE.parquet

The other way is that of the public CGCNN program, stated anew: `Structure.get_all_neighbors` within
8 Å, and Python loops that sort each site's neighbours and keep the nearest 12. Both start from
structures in memory.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from matwheel.crystals.crystal import to_structure
from matwheel.crystals.graphs import CrystalGraphs, build_graphs
from matwheel.crystals.table import crystals_of_table, read_table


def site_by_site(structures) -> list[tuple[np.ndarray, np.ndarray]]:
    graphs = []
    for structure in structures:
        index, distance = [], []
        for neighbours in structure.get_all_neighbors(8.0, include_index=True):
            nearest = sorted(neighbours, key=lambda neighbour: neighbour[1])[:12]
            index.append([neighbour[2] for neighbour in nearest])
            distance.append([neighbour[1] for neighbour in nearest])
        graphs.append((np.array(index), np.array(distance)))
    return graphs


def twelve_distances(graphs: CrystalGraphs, atom: int) -> np.ndarray:
    """The 12 smallest distances of an atom, an edge counted once for each image it stands for."""
    mine = graphs.target == atom
    images = np.ceil(graphs.weight[mine] - 1e-6).astype(int)
    return np.repeat(graphs.distance[mine], images)[:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crystal_table")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    crystals = crystals_of_table(read_table(options.crystal_table))
    structures = [to_structure(crystal) for crystal in crystals]
    build_graphs(crystals[:2])

    def seconds(work) -> float:
        times = []
        for _ in range(options.repeats):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        return min(times)

    ours, other = seconds(lambda: build_graphs(crystals)), seconds(lambda: site_by_site(structures))
    same = all(
        np.allclose(
            [twelve_distances(graphs, atom) for atom in range(len(crystal.species))],
            distance,
            atol=0.011,  # the shell at the cut counts as one distance
        )
        for crystal, (_, distance), graphs in (
            (crystal, found, build_graphs([crystal]))
            for crystal, found in zip(crystals[:20], site_by_site(structures[:20]), strict=True)
        )
    )
    print(f"{len(crystals)} crystals, {sum(len(c.species) for c in crystals)} atoms, CPU s for all")
    print(f"matwheel         {ours:6.3f}")
    print(f"site by site     {other:6.3f}   {other / ours:.0f} times")
    print(f"the 12 distances of the first 20 crystals agree: {same}")


if __name__ == "__main__":
    main()
