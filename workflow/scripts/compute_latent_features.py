"""Compute a potential's latent features of all crystals of a table."""

import torch

from matwheel.core.progress import logged
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.predictors.latent_features import latent_features, save_features

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    features = latent_features(crystals, snakemake.params.potential["name"], log)
    save_features(features, snakemake.output.features)
