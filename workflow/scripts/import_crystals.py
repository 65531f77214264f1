"""Read a user's crystals."""

from matwheel.crystals.imported import read_imported
from matwheel.crystals.table import crystal_table, write_table
from matwheel.progress import logged
from matwheel.screening.verdicts import verdict_table

with logged(snakemake.log[0]) as log:
    crystals, verdicts = read_imported(snakemake.input[0])
    log(f"{len(crystals)} crystals of {len(verdicts)} entries")
    write_table(crystal_table(crystals), snakemake.output.crystals)
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
