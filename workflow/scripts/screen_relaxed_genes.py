"""Compare the genes of relaxed crystals with those they were built from, and predict their band gaps."""

from matwheel.chapters.wycryst.gene_boosting import GenePredictors
from matwheel.chapters.wycryst.relaxed_genes import relaxed_gene_verdicts, relaxed_genes
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.relaxation import CONVERGED
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_targets import Target

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    inputs, params = snakemake.input, snakemake.params
    relaxed = read_table(inputs.relaxed)
    relaxed = relaxed[relaxed["status"] == CONVERGED]
    asked = read_table(inputs.genes).set_index("id")["gene"].to_dict()
    genes = relaxed_genes(
        crystals_of_table(relaxed), asked, GenePredictors.load(inputs.judges), params.symprec_angstrom
    )
    log(f"kept: {genes['kept'].value_counts().to_dict()}")
    target = Target(snakemake.wildcards.task, **params.task)
    write_table(genes, snakemake.output.genes)
    write_table(relaxed_gene_verdicts(genes, target), snakemake.output.verdicts)
