"""Train the baselines on the full and on the labelled training rows and predict the test rows."""

import pandas as pd

from matwheel.core.files import read_json
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.predictors.registry import make_predictor
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    split = read_json(snakemake.input.split) | read_json(snakemake.input.labelled)
    validation, test = table.loc[split["validation"]], table.loc[split["test"]]
    predictions = []
    for name in snakemake.params.baselines:
        for training_set, part in (("F", "train"), ("S", "labelled")):
            train = table.loc[split[part]]
            predictor = make_predictor(name, {})
            predictor.fit(
                crystals_of_table(train),
                train["target"].to_numpy(),
                crystals_of_table(validation),
                validation["target"].to_numpy(),
                seed=snakemake.params.seed,
                log=log,
            )
            predictions.append(
                test[["id", "target"]].assign(
                    dataset=snakemake.wildcards.dataset,
                    scheme=snakemake.wildcards.scheme,
                    seed=int(snakemake.wildcards.seed),
                    training_set=training_set,
                    predictor=name,
                    prediction=predictor.predict(crystals_of_table(test)),
                )
            )
            log(f"{name} on {len(train)} rows")
    write_table(pd.concat(predictions), snakemake.output.predictions)
