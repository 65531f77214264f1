"""Take the test rows of a dataset as candidates; what was 'asked for' is their real label."""

from matwheel.core.files import read_json
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    rows = table.loc[read_json(snakemake.input.split)["test"]]
    log(f"{len(rows)} test rows")
    write_table(rows.rename(columns={"target": "condition"}), snakemake.output.crystals)
