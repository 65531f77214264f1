"""Draw the property values that crystals are generated for."""

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.generators.conditions import sample_conditions
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    labels = read_table(snakemake.input.labels)["target"]
    conditions = sample_conditions(
        labels,
        snakemake.params.samples,
        method=snakemake.params.method,
        bandwidth=snakemake.params.bandwidth,
        targets=snakemake.params.targets,
        seed=snakemake.params.seed,
    )
    log(f"{len(conditions)} conditions from {conditions.min():.4g} to {conditions.max():.4g}")
    write_table(pd.DataFrame({"condition": conditions}), snakemake.output.conditions)
