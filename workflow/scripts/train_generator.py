"""Train the conditional generator on the training rows with their real or pseudo-labels."""

import torch

from matwheel.core.files import read_json, write_json
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.generators.registry import make_generator
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.training.checkpoints import TrainingCheckpoint, fingerprint

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = dict(snakemake.params)
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    split = read_json(snakemake.input.split)
    labels = read_table(snakemake.input.labels)
    validation = table.loc[split["validation"]]
    generator = make_generator(params["generator"], {**params["settings"], "device": params["device"]})
    checkpoint = TrainingCheckpoint(
        f"{snakemake.output.model}.checkpoint", fingerprint(params, snakemake.input)
    )
    report = generator.fit(
        crystals_of_table(table.loc[labels["id"]]),
        labels["target"].to_numpy(),
        validation_crystals=crystals_of_table(validation),
        validation_labels=validation["target"].to_numpy(),
        seed=params["seed"],
        checkpoint=checkpoint,
        log=log,
    )
    card = {
        "generator": params["generator"],
        "dataset_sha256": split["dataset_sha256"],
        "seed": params["seed"],
        "labels": {source: int(count) for source, count in labels["source"].value_counts().items()},
        "report": report,
        "versions": library_versions(),
    }
    write_json(card, snakemake.output.card)
    generator.save(snakemake.output.model)
    checkpoint.remove()
