"""Energies of a shard of the reference structures by the potential."""

from matwheel.crystals.table import read_table, write_table
from matwheel.hull.reference_structures import reference_energies
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    shard = read_table(snakemake.input.structures).iloc[int(snakemake.wildcards.shard) :: params.shards]
    name, store = params.potential["name"], snakemake.config["store"]
    with stored_calculator(name, store, log, device=params.device) as calculator:
        write_table(reference_energies(shard, calculator, log), snakemake.output.energies)
