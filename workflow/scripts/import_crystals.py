"""Read a user's crystals."""

from pathlib import Path

from matwheel.core.files import write_json
from matwheel.crystals.crystal_files import open_crystal_file
from matwheel.crystals.imported import crystals_of_entries
from matwheel.crystals.table import crystal_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import ERROR, verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    given = dict(snakemake.params.given)
    path = given.pop("path")
    opened = open_crystal_file(path, **given)
    crystals, verdicts = crystals_of_entries(Path(path), opened)
    log(f"{path}: {len(crystals)} crystals of {len(verdicts)} entries")
    for said in (*opened.notes, *(f"passed over: {reason}" for reason in opened.passed_over)):
        log(said)
    for refused in (verdict for verdict in verdicts if verdict.verdict == ERROR):
        log(f"refused {refused.candidate_id}: {refused.reason}")
    source = {
        "path": path,
        "sha256": snakemake.params.content,
        "columns": given,
        "entries": len(verdicts),
        "read": len(crystals),
        "refused": len(verdicts) - len(crystals),
        "passed_over": list(opened.passed_over),
        "notes": list(opened.notes),
    }
    write_json(source, snakemake.output.source)
    write_table(crystal_table(crystals), snakemake.output.crystals)
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
