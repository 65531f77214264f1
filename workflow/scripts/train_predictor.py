"""Train the predictor on one training set and predict the test rows."""

import pandas as pd
import torch

from matwheel.core.files import read_json, write_json
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.predictors.registry import load_prepared, make_predictor
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.training.checkpoints import TrainingCheckpoint, fingerprint

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = dict(snakemake.params)
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    split = read_json(snakemake.input.split)
    labelled = snakemake.input.get("labelled")
    parts = split | (read_json(labelled) if labelled else {})
    real = table.loc[parts.get(params["real"], [])]
    train = pd.concat([real, *(read_table(path) for path in snakemake.input.generated)])
    validation, test = table.loc[split["validation"]], table.loc[split["test"]]
    log(f"train on {len(real)} real and {len(train) - len(real)} generated crystals")

    predictor = make_predictor(
        snakemake.wildcards.predictor,
        {**params["settings"], "device": params["device"]},
        load_prepared(snakemake.wildcards.predictor, snakemake.input.prepared),
    )
    checkpoint = TrainingCheckpoint(
        f"{snakemake.output.model}.checkpoint", fingerprint(params, snakemake.input)
    )
    report = predictor.fit(
        crystals_of_table(train),
        train["target"].to_numpy(),
        crystals_of_table(validation),
        validation["target"].to_numpy(),
        seed=params["seed"],
        checkpoint=checkpoint,
        log=log,
    )
    predictions = test[["id", "target"]].assign(
        dataset=snakemake.wildcards.dataset,
        scheme=snakemake.wildcards.scheme,
        seed=int(snakemake.wildcards.seed),
        training_set=snakemake.wildcards.training_set,
        predictor=snakemake.wildcards.predictor,
        prediction=predictor.predict(crystals_of_table(test)),
    )
    write_table(predictions, snakemake.output.predictions)
    card = {
        "predictor": snakemake.wildcards.predictor,
        "dataset_sha256": split["dataset_sha256"],
        "seed": params["seed"],
        "real_rows": len(real),
        "generated_rows": len(train) - len(real),
        "report": report,
        "versions": library_versions(),
    }
    write_json(card, snakemake.output.card)
    predictor.save(snakemake.output.model)
    checkpoint.remove()
