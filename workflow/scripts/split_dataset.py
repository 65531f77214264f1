"""Divide a dataset into training, validation and test rows."""

import pandas as pd

from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.table import read_table
from matwheel.datasets.published_splits import chang2022_split, read_published_splits
from matwheel.datasets.splits import split_dataset
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals)
    common = {
        "dataset": snakemake.wildcards.dataset,
        "dataset_sha256": sha256_of_file(snakemake.input.crystals),
    }
    if snakemake.wildcards.scheme == "chang2022":
        published = read_published_splits(snakemake.params.mirror_folders)
        split = chang2022_split(
            table,
            published,
            int(snakemake.wildcards.seed),
            row_order_sha256=snakemake.params.row_order_sha256,
            **common,
        )
    else:
        fractions = [snakemake.params.fractions[part] for part in ("train", "validation", "test")]
        # An input of the one scheme that needs them.
        path = snakemake.input.prototypes
        prototypes = pd.read_csv(path)["prototype"].tolist() if path else None
        split = split_dataset(
            table,
            snakemake.wildcards.scheme,
            snakemake.params.seed,
            fractions=fractions,
            prototypes=prototypes,
            **common,
        )
    parts = (split.train, split.validation, split.test)
    log("rows for training, validation, test: " + ", ".join(str(len(part)) for part in parts))
    write_json(split.to_json(), snakemake.output.split)
