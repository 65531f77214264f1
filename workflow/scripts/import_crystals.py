"""Read a user's crystals."""

from matwheel.crystals.imported import read_imported
from matwheel.crystals.table import crystal_table, write_table
from matwheel.files import write_json
from matwheel.progress import logged
from matwheel.screening.verdicts import verdict_table

with logged(snakemake.log[0]) as log:
    given = dict(snakemake.params.given)
    path = given.pop("path")
    crystals, verdicts = read_imported(path, **given)
    log(f"{path}: {len(crystals)} crystals of {len(verdicts)} entries")
    source = {
        "path": path,
        "sha256": snakemake.params.content,
        "columns": given,
        "entries": len(verdicts),
        "read": len(crystals),
        "refused": len(verdicts) - len(crystals),
    }
    write_json(source, snakemake.output.source)
    write_table(crystal_table(crystals), snakemake.output.crystals)
    write_table(verdict_table(verdicts), snakemake.output.verdicts)
