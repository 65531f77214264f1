"""Score a model of band gaps, and predict them for known, generated and enumerated compounds."""

from matwheel.chapters.matgan.composition_maps import draw_property_distributions, wasserstein_table
from matwheel.chapters.matgan.drawn_compositions import distinct_compounds
from matwheel.composition_models.composition_boosting import CompositionBoosting, held_out_errors
from matwheel.core.files import write_csv
from matwheel.datasets.formula_sets import labelled_part, read_formula_set
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, outputs, elements = snakemake.params, snakemake.output, snakemake.params.elements
    table = read_formula_set(snakemake.input.formulas)
    training, validation, held_out = (
        labelled_part(table, part) for part in ("train", "validation", "held_out")
    )
    trees = CompositionBoosting.from_settings(params.boosting)
    trees.fit(
        *training,
        validation_counts=validation[0],
        validation_target=validation[1],
        elements=elements,
        seed=params.seed,
        log=log,
    )
    predictions = {trees.settings.kind: trees.predict(held_out[0], elements)}
    write_csv(held_out_errors(predictions, held_out[1], training[1]), outputs.errors)
    drawn = {
        "generated": snakemake.input.samples,
        "enumerated": snakemake.input.enumerated,
    }
    values = {
        name: trees.predict(distinct_compounds(path, elements, largest_rows=params.largest_rows), elements)
        for name, path in drawn.items()
    }
    values["training"] = trees.predict(training[0], elements)
    distances = wasserstein_table(values, "training", seed=params.seed)
    write_csv(distances, outputs.distances)
    figure = draw_property_distributions(
        values,
        label="predicted band gap (eV)",
        title=f"Band gaps of {snakemake.wildcards.formula_set}",
        distances=distances,
        lowest=0.0,
    )
    save_figure(figure, outputs.figure)
