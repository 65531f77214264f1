"""Judge charge neutrality and electronegativity balance of each crystal."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.composition_validity import CompositionSettings, composition_verdicts
from matwheel.verdicts import verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    verdicts = composition_verdicts(crystals, CompositionSettings(**snakemake.params.settings))
    table = verdict_table(verdicts)
    log(f"{table.groupby('screen')['verdict'].value_counts().to_dict()}")
    write_table(table, snakemake.output.verdicts)
