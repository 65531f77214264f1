"""Write Table 2, the paired contrasts, the scores of every run, and what they were made from."""

import pandas as pd

from matwheel.chapters.matwheel.contrasts import paired_contrasts, ratios_of_splits
from matwheel.chapters.matwheel.table2 import table2, table2_text
from matwheel.core.files import atomic_path, read_json, sha256_of_file, write_csv, write_json
from matwheel.crystals.table import read_table
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.statistics.scores import run_scores

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    paths = [*snakemake.input.predictions, *snakemake.input.baselines]
    predictions = pd.concat([read_table(path) for path in paths], ignore_index=True)
    splits = [read_json(path) for path in snakemake.input.splits]
    ratios = ratios_of_splits(splits)
    predictors = snakemake.params.settings["predictors"]
    table = table2(predictions, pd.read_csv(snakemake.params.published), main_predictor=predictors[0])
    contrasts = paired_contrasts(
        predictions, seed=snakemake.params.seed, test_to_train=ratios, predictors=predictors
    )
    scores = run_scores(predictions)
    scores["test_to_train"] = [
        ratios[place] for place in zip(scores["dataset"], scores["scheme"], strict=True)
    ]
    text = table2_text(table).to_markdown(index=False)
    log(f"Table 2 from {len(paths)} files of predictions\n{text}")
    write_csv(table, snakemake.output.table)
    write_csv(contrasts, snakemake.output.contrasts)
    write_csv(scores, snakemake.output.scores)
    write_json(
        {
            "datasets": {split["dataset"]: {"sha256": split["dataset_sha256"]} for split in splits},
            "settings": snakemake.params.settings,
            "versions": library_versions(),
            "predictions": {path: sha256_of_file(path) for path in paths},
        },
        snakemake.output.provenance,
    )
    with atomic_path(snakemake.output.text) as temporary:
        temporary.write_text(f"{text}\n\n{snakemake.params.where_next}\n", encoding="utf-8")
