"""Composition validity of crystals: charge neutrality and electronegativity balance, with the reason.

The verdict depends on the table of oxidation states, so the table is always named with the figure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.formulas import ELEMENTS, LARGEST_AMOUNT, reduced
from matwheel.compositions.oxidation_states import (
    DEFAULT_OXIDATION_TABLE,
    OXIDATION_TABLES,
    OxidationTable,
    metals,
    mixed_valence_elements,
    pauling_electronegativities,
    smact_version,
)
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.verdicts import ERROR, FAIL, PASS, Verdict

__all__ = [
    "DEFAULT_OXIDATION_TABLE",
    "OXIDATION_TABLES",
    "CompositionSettings",
    "composition_validity",
    "composition_verdicts",
]

CHARGE_NEUTRALITY, ELECTRONEGATIVITY = "charge_neutrality", "electronegativity"


def composition_verdicts(
    crystals: Sequence[Crystal], settings: CompositionSettings | None = None
) -> list[Verdict]:
    """Judge the composition of each crystal by two screens.

    Args:
        crystals: crystals, of any composition.
        settings: what to judge by; the defaults of `CompositionSettings` where not given.

    Returns:
        The verdicts of 'charge_neutrality' in the given order, then those of 'electronegativity' (neutral
        with every cation less electronegative than every anion). A composition that cannot be judged (no
        atoms, an unknown element) has the verdict 'error'.

    Raises:
        InputError: an unknown table of oxidation states, or a file of states that cannot be understood.
    """
    started = time.perf_counter()
    settings = settings or CompositionSettings()
    table = settings.table()
    judged = [_judged_by_screen(one) for one in _judge(crystals, settings, table)]
    version = f"smact {smact_version()} {table.sha256[:12]}"
    version += ", mixed valence" if settings.mixed_valence else ""
    version += "" if settings.alloys_pass else ", alloys judged"
    seconds = (time.perf_counter() - started) / max(1, len(crystals))
    return [
        Verdict(
            crystal.id, screen, verdict, reason=reason, tool=table.name, tool_version=version, seconds=seconds
        )
        for place, screen in enumerate((CHARGE_NEUTRALITY, ELECTRONEGATIVITY))
        for crystal, (verdict, reason) in zip(crystals, [pair[place] for pair in judged], strict=True)
    ]


def composition_validity(
    crystals: Sequence[Crystal], oxidation_table: str = DEFAULT_OXIDATION_TABLE
) -> pd.DataFrame:
    """Judge the composition of each crystal by the electronegativity balance, which includes neutrality.

    Elemental crystals and alloys (metals only) are valid, as SMACT has it.

    Args:
        crystals: crystals, of any composition.
        oxidation_table: a name of `OXIDATION_TABLES`, or a file of states.

    Returns:
        Columns id, composition_valid (bool), formula (reduced), reason (empty where valid), in the given
        order.

    Raises:
        InputError: an unknown table of oxidation states, or a file of states that cannot be understood.
    """
    settings = CompositionSettings(oxidation_table)
    rows = []
    for crystal, judged in zip(crystals, _judge(crystals, settings, settings.table()), strict=True):
        formula = "" if judged.unjudged else reduced_formula(crystal)
        _, (verdict, reason) = _judged_by_screen(judged)
        valid = verdict == PASS
        rows.append((crystal.id, valid, formula, "" if valid else reason))
    return pd.DataFrame(rows, columns=["id", "composition_valid", "formula", "reason"]).astype(
        {"composition_valid": bool}
    )


@dataclass(frozen=True)
class _Judged:
    """One composition: its reduced counts and verdicts, or why there are none.

    `shortcut` says by which rule it passed unexamined; `unneutral` and `unbalanced` why it failed.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    unjudged: str = ""
    shortcut: str = ""
    unneutral: str = ""
    unbalanced: str = ""


def _judged_by_screen(judged: _Judged) -> tuple[tuple[str, str], tuple[str, str]]:
    if judged.unjudged:
        return (ERROR, judged.unjudged), (ERROR, judged.unjudged)
    neutral, balanced = (
        (FAIL, reason) if reason else (PASS, judged.shortcut)
        for reason in (judged.unneutral, judged.unbalanced)
    )
    return neutral, balanced


