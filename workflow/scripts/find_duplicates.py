"""Find pairs of rows that are the same structure."""

from matwheel.crystals.audit import audit_dataset
from matwheel.crystals.table import read_table
from matwheel.files import write_csv
from matwheel.progress import logged

with logged(snakemake.log[0]) as log:
    duplicates = audit_dataset(read_table(snakemake.input.crystals))
    log(f"{len(duplicates)} pairs, {int(duplicates['conflicting'].sum())} with labels that disagree")
    write_csv(duplicates, snakemake.output.duplicates)
