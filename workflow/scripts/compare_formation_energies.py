"""Score models of formation energy, and predict it for known and generated compounds of one element."""

from matwheel.chapters.matgan.composition_maps import draw_property_distributions, wasserstein_table
from matwheel.chapters.matgan.drawn_compositions import distinct_compounds
from matwheel.composition_models.composition_boosting import CompositionBoosting, held_out_errors
from matwheel.composition_models.elemnet import ElemNet
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
    elemnet = ElemNet.load(snakemake.input.model)
    trees = CompositionBoosting.from_settings(params.boosting)
    trees.fit(
        *training,
        validation_counts=validation[0],
        validation_target=validation[1],
        elements=elements,
        seed=params.seed,
        log=log,
    )
    predictions = {
        "elemnet": elemnet.predict(held_out[0], elements),
        "boosted trees": trees.predict(held_out[0], elements),
    }
    write_csv(held_out_errors(predictions, held_out[1], training[1]), outputs.errors)
    column = elements.index(params.element)
    generated = distinct_compounds(snakemake.input.samples, elements, containing=params.element)
    values = {
        "generated": elemnet.predict(generated, elements),
        "training": elemnet.predict(training[0][training[0][:, column] > 0], elements),
    }
    distances = wasserstein_table(values, "training", seed=params.seed)
    write_csv(distances, outputs.distances)
    figure = draw_property_distributions(
        values,
        label="formation energy by ElemNet (eV/atom)",
        title=f"{params.element} compounds of {snakemake.wildcards.formula_set}",
        distances=distances,
    )
    save_figure(figure, outputs.figure)
