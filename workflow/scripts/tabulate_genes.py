"""Tabulate the genes that are learnt from, with their properties."""

from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_table import GeneTableSettings, check_band_gaps, gene_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    table, report = gene_table(
        read_table(snakemake.input.crystals),
        read_table(snakemake.input.genes),
        GeneTableSettings(**params.settings),
        seed=params.seed,
    )
    log(f"{report}")
    check_band_gaps(table)
    provenance = {
        "crystals": snakemake.input.crystals,
        "crystals_sha256": sha256_of_file(snakemake.input.crystals),
        "seed": params.seed,
        "settings": params.settings,
        "versions": library_versions(),
    }
    write_table(table, snakemake.output.genes)
    write_json({**report, **provenance}, snakemake.output.report)
