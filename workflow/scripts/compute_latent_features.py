"""Compute a potential's latent features of all crystals of a table."""

from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.predictors.latent_features import latent_features, save_features
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    name, store = snakemake.params.potential["name"], snakemake.config["store"]
    save_features(latent_features(crystals, name, log, store=store), snakemake.output.features)
