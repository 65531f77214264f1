"""Fit volumes per atom and collect the shapes of cells of the training rows."""

import numpy as np

from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import part_of_table
from matwheel.wyckoff.lattice_shapes import lattice_shapes
from matwheel.wyckoff.volume_estimate import fit_volume_estimate
from matwheel.wyckoff.wyckoff_genes import gene_arrays

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.genes)
    ids = table.loc[table["part"] == "train", "id"]
    crystals = crystals_of_table(read_table(snakemake.input.crystals).set_index("id", drop=False).loc[ids])
    genes, _ = part_of_table(table, "train")
    volumes = np.array([crystal.volume_angstrom3 / len(crystal.species) for crystal in crystals])
    estimate = fit_volume_estimate(gene_arrays(genes).counts(), volumes)
    log(f"volumes of {len(crystals)} crystals; no data for {', '.join(estimate.elements_without_data)}")
    estimate.save(snakemake.output.volumes)
    lattice_shapes(crystals).save(snakemake.output.shapes)
