"""Composition validity: charge neutrality and the Pauling criterion by SMACT.

The only module that touches SMACT (Davies et al., J. Open Source Softw. 4, 1361, 2019). The verdict depends
on the table of oxidation states, so the table is always named with the figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import pandas as pd

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula

OXIDATION_TABLES: Mapping[str, str | None] = {
    "icsd24_consensus3": None,
    "icsd24": "icsd24",
    "icsd16": "icsd16",
    "smact14": "smact14",
    "pymatgen_sp": "pymatgen_sp",
}
"""Name of each table and what SMACT calls it; None is SMACT 4's own default, ICSD 2024 states reported at
least three times. The published figures of crystal generators (CDVAE and after) were made with smact14."""

DEFAULT_OXIDATION_TABLE = "smact14"
LARGEST_ENUMERATION = 20_000


def composition_validity(
    crystals: Sequence[Crystal], oxidation_table: str = DEFAULT_OXIDATION_TABLE
) -> pd.DataFrame:
    """Judge the composition of each crystal.

    Elemental crystals and alloys (metals only) are valid, as SMACT has it.

    Args:
        crystals: crystals, of any composition.
        oxidation_table: a name of `OXIDATION_TABLES`.

    Returns:
        Columns id, composition_valid (bool), formula (reduced), reason (empty where valid), in the given
        order.

    Raises:
        ValueError: unknown oxidation table.
    """
    _check_table(oxidation_table)
    rows = []
    for crystal in crystals:
        try:
            formula = reduced_formula(crystal)
            valid, reason = formula_validity(formula, oxidation_table) if formula else (False, "no atoms")
        except Exception as error:  # one strange composition must not end the batch
            formula, valid, reason = "", False, f"error: {type(error).__name__}: {error}"
        rows.append((crystal.id, valid, formula, reason))
    return pd.DataFrame(rows, columns=["id", "composition_valid", "formula", "reason"]).astype(
        {"composition_valid": bool}
    )


@lru_cache(maxsize=100_000)
def formula_validity(formula: str, oxidation_table: str = DEFAULT_OXIDATION_TABLE) -> tuple[bool, str]:
    """Return whether a formula can be charge-neutral with anions more electronegative than cations, and why
    not.

    SMACT enumerates the product of the oxidation states of all elements. Above `LARGEST_ENUMERATION`
    combinations (seven and more elements) the same question is answered by `neutral_by_sums`.
    """
    from pymatgen.core import Composition
    from smact.screening import smact_validity

    _check_table(oxidation_table)
    composition = Composition(formula)
    states = {element.symbol: _oxidation_states(element.symbol, oxidation_table) for element in composition}
    combinations = math.prod(max(1, len(values)) for values in states.values())
    if combinations > LARGEST_ENUMERATION:
        valid = _is_alloy(composition) or neutral_by_sums(
            {element.symbol: round(amount) for element, amount in composition.items()}, states
        )
    else:
        valid = bool(smact_validity(composition, oxidation_states_set=OXIDATION_TABLES[oxidation_table]))
    if valid:
        return True, ""
    missing = sorted(symbol for symbol, values in states.items() if not values)
    if missing:
        return False, f"no oxidation state of {', '.join(missing)} in {oxidation_table}"
    return False, f"not neutral under the Pauling criterion with {oxidation_table}"


def neutral_by_sums(counts: Mapping[str, int], states: Mapping[str, Sequence[int]]) -> bool:
    """Answer SMACT's question exactly without enumeration.

    The Pauling criterion asks that every cation is less electronegative than every anion, so some
    electronegativity parts them: for each such cut, elements at or below it take states ≥ 0, those above it
    states ≤ 0, and the set of reachable total charges is built element by element.

    Args:
        counts: atoms of each element in the formula.
        states: allowed oxidation states of each element.
    """
    electronegativities = {symbol: _electronegativity(symbol) for symbol in counts}
    if any(value is None for value in electronegativities.values()):
        return False
    for cut in sorted(set(electronegativities.values())):
        charges = {0}
        for symbol, count in counts.items():
            sign = 1 if electronegativities[symbol] <= cut else -1
            allowed = {state for state in states[symbol] if state * sign >= 0}
            charges = {charge + count * state for charge in charges for state in allowed}
        if 0 in charges:
            return True
    return False


def _check_table(oxidation_table: str) -> None:
    if oxidation_table not in OXIDATION_TABLES:
        raise ValueError(
            f"unknown oxidation table {oxidation_table!r}; choose one of {', '.join(OXIDATION_TABLES)}"
        )


def _is_alloy(composition: object) -> bool:
    from smact import metals

    return all(element.symbol in metals for element in composition)


@lru_cache(maxsize=200)
def _electronegativity(symbol: str) -> float | None:
    from smact import Element

    return Element(symbol).pauling_eneg


@lru_cache(maxsize=1)
def _icsd24_consensus3() -> dict[str, tuple[int, ...]]:
    from smact.utils.oxidation import ICSD24OxStatesFilter

    table = ICSD24OxStatesFilter().filter(consensus=3, include_zero=False, commonality="low")
    return {
        str(row.element): tuple(int(state) for state in str(row.oxidation_state).split())
        for row in table.itertuples(index=False)
    }


@lru_cache(maxsize=1000)
def _oxidation_states(symbol: str, oxidation_table: str) -> tuple[int, ...]:
    if OXIDATION_TABLES[oxidation_table] is None:
        return _icsd24_consensus3().get(symbol, ())
    from smact import Element

    attribute = "sp" if oxidation_table == "pymatgen_sp" else oxidation_table
    return tuple(getattr(Element(symbol), f"oxidation_states_{attribute}") or ())
