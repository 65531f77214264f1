"""Read the Materials Project crystals of the mirror folders into one crystal table."""

from matwheel.core.progress import logged
from matwheel.crystals.table import write_table
from matwheel.screening.reference_sets import mp_mirror_table

with logged(snakemake.log[0]) as log:
    table = mp_mirror_table(snakemake.input, log)
    log(f"{len(table)} crystals of {', '.join(snakemake.input)}")
    write_table(table, snakemake.output.crystals)
