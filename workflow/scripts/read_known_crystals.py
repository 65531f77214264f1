"""Read the Materials Project crystals of the mirror folders into one crystal table."""

from matwheel.core.progress import logged
from matwheel.crystals.table import write_table
from matwheel.screening.reference_sets import mp_mirror_table

with logged(snakemake.log[0]) as log:
    paths = snakemake.params.files
    table = mp_mirror_table(paths, log)
    log(f"{len(table)} crystals of {', '.join(paths)}")
    write_table(table, snakemake.output.crystals)
