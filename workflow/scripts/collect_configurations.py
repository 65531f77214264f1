"""All configurations of a compound with the potential's labels."""

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    tables = [
        read_table(configurations).merge(read_table(labels), on="id", validate="one_to_one")
        for configurations, labels in zip(snakemake.input.configurations, snakemake.input.labels, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True)
    # The last shard may hold more than were asked for.
    blocks = snakemake.params.configurations // snakemake.params.block_size
    write_table(table[table["block"] < blocks], snakemake.output.configurations)
