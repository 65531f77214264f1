"""The table of labelled configurations: displaced crystals with what was computed of each.

A crystal table (`matwheel.crystals.table`) with the columns compound, set, kind, policy, temperature_kelvin,
index, block (of which none is ever on both sides of a split), rms_displacement_angstrom, the labels and a
status.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError
from matwheel.crystals.table import COLUMNS

OK = "ok"
REST = "rest"  # kind of the row that holds the crystal at rest
TARGETS = ("energy_ev_per_atom", "stress_gpa", "band_gap_ev", "valence_band_maximum_ev")
_LABELS = (*TARGETS, "forces_ev_per_angstrom", "status", "reason")
_DESCRIPTION = ("compound", "set", "kind", "policy", "temperature_kelvin", "index", "block")


def check_labelled_table(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a table of labelled configurations that somebody shipped, or say what is wrong with it.

    Raises:
        InputError: a column is missing, an id stands twice, or a row that is ok lacks a label.
    """
    needed = [*COLUMNS, *_DESCRIPTION, "rms_displacement_angstrom", *_LABELS]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(
            f"{where}: no column {missing[0]}; label the configurations with dft.backend gpaw again"
        )
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise InputError(f"{where}: id {twice.iloc[0]} stands in two rows; remove one")
    fine = table[table["status"] == OK]
    unlabelled = fine[~np.isfinite(fine[["energy_ev_per_atom", "stress_gpa", "band_gap_ev"]]).all(axis=1)]
    if len(unlabelled):
        raise InputError(
            f"{where}: row {unlabelled['id'].iloc[0]} is ok but lacks a label; mend or remove it"
        )
    return table
