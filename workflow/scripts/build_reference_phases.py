"""Put the formation energies of all known phases on one scale and into one table."""

from pathlib import Path

import pandas as pd

from matwheel.crystals.sources import read_file
from matwheel.crystals.table import write_table
from matwheel.progress import logged
from matwheel.validation.elemental_references import elemental_energies
from matwheel.validation.reference_phases import phases_of_archive, phases_of_mirror, reference_phases

with logged(snakemake.log[0]) as log:
    elements = elemental_energies(pd.read_csv(snakemake.input.elements))
    archive = phases_of_archive(read_file(Path(snakemake.input.archive)), elements, log=log)
    mirror = phases_of_mirror([read_file(Path(path)) for path in snakemake.input.mirror])
    phases = reference_phases([archive, mirror])
    log(f"{len(phases)} phases of {phases['formula'].nunique()} formulas, {len(mirror)} from the mirror")
    write_table(phases, snakemake.output.phases)
