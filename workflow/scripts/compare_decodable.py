"""Set decodable formulas beside generated ones, and map them."""

from matwheel.chapters.matgan.composition_maps import MapSettings, composition_map, draw_composition_maps
from matwheel.chapters.matgan.drawn_compositions import found_among
from matwheel.compositions.composition_samples import counts_of_parquet
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.datasets.formula_sets import count_matrix, read_formula_set
from matwheel.figures.figures import save_figure
from matwheel.generators.matgan.autoencoder import decodability_link, decodable_shares
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    params, outputs = snakemake.params, snakemake.output
    table = read_formula_set(snakemake.input.formulas)
    counts = count_matrix(table)
    decodable = read_table(snakemake.input.decodable)["decodable"].to_numpy()
    parts = {"training": "train", "validation": "validation", "held_out": "held_out"}
    shares = decodable_shares({name: decodable[table["part"] == part] for name, part in parts.items()})
    write_csv(shares, outputs.shares)
    training = (table["part"] == "train").to_numpy()
    samples = counts_of_parquet(snakemake.input.samples, params.elements)
    generated = found_among(counts[training], samples, params.elements)
    write_csv(decodability_link(decodable[training], generated), outputs.link)
    groups = {"decodable": counts[decodable], "not_decodable": counts[~decodable]}
    points = composition_map(groups, settings=MapSettings(**params.settings), seed=params.seed)
    present = [name for name in groups if (points["group"] == name).any()]
    title = f"Compositions of {snakemake.wildcards.formula_set}"
    save_figure(draw_composition_maps(points, [present], title=title), outputs.figure)
