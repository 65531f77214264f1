"""Select the genes that become crystals: what passed the required screens, a seeded sample if too much."""

from matwheel.crystals.table import read_table, write_table
from matwheel.potentials.selection import random_sample
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import survivors

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.genes).set_index("id", drop=False)
    passed = survivors(read_table(snakemake.input.verdicts), list(table["id"]), params.require)
    selected = random_sample(passed, params.at_most, params.seed)
    log(f"{len(passed)} of {len(table)} passed {', '.join(params.require)}; {len(selected)} become crystals")
    write_table(table.loc[selected], snakemake.output.genes)
