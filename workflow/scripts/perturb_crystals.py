"""Thermal and random copies of a shard of a dataset's crystals."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.perturbed_crystals import PerturbationSettings, perturb_crystals

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.crystals)
    shard = int(snakemake.wildcards.shard)
    first, last = (len(table) * number // params.shards for number in (shard, shard + 1))
    table = table.iloc[first:last]
    name = params.potential["name"]
    with stored_calculator(name, snakemake.config["store"], log, device=params.device) as calculator:
        perturbed, status = perturb_crystals(
            crystals_of_table(table),
            table["target"].to_numpy(),
            calculator,
            PerturbationSettings(**params.settings),
            params.seed,
            log,
            elements=POTENTIALS[name].elements,
        )
    write_table(perturbed, snakemake.output.perturbed)
    write_table(status, snakemake.output.status)
