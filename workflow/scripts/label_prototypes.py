"""Label every crystal with its prototype."""

from matwheel.core.files import write_csv
from matwheel.crystals.symmetry.prototypes import prototype_table
from matwheel.crystals.table import read_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    prototypes = prototype_table(read_table(snakemake.input.crystals))
    by_space_group = int(prototypes["fallback"].sum())
    log(f"{prototypes['prototype'].nunique()} prototypes, {by_space_group} rows by space group only")
    write_csv(prototypes, snakemake.output.prototypes)
