"""Judge each crystal by one screen of the registry."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.registry import make_screen
from matwheel.verdicts import verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    screen = make_screen(snakemake.wildcards.screen, snakemake.params.settings)
    verdicts = verdict_table(screen.judge(crystals_of_table(read_table(snakemake.input.crystals))))
    log(f"{screen.name}: {verdicts['verdict'].value_counts().to_dict()}")
    write_table(verdicts, snakemake.output.verdicts)
