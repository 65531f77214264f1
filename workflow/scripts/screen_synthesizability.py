"""Score how likely each crystal can be made."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.synthesizability import make_score, synthesizability_verdicts
from matwheel.verdicts import verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    settings = snakemake.params.settings
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    score = make_score(settings["model"], {"path": snakemake.input.score})
    verdicts = synthesizability_verdicts(crystals, score, settings["threshold"])
    log(f"{len(verdicts)} scores by {settings['model']}")
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
