"""Screen genes before there is a crystal."""

from pathlib import Path

import numpy as np

from matwheel.chapters.wycryst.gene_boosting import GenePredictors
from matwheel.chapters.wycryst.gene_funnel import GeneReferences, judge_genes, screen_genes
from matwheel.composition_models.formula_synthesizability import FormulaScore
from matwheel.compositions.charge_balance import CompositionSettings
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.reference_sets import formulas_of_csv
from matwheel.wyckoff.gene_rows import arrays_of_drawn
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_permutations import canonical_keys

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    inputs, params = snakemake.input, snakemake.params
    table = read_table(inputs.genes)
    arrays = arrays_of_drawn(table)
    training = read_table(inputs.training)
    score = FormulaScore.load(inputs.score) if inputs.get("score") else None
    known = formulas_of_csv(Path(inputs.formulas).read_bytes(), inputs.formulas)
    references = GeneReferences(
        keys=np.concatenate([canonical_keys(arrays_of_drawn(training)), read_table(inputs.known)["key"]]),
        formulas={*known, *training["formula"]},
    )
    limits = {"element_numbers": params.element_numbers, "largest_atoms": params.largest_atoms}
    judges = GenePredictors.load(inputs.judges)
    judged = judge_genes(list(table["id"]), arrays, judges, score, **limits)
    verdicts = screen_genes(
        judged,
        arrays,
        Target(snakemake.wildcards.task, **params.task),
        references,
        **limits,
        composition=CompositionSettings(**params.composition),
        thresholds=params.thresholds,
        anions=params.anions,
        score=score,
    )
    for screen, rows in verdicts.groupby("screen", sort=False):
        log(f"{screen}: {rows['verdict'].value_counts().to_dict()}")
    write_table(judged.assign(gene=table["gene"]), snakemake.output.judged)
    write_table(verdicts, snakemake.output.verdicts)
