"""Generate one crystal for each condition."""

import torch

from matwheel.crystals.table import crystal_table, read_table, write_cif_archive, write_table
from matwheel.generators.registry import load_generator
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    conditions = read_table(snakemake.input.conditions)["condition"].to_numpy()
    wildcards, seed = snakemake.wildcards, snakemake.params.seed
    generator = load_generator(snakemake.params.generator, snakemake.input.model)
    log(f"generate {len(conditions)} crystals; settings {snakemake.params.settings or 'as by default'}")
    prefix = f"{wildcards.dataset}-{wildcards.scheme}-{wildcards.seed}-{wildcards.supervision}"
    # Only a generator that has such settings takes them.
    settings = {"settings": snakemake.params.settings} if snakemake.params.settings else {}
    crystals = generator.sample(conditions, seed=seed, id_prefix=prefix, log=log, **settings)
    log(f"sampling: {generator.sampling_report}")
    properties = {
        "condition": conditions,
        "generator": [generator.name] * len(crystals),
        "generation_seed": [seed] * len(crystals),
    }
    write_cif_archive(crystals, snakemake.output.cifs)
    write_table(crystal_table(crystals, properties), snakemake.output.crystals)
