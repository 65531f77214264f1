"""Fetch a dataset from the first source that answers, checked, as a crystal table."""

from matwheel.core.files import write_json
from matwheel.crystals.table import write_table
from matwheel.datasets.dataset import load_dataset
from matwheel.datasets.registry import parse_registry
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    name = snakemake.wildcards.dataset
    given = snakemake.params.entry | {"expected": snakemake.params.expected}
    entry = parse_registry({name: given})[name]
    table, provenance = load_dataset(
        entry, snakemake.params.mirror_folders, command_without=snakemake.params.command_without
    )
    log(f"{len(table)} crystals from {provenance['source']}")
    for note in provenance["notes"]:
        log(note)
    write_table(table, snakemake.output.crystals)
    write_json(provenance, snakemake.output.provenance)
