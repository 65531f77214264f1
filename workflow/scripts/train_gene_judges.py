"""Train the judges of genes on the training rows and score them on the test rows."""

from pathlib import Path

from matwheel.chapters.wycryst.gene_boosting import (
    GeneBoostingSettings,
    GenePredictors,
    gene_predictor_report,
)
from matwheel.core.files import write_json
from matwheel.crystals.table import read_table
from matwheel.predictors.interface import changed_settings
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import part_of_table
from matwheel.wyckoff.wyckoff_genes import gene_arrays

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    table = read_table(snakemake.input.genes)
    genes, labels = part_of_table(table, "train")
    settings = changed_settings(GeneBoostingSettings, params.settings)
    judges = GenePredictors.fit(
        gene_arrays(genes), labels[:, 0], labels[:, 1], settings, seed=params.seed, log=log
    )
    test_genes, test_labels = part_of_table(table, "test")
    report = gene_predictor_report(judges, gene_arrays(test_genes), test_labels[:, 0], test_labels[:, 1])
    log(f"{report}")
    Path(snakemake.output.judges).mkdir(parents=True, exist_ok=True)
    judges.save(snakemake.output.judges)
    write_json(report, snakemake.output.report)
