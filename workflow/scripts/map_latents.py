"""Map the latent vectors of the training rows."""

from matwheel.chapters.wycryst.gene_figures import draw_latent_maps
from matwheel.chapters.wycryst.latent_maps import latent_plane
from matwheel.crystals.table import read_table, write_table
from matwheel.figures.figures import save_figure
from matwheel.generators.mpvae.generator import MPVAE, PROPERTIES
from matwheel.runs.recorded_code import recorded
from matwheel.wyckoff.gene_rows import part_of_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    table = read_table(snakemake.input.genes)
    genes, labels = part_of_table(table, "train")
    model = MPVAE.load(snakemake.input.model)
    rows = [place for place, gene in enumerate(genes) if model.learns_from(gene)]
    latents, _ = model.encode([genes[place] for place in rows])
    points, explained = latent_plane(latents)
    chosen = table[table["part"] == "train"].iloc[rows]
    log(f"{len(rows)} training rows; {explained} of the variance")
    plane = chosen[["id", "space_group", *PROPERTIES]].assign(x=points[:, 0], y=points[:, 1])
    write_table(plane, snakemake.output.points)
    figure = draw_latent_maps(
        points,
        space_group=chosen["space_group"],
        properties={name: labels[rows, place] for place, name in enumerate(PROPERTIES)},
        explained=explained,
    )
    save_figure(figure, snakemake.output.figure)
