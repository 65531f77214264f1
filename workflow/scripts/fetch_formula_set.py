"""Fetch a formula set, or derive it from another one: filtered, divided, with what was left out and why."""

from matwheel.core.files import write_json
from matwheel.datasets.formula_sets import (
    derive_formula_set,
    fetch_formula_set,
    read_formula_set,
    write_formula_set,
)
from matwheel.datasets.registry import parse_registry
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    name, elements = snakemake.wildcards.formula_set, snakemake.params.elements
    given = snakemake.params.entry | {"expected": snakemake.params.expected}
    entry = parse_registry({name: given})[name]
    if snakemake.input.parent:
        parent = read_formula_set(snakemake.input.parent[0])
        table, provenance = derive_formula_set(entry, parent, elements=elements)
    else:
        table, provenance = fetch_formula_set(
            entry, snakemake.params.mirror_folders, seed=snakemake.params.seed, elements=elements
        )
    log(f"{len(table)} formulas from {provenance['origin']}: {provenance['report']}")
    for note in provenance.get("notes", ()):
        log(note)
    write_formula_set(table, snakemake.output.formulas)
    write_json(provenance, snakemake.output.provenance)
