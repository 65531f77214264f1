"""Join the shards of a set's compositions."""

from matwheel.compositions.composition_samples import join_samples
from matwheel.core.progress import logged

with logged(snakemake.log[0]):
    join_samples(snakemake.input, snakemake.output.samples)
