"""Figures 4a, 5a and 5b of MatGAN, recovery as samples are drawn, and the distributions of elements."""

import pandas as pd

from matwheel.chapters.matgan.composition_figures import (
    draw_distributions,
    draw_recovery,
    draw_recovery_curve,
    draw_uniqueness,
    draw_validity,
)
from matwheel.chapters.matgan.compositions import CompositionEvaluation
from matwheel.core.files import read_json
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    evaluations = [CompositionEvaluation.from_dict(read_json(path)) for path in inputs.evaluations]
    save_figure(draw_validity(pd.read_csv(inputs.validity), params.rule), outputs.validity)
    save_figure(draw_uniqueness(pd.read_csv(inputs.uniqueness)), outputs.uniqueness)
    save_figure(draw_recovery(pd.read_csv(inputs.recovery)), outputs.recovery)
    save_figure(draw_recovery_curve(pd.read_csv(inputs.recovery_curve)), outputs.recovery_curve)
    for name, path in zip(params.formula_sets, outputs.distributions, strict=True):
        own = [evaluation for evaluation in evaluations if evaluation.formula_set == name]
        save_figure(draw_distributions(own), path)
