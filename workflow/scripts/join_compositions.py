"""Join the shards of a set's compositions."""

from matwheel.generators.composition_samples import join_samples
from matwheel.progress import logged

with logged(snakemake.log[0]):
    join_samples(snakemake.input, snakemake.output.samples)
