"""Novelty: which crystals are not already in the training set, as structures and as formulas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from matwheel.crystals.crystal import Crystal
from matwheel.screening.uniqueness import ComparableCrystal, comparable, same_structure


def novelty(crystals: Sequence[Crystal], training: Sequence[Crystal]) -> pd.DataFrame:
    """Compare each crystal with the training crystals of its reduced formula.

    A crystal that cannot be compared counts as novel and says why.

    Returns:
        Columns id, formula_novel (bool), structure_novel (bool), known_as (id of the first equal training
        crystal, empty where novel), error, in the given order.
    """
    items = comparable(crystals)
    formulas = frozenset(item.formula for item in items)
    known_formulas: set[str] = set()
    known: dict[str, list[ComparableCrystal]] = defaultdict(list)
    for item in comparable(training, formulas):
        known_formulas.add(item.formula)
        if item.reduced is not None:
            known[item.formula].append(item)
    rows = []
    for item in items:
        match, error = "", item.error
        if item.reduced is not None:
            for candidate in known.get(item.formula, ()):
                try:
                    if same_structure(candidate, item):
                        match = candidate.id
                        break
                except Exception as problem:  # counted as novel, with the reason
                    error = error or f"{type(problem).__name__}: {problem}"
        rows.append((item.id, item.formula not in known_formulas, not match, match, error))
    columns = ["id", "formula_novel", "structure_novel", "known_as", "error"]
    return pd.DataFrame(rows, columns=columns).astype({"formula_novel": bool, "structure_novel": bool})
