"""Evaluate the compositions of one generator against its own and the other formula sets."""

from matwheel.chapters.matgan.compositions import evaluate_compositions, evaluation_table
from matwheel.compositions.charge_balance import CompositionSettings
from matwheel.compositions.composition_samples import counts_of_parquet
from matwheel.core.files import write_csv, write_json
from matwheel.datasets.formula_sets import read_formula_set
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    formula_set, _, null = snakemake.wildcards.composition_set.partition("/null/")
    tables = {
        name: read_formula_set(path)
        for name, path in zip(params.formula_sets, snakemake.input.formulas, strict=True)
    }
    evaluation = evaluate_compositions(
        counts_of_parquet(snakemake.input.samples, params.elements),
        params.elements,
        tables.pop(formula_set),
        tables,
        formula_set=formula_set,
        generator=null or params.generator,
        rules={name: CompositionSettings(**rule) for name, rule in params.rules.items()},
        log=log,
    )
    write_json(evaluation.as_dict(), snakemake.output.evaluation)
    write_csv(evaluation_table(evaluation), snakemake.output.figures)
