"""Validity of generated crystals: structure and composition, with the reason for each refusal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from matwheel.crystals.crystal import Crystal
from matwheel.screening.composition_validity import DEFAULT_OXIDATION_TABLE, composition_validity
from matwheel.screening.structure_validity import structure_validity


def validity_flags(
    crystals: Sequence[Crystal], oxidation_table: str = DEFAULT_OXIDATION_TABLE
) -> pd.DataFrame:
    """Return the validity of each crystal, in the given order.

    Columns: id, structure_valid, min_distance_angstrom, volume_angstrom3, composition_valid, reason (empty
    where both are valid).
    """
    structures = structure_validity(crystals)
    compositions = composition_validity(crystals, oxidation_table)
    reasons = [
        "; ".join(reason for reason in pair if reason)
        for pair in zip(structures["reason"], compositions["reason"], strict=True)
    ]
    flags = structures.drop(columns="reason")
    return flags.assign(composition_valid=compositions["composition_valid"].to_numpy(), reason=reasons)
