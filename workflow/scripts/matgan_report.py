"""Write the page of the composition chapter."""

from pathlib import Path

from matwheel.chapters.matgan.composition_report import write_composition_report
from matwheel.core.files import read_json
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    inputs = snakemake.input
    write_composition_report(
        Path(snakemake.output.report),
        tables=[Path(path) for path in inputs.tables],
        figures=[Path(path) for path in inputs.figures],
        cards=[read_json(path) for path in inputs.cards],
        provenance=[read_json(path) for path in inputs.provenance],
    )
