"""Collect the candidates of all sets: one ranked table, one archive, one figure of their funnels."""

from matwheel.candidates.candidate_collection import (
    collect_candidates,
    merge_archives,
    read_by_set,
    stacked_by_set,
)
from matwheel.candidates.funnel import draw_funnel
from matwheel.core.files import write_csv
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    sets, output = snakemake.params.sets, snakemake.output
    candidates = collect_candidates(snakemake.input.candidates, output.cifs)
    funnels = read_by_set(sets, snakemake.input.funnels)
    rates = read_by_set(sets, snakemake.input.rates)
    log(f"{candidates['verdict'].value_counts().to_dict()}")
    merge_archives(snakemake.input.cifs, output.cifs)
    write_csv(stacked_by_set(funnels), output.funnel)
    write_csv(stacked_by_set(rates), output.rates)
    draw_funnel(funnels, output.figure)
    write_csv(candidates, output.candidates)
