"""Collect the crystals built from genes, and the verdicts on building them."""

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    crystals = pd.concat([read_table(path) for path in snakemake.input.crystals], ignore_index=True)
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts], ignore_index=True)
    log(f"{len(crystals)} crystals; {verdicts['verdict'].value_counts().to_dict()}")
    write_table(crystals, snakemake.output.crystals)
    write_table(verdicts, snakemake.output.verdicts)
