"""Relax a shard of what passed the required screens, of a seeded sample where that is too much."""

import numpy as np
import pandas as pd

from matwheel.crystals.table import crystals_of_table, geometry_columns, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.relaxation import RelaxationSettings, relax
from matwheel.potentials.selection import random_sample
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import survivors

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    passed = survivors(verdicts, list(table["id"]), params.require)
    selected = random_sample(passed, params.at_most, params.seed)
    log(f"{len(passed)} of {len(table)} passed {', '.join(params.require)}; {len(selected)} are relaxed")
    mine = np.array_split(selected, params.shards)[int(snakemake.wildcards.shard)]
    crystals = crystals_of_table(table.loc[list(mine), geometry_columns(table)])
    settings, name = RelaxationSettings(**params.settings), params.potential["name"]
    # Float32 runs that differ by rounding alone have ended some meV per atom apart after long relaxations;
    # float64 rounds 10⁹ times finer.
    with stored_calculator(
        name, snakemake.config["store"], log, device=params.device, double_precision=None
    ) as calculator:
        relaxed = relax(crystals, calculator, settings, log, elements=POTENTIALS[name].elements)
    write_table(relaxed, snakemake.output.relaxed)
