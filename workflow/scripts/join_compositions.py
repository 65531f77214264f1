"""Join the shards of a set's compositions."""

from matwheel.compositions.composition_samples import join_samples
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    join_samples(snakemake.input, snakemake.output.samples)
