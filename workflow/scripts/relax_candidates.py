"""Relax a shard of crystals."""

import torch

from matwheel.core.progress import logged
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.relaxation import RelaxationSettings, ase_relaxer, relaxation_table

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    first = int(snakemake.wildcards.shard) * params.shard_size
    crystals = crystals_of_table(read_table(snakemake.input.crystals).iloc[first : first + params.shard_size])
    settings = RelaxationSettings(**params.settings)
    if crystals:
        relaxer = ase_relaxer(params.potential["name"], device=params.device)
        relaxed = relaxer(crystals, settings, log)
    else:
        relaxed = relaxation_table([], [])
    write_table(relaxed, snakemake.output.relaxed)
