"""Check every generated crystal; keep those that pass the required screens, labelled by their condition."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.files import write_csv
from matwheel.progress import logged
from matwheel.screening.validity import validity_flags

with logged(snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals)
    flags = validity_flags(crystals_of_table(table), snakemake.params.oxidation_table)
    columns = ["id", "formula", "condition", "generator", "generation_seed"]
    write_csv(table[columns].merge(flags, on="id", validate="one_to_one"), snakemake.output.manifest)
    passed = flags[[f"{screen}_valid" for screen in snakemake.params.require]].all(axis=1).to_numpy()
    log(f"{passed.sum()} of {len(table)} crystals pass {snakemake.params.require or 'without a screen'}")
    write_table(table[passed].assign(target=table["condition"]), snakemake.output.screened)
