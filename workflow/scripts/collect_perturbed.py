"""Collect the shards of perturbed crystals, in the order of the dataset."""

import pandas as pd

from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    perturbed = pd.concat([read_table(path) for path in snakemake.input.perturbed], ignore_index=True)
    status = pd.concat([read_table(path) for path in snakemake.input.status], ignore_index=True)
    log(
        f"{len(status)} crystals: {status['status'].value_counts().to_dict()}; {len(perturbed)} copies, "
        f"{status['capped'].sum()} of the thermal ones scaled down"
    )
    write_table(perturbed, snakemake.output.perturbed)
    write_csv(status, snakemake.output.status)
