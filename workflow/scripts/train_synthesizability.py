"""Train the score of synthesizability."""

from pathlib import Path

from matwheel.composition_models.formula_synthesizability import (
    FormulaScore,
    FormulaScoreSettings,
    read_synthesizability_labels,
)
from matwheel.core.files import sha256_of_file, write_json
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    listed, entries = snakemake.params.listed[0], snakemake.params.entries[0]
    labels = read_synthesizability_labels(listed, entries)
    settings = FormulaScoreSettings.from_mapping(snakemake.params.settings)
    score, report = FormulaScore.fit(labels, settings, seed=snakemake.params.seed, log=log)
    log(f"{report}")
    hashes = {Path(path).name: sha256_of_file(path) for path in (listed, entries)}
    card = {"score": score.name, "version": score.version, "report": report, "sha256": hashes}
    write_json(card, snakemake.output.report)
    score.save(snakemake.output.score)
