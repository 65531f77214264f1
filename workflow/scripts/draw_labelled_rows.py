"""Draw the training rows whose labels a semi-supervised run may see."""

from matwheel.core.files import read_json, write_json
from matwheel.datasets.splits import Split, labelled_rows
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    split = Split.from_json(read_json(snakemake.input.split))
    labelled = labelled_rows(split, snakemake.params.labelled_fraction)
    log(f"{len(labelled)} of {len(split.train)} training rows are labelled")
    write_json({"dataset": split.dataset, "labelled": list(labelled)}, snakemake.output.labelled)
