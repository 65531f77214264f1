"""Labels of all training rows: real where labelled, predicted elsewhere."""

from matwheel.core.files import read_json
from matwheel.crystals.table import read_table, write_table
from matwheel.predictors.pseudo_labels import pseudo_labels
from matwheel.predictors.registry import load_predictor, load_prepared
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    teacher, split = snakemake.params.teacher, read_json(snakemake.input.split)
    train = read_table(snakemake.input.crystals).set_index("id", drop=False).loc[split["train"]]
    prepared = load_prepared(teacher, snakemake.input.prepared)
    predictor = load_predictor(teacher, snakemake.input.model, prepared)
    labelled = read_json(snakemake.input.labelled)["labelled"]
    labels = pseudo_labels(train, labelled, predictor.predict)
    counts = labels["source"].value_counts()
    log(f"{counts.get('real', 0)} real and {counts.get('pseudo', 0)} pseudo-labels")
    write_table(labels, snakemake.output.labels)
