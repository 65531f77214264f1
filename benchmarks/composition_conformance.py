"""Every verdict of the charge balance beside that of `smact.screening.smact_validity`, for every table.

    OMP_NUM_THREADS=1 python benchmarks/composition_conformance.py FORMULAS.txt.gz [--number 100000]

FORMULAS has one real formula per line, or `id formula`. To its distinct formulas come random compositions of
2-5 elements out of 103 and of 6-8 elements, until there are --number of them; those that SMACT would have to
try in more than --combinations ways are replaced by others. For each table SMACT answers twice, with and
without its Pauling test. A tenth of the compositions is judged again without the alloy shortcut, and a tenth
with mixed valence (as far as SMACT goes below its limit). Ends with status 1 when a verdict differs.
"""

from __future__ import annotations

import argparse
import gzip
import math
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import smact
from pymatgen.core import Composition
from smact.screening import MIXED_VALENCE_ELEMENTS, ICSD24FilterConfig, smact_validity

from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.formulas import ELEMENTS, formula_counts
from matwheel.compositions.oxidation_states import OXIDATION_TABLES, Icsd24Thresholds

RAW_ICSD24 = str(Path(smact.data_directory) / "oxidation_states_icsd24_raw.txt")
THRESHOLDS = {"consensus": 10, "commonality": "medium", "include_zero": True}


@dataclass(frozen=True)
class Case:
    name: str
    settings: CompositionSettings
    smact_arguments: dict


def cases(names: list[str]) -> list[Case]:
    named = [
        Case(
            name,
            CompositionSettings(name),
            {"oxidation_states_set": None if name == "icsd24_consensus3" else name},
        )
        for name in OXIDATION_TABLES
    ]
    others = [
        Case("a user's file", CompositionSettings(RAW_ICSD24), {"oxidation_states_set": RAW_ICSD24}),
        Case(
            "icsd24 ≥10, ≥10 %, zero",
            CompositionSettings("icsd24", icsd24_thresholds=Icsd24Thresholds(**THRESHOLDS)),
            {"icsd_filter": ICSD24FilterConfig(**THRESHOLDS)},
        ),
    ]
    return [case for case in named + others if not names or case.name in names]


def real_formulas(path: Path) -> list[str]:
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()
    return list(dict.fromkeys(line.split()[-1] for line in lines if line.strip()))


def random_formula(rng: np.random.Generator, elements: int) -> str:
    symbols, amounts = rng.choice(ELEMENTS, elements, replace=False), rng.integers(1, 9, elements)
    return "".join(f"{symbol}{amount}" for symbol, amount in zip(symbols, amounts, strict=True))


def sample(real: list[str], number: int, combinations: int, case: Case, seed: int) -> list[str]:
    states = case.settings.table().states

    def affordable(formula: str) -> bool:
        return (
            math.prod(len(states.get(symbol, ())) for symbol in Composition(formula).as_dict())
            <= combinations
        )

    rng = np.random.default_rng(seed)
    formulas = [formula for formula in real if affordable(formula)][: number // 2]
    while len(formulas) < number:
        elements = int(rng.integers(6, 9)) if rng.random() < 0.02 else int(rng.integers(1, 6))
        formula = random_formula(rng, elements)
        if affordable(formula):
            formulas.append(formula)
    return formulas


def mixed_below_limit(formula: str, case: Case, limit: int) -> bool:
    """Whether SMACT's expansion by atoms stays affordable."""
    states, ways = case.settings.table().states, 1
    for symbol, amount in Composition(Composition(formula).reduced_formula).as_dict().items():
        known = len(states.get(symbol, ()))
        ways *= known ** int(amount) if symbol in MIXED_VALENCE_ELEMENTS else known
    return ways <= limit


def compare(label: str, formulas: list[str], settings: CompositionSettings, arguments: dict) -> int:
    started = time.process_time()
    verdict = charge_balance(formula_counts(formulas), settings=settings)
    ours = time.process_time() - started
    compositions = [Composition(formula) for formula in formulas]
    started = time.process_time()
    balanced = [bool(smact_validity(one, use_pauling_test=True, **arguments)) for one in compositions]
    neutral = [bool(smact_validity(one, use_pauling_test=False, **arguments)) for one in compositions]
    theirs = time.process_time() - started
    differing = np.flatnonzero((verdict.neutral != neutral) | (verdict.balanced != balanced))
    print(
        f"| {label} | {len(formulas)} | {np.mean(neutral):.4f} | {np.mean(balanced):.4f} | {len(differing)} "
        f"| {theirs:.1f} | {ours:.3f} |",
        flush=True,
    )
    for row in differing[:5]:
        print(
            f"  {formulas[row]}: CN {verdict.neutral[row]} against {neutral[row]}, "
            f"EN {verdict.balanced[row]} against {balanced[row]}"
        )
    return len(differing)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("formulas", type=Path)
    parser.add_argument("--number", type=int, default=100_000, help="compositions per table")
    parser.add_argument("--combinations", type=int, default=50_000, help="most that SMACT has to try")
    parser.add_argument("--table", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # SMACT on the list from Wikipedia, pymatgen on noble gases
    real = real_formulas(options.formulas)
    np.random.default_rng(options.seed).shuffle(real)
    differing = 0
    print(
        "| table | compositions | CN | EN | differing verdicts | SMACT, both tests, CPU s | matwheel, CPU s |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in cases(options.table):
        formulas = sample(real, options.number, options.combinations, case, options.seed)
        differing += compare(case.name, formulas, case.settings, case.smact_arguments)
        tenth = formulas[::10]
        differing += compare(
            f"{case.name}, alloys judged",
            tenth,
            CompositionSettings(**(vars(case.settings) | {"alloys_pass": False})),
            case.smact_arguments | {"include_alloys": False},
        )
        tenth = [one for one in tenth if mixed_below_limit(one, case, options.combinations // 10)]
        differing += compare(
            f"{case.name}, mixed valence",
            tenth,
            CompositionSettings(**(vars(case.settings) | {"mixed_valence": True})),
            case.smact_arguments | {"mixed_valence": True},
        )
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