def _judge(
    crystals: Sequence[Crystal], settings: CompositionSettings, table: OxidationTable
) -> list[_Judged]:
    compositions = [_composition(crystal) for crystal in crystals]
    columns = {symbol: column for column, symbol in enumerate(ELEMENTS)}
    matrix = np.zeros((len(crystals), len(ELEMENTS)), dtype=np.int16)
    for row, composition in enumerate(compositions):
        for symbol, count in composition.counts.items():
            matrix[row, columns[symbol]] = count
    neutral, balanced = charge_balance(matrix, ELEMENTS, settings)
    result = []
    for composition, is_neutral, is_balanced in zip(compositions, neutral, balanced, strict=True):
        counts = composition.counts
        if composition.unjudged:
            result.append(composition)
        elif is_balanced:
            result.append(_Judged(counts, shortcut=_shortcut(counts, settings)))
        else:
            unneutral = "" if is_neutral else _why_not_neutral(counts, settings, table)
            unbalanced = unneutral or _why_not_balanced(counts, settings, table)
            result.append(_Judged(counts, unneutral=unneutral, unbalanced=unbalanced))
    return result


def _composition(crystal: Crystal) -> _Judged:
    """Return the reduced counts of a crystal, or why it cannot be judged."""
    if not crystal.species:
        return _Judged(unjudged="no atoms")
    unknown = sorted({str(symbol) for symbol in crystal.species if symbol not in ELEMENTS})
    if unknown:
        return _Judged(unjudged=f"{', '.join(unknown)}: not among the 103 elements with known states")
    counts = reduced(crystal.element_counts)
    if max(counts.values()) > LARGEST_AMOUNT:
        return _Judged(unjudged=f"more than {LARGEST_AMOUNT} atoms of one element in the reduced formula")
    return _Judged(counts)


def _shortcut(counts: Mapping[str, int], settings: CompositionSettings) -> str:
    if len(counts) == 1:
        return "passes as a single element"
    if settings.alloys_pass and metals().issuperset(counts):
        return "passes as an alloy: metals only"
    return ""


def _why_not_neutral(counts: Mapping[str, int], settings: CompositionSettings, table: OxidationTable) -> str:
    missing = [symbol for symbol in counts if symbol not in table.states]
    if missing:
        return f"no oxidation state of {', '.join(missing)} in {table.name}"
    sums = _sums(_sites(counts, settings), table)[0]
    closest = min(sums, key=lambda charge: (abs(charge), charge))
    return (
        f"no choice of oxidation states in {table.name} is neutral; the closest total for "
        f"{_shown(counts)} is {closest:+d}"
    )


def _why_not_balanced(counts: Mapping[str, int], settings: CompositionSettings, table: OxidationTable) -> str:
    eneg = pauling_electronegativities()
    missing = [symbol for symbol in counts if symbol not in eneg]
    if missing:
        return f"no Pauling electronegativity of {', '.join(missing)}"
    choice = _neutral_choice(_sites(counts, settings), table)
    cation = max((pair for pair in choice if pair[1] > 0), key=lambda pair: (eneg[pair[0]], pair))
    anion = min((pair for pair in choice if pair[1] < 0), key=lambda pair: (eneg[pair[0]], pair))
    return (
        f"neutral in {table.name} only with a cation at least as electronegative as an anion, e.g. "
        f"{cation[0]} {cation[1]:+d} ({eneg[cation[0]]:g}) and {anion[0]} {anion[1]:+d} ({eneg[anion[0]]:g})"
    )


def _sites(counts: Mapping[str, int], settings: CompositionSettings) -> list[tuple[str, int]]:
    """Return what takes one oxidation state: all atoms of an element, or each atom under mixed valence."""
    mixed = mixed_valence_elements() if settings.mixed_valence else frozenset()
    return [
        site
        for symbol, count in counts.items()
        for site in ([(symbol, 1)] * count if symbol in mixed else [(symbol, count)])
    ]


def _sums(sites: Sequence[tuple[str, int]], table: OxidationTable) -> list[set[int]]:
    """Return the total charges that the sites from each place on can reach; the last entry is {0}."""
    sums = [{0}]
    for symbol, count in reversed(sites):
        sums.append({charge + count * state for charge in sums[-1] for state in table.states[symbol]})
    return sums[::-1]


def _neutral_choice(sites: Sequence[tuple[str, int]], table: OxidationTable) -> list[tuple[str, int]]:
    """Return the first choice of states that sums to zero: an element and its state per site."""
    sums = _sums(sites, table)
    choice, open_charge = [], 0
    for place, (symbol, count) in enumerate(sites):
        state = next(
            state
            for state in sorted(table.states[symbol], key=lambda state: (abs(state), state))
            if -(open_charge + count * state) in sums[place + 1]
        )
        choice.append((symbol, state))
        open_charge += count * state
    return choice


def _shown(counts: Mapping[str, int]) -> str:
    eneg = pauling_electronegativities()
    order = sorted(counts, key=lambda symbol: (eneg.get(symbol, float("inf")), symbol))
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)
