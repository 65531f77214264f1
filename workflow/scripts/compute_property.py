"""Compute a property of a shard of crystals; of a candidate set, of those that were relaxed."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.relaxation import CONVERGED, NOT_CONVERGED
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.properties.registry import make_property
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.crystals)
    if "status" in table:
        table = table[table["status"].isin((CONVERGED, NOT_CONVERGED))]
    crystals = crystals_of_table(table.iloc[int(snakemake.wildcards.shard) :: params.shards])
    chosen = make_property(params.chosen["property"], params.chosen["settings"])
    if params.potential is None:
        values = chosen.compute(crystals, log=log)
    else:
        name = params.potential["name"]
        with stored_calculator(
            name,
            snakemake.config["store"],
            log,
            device=params.device,
            double_precision=None if chosen.double_precision else False,
        ) as calculator:
            values = chosen.compute(crystals, calculator, log, elements=POTENTIALS[name].elements)
    log(f"{values['status'].value_counts().to_dict()}, {values['seconds'].sum():.0f} s of wall time")
    write_table(values, snakemake.output.table)
