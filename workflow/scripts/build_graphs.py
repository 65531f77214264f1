"""Build the neighbour graphs of a dataset."""

from matwheel.crystals.graphs import GraphSettings, build_graphs, save_graphs
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    graphs = build_graphs(crystals, GraphSettings())
    log(f"{len(graphs.source)} edges among the atoms of {len(crystals)} crystals")
    save_graphs(graphs, snakemake.output.graphs)
