"""Find pairs of rows that are the same structure."""

from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.datasets.audit import audit_dataset
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    duplicates = audit_dataset(read_table(snakemake.input.crystals))
    log(f"{len(duplicates)} pairs, {int(duplicates['conflicting'].sum())} with labels that disagree")
    write_csv(duplicates, snakemake.output.duplicates)
