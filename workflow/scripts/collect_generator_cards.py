"""Put the generator cards of all runs into one table and one figure."""

import pandas as pd

from matwheel.chapters.matwheel.generator_card import mean_cards
from matwheel.core.files import write_csv
from matwheel.figures.figures import draw_generator_cards, save_figure
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    cards = pd.concat([pd.read_csv(path) for path in snakemake.input.cards], ignore_index=True)
    write_csv(cards, snakemake.output.cards)
    save_figure(draw_generator_cards(mean_cards(cards)), snakemake.output.figure)
    log(f"{len(snakemake.input.cards)} runs")
