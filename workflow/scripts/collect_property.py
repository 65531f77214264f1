"""Put the shards of a property together, in the order of the crystals."""

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    parts = pd.concat([read_table(path) for path in snakemake.input.shards], ignore_index=True)
    there = set(parts["id"])
    ids = [name for name in read_table(snakemake.input.crystals)["id"] if name in there]
    table = parts.set_index("id", drop=False).loc[ids].reset_index(drop=True)
    log(f"{len(table)} crystals: {table['status'].value_counts().to_dict()}")
    write_table(table, snakemake.output.table)
