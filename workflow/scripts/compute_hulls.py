"""Energies above the reference hull and above the potential's own hull."""

import pandas as pd

from matwheel.core.files import sha256_of_file
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.hull.elemental_references import elemental_energies
from matwheel.hull.hull import (
    HullSettings,
    ReferenceHull,
    e_above_hull_table,
    hull_verdicts,
    potential_phases,
)
from matwheel.hull.hull_sensitivity import hull_sensitivity
from matwheel.potentials.potentials import potential_card
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    settings, card = HullSettings(**params.settings), potential_card(params.potential["name"])
    elements = elemental_energies(pd.read_csv(snakemake.input.elements))
    relaxed = read_table(snakemake.input.relaxed)
    relaxed = relaxed[relaxed["status"].isin(["converged", "not_converged"])]
    energies = pd.concat([read_table(path) for path in snakemake.input.energies], ignore_index=True)
    structures = read_table(snakemake.input.structures)
    own_phases = potential_phases(structures, energies, card, elements, settings)
    crystals = crystals_of_table(relaxed)
    table = e_above_hull_table(
        crystals,
        relaxed["energy_ev_per_atom"].to_numpy(),
        card,
        elements,
        ReferenceHull(read_table(snakemake.input.phases)),
        ReferenceHull(own_phases) if len(own_phases) else None,
        vacuum_angstrom=settings.vacuum_angstrom,
    )
    version = f"phases {sha256_of_file(snakemake.input.phases)[:12]}"
    verdicts = verdict_table(hull_verdicts(table, card, settings, reference_version=version))
    log(f"{verdicts.groupby('screen')['verdict'].value_counts().to_dict()}")
    write_table(table, snakemake.output.hull)
    other_choices = hull_sensitivity(
        crystals,
        relaxed["energy_ev_per_atom"].to_numpy(),
        card,
        elements,
        read_table(snakemake.input.by_rule),
        structures,
        energies,
        settings,
    )
    write_table(other_choices, snakemake.output.sensitivity)
    write_table(verdicts, snakemake.output.verdicts)
