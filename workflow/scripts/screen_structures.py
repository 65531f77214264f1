"""Judge distances, volume, density and space group of each crystal."""

from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.runs.recorded_code import recorded
from matwheel.screening.structure_validity import StructureSettings, structure_verdicts
from matwheel.screening.symmetry import symmetry_verdicts
from matwheel.verdicts import join_verdicts, verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    crystals = crystals_of_table(read_table(snakemake.input.crystals))
    structure = verdict_table(structure_verdicts(crystals, StructureSettings(**params.structure)))
    symmetry = verdict_table(symmetry_verdicts(crystals, **params.symmetry))
    log(f"structure: {structure['verdict'].value_counts().to_dict()}")
    joined = join_verdicts([structure, symmetry], [crystal.id for crystal in crystals])
    write_table(joined, snakemake.output.verdicts)
