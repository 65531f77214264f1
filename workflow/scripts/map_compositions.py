"""Map training, held-out and generated compositions of a set."""

from matwheel.chapters.matgan.composition_maps import MapSettings, composition_map, draw_composition_maps
from matwheel.chapters.matgan.drawn_compositions import distinct_compounds
from matwheel.crystals.table import write_table
from matwheel.datasets.formula_sets import count_matrix, read_formula_set
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    params, name = snakemake.params, snakemake.wildcards.formula_set
    table = read_formula_set(snakemake.input.formulas)
    settings = MapSettings(**params.settings)
    # Two generated compounds for each known one, so that the map shows where they lie beyond these.
    largest_rows = 2 * len(table)
    groups = {
        "generated": distinct_compounds(snakemake.input.samples, params.elements, largest_rows=largest_rows),
        "training": count_matrix(table, "train"),
        "held_out": count_matrix(table, "held_out"),
    }
    points = composition_map(groups, settings=settings, seed=params.seed)
    write_table(points, snakemake.output.points)
    panels = [["training", "held_out"], ["generated", "training", "held_out"]]
    save_figure(
        draw_composition_maps(points, panels, title=f"Compositions of {name}"), snakemake.output.figure
    )
