"""Read the crystals of matminer's archive that have a formation energy or a band gap."""

from matwheel.crystals.table import write_table
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.archive_crystals import archive_materials

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = archive_materials(snakemake.input[0], log)
    log(f"{len(table)} crystals of {snakemake.input[0]}")
    write_table(table, snakemake.output.crystals)
