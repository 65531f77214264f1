"""Draw one shard of compositions from a fitted generator."""

import torch

from matwheel.compositions.composition_samples import write_samples
from matwheel.generators.compositions import load_composition_generator
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    generator = load_composition_generator(snakemake.params.generator, snakemake.input.model)
    # Only a generator that has such settings takes them.
    settings = {"settings": snakemake.params.settings} if snakemake.params.settings else {}
    counts = generator.sample(snakemake.params.samples, seed=snakemake.params.seed, log=log, **settings)
    write_samples(counts, snakemake.output.samples)
