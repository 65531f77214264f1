"""Read the Materials Project crystals of the mirror folders into one crystal table."""

from matwheel.crystals.table import write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.reference_sets import mp_mirror_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    paths = snakemake.params.files
    table = mp_mirror_table(paths, log)
    log(f"{len(table)} crystals of {', '.join(paths)}")
    write_table(table, snakemake.output.crystals)
