"""How far verdicts by the hull depend on choices: which atoms count as anions, which reference phases count.

Candidates and references always go by the same rule; only one choice is changed at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from matwheel.crystals.crystal import Crystal
from matwheel.hull.energy_corrections import ANION_RULE, ANION_RULES
from matwheel.hull.hull import (
    HullSettings,
    ReferenceHull,
    e_above_hull_table,
    hull_verdicts,
    potential_phases,
)
from matwheel.potentials.potentials import PotentialCard
from matwheel.verdicts import verdict_table

REFERENCE_SETS: Mapping[str, str] = {"mirror_only": "mirror", "archive_only": "matbench"}
"""Name of a choice of reference compounds → their `source`; by default both take part. Elements always do:
the mirror has hardly any, and their formation energies are zero by definition."""
OTHER_CHOICES = (*(rule for rule in ANION_RULES if rule != ANION_RULE), *REFERENCE_SETS)
"""All choices other than the default one; the first are anion rules."""


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
        energies_ev_per_atom: their raw energies by the potential; NaN where there is none.
        elemental_references: Materials Project's elemental energies, eV/atom.
        phases: columns `PHASE_COLUMNS` and anion_rule: the reference phases under each rule.
        reference_energies: columns id, energy_ev_per_atom, the potential's energies of them.

    Returns:
        Verdict table with the column choice in front, one of `OTHER_CHOICES`. Those of `REFERENCE_SETS`
        change the reference hull only, under the default rule.
    """
    settings = settings or HullSettings()
    usual = phases[phases["anion_rule"] == ANION_RULE]
    is_element = ~usual["system"].str.contains("-", regex=False)
    own_hulls: dict[str, ReferenceHull | None] = {}
    tables = {}
    for choice in OTHER_CHOICES:
        if choice in REFERENCE_SETS:
            rule, references = ANION_RULE, usual[is_element | (usual["source"] == REFERENCE_SETS[choice])]
        else:
            rule, references = choice, phases[phases["anion_rule"] == choice]
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
            vacuum_angstrom=settings.vacuum_angstrom,
        )
        tables[choice] = verdict_table(hull_verdicts(table, card, settings))
    return pd.concat(tables, names=["choice"]).reset_index("choice").reset_index(drop=True)
