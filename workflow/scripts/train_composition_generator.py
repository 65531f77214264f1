"""Train a generator of compositions on the training rows of a formula set."""

import pandas as pd
import torch

from matwheel.core.files import sha256_of_file, write_csv, write_json
from matwheel.datasets.formula_sets import count_matrix, read_formula_set
from matwheel.generators.compositions import make_composition_generator
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.training.checkpoints import TrainingCheckpoint, fingerprint

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = dict(snakemake.params)
    table = read_formula_set(snakemake.input.formulas)
    generator = make_composition_generator(
        params["generator"], {**params["settings"], "device": params["device"]}
    )
    checkpoint = TrainingCheckpoint(
        f"{snakemake.output.model}.checkpoint", fingerprint(params, snakemake.input)
    )
    report = generator.fit(
        count_matrix(table, "train"),
        params["elements"],
        validation_counts=count_matrix(table, "validation"),
        seed=params["seed"],
        checkpoint=checkpoint,
        log=log,
    )
    write_csv(pd.DataFrame(report.pop("curve")), snakemake.output.curve)
    card = {
        "generator": params["generator"],
        "formula_set": snakemake.wildcards.formula_set,
        "formulas_sha256": sha256_of_file(snakemake.input.formulas),
        "seed": params["seed"],
        "report": report,
        "versions": library_versions(),
    }
    write_json(card, snakemake.output.card)
    generator.save(snakemake.output.model)
    checkpoint.remove()
