"""Select what is relaxed: what passed the required screens, a seeded sample if that is too much."""

import numpy as np
import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.progress import logged
from matwheel.screening.verdicts import survivors

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    passed = survivors(verdicts, list(table["id"]), params.require)
    # Drawn without looking at any property, so that rates among the relaxed stand for all that passed.
    order = np.random.default_rng(params.seed).permutation(len(passed))[: params.at_most]
    selected = [passed[place] for place in sorted(order)]
    log(f"{len(passed)} of {len(table)} passed {', '.join(params.require)}; {len(selected)} are relaxed")
    columns = ["id", "species", "lattice", "frac_coords", "formula", "space_group"]
    write_table(table.loc[selected, columns], snakemake.output.crystals)
