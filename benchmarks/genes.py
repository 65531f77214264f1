"""What does it cost to draw genes from an MPVAE and screen them up to charge neutrality?

    OMP_NUM_THREADS=1 python benchmarks/genes.py [--genes 100000] [--task denovo]

Needs results/wycryst/genes.parquet and results/wycryst/round1/mpvae.pt.
"""

from __future__ import annotations

import argparse
import time

import torch
import yaml

from matwheel.chapters.wycryst.gene_screens import charge_neutrality, gene_validity, unique_gene
from matwheel.crystals.table import read_table
from matwheel.generators.mpvae.generator import MPVAE
from matwheel.generators.mpvae.sampling import draw_genes
from matwheel.verdicts import survivors
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_permutations import canonical_keys


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--genes", type=int, default=100_000)
    parser.add_argument("--task", default="denovo")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with open("config/chapters/wycryst.yaml", encoding="utf-8") as text:
        target = Target(arguments.task, **yaml.safe_load(text)["wycryst"]["targets"][arguments.task])
    table = read_table("results/wycryst/genes.parquet")
    started, cpu = time.perf_counter(), time.process_time()
    model = MPVAE.load("results/wycryst/round1/mpvae.pt", device="cpu")
    drawn = draw_genes(model, table[table["part"] == "train"], target, arguments.genes, seed=1)
    drawn_at = time.perf_counter(), time.process_time()
    ids = [f"gene-{number:06d}" for number in range(arguments.genes)]
    tables = [
        gene_validity(ids, drawn.genes),
        unique_gene(ids, canonical_keys(drawn.genes)),
        charge_neutrality(ids, drawn.genes),
    ]
    alive = ids
    print(f"drawn: {drawn_at[0] - started:.1f} s, {drawn_at[1] - cpu:.1f} CPU-s")
    for verdicts in tables:
        alive = survivors(verdicts, alive, [verdicts["screen"].iloc[0]])
        print(f"after {verdicts['screen'].iloc[0]}: {len(alive)}")
    print(f"in all: {time.perf_counter() - started:.1f} s, {time.process_time() - cpu:.1f} CPU-s")


if __name__ == "__main__":
    main()
