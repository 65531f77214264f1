"""Select what is relaxed: what passed the required screens, a seeded sample if that is too much."""

import pandas as pd

from matwheel.core.progress import logged
from matwheel.crystals.table import geometry_columns, read_table, write_table
from matwheel.potentials.selection import random_sample
from matwheel.verdicts import survivors

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    passed = survivors(verdicts, list(table["id"]), params.require)
    selected = random_sample(passed, params.at_most, params.seed)
    log(f"{len(passed)} of {len(table)} passed {', '.join(params.require)}; {len(selected)} are relaxed")
    write_table(table.loc[selected, geometry_columns(table)], snakemake.output.crystals)
