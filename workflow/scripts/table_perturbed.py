"""Write the table of what perturbed copies of training crystals do, with paired contrasts."""

import pandas as pd

from matwheel.chapters.matwheel.contrasts import ratios_of_splits
from matwheel.chapters.matwheel.perturbation_table import (
    perturbation_contrasts,
    perturbation_table,
    refuse_other_test_rows,
)
from matwheel.core.files import read_json, write_csv
from matwheel.crystals.table import read_table
from matwheel.runs.recorded_code import recorded
from matwheel.statistics.scores import RUN_COLUMNS
from matwheel.vibrations.perturbed_rows import refuse_leaking_parents

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    predictions = pd.concat(
        [read_table(path) for path in [*snakemake.input.predictions, *snakemake.input.baselines]],
        ignore_index=True,
    )
    splits = [read_json(path) for path in snakemake.input.splits]
    # The seed of a split is that of its draw; a run is known by its number.
    numbered = [split | {"run": run} for split, run in zip(splits, params.runs, strict=True)]
    refuse_other_test_rows(predictions, numbered)
    for paths in (snakemake.input.thermal, snakemake.input.random):
        for path, split in zip(paths, splits, strict=True):
            refuse_leaking_parents(read_table(path), split)
    added = [
        read_table(path)[list(RUN_COLUMNS)].head(1).assign(added_rows=read_json(card)["generated_rows"])
        for path, card in zip(snakemake.input.predictions, snakemake.input.cards, strict=True)
    ]
    contrasts = perturbation_contrasts(
        predictions,
        seed=params.seed,
        predictors=params.predictors,
        test_to_train=ratios_of_splits(splits),
    )
    table = perturbation_table(predictions, contrasts, pd.concat(added))
    log(f"what perturbed copies do\n{table.to_markdown(index=False)}")
    write_csv(table, snakemake.output.table)
    write_csv(contrasts, snakemake.output.contrasts)
