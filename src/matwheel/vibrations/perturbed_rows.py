"""Perturbed copies of crystals as further training rows, and the guard that these are of training crystals.

A perturbed copy keeps the label of its parent, so a copy of a test crystal in the training rows would give
the test label away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError

THERMAL, RANDOM = KINDS = ("thermal", "random")
COLUMNS = ("parent", "kind", "index", "temperature_kelvin", "rms_displacement_angstrom", "target")
"""Columns of a table of perturbed crystals, after those of `matwheel.crystals.table`."""


def perturbed_training_rows(
    perturbed: pd.DataFrame, kind: str, split: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return the perturbed copies of the training crystals of a split, in the order of the training rows.

    Args:
        perturbed: crystal table with the columns `COLUMNS`.
        kind: one of `KINDS`.
        split: ids of 'train', 'validation' and 'test'.

    Raises:
        InputError: unknown kind, or no training crystal has a copy.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of perturbation {kind!r}; choose one of {', '.join(KINDS)}")
    place = {crystal_id: number for number, crystal_id in enumerate(split["train"])}
    rows = perturbed[(perturbed["kind"] == kind) & perturbed["parent"].isin(place)]
    if rows.empty:
        raise InputError(f"no training crystal has a {kind} copy; see the status table of the perturbations")
    order = np.lexsort((rows["index"], rows["parent"].map(place)))
    return rows.iloc[order].reset_index(drop=True)


def refuse_leaking_parents(perturbed: pd.DataFrame, split: Mapping[str, Sequence[str]]) -> None:
    """Refuse perturbed rows of crystals that are no training rows of a split.

    Raises:
        InputError: a parent is a validation or a test row, or no row of the split at all.
    """
    for part in ("validation", "test"):
        leaking = perturbed[perturbed["parent"].isin(set(split[part]))]
        if len(leaking):
            row = leaking.iloc[0]
            raise InputError(
                f"{row['id']} is a copy of the {part} row {row['parent']} ({len(leaking)} such copies); "
                "only copies of training rows may be trained on: take them again with this split"
            )
    unknown = perturbed[~perturbed["parent"].isin(set(split["train"]))]
    if len(unknown):
        row = unknown.iloc[0]
        raise InputError(f"{row['id']} is a copy of {row['parent']}, which is no row of this split")


def drawn_rows(table: pd.DataFrame, number: int, seed: int) -> pd.DataFrame:
    """Return `number` rows of a table drawn without replacement, in their order; all if it has fewer."""
    if len(table) <= number:
        return table.reset_index(drop=True)
    drawn = np.random.default_rng(seed).choice(len(table), size=number, replace=False)
    return table.iloc[np.sort(drawn)].reset_index(drop=True)
