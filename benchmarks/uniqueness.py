"""Time to deduplicate generated crystals, and whether smaller buckets would give the same answer.

    OMP_NUM_THREADS=1 python benchmarks/uniqueness.py CRYSTAL_TABLE.parquet ... [--processes 2] [--check]

All tables together are one set. CPU time counts all processes. With --check, every pair of one formula is
compared as well, and groups are made of pairs that also share their protostructure (formula, space group,
Wyckoff letters).
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import combinations
from os import times

import numpy as np
import pandas as pd

from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.screening.uniqueness import comparable, same_structure, uniqueness, uniqueness_curve


def cpu_seconds() -> float:
    used = times()
    return used.user + used.system + used.children_user + used.children_system


def components(n: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(n, n)))[1]


def protostructure(crystal: Crystal, symprec_angstrom: float) -> str:
    from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib

    try:
        return get_protostructure_label_from_spglib(
            to_structure(crystal), raise_errors=True, init_symprec=symprec_angstrom
        )
    except Exception:
        return f"none of {crystal.id}"


def check(crystals: list[Crystal], table: pd.DataFrame) -> None:
    items = comparable(crystals)
    buckets = pd.Series(np.arange(len(items))).groupby([item.formula for item in items]).agg(list)
    same, compared = [], 0
    for members in buckets:
        for i, j in combinations(members, 2):
            compared += 1
            if same_structure(items[i], items[j]):
                same.append((i, j))
    groups = components(len(items), same)
    agree = pd.Series(groups).groupby(table["group"].to_numpy()).nunique().eq(1).all()
    agree &= len(set(groups)) == table["group"].nunique()
    print(f"all {compared} pairs of one formula: {len(set(groups))} groups, the same groups: {agree}")
    for symprec in (0.01, 0.1):
        labels = {i: protostructure(crystals[i], symprec) for i in {i for pair in same for i in pair}}
        alike = [(i, j) for i, j in same if labels[i] == labels[j]]
        print(
            f"equal protostructures at {symprec:g} Å only: {len(set(components(len(items), alike)))} groups; "
            f"{len(same) - len(alike)} of {len(same)} equal pairs have different labels"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crystal_tables", nargs="+")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    crystals = [
        Crystal(f"{number}-{crystal.id}", crystal.species, crystal.lattice, crystal.frac_coords)
        for number, path in enumerate(options.crystal_tables)
        for crystal in crystals_of_table(read_table(path))
    ]
    uniqueness(crystals[:2])
    started, cpu = time.perf_counter(), cpu_seconds()
    table = uniqueness(crystals, processes=options.processes)
    wall, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    print(
        f"{len(crystals)} crystals, {options.processes} processes: {table['group'].nunique()} distinct, "
        f"{(~table['comparable']).sum()} not comparable, {(table['error'] == 'comparison limit').sum()} at "
        f"the comparison limit; {wall:.0f} s of wall time, {cpu:.0f} CPU s"
    )
    print(uniqueness_curve(table, points=6).round(4).to_string(index=False))
    if options.check:
        check(crystals, table)


if __name__ == "__main__":
    main()
