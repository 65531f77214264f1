"""Thermal and random copies of a shard of a dataset's crystals."""

import torch

from matwheel.core.progress import logged
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS, make_calculator
from matwheel.vibrations.perturbed_crystals import PerturbationSettings, perturb_crystals

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    table = read_table(snakemake.input.crystals)
    shard = int(snakemake.wildcards.shard)
    first, last = (len(table) * number // params.shards for number in (shard, shard + 1))
    table = table.iloc[first:last]
    name = params.potential["name"]
    perturbed, status = perturb_crystals(
        crystals_of_table(table),
        table["target"].to_numpy(),
        make_calculator(name, device=params.device),
        PerturbationSettings(**params.settings),
        params.seed,
        log,
        elements=POTENTIALS[name].elements,
    )
    write_table(perturbed, snakemake.output.perturbed)
    write_table(status, snakemake.output.status)
