"""Collect the phonons of all candidates that got them, and judge these; by two potentials where asked."""

import pandas as pd

from matwheel.crystals.table import read_table, write_table
from matwheel.potentials.potentials import potential_card
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import verdict_table
from matwheel.vibrations.phonon_results import phonon_verdicts
from matwheel.vibrations.second_opinion import with_second_opinion

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, inputs = snakemake.params, snakemake.input
    card = potential_card(params.potential["name"])
    phonons = pd.concat([read_table(path) for path in inputs.shards], ignore_index=True)
    log(f"{phonons['verdict'].value_counts().to_dict()}, {phonons['seconds'].sum():.0f} s of wall time")
    if params.second_opinion:
        second = pd.concat([read_table(path) for path in inputs.second_opinion], ignore_index=True)
        log(f"second opinion: {second['verdict'].value_counts().to_dict()}")
        second_card = potential_card(params.second_opinion["name"])
        phonons, verdicts = with_second_opinion(phonons, second, card, second_card)
    else:
        verdicts = phonon_verdicts(phonons, card)
    write_table(phonons, snakemake.output.phonons)
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
