"""Find relaxed crystals that repeat one another or are known; only converged relaxations are judged."""

import pandas as pd

from matwheel.core.files import read_json
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.relaxation import CONVERGED
from matwheel.runs.recorded_code import recorded
from matwheel.screening.novelty import novel_relaxed_verdicts
from matwheel.screening.reference_sets import reference_of_table
from matwheel.screening.uniqueness import unique_relaxed_verdicts, uniqueness
from matwheel.verdicts import join_verdicts, survivors, verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    inputs, processes = snakemake.input, snakemake.threads
    table = read_table(inputs.relaxed)
    table = table[table["status"] == CONVERGED]
    crystals = crystals_of_table(table)
    energies = dict(zip(table["id"], table["energy_ev_per_atom"], strict=True))
    earlier = pd.concat([read_table(path) for path in inputs.verdicts])
    eligible = survivors(earlier, list(table["id"]), snakemake.params.prefer)
    groups = uniqueness(crystals, processes=processes)
    tables = [verdict_table(unique_relaxed_verdicts(groups, energies, eligible))]
    reference = None
    if training := inputs.get("training"):
        dataset, split = training
        ids = read_json(split)["train"]
        reference = reference_of_table("training", read_table(dataset), "training rows", ids)
    elif mirror := inputs.get("mp"):
        reference = reference_of_table("mp", read_table(mirror[0]), "Materials Project, mirror")
    if reference is not None:
        tables.append(verdict_table(novel_relaxed_verdicts(crystals, reference, processes=processes)))
    for verdicts in tables:
        log(f"{verdicts.groupby('screen')['verdict'].value_counts().to_dict()}")
    write_table(join_verdicts(tables, list(table["id"])), snakemake.output.verdicts)
