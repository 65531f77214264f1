"""Find the Wyckoff gene of every known crystal."""

from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_table import known_genes

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    crystals = read_table(snakemake.input.crystals)
    genes = known_genes(crystals, snakemake.params.symprec_angstrom, log)
    log(f"{len(genes)} of {len(crystals)} crystals have a gene")
    write_table(genes, snakemake.output.genes)
