"""Time and memory of evaluating two million compositions, by step, in one process.

    OMP_NUM_THREADS=1 python benchmarks/composition_evaluation.py FORMULA_SET [--number 2000000]

FORMULA_SET is a Parquet file written by `matwheel.datasets.formula_sets.write_formula_set`. Samples are
drawn by a null generator fitted to its training rows, written to Parquet and evaluated from there: charge
neutrality and electronegativity balance under three rules, uniqueness, recovery, new samples. First each
step alone, then all of it as `evaluate_compositions` does it, then the peak memory of a process that does
nothing else, for a tenth of the samples and for all.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matwheel.chapters.matgan.compositions import (
    RULES,
    CompositionEvaluation,
    evaluate_compositions,
)
from matwheel.compositions.charge_balance import charge_balance
from matwheel.compositions.composition_keys import KeyIndex, reduced_keys
from matwheel.compositions.composition_samples import counts_of_parquet
from matwheel.compositions.formulas import MATGAN_ELEMENTS
from matwheel.datasets.formula_sets import count_matrix, read_formula_set
from matwheel.generators.compositions import make_composition_generator


def timed(label: str, work: Callable[[], object]) -> object:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    print(f"{label:52s} {time.process_time() - cpu:7.2f} {time.perf_counter() - wall:7.2f}", flush=True)
    return result


def write_samples(counts: np.ndarray, path: Path) -> None:
    column = pa.FixedSizeListArray.from_arrays(pa.array(counts.ravel()), counts.shape[1])
    pq.write_table(pa.table({"counts": column}), path, compression="zstd")


def evaluate(samples: Path, formula_set: Path, generator: str) -> CompositionEvaluation:
    own = read_formula_set(formula_set)
    pieces = counts_of_parquet(samples, MATGAN_ELEMENTS)
    return evaluate_compositions(
        pieces, MATGAN_ELEMENTS, own, formula_set=formula_set.stem, generator=generator
    )


def peak_memory_mb(samples: Path, formula_set: Path, generator: str, queue) -> None:
    """What a process needs that does nothing but evaluate one file (of Linux)."""
    evaluate(samples, formula_set, generator)
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    queue.put(int(line.split()[1]) / 1024)


def in_new_process(*arguments: object) -> float:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=peak_memory_mb, args=(*arguments, queue))
    process.start()
    peak = queue.get()
    process.join()
    return peak


def unique(keys: Sequence[np.ndarray]) -> int:
    index = KeyIndex()
    return sum(int(index.add(piece)[1].sum()) for piece in keys)


def draw(formula_set: Path, generator_name: str, number: int, path: Path, tenth: Path) -> None:
    training = count_matrix(read_formula_set(formula_set), "train")
    generator = make_composition_generator(generator_name)
    generator.fit(training, MATGAN_ELEMENTS, validation_counts=training[:0], seed=0)
    counts = timed("sampling", lambda: generator.sample(number, seed=0))
    timed("writing as Parquet", lambda: write_samples(counts, path))
    write_samples(counts[: number // 10], tenth)


def steps(path: Path, formula_set: Path) -> int:
    """Time each step alone; return the number of distinct samples."""
    pieces = timed("reading from Parquet", lambda: list(counts_of_parquet(path, MATGAN_ELEMENTS)))
    for name, rule in RULES.items():
        timed(
            f"CN and EN, {name}",
            lambda rule=rule: [charge_balance(piece, MATGAN_ELEMENTS, rule) for piece in pieces],
        )
    keys = timed(
        "reduction and keys", lambda: [reduced_keys(piece, MATGAN_ELEMENTS).keys for piece in pieces]
    )
    distinct = timed("uniqueness", lambda: unique(keys))
    own = count_matrix(read_formula_set(formula_set))
    known = KeyIndex()
    known.add(reduced_keys(own, MATGAN_ELEMENTS).keys)
    timed("recovery: looking all samples up", lambda: [known.find(piece) for piece in keys])
    return distinct


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("formula_set", type=Path)
    parser.add_argument("--number", type=int, default=2_000_000)
    parser.add_argument("--generator", default="substitution")
    options = parser.parse_args()
    print(f"{options.number} samples of {options.generator:30s} {'CPU s':>8s} {'wall s':>7s}")
    with tempfile.TemporaryDirectory() as folder:
        path, tenth = Path(folder, "samples.parquet"), Path(folder, "tenth.parquet")
        draw(options.formula_set, options.generator, options.number, path, tenth)
        distinct = steps(path, options.formula_set)
        result = timed(
            "all of it: evaluate_compositions, three rules",
            lambda: evaluate(path, options.formula_set, options.generator),
        )
        assert result.unique == distinct  # a null generator draws compounds only
        peaks = [in_new_process(file, options.formula_set, options.generator) for file in (tenth, path)]
    print(f"peak memory for a tenth of the samples {peaks[0]:.0f} MB, for all {peaks[1]:.0f} MB")
    for item in result.validity:
        print(f"{item.rule}: CN {item.neutral / item.n:.4f}, EN {item.balanced / item.n:.4f}")
    recovered, held_out = result.recovered("held_out")
    print(f"unique {result.unique}, held-out recovery {recovered}/{held_out} = {recovered / held_out:.4f}")


if __name__ == "__main__":
    main()
