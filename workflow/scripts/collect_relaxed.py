"""Collect the shards of relaxed crystals and judge them."""

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.potentials.potentials import potential_card
from matwheel.potentials.relaxation import RelaxationSettings, relaxation_verdicts
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    relaxed = pd.concat([read_table(path) for path in snakemake.input.shards], ignore_index=True)
    verdicts = relaxation_verdicts(
        relaxed, potential_card(params.potential["name"]), RelaxationSettings(**params.settings)
    )
    log(f"{relaxed['status'].value_counts().to_dict()}, {relaxed['seconds'].sum():.0f} s of wall time")
    write_table(relaxed, snakemake.output.relaxed)
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
