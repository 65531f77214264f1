"""Keep the generated crystals that a predictor may learn from, labelled by their condition."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.structure_validity import structure_validity
from matwheel.verdicts import survivors

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals)
    # A crystal with overlapping atoms or without a neighbour would end a training, so none is let in.
    kept = structure_validity(crystals_of_table(table))["structure_valid"].to_numpy()
    screens = snakemake.params.screens
    if screens:
        passed = survivors(read_table(snakemake.input.verdicts), list(table["id"]), screens)
        kept &= table["id"].isin(passed).to_numpy()
    log(f"{kept.sum()} of {len(table)} crystals kept, {', '.join(screens) or 'no filter'}")
    write_table(table[kept].assign(target=table["condition"]), snakemake.output.screened)
