"""Say what the test rows of every split share with its training rows."""

import pandas as pd

from matwheel.core.files import read_json, write_csv
from matwheel.crystals.table import read_table
from matwheel.datasets.audit import audit_split, draw_audit
from matwheel.datasets.splits import Split
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    dataset = snakemake.wildcards.dataset
    table = read_table(snakemake.input.crystals)
    duplicates = pd.read_csv(snakemake.input.duplicates)
    prototypes = pd.read_csv(snakemake.input.prototypes)["prototype"].tolist()
    splits = [Split.from_json(read_json(path)) for path in snakemake.input.splits]
    labelled = [read_json(path)["labelled"] for path in snakemake.input.labelled]
    audit = pd.concat(
        [
            audit_split(table, split, rows, duplicates, prototypes)
            for split, rows in zip(splits, labelled, strict=True)
        ],
        ignore_index=True,
    )
    log(f"{len(splits)} splits audited")
    write_csv(audit, snakemake.output.audit)
    figure = draw_audit(audit, {dataset: duplicates}, {dataset: snakemake.params.target_label})
    save_figure(figure, snakemake.output.figure)
