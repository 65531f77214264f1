"""Draw genes without any learning around the training rows that meet a task."""

from matwheel.crystals.table import read_table, write_table
from matwheel.generators.mpvae.sampling import reference_rows
from matwheel.generators.null_genes import random_genes, substituted_genes
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import drawn_table, genes_of_table
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import gene_arrays

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, null = snakemake.params, snakemake.wildcards.gene_null
    table = read_table(snakemake.input.genes)
    target = Target(snakemake.wildcards.task, **params.task)
    rows = reference_rows(table[table["part"] == "train"], target, log)
    reference = gene_arrays(genes_of_table(rows))
    draw = {"random": random_genes, "substitution": substituted_genes}[null]
    genes = draw(reference, params.samples, seed=params.seed)
    log(f"{len(genes)} genes around {len(rows)} rows")
    prefix = f"{snakemake.wildcards.task}-{null}-{snakemake.wildcards.round}"
    write_table(drawn_table(genes, prefix), snakemake.output.genes)
