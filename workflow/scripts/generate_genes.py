"""Draw genes from an MPVAE, for a task or without any condition."""

import torch

from matwheel.crystals.table import read_table, write_table
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.generators.mpvae.sampling import draw_genes
from matwheel.generators.mpvae.sampling_settings import SamplingSettings
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import drawn_table
from matwheel.wyckoff.gene_targets import Target

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params, source = snakemake.params, snakemake.wildcards.gene_source
    table = read_table(snakemake.input.genes)
    model = MPVAE.load(snakemake.input.model, device=params.device)
    target = Target(snakemake.wildcards.task, **params.task) if source == "mpvae" else None
    drawn = draw_genes(
        model,
        table[table["part"] == "train"],
        target,
        params.samples,
        settings=SamplingSettings(**params.settings),
        largest_atoms=params.largest_atoms,
        seed=params.seed,
        log=log,
    )
    columns = {f"predicted_{name}": drawn.predicted[:, place] for place, name in enumerate(PROPERTIES)}
    prefix = f"{snakemake.wildcards.task}-{source}-{snakemake.wildcards.round}"
    genes = drawn_table(drawn.genes, prefix, {"reference": drawn.reference, **columns})
    write_table(genes, snakemake.output.genes)
