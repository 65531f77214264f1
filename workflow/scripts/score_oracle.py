"""Say how far a computed property stands for the label of a dataset."""

from matwheel.core.files import read_json, write_csv
from matwheel.crystals.table import read_table
from matwheel.datasets.splits import Split
from matwheel.figures.figures import save_figure
from matwheel.properties.oracle_card import oracle_card, outliers
from matwheel.properties.oracle_figure import draw_oracle
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    crystals, table = read_table(snakemake.input.crystals), read_table(snakemake.input.table)
    splits = [Split.from_json(read_json(path)) for path in snakemake.input.splits]
    card = oracle_card(crystals, table, splits, params.estimates)
    worst = outliers(crystals, table, params.estimates)
    for row in card.to_dict("records"):
        log(f"{row['value']}: rank correlation {row['spearman']:.3f}")
    write_csv(card, snakemake.output.card)
    write_csv(worst, snakemake.output.outliers)
    figure = draw_oracle(
        crystals,
        table,
        card,
        worst,
        estimates=params.estimates,
        property_name=snakemake.wildcards.property,
        target_label=params.target_label,
        title=params.title,
    )
    save_figure(figure, snakemake.output.figure)
