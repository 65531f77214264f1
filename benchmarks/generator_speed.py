"""CPU time of Con-CDVAE: training and sampling, one thread.

    OMP_NUM_THREADS=1 python benchmarks/generator_speed.py TABLE.parquet [--train 445] [--samples 1000]

TABLE is a crystal table with a column `target`; its first rows are the training set, the next ones (a
fifth of their number) the validation set. Prints process CPU time and the structural validity.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.generators.conditions import sample_conditions
from matwheel.generators.registry import make_generator
from matwheel.screening.structure_validity import structure_validity


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--train", type=int, default=445)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of settings that differ")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frame = read_table(arguments.table)
    crystals, labels = crystals_of_table(frame), frame["target"].to_numpy(dtype=float)
    train = slice(0, arguments.train)
    validation = slice(arguments.train, arguments.train + arguments.train // 5)
    generator = make_generator("con_cdvae", arguments.settings)
    started = time.process_time()
    generator.fit(
        crystals[train],
        labels[train],
        validation_crystals=crystals[validation],
        validation_labels=labels[validation],
        seed=arguments.seed,
    )
    trained = time.process_time()
    conditions = sample_conditions(labels[train], arguments.samples, seed=arguments.seed)
    samples = generator.sample(conditions, seed=arguments.seed, id_prefix="sample")
    sampled = time.process_time()
    valid = structure_validity(samples)["structure_valid"].mean()
    print(f"training on {len(crystals[train])} crystals: {trained - started:.1f} CPU-s")
    print(f"sampling {len(samples)} crystals: {sampled - trained:.1f} CPU-s, structures valid: {valid:.3f}")


if __name__ == "__main__":
    main()
