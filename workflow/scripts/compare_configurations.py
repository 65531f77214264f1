"""Errors over training size, and of every training set on every test set, with paired contrasts."""

import pandas as pd

from matwheel.chapters.phonon.configuration_transfer import contrasts, cross_table, learning_curves
from matwheel.chapters.phonon.transfer_figures import draw_cross_table, draw_learning_curves
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    predictions = pd.concat([read_table(path) for path in snakemake.input.predictions], ignore_index=True)
    curves = learning_curves(predictions)
    write_csv(curves, snakemake.output.curves)
    write_csv(contrasts(predictions, snakemake.params.seed), snakemake.output.contrasts)
    # At the largest size that all sets have; below it, at the largest that some have.
    sizes = predictions.groupby("training_set")["size"].max()
    largest = predictions[predictions["training_set"].isin(sizes.index[sizes == sizes.max()])]
    tables = [cross_table(predictions)]
    if sizes.nunique() > 1:
        tables.append(cross_table(largest))
    write_csv(pd.concat(tables, ignore_index=True), snakemake.output.cross)
    save_figure(draw_cross_table(tables[-1]), snakemake.output.cross_figure)
    save_figure(draw_learning_curves(curves, snakemake.params.target), snakemake.output.figure)
