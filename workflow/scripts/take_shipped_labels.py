"""Check labels by density-functional theory that came with the project."""

from matwheel.chapters.phonon.labelled_configurations import check_labelled_table
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    path = snakemake.input.labelled
    write_table(check_labelled_table(read_table(path), path), snakemake.output.labelled)
