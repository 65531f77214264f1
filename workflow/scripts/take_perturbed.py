"""Take the perturbed copies of a split's training crystals, or as many generated crystals."""

from matwheel.core.files import read_json
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.perturbed_rows import drawn_rows, perturbed_training_rows, refuse_leaking_parents

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    split = read_json(snakemake.input.split)
    rows = perturbed_training_rows(read_table(snakemake.input.perturbed), snakemake.params.kind, split)
    refuse_leaking_parents(rows, split)
    parents = rows["parent"].nunique()
    log(f"{len(rows)} {snakemake.params.kind} copies of {parents} of {len(split['train'])} training crystals")
    if snakemake.input.generated:
        generated = read_table(snakemake.input.generated[0])
        rows = drawn_rows(generated, len(rows), snakemake.params.seed)
        log(f"instead of them {len(rows)} of {len(generated)} generated crystals")
    write_table(rows, snakemake.output.rows)
