"""A look at an own dataset before anything is planned: what cannot work, what looks like a mistake."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.datasets.dataset import read_own_dataset
from matwheel.datasets.formula_sets import fetch_formula_set
from matwheel.datasets.registry import DatasetEntry
from matwheel.datasets.sources import DatasetError
from matwheel.datasets.splits import labelled_rows, split_dataset

GENERATED_ATOMS = 60
"""Cells up to this size are what the crystal generators were tried on."""
FEW_LABELLED = 10
"""A labelled part below this says little of learning from few labels."""

# A value that many times the typical one is mostly a wrong unit or a lost decimal point.
_OUTLIER_FACTOR = 1000.0
# What programs write where a value is missing.
_MARKS = (99.0, 999.0, 9999.0, 99999.0, 999999.0)
_APART = 2.0
_NAMED = 3


def look_at_dataset(
    entry: DatasetEntry, *, fractions: Sequence[float], labelled_fraction: float, relaxed_atoms: int
) -> list[str]:
    """Read a user's own dataset and return warnings, one line each; refuse what no run can use.

    Args:
        entry: with `path`.
        relaxed_atoms: largest cell that is relaxed.

    Raises:
        DatasetError: the file cannot be read, a row is wrong, the target is constant, or there are fewer
            rows than the split needs.
    """
    crystals, targets, origin, notes = read_own_dataset(entry)
    ids = [crystal.id for crystal in crystals]
    values = np.array(targets)
    _refuse_constant(values, entry, origin)
    warnings = [f"{origin}: {note}" for note in notes]
    column = entry.target.column
    said = [*_marks_of_missing(values, ids, column), *_outliers(values, ids, column)]
    warnings += [f"{origin}: {line}" for line in said]
    labelled = _labelled_rows(entry, ids, fractions, labelled_fraction, origin)
    if labelled < FEW_LABELLED:
        warnings.append(
            f"{origin}: {len(ids)} rows leave {labelled} labelled ones (labelled_fraction "
            f"{labelled_fraction:g}); what is learned from fewer than {FEW_LABELLED} says little, raise it"
        )
    sizes = np.array([len(crystal.species) for crystal in crystals])
    for most, what in ((GENERATED_ATOMS, "the generator was tried on"), (relaxed_atoms, "relaxation takes")):
        if (sizes > most).any():
            largest = int(sizes.argmax())
            warnings.append(
                f"{origin}: {int((sizes > most).sum())} cells have more than the {most} atoms that {what}; "
                f"the largest is {ids[largest]} with {sizes[largest]}"
            )
    return warnings


def look_at_formula_set(entry: DatasetEntry) -> list[str]:
    """Read a user's own formula set and return warnings, one line each; refuse what cannot be read.

    Raises:
        DatasetError: the file cannot be read, formulas are none, or too few are left.
    """
    _, provenance = fetch_formula_set(entry, seed=0)
    origin, report = provenance["origin"], provenance["report"]
    warnings = [f"{origin}: {note}" for note in provenance["notes"]]
    reasons = {
        "one_element": "one element only",
        "outside_elements": "an element outside of MatGAN's 85",
        "too_many_atoms": f"more than {provenance['most_atoms']} atoms of an element",
        "target_not_above": "a target not above the filter's",
        "beyond_sigmas": "a target too far from the mean",
    }
    lost = [f"{report[name]} with {reason}" for name, reason in reasons.items() if report.get(name)]
    if lost:
        rows = report["rows_read"]
        warnings.append(
            f"{origin}: of {rows} formulas {report['rows']} are used, left out are {', '.join(lost)}"
        )
    return warnings


def _refuse_constant(values: NDArray[np.float64], entry: DatasetEntry, origin: str) -> None:
    if len(values) > 1 and np.ptp(values) == 0:
        raise DatasetError(
            f"{origin}: target {entry.target.column} is {values[0]:g} in all {len(values)} rows, so there is "
            "nothing to learn; name the right column in the registry entry"
        )


def _marks_of_missing(values: NDArray[np.float64], ids: Sequence[str], column: str) -> list[str]:
    """Name values that programs write for a missing one, where they stand apart from all others."""
    marks = np.flatnonzero(np.isin(np.abs(values), _MARKS))
    others = np.delete(values, marks)
    if not len(marks) or not len(others):
        return []
    largest, smallest_mark = np.abs(others).max(), np.abs(values[marks]).min()
    is_far = smallest_mark >= _APART * largest
    is_of_other_sign = smallest_mark > largest and (values[marks].max() < 0 <= others.min())
    if not (is_far or is_of_other_sign):
        return []
    row = marks[0]
    return [
        f"target {column} is {values[row]:g} in {len(marks)} rows, the first row {row + 1}, id {ids[row]}; "
        "if that marks a missing value, delete the rows"
    ]


def _outliers(values: NDArray[np.float64], ids: Sequence[str], column: str) -> list[str]:
    """Name values a thousand times the others."""
    sizes = np.abs(values)
    typical = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 0.0
    far = np.flatnonzero(sizes > _OUTLIER_FACTOR * typical)
    if not len(far):
        return []
    named = ", ".join(f"{values[row]:g} (row {row + 1}, id {ids[row]})" for row in far[:_NAMED])
    more = f" and {len(far) - _NAMED} more" if len(far) > _NAMED else ""
    return [
        f"target {column} is {named}{more}, over {_OUTLIER_FACTOR:g} times the typical {typical:g}; "
        "a wrong unit or a lost decimal point?"
    ]


def _labelled_rows(
    entry: DatasetEntry, ids: Sequence[str], fractions: Sequence[float], labelled_fraction: float, origin: str
) -> int:
    """Return how many rows the labelled part has, by drawing one split."""
    table = pd.DataFrame({"id": list(ids)})
    try:
        split = split_dataset(table, "random", 0, dataset=entry.name, dataset_sha256="", fractions=fractions)
        return len(labelled_rows(split, labelled_fraction))
    except InputError as error:
        raise DatasetError(f"{origin}: {len(ids)} rows are too few for the split: {error}") from error
