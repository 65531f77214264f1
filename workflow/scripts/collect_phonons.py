"""Collect the phonons of all candidates that got them, and judge them."""

import pandas as pd

from matwheel.core.progress import logged
from matwheel.crystals.table import read_table, write_table
from matwheel.potentials.potentials import potential_card
from matwheel.verdicts import verdict_table
from matwheel.vibrations.phonon_results import phonon_verdicts

with logged(snakemake.log[0]) as log:
    phonons = pd.concat([read_table(path) for path in snakemake.input.shards], ignore_index=True)
    log(f"{phonons['verdict'].value_counts().to_dict()}, {phonons['seconds'].sum():.0f} s of wall time")
    verdicts = phonon_verdicts(phonons, potential_card(snakemake.params.potential["name"]))
    write_table(phonons, snakemake.output.phonons)
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
