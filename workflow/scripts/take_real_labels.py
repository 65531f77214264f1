"""Labels of all training rows, as measured or computed."""

from matwheel.core.files import read_json
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    labels = table.loc[read_json(snakemake.input.split)["train"], ["id", "target"]]
    log(f"{len(labels)} real labels")
    write_table(labels.assign(source="real"), snakemake.output.labels)
