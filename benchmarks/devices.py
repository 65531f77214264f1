"""Training steps and samples per second of the networks on the CPU and, where there is one, on CUDA.

    OMP_NUM_THREADS=1 python benchmarks/devices.py CRYSTALS.parquet GENES.parquet [--steps 40]

CRYSTALS is a crystal table with a column `target` (results/data/<dataset>/crystals.parquet), GENES a gene
table (results/wycryst/genes.parquet); models have their default sizes. A model is trained for a quarter of
the steps and for all of them, and what the longer training takes beyond the shorter one is counted: graphs,
first calls and kernels that are compiled are in both. Samples are timed after a small draw. `--clock cpu`
counts the process's CPU time instead of wall time, for a machine that is shared; with a GPU it says nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matwheel.compositions.formulas import MATGAN_ELEMENTS, formula_counts
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.generators.con_cdvae.generator import ConCDVAE
from matwheel.generators.matgan.generator import MatGAN
from matwheel.generators.matgan.representation import MOST_ATOMS
from matwheel.generators.mpvae.generator import MPVAE
from matwheel.predictors.training import CGCNNPredictor
from matwheel.wyckoff.gene_rows import genes_of_table, labels_of


@dataclass(frozen=True)
class Case:
    """A model: how it is trained for some steps on a device, and how it gives some samples."""

    train: Callable[[str, int], Any]
    sample: Callable[[Any, int], Any]
    unit: str
    samples_share: float  # of --samples: crystals take longer than compositions
    step: str = "training steps"


def silent(message: str) -> None:
    """Log nothing."""


def cases(crystal_file: Path, gene_file: Path) -> dict[str, Case]:
    """Return the models by name, with their data."""
    frame = read_table(crystal_file)
    crystals, target = crystals_of_table(frame), frame["target"].to_numpy(dtype=float)
    table = read_table(gene_file)
    genes, labels = genes_of_table(table), labels_of(table)
    counts = formula_counts([gene.formula for gene in genes], MATGAN_ELEMENTS)
    counts = counts[(counts.max(axis=1) <= MOST_ATOMS) & (counts.max(axis=1) > 0)].astype(np.uint8)
    graphs = CGCNNPredictor().graphs_of(crystals)

    def cgcnn(device: str, steps: int) -> CGCNNPredictor:
        model = CGCNNPredictor.from_settings(
            {"steps": steps, "validate_every_steps": steps, "device": device}, graphs
        )
        model.fit(crystals, target, [], np.zeros(0), seed=0, log=silent)
        return model

    def con_cdvae(device: str, steps: int) -> ConCDVAE:
        each = {f"{stage}_steps": steps for stage in ("autoencoder", "decoder", "prior")}
        model = ConCDVAE.from_settings({**each, "device": device})
        model.fit(crystals, target, seed=0, log=silent)
        return model

    def matgan(device: str, steps: int) -> MatGAN:
        settings = {"steps": steps, "evaluate_every": steps, "evaluation_samples": 1000, "device": device}
        model = MatGAN.from_settings(settings)
        model.fit(counts, MATGAN_ELEMENTS, validation_counts=counts[:100], seed=0, log=silent)
        return model

    def mpvae(device: str, steps: int) -> MPVAE:
        settings = {"pretraining_steps": steps, "validate_every": steps, "augment": False, "device": device}
        model = MPVAE.from_settings(settings)
        model.pretrain(
            genes, labels, validation_genes=genes[:100], validation_labels=labels[:100], seed=0, log=silent
        )
        return model

    def latents(n: int) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((n, MPVAE().settings.latent_width), dtype=np.float32)

    return {
        "CGCNN": Case(cgcnn, lambda model, n: model.predict((crystals * (n // len(crystals) + 1))[:n]),
                      "crystals", 0.5),
        "Con-CDVAE": Case(
            con_cdvae,
            lambda model, n: model.sample(np.resize(target, n), seed=1, id_prefix="x", log=silent),
            "crystals", 0.02, "training steps, each one of all three stages",
        ),
        "MatGAN": Case(matgan, lambda model, n: model.sample(n, seed=1, log=silent), "compositions", 50),
        "MPVAE": Case(
            mpvae, lambda model, n: model.decode(latents(n), seed=1, temperature=1.0), "genes", 1
        ),
    }  # fmt: skip


def seconds(clock: Callable[[], float], device: str, work: Callable[[], Any]) -> float:
    """Return what a piece of work takes, until the device has done all of it."""
    started = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def rates(
    case: Case, device: str, steps: int, samples: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Return training steps and samples per second."""
    few = max(1, steps // 4)
    case.train(device, 1)
    short = seconds(clock, device, lambda: case.train(device, few))
    models: list[Any] = []
    long = seconds(clock, device, lambda: models.append(case.train(device, steps)))
    n = max(8, round(samples * case.samples_share))
    case.sample(models[0], max(1, n // 8))
    return (steps - few) / (long - short), n / seconds(clock, device, lambda: case.sample(models[0], n))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crystals", type=Path)
    parser.add_argument("genes", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if "cuda" in devices:
        print(f"CUDA: {torch.cuda.get_device_name()}, torch {torch.__version__}")
    else:
        print(f"no CUDA device, torch {torch.__version__}: the CPU only")
    print("| per second | cpu | cuda | ratio |\n|---|---|---|---|")
    for name, case in cases(arguments.crystals, arguments.genes).items():
        found = [rates(case, device, arguments.steps, arguments.samples, clock) for device in devices]
        for place, what in enumerate((case.step, case.unit)):
            values = [rate[place] for rate in found]
            shown = [f"{value:,.4g}" for value in values]
            ratio = [f"{values[1] / values[0]:.1f}"] if len(values) == 2 else ["not measured", "-"]
            print("|", " | ".join([f"{name}: {what}", *shown, *ratio]), "|", flush=True)


if __name__ == "__main__":
    main()
