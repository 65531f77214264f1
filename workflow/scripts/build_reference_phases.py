"""Put the formation energies of the known phases in a set's chemical systems on one scale."""

from pathlib import Path

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.datasets.sources import read_file
from matwheel.hull.elemental_references import elemental_energies
from matwheel.hull.energy_corrections import ANION_RULE, ANION_RULES
from matwheel.hull.reference_phases import (
    phases_of_archive,
    phases_of_mirror,
    reference_phases,
    system_of,
    under_anion_rule,
)
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    elements = elemental_energies(pd.read_csv(snakemake.input.elements))
    relaxed = read_table(snakemake.input.relaxed)
    systems = {system_of(species) for species in relaxed["species"]}
    archive = phases_of_archive(read_file(Path(snakemake.input.archive)), elements, systems=systems, log=log)
    reads = [read_file(Path(path)) for path in snakemake.params.mirror]
    by_rule = {}
    for rule in ANION_RULES:
        mirror = phases_of_mirror(reads, systems=systems, anion_rule=rule)
        by_rule[rule] = reference_phases([under_anion_rule(archive, rule), mirror]).assign(anion_rule=rule)
    phases = by_rule[ANION_RULE]
    log(f"{len(phases)} phases of {phases['formula'].nunique()} formulas, {len(mirror)} from the mirror")
    write_table(phases.drop(columns="anion_rule"), snakemake.output.phases)
    write_table(pd.concat(by_rule.values(), ignore_index=True), snakemake.output.by_rule)
