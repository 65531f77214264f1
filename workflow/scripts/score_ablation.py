"""Score every arm and seed of the ablation on the test rows."""

import pandas as pd

from matwheel.chapters.wycryst.gene_ablation import ablation_cells, ablation_contrasts, draw_ablation
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.figures.figures import save_figure
from matwheel.generators.mpvae.generator import MPVAE
from matwheel.generators.mpvae.scores import model_scores
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import part_of_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, output = snakemake.params, snakemake.output
    genes, labels = part_of_table(read_table(snakemake.input.genes), "test")
    rows = []
    for run, path in zip(params.runs, snakemake.input.models, strict=True):
        arm, seed = run.split("/")[1], int(run.split("/seed")[1])
        scores = model_scores(MPVAE.load(path), genes, labels)
        log(f"{run}: {scores}")
        settings = {"augmentation": params.arms[arm]["augment"], "transfer": params.arms[arm]["transfer"]}
        rows += [{**settings, "seed": seed, "metric": name, "value": value} for name, value in scores.items()]
    runs = pd.DataFrame(rows)
    write_csv(ablation_cells(runs), output.table)
    write_csv(ablation_contrasts(runs), output.contrasts)
    save_figure(draw_ablation(runs), output.figure)
    write_csv(runs, output.runs)
