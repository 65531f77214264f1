"""Build the crystals of a shard of genes and keep the best of each."""

from matwheel.crystals.table import crystal_table, read_table, write_table
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import verdict_table
from matwheel.wyckoff.gene_crystals import GeneCrystalSettings, realise_genes
from matwheel.wyckoff.gene_ranking import build_verdicts, chosen_crystals, rank_realisations
from matwheel.wyckoff.gene_rows import genes_of_table
from matwheel.wyckoff.lattice_shapes import load_lattice_shapes
from matwheel.wyckoff.volume_estimate import load_volume_estimate
from matwheel.wyckoff.wyckoff_genes import gene_arrays

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, inputs = snakemake.params, snakemake.input
    first = int(snakemake.wildcards.shard) * params.shard_size
    table = read_table(inputs.genes).iloc[first : first + params.shard_size]
    if len(table):
        genes = genes_of_table(table)
        volumes = load_volume_estimate(inputs.volumes).volume_angstrom3_per_atom(gene_arrays(genes).counts())
        settings, shapes = GeneCrystalSettings(**params.settings), load_lattice_shapes(inputs.shapes)
        results = realise_genes(list(table["id"]), genes, volumes, settings, params.seed, shapes, log)
        name, version = params.potential["name"], params.potential["version"]
        with stored_calculator(name, snakemake.config["store"], log, device=params.device) as calculator:
            ranking = rank_realisations({r.candidate_id: r.crystals for r in results}, calculator, log=log)
        crystals = chosen_crystals(results, ranking)
        verdicts = build_verdicts(results, ranking, tool=name, tool_version=version)
    else:
        crystals, verdicts = [], verdict_table([])
    write_table(crystal_table(crystals), snakemake.output.crystals)
    write_table(verdicts, snakemake.output.verdicts)
