"""Draw Table 2."""

import pandas as pd

from matwheel.figures.figures import draw_table2, save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    targets = snakemake.params.targets
    figure = draw_table2(
        pd.read_csv(snakemake.input.table),
        pd.read_csv(snakemake.input.contrasts),
        pd.read_csv(snakemake.input.scores),
        units={name: target.get("units", "") for name, target in targets.items()},
        titles={name: target.get("name", name) for name, target in targets.items()},
        main_predictor=snakemake.params.predictor,
    )
    save_figure(figure, snakemake.output.figure)
    log("drawn")
