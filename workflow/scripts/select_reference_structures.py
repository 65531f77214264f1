"""Select the known structures of the chemical systems of a set's relaxed candidates."""

from pathlib import Path

from matwheel.crystals.table import read_table, write_table
from matwheel.datasets.sources import read_file
from matwheel.hull.reference_phases import system_of
from matwheel.hull.reference_structures import reference_structures
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    relaxed = read_table(snakemake.input.relaxed)
    relaxed = relaxed[relaxed["energy_ev_per_atom"].notna()]
    systems = sorted({system_of(species) for species in relaxed["species"]})
    known = [read_table(path) for path in snakemake.input.known]
    archives = [read_file(path) for path in sorted(Path(snakemake.input.archives).glob("*.csv"))]
    structures = reference_structures(systems, known, archives, log=log)
    log(f"{len(structures)} structures in {len(systems)} chemical systems")
    write_table(structures, snakemake.output.structures)
