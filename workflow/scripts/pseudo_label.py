"""Labels of all training rows: real where labelled, predicted elsewhere."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.files import read_json
from matwheel.predictors.registry import load_predictor, load_prepared
from matwheel.progress import logged

with logged(snakemake.log[0]) as log:
    split = read_json(snakemake.input.split)
    train = read_table(snakemake.input.crystals).set_index("id", drop=False).loc[split["train"]]
    predictor = load_predictor(
        snakemake.params.teacher,
        snakemake.input.model,
        load_prepared(snakemake.params.teacher, snakemake.input.prepared),
    )
    labels = train[["id", "target"]].assign(source="real")
    unlabelled = ~labels["id"].isin(split["labelled"])
    predicted = predictor.predict(crystals_of_table(train[unlabelled.to_numpy()]))
    # A property that the labelled rows know as never negative stays so.
    lowest = 0.0 if (labels.loc[~unlabelled, "target"] >= 0).all() else -float("inf")
    labels.loc[unlabelled, "target"] = predicted.clip(min=lowest)
    labels.loc[unlabelled, "source"] = "pseudo"
    log(f"{len(labels) - unlabelled.sum()} real and {unlabelled.sum()} pseudo-labels")
    write_table(labels, snakemake.output.labels)
