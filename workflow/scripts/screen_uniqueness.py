"""Find the crystals that repeat another one of the set."""

import pandas as pd

from matwheel.core.files import write_csv
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.uniqueness import unique_verdicts, uniqueness, uniqueness_curve
from matwheel.verdicts import survivors, verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals)
    groups = uniqueness(crystals_of_table(table), processes=snakemake.threads)
    earlier = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    # Of several copies the one that passed the screens before stands for all.
    eligible = survivors(earlier, list(table["id"]), snakemake.params.require)
    verdicts = unique_verdicts(groups, eligible)
    log(f"{groups['group'].nunique()} structures among {len(groups)} crystals")
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
    write_csv(uniqueness_curve(groups), snakemake.output.curve)
