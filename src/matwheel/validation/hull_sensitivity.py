"""How far verdicts by the hull depend on choices: which atoms count as anions, which reference phases count.

Candidates and references always go by the same rule; only one choice is changed at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from matwheel.crystals.crystal import Crystal
from matwheel.screening.verdicts import verdict_table
from matwheel.validation.energy_corrections import ANION_RULE
from matwheel.validation.hull import (
    HullSettings,
    ReferenceHull,
    e_above_hull_table,
    hull_verdicts,
    potential_phases,
)
from matwheel.validation.potentials import PotentialCard

REFERENCE_SETS: Mapping[str, str] = {"mirror_only": "mirror", "archive_only": "matbench"}
"""Name of a choice of reference phases → their `source`; by default both take part."""


def hull_sensitivity(
    crystals: Sequence[Crystal],
    energies_ev_per_atom: Sequence[float],
    card: PotentialCard,
    elemental_references: Mapping[str, float],
    phases: pd.DataFrame,
    structures: pd.DataFrame,
    reference_energies: pd.DataFrame,
    settings: HullSettings | None = None,
) -> pd.DataFrame:
    """Return the verdicts of both hulls under each other choice than the default one.

    Args:
        crystals: relaxed candidates.
        energies_ev_per_atom: their raw energies by the potential; NaN where there is none.
        card: the potential.
        elemental_references: Materials Project's elemental energies, eV/atom.
        phases: columns `PHASE_COLUMNS` and anion_rule: the reference phases under each rule.
        structures: crystal table of the reference structures.
        reference_energies: columns id, energy_ev_per_atom, the potential's energies of them.
        settings: thresholds.

    Returns:
        Verdict table with the column choice in front: each anion rule of `phases` but the default, and each
        of `REFERENCE_SETS`, which changes the reference hull only, under the default rule.
    """
    settings = settings or HullSettings()
    by_rule = {str(rule): table for rule, table in phases.groupby("anion_rule", sort=False)}
    usual = by_rule.get(ANION_RULE, phases.iloc[:0])
    choices = [(rule, rule, table) for rule, table in by_rule.items() if rule != ANION_RULE]
    choices += [
        (name, ANION_RULE, usual[usual["source"] == source]) for name, source in REFERENCE_SETS.items()
    ]
    own_hulls: dict[str, ReferenceHull | None] = {}
    tables = {}
    for choice, rule, references in choices:
        if rule not in own_hulls:
            own = potential_phases(
                structures, reference_energies, card, elemental_references, settings, anion_rule=rule
            )
            own_hulls[rule] = ReferenceHull(own) if len(own) else None
        table = e_above_hull_table(
            crystals,
            energies_ev_per_atom,
            card,
            elemental_references,
            ReferenceHull(references),
            own_hulls[rule],
            anion_rule=rule,
        )
        tables[choice] = verdict_table(hull_verdicts(table, card, settings))
    return pd.concat(tables, names=["choice"]).reset_index("choice").reset_index(drop=True)
