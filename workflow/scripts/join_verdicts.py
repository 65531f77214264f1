"""Join the verdicts of all screens on a set's candidates."""

import pandas as pd

from matwheel.candidates.funnel import in_funnel_order
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import join_verdicts

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    tables = [read_table(path) for path in snakemake.input.verdicts]
    judged = pd.concat(tables)["candidate_id"]
    # A row that never became a crystal has verdicts only.
    candidates = list(dict.fromkeys([*read_table(snakemake.input.crystals)["id"], *judged]))
    joined = join_verdicts(tables, candidates)
    screens = ", ".join(in_funnel_order(joined["screen"]))
    log(f"{len(joined)} verdicts on {len(candidates)} candidates: {screens}")
    write_table(joined, snakemake.output.verdicts)
