"""Energies of a shard of the reference structures by the potential."""

import torch

from matwheel.core.progress import logged
from matwheel.crystals.table import read_table, write_table
from matwheel.hull.reference_structures import reference_energies
from matwheel.potentials.potentials import make_calculator

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    shard = read_table(snakemake.input.structures).iloc[int(snakemake.wildcards.shard) :: params.shards]
    calculator = make_calculator(params.potential["name"], device=params.device)
    write_table(reference_energies(shard, calculator, log), snakemake.output.energies)
