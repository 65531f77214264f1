"""Predict the property of the relaxed candidates."""

import torch

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.predictors.registry import load_predictor
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    relaxed = read_table(snakemake.input.relaxed)
    relaxed = relaxed[relaxed["status"].isin(["converged", "not_converged"])]
    predictor = load_predictor(snakemake.params.judge, snakemake.input.model)
    predicted = predictor.predict(crystals_of_table(relaxed)) if len(relaxed) else []
    log(f"{len(relaxed)} properties predicted by {snakemake.params.judge}")
    write_table(relaxed[["id"]].assign(predicted=predicted), snakemake.output.predicted)
