"""Count the real crystals that each screen would have killed."""

import pandas as pd

from matwheel.candidates.false_negatives import false_negatives
from matwheel.candidates.funnel import in_funnel_order
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    audits = []
    for name, crystals, verdicts in zip(
        snakemake.params.sets, snakemake.input.crystals, snakemake.input.verdicts, strict=True
    ):
        table = read_table(verdicts)
        # That a real crystal is known, or stands twice in a dataset, is no mistake of a screen.
        screens = [
            screen
            for screen in in_funnel_order(table["screen"])
            if not screen.startswith(("novel_", "unique"))
        ]
        audit = false_negatives(table, list(read_table(crystals)["id"]), screens)
        audit.insert(0, "set", name)
        audits.append(audit)
        log(f"{name}\n{audit.iloc[:, 1:7].to_string(index=False)}")
    write_csv(pd.concat(audits, ignore_index=True), snakemake.output.audit)
