"""Collect the funnels of the model and of the null generators."""

from matwheel.candidates.candidate_collection import (
    collect_candidates,
    merge_archives,
    read_by_set,
    stacked_by_set,
)
from matwheel.chapters.wycryst.gene_figures import draw_energy_parity, draw_survivors
from matwheel.chapters.wycryst.gene_yields import GeneFunnel, energy_pairs, gene_yields, with_genes
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded

TABLES = ("genes", "verdicts", "relaxed_genes", "hull")

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    counts = read_by_set(params.titles, inputs.funnels)
    sets = zip(params.titles, params.screens, *(inputs[name] for name in TABLES), strict=True)
    funnels = [
        GeneFunnel(name, screens, *(read_table(path) for path in paths)) for name, screens, *paths in sets
    ]
    yields = gene_yields(funnels, params.largest_e_above_hull)
    log(yields.to_string(index=False))
    candidates = collect_candidates(inputs.candidates, output.cifs)
    pairs = energy_pairs(funnels)
    write_csv(yields, output.yields)
    write_csv(stacked_by_set(counts), output.funnel)
    write_csv(stacked_by_set(read_by_set(params.titles, inputs.rates)), output.rates)
    merge_archives(inputs.cifs, output.cifs)
    merge_archives(inputs.phonons, output.phonons)
    save_figure(draw_survivors(counts), output.figure)
    save_figure(
        draw_energy_parity(
            pairs["predicted"],
            pairs["validated"],
            groups=list(pairs["set"]),
            validated_by="of the relaxed crystal by the potential",
        ),
        output.parity,
    )
    write_csv(with_genes(candidates, funnels), output.candidates)
