"""Train the autoencoder of a formula set and say which formulas it can decode."""

import torch

from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.table import write_table
from matwheel.datasets.formula_sets import count_matrix, read_formula_set
from matwheel.generators.matgan.autoencoder import CompositionAutoencoder
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.training.checkpoints import TrainingCheckpoint, fingerprint

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = dict(snakemake.params)
    table = read_formula_set(snakemake.input.formulas)
    autoencoder = CompositionAutoencoder.from_settings({**params["settings"], "device": params["device"]})
    checkpoint = TrainingCheckpoint(
        f"{snakemake.output.model}.checkpoint", fingerprint(params, snakemake.input)
    )
    report = autoencoder.fit(
        count_matrix(table, "train"),
        params["elements"],
        validation_counts=count_matrix(table, "validation"),
        seed=params["seed"],
        checkpoint=checkpoint,
        log=log,
    )
    decodable = table[["formula", "part"]].assign(decodable=autoencoder.is_decodable(count_matrix(table)))
    write_table(decodable, snakemake.output.decodable)
    card = {
        "formulas_sha256": sha256_of_file(snakemake.input.formulas),
        "report": report,
        "versions": library_versions(),
    }
    write_json(card, snakemake.output.card)
    autoencoder.save(snakemake.output.model)
    checkpoint.remove()
