"""Time of the charge balance of two million GAN-like compositions, and of SMACT on a sample of them.

    OMP_NUM_THREADS=1 python benchmarks/composition_validity.py [--number 2000000] [--formulas FORMULAS]

A composition has 2-8 of MatGAN's 85 elements with 1-8 atoms each. Elements are drawn evenly; with --formulas
(a text file, .gz or not, one formula per line or `id formula`) as often as they occur there. Judged from the
count matrix and from a list of strings, in one process.
SMACT judges the first --sample of the same compositions with its Pauling test; the verdicts are compared.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from composition_conformance import real_formulas

from matwheel.compositions.charge_balance import Balance, CompositionSettings, charge_balance
from matwheel.compositions.formulas import MATGAN_ELEMENTS, parse_formulas

MOST_ELEMENTS, MOST_ATOMS, PIECE = 8, 8, 100_000


def gan_like(number: int, weights: np.ndarray, seed: int) -> np.ndarray:
    """Counts, shape (number, 85), uint8: elements drawn without replacement by `weights`."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((number, len(MATGAN_ELEMENTS)), dtype=np.uint8)
    for start in range(0, number, PIECE):
        rows = min(PIECE, number - start)
        # The smallest of exponential waiting times are a draw without replacement.
        waiting = rng.exponential(size=(rows, len(weights))) / weights
        chosen = np.argsort(waiting, axis=1)[:, :MOST_ELEMENTS]
        amounts = rng.integers(1, MOST_ATOMS + 1, size=chosen.shape).astype(np.uint8)
        amounts[np.arange(MOST_ELEMENTS) >= rng.integers(2, MOST_ELEMENTS + 1, size=(rows, 1))] = 0
        np.put_along_axis(counts[start : start + rows], chosen, amounts, axis=1)
    return counts


def formulas_of(counts: np.ndarray) -> list[str]:
    rows, columns = np.nonzero(counts)
    amounts = counts[rows, columns]
    parts = [
        f"{MATGAN_ELEMENTS[column]}{amount if amount > 1 else ''}"
        for column, amount in zip(columns.tolist(), amounts.tolist(), strict=True)
    ]
    ends = np.cumsum(np.bincount(rows, minlength=len(counts))).tolist()
    return ["".join(parts[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def judged(formulas: list[str], settings: CompositionSettings) -> Balance:
    """Read and judge formulas, a piece at a time for the memory of their counts."""
    pieces = [
        charge_balance(parse_formulas(formulas[start : start + PIECE]).counts, settings=settings)
        for start in range(0, len(formulas), PIECE)
    ]
    return Balance(*(np.concatenate(verdicts) for verdicts in zip(*pieces, strict=True)))


def timed(label: str, work: Callable[[], object], rows: int) -> object:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{label:44s} {cpu:8.2f} {wall:8.2f} {rows / cpu:14,.0f}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=2_000_000)
    parser.add_argument("--sample", type=int, default=1000, help="compositions for SMACT")
    parser.add_argument("--formulas", type=Path)
    parser.add_argument("--table", default="smact14")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = CompositionSettings(options.table)
    weights = np.ones(len(MATGAN_ELEMENTS))
    if options.formulas:
        parsed = parse_formulas(real_formulas(options.formulas), MATGAN_ELEMENTS)
        weights = (parsed.counts > 0).mean(axis=0)
    counts = gan_like(options.number, weights, options.seed)
    formulas = formulas_of(counts)
    rows = len(counts)

    print(f"{rows} compositions, {options.table}")
    print(f"{'':44s} {'CPU s':>8s} {'wall s':>8s} {'per CPU s':>14s}")
    from_counts = timed(
        "count matrix (N, 85)", lambda: charge_balance(counts, MATGAN_ELEMENTS, settings), rows
    )
    mixed = CompositionSettings(options.table, mixed_valence=True)
    timed("the same with mixed valence", lambda: charge_balance(counts, MATGAN_ELEMENTS, mixed), rows)
    from_strings = timed("list of strings", lambda: judged(formulas, settings), rows)
    same = np.array_equal(from_counts.balanced, from_strings.balanced) and np.array_equal(
        from_counts.neutral, from_strings.neutral
    )
    print(f"the two agree: {same}")
    print(f"CN {from_counts.neutral.mean():.4f}, EN {from_counts.balanced.mean():.4f}")

    from smact.screening import smact_validity

    warnings.simplefilter("ignore")
    named = None if options.table == "icsd24_consensus3" else options.table
    smact_validity("NaCl", oxidation_states_set=named)
    answers = timed(
        f"SMACT on {options.sample} strings, Pauling test",
        lambda: [bool(smact_validity(one, oxidation_states_set=named)) for one in formulas[: options.sample]],
        options.sample,
    )
    differing = np.count_nonzero(from_counts.balanced[: options.sample] != answers)
    print(f"verdicts that differ from SMACT: {differing}")


if __name__ == "__main__":
    main()
