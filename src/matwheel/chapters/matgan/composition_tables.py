"""Tables of what generated compositions are worth: those of MatGAN, and those behind its figures.

Tables 1 and 2 and Fig. 4a, 5a and 5b of Dan et al., npj Comput. Mater. 6, 84, 2020, null generators and the
published numbers beside ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from matwheel.chapters.matgan.compositions import BALANCED, NEUTRAL, PARTS, CompositionEvaluation, Validity
from matwheel.core.proportions import share_columns

PAPER_RULE, PAPER_GENERATOR = "smact14", "matgan"
TRAINING_ROWS = "training rows"

PAPER_TABLE1: Mapping[str, Mapping[str, float]] = {
    "oqmd": {"train": 0.6026, "held_out": 0.6043, "new": 1_831_648},
    "mp": {"train": 0.4736, "held_out": 0.4882, "new": 1_969_633},
    "icsd": {"train": 0.5954, "held_out": 0.6013, "new": 1_983_231},
}
"""Table 1 of the paper. Its new samples are 2,000,000 minus the recovered training and held-out rows, to the
sample; that takes all samples for distinct, although 73 % of 340,000 are (ICSD)."""
PAPER_TABLE2: Mapping[tuple[str, str], int] = {
    ("icsd", "mp"): 13_126,
    ("icsd", "oqmd"): 2_349,
    ("mp", "icsd"): 6_880,
    ("mp", "oqmd"): 3_601,
    ("oqmd", "icsd"): 3_428,
    ("oqmd", "mp"): 58_603,
}
"""Table 2 of the paper: set of the generator, set that confirms."""
PAPER_VALIDITY: Mapping[tuple[str, str, str], float] = {
    ("oqmd", TRAINING_ROWS, NEUTRAL): 0.558,
    ("oqmd", PAPER_GENERATOR, NEUTRAL): 0.561,
    ("mp", TRAINING_ROWS, NEUTRAL): 0.835,
    ("mp", PAPER_GENERATOR, NEUTRAL): 0.848,
    ("icsd", TRAINING_ROWS, NEUTRAL): 0.844,
    ("icsd", PAPER_GENERATOR, NEUTRAL): 0.803,
    ("icsd_filter", TRAINING_ROWS, NEUTRAL): 1.0,
    ("icsd_filter", TRAINING_ROWS, BALANCED): 1.0,
    ("icsd_filter", PAPER_GENERATOR, NEUTRAL): 0.921,
    ("icsd_filter", PAPER_GENERATOR, BALANCED): 0.845,
}
"""What the text of the paper says beside its Fig. 4a."""
PAPER_UNIQUENESS: Mapping[str, tuple[int, float]] = {
    "oqmd": (340_000, 0.6809),
    "mp": (340_000, 0.8590),
    "icsd": (340_000, 0.7306),
}
"""Fig. 5a of the paper: number of samples, share that is unique."""
PAPER_RECOVERY_BY_ELEMENTS: Mapping[tuple[str, str, int], float] = {
    ("icsd", "train", 2): 0.781,
    ("icsd", "held_out", 2): 0.827,
    ("icsd", "train", 3): 0.304,
    ("icsd", "held_out", 3): 0.312,
    ("icsd", "train", 4): 0.033,
    ("icsd", "held_out", 4): 0.052,
}
"""Fig. 5b of the paper, where its text has numbers: set, part, number of elements."""


def table1(evaluations: Sequence[CompositionEvaluation]) -> pd.DataFrame:
    """Return Table 1 of the paper: recovery of known compositions and new ones, a row per set and generator.

    Columns: formula_set, generator, samples; per part rows, recovered, recovery with low and high;
    unique_samples, new_samples (distinct, in no part, at least two elements), new_share of the samples with
    low and high; samples_minus_recovered (how the paper counts new samples: the samples less the rows of any
    part that were recovered); the paper's numbers.
    """
    rows = []
    for item in evaluations:
        row: dict[str, Any] = _named(item) | {"samples": item.n}
        recovered_rows = 0
        for part in PARTS:
            recovered, n = item.recovered(part)
            recovered_rows += recovered
            row |= {f"{part}_rows": n, f"{part}_recovered": recovered}
            row |= share_columns(f"{part}_recovery", recovered, n)
        row |= {"unique_samples": item.unique, "new_samples": item.new} | share_columns(
            "new_share", item.new, item.n
        )
        row["samples_minus_recovered"] = item.n - recovered_rows
        paper = PAPER_TABLE1.get(item.formula_set, {}) if item.generator == PAPER_GENERATOR else {}
        row["paper_train_recovery"] = paper.get("train", np.nan)
        row["paper_held_out_recovery"] = paper.get("held_out", np.nan)
        row["paper_new_samples"] = paper.get("new", np.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def table2(evaluations: Sequence[CompositionEvaluation]) -> pd.DataFrame:
    """Return Table 2 of the paper: new compositions that another set confirms.

    Columns: formula_set, generator, samples, confirmed_by, confirmed, new_samples, share_of_new with low and
    high, candidates (compositions of the other set that the own one does not hold), share_of_candidates with
    low and high, paper_confirmed.
    """
    rows = []
    for item in evaluations:
        for confirmed in item.confirmed:
            paper = PAPER_TABLE2.get((item.formula_set, confirmed.by), np.nan)
            rows.append(
                _named(item)
                | {"samples": item.n, "confirmed_by": confirmed.by, "confirmed": confirmed.confirmed}
                | {"new_samples": item.new}
                | share_columns("share_of_new", confirmed.confirmed, item.new)
                | {"candidates": confirmed.candidates}
                | share_columns("share_of_candidates", confirmed.confirmed, confirmed.candidates)
                | {"paper_confirmed": paper if item.generator == PAPER_GENERATOR else np.nan}
            )
    # A single set has no other one to confirm it: a table without rows keeps its columns.
    columns = None if rows else ["formula_set", "generator", "samples", "confirmed_by", "confirmed"]
    return pd.DataFrame(rows, columns=columns)


def validity_table(evaluations: Sequence[CompositionEvaluation]) -> pd.DataFrame:
    """Return the validity of training rows and of every generator (Fig. 4a) by set, source and rule.

    Columns: formula_set, source ('training rows' or the generator), rule, oxidation_table, alloys_pass, n;
    per test (charge_neutral, electronegativity_balanced) the share with low and high and the paper's; and the
    share of balanced ones among the distinct samples (not of training rows, all of which are distinct).
    """
    rows: list[dict[str, Any]] = []
    done: set[tuple[str, str]] = set()
    for item in evaluations:
        for source, validities in ((TRAINING_ROWS, item.training_validity), (item.generator, item.validity)):
            if (item.formula_set, source) in done:
                continue
            done.add((item.formula_set, source))
            rows += [_validity_row(item, source, validity) for validity in validities]
    return pd.DataFrame(rows)


def uniqueness_table(evaluations: Sequence[CompositionEvaluation]) -> pd.DataFrame:
    """Return the uniqueness curves (Fig. 5a).

    Columns: formula_set, generator, samples, unique, share with low and high, paper_share.
    """
    rows = []
    for item in evaluations:
        at, paper = PAPER_UNIQUENESS.get(item.formula_set, (0, np.nan))
        for n, unique in item.uniqueness:
            is_paper = item.generator == PAPER_GENERATOR and n == at
            row = _named(item) | {"samples": n, "unique": unique} | share_columns("share", unique, n)
            rows.append(row | {"paper_share": paper if is_paper else np.nan})
    return pd.DataFrame(rows)


def recovery_curve_table(evaluations: Sequence[CompositionEvaluation]) -> pd.DataFrame:
    """Return the shares of each part that were drawn among the first samples.

    Columns: formula_set, generator, samples, part, recovered, rows, recovery with low and high.
    """
    rows = []
    for item in evaluations:
        parts = {part: item.recovered(part)[1] for part in PARTS}
        for (n, _), counts in zip(item.uniqueness, item.recovery_curve, strict=True):
            for (part, size), recovered in zip(parts.items(), counts, strict=True):
                row = _named(item) | {"samples": n, "part": part, "recovered": recovered, "rows": size}
                rows.append(row | share_columns("recovery", recovered, size))
    return pd.DataFrame(rows)


def recovery_table(evaluations: Sequence[CompositionEvaluation]) -> pd.DataFrame:
    """Return recovery by number of elements (Fig. 5b).

    Columns: formula_set, generator, samples, part, n_elements, recovered, rows, recovery with low and high,
    unique_samples, new_samples and new_share_of_unique of that number of elements, paper_recovery.
    """
    rows = []
    for item in evaluations:
        for one in item.recovery:
            unique = _at(item.unique_by_elements, one.n_elements)
            new = _at(item.new_by_elements, one.n_elements)
            paper = PAPER_RECOVERY_BY_ELEMENTS.get((item.formula_set, one.part, one.n_elements), np.nan)
            rows.append(
                _named(item)
                | {"samples": item.n, "part": one.part, "n_elements": one.n_elements}
                | {"recovered": one.recovered, "rows": one.n}
                | share_columns("recovery", one.recovered, one.n)
                | {"unique_samples": unique, "new_samples": new}
                | {"new_share_of_unique": new / unique if unique else np.nan}
                | {"paper_recovery": paper if item.generator == PAPER_GENERATOR else np.nan}
            )
    return pd.DataFrame(rows)


def _validity_row(item: CompositionEvaluation, source: str, validity: Validity) -> dict[str, Any]:
    row: dict[str, Any] = {
        "formula_set": item.formula_set,
        "source": source,
        "rule": validity.rule,
        "oxidation_table": validity.oxidation_table,
        "alloys_pass": validity.alloys_pass,
        "n": validity.n,
    }
    for test, count in ((NEUTRAL, validity.neutral), (BALANCED, validity.balanced)):
        paper = PAPER_VALIDITY.get((item.formula_set, source, test), np.nan)
        row |= share_columns(test, count, validity.n)
        row[f"paper_{test}"] = paper if validity.rule == PAPER_RULE else np.nan
    of_unique = item.unique if source != TRAINING_ROWS else 0
    row["balanced_of_unique"] = validity.unique_balanced / of_unique if of_unique else np.nan
    return row


def _named(item: CompositionEvaluation) -> dict[str, Any]:
    return {"formula_set": item.formula_set, "generator": item.generator}


def _at(counts: Sequence[int], place: int) -> int:
    return counts[place] if place < len(counts) else 0
