"""Compare the properties of genes drawn for tasks with unconditional ones and with the training rows."""

import pandas as pd

from matwheel.chapters.wycryst.gene_distributions import (
    KnownCrystals,
    diversity_table,
    judged_genes,
    novelty_table,
    property_distributions,
)
from matwheel.chapters.wycryst.gene_figures import draw_property_densities
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import arrays_of_drawn
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_permutations import canonical_keys

PROPERTIES = ("formation_energy_ev_per_atom", "band_gap_ev")

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    training = read_table(inputs.training)
    training = training[(training["part"] == "train") & (training["band_gap_ev"] > 0)]
    known = read_table(inputs.known)
    references = {
        name: KnownCrystals(genes.counts(), canonical_keys(genes))
        for name, genes in {"training": arrays_of_drawn(training), "known": arrays_of_drawn(known)}.items()
    }
    paths = iter(inputs.judged)
    distributions, diversity, novelty, panels = [], [], [], []
    for task in params.targets:
        target = Target(task, **params.targets[task])
        sets = {"training": judged_genes(training, PROPERTIES)}
        sets |= {source: judged_genes(read_table(next(paths)), PROPERTIES) for source in params.gene_sources}
        distributions.append(property_distributions(sets, target, properties=PROPERTIES))
        diversity.append(diversity_table(sets).assign(target=task))
        novelty.append(novelty_table(sets, references).assign(target=task))
        panels.append((target, {name: sets[name] for name in ("training", "unconditional", "mpvae")}))
    write_csv(pd.concat(distributions), output.distributions)
    write_csv(pd.concat(diversity), output.diversity)
    write_csv(pd.concat(novelty), output.novelty)
    save_figure(
        draw_property_densities(panels, properties=PROPERTIES, note="Predicted by trees on genes."),
        output.figure,
    )
