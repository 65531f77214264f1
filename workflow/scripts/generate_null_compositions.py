"""Draw compositions from a null generator of a formula set."""

from matwheel.compositions.composition_samples import write_samples
from matwheel.datasets.formula_sets import count_matrix, read_formula_set
from matwheel.generators.compositions import make_composition_generator
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table, seed = read_formula_set(snakemake.input.formulas), snakemake.params.seed
    generator = make_composition_generator(snakemake.wildcards.null)
    training, validation = count_matrix(table, "train"), count_matrix(table, "validation")
    generator.fit(training, snakemake.params.elements, validation_counts=validation, seed=seed, log=log)
    write_samples(generator.sample(snakemake.params.samples, seed=seed, log=log), snakemake.output.samples)
