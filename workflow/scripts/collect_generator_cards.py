"""Put the generator cards of all runs into one table and one figure."""

import pandas as pd

from matwheel.evaluation.figures import draw_generator_cards, save_figure
from matwheel.evaluation.generator_card import mean_cards
from matwheel.files import write_csv
from matwheel.progress import logged

with logged(snakemake.log[0]) as log:
    cards = pd.concat([pd.read_csv(path) for path in snakemake.input.cards], ignore_index=True)
    write_csv(cards, snakemake.output.cards)
    save_figure(draw_generator_cards(mean_cards(cards)), snakemake.output.figure)
    log(f"{len(snakemake.input.cards)} runs")
