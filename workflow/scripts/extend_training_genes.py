"""Append what the last round validated to what it learnt from."""

import pandas as pd

from matwheel.chapters.wycryst.validated_genes import extended_table, validated_rows
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    inputs, params = snakemake.input, snakemake.params
    last = f"round{int(snakemake.wildcards.round) - 1}"
    tables = zip(inputs.validated, inputs.hull, inputs.verdicts, strict=True)
    rows = pd.concat(
        validated_rows(
            read_table(genes), read_table(hull), read_table(verdicts), last, params.largest_e_above_hull
        )
        for genes, hull, verdicts in tables
    )
    table = extended_table(read_table(inputs.genes), rows)
    log(f"{len(rows)} validated candidates of {last}; {len(table)} rows")
    write_table(table, snakemake.output.genes)
