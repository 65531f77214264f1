"""All configurations of a compound with labels by density-functional theory, and the crystal at rest."""

import pandas as pd

from matwheel.chapters.phonon.configuration_dft import rest_row, rest_settings
from matwheel.chapters.phonon.labelled_configurations import OK
from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.table import read_table, write_table
from matwheel.dft.dft import SINGLE_POINT, DFTSettings, calculate, find_backend
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.force_constants import load_force_constants

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    params = snakemake.params
    settings = rest_settings(DFTSettings(**params.settings))
    rest = load_force_constants(snakemake.input.constants).crystal
    backend = find_backend(settings, "rule collect_dft_labels")
    # Found again: the shards have computed it.
    at_rest = calculate(rest, SINGLE_POINT, settings, backend, params.folder)
    tables = [
        read_table(configurations).merge(read_table(labels), on="id", validate="one_to_one")
        for configurations, labels in zip(snakemake.input.configurations, snakemake.input.labels, strict=True)
    ]
    table = pd.concat([rest_row(rest.id, rest, at_rest), *tables], ignore_index=True)
    write_table(table, snakemake.output.labelled)
    write_json(
        {
            "compound": rest.id,
            "rows": len(table),
            "rows_ok": int((table["status"] == OK).sum()),
            "tool_version": backend.version,
            "settings": {name: value for name, value in params.settings.items() if name != "python"},
            "setups": at_rest.setups,
            "pulay_pressure_gpa": at_rest.pulay_pressure_gpa,
            "cpu_seconds": float(table["cpu_seconds"].sum()),
            "labelled_sha256": sha256_of_file(snakemake.output.labelled),
        },
        snakemake.output.card,
    )
