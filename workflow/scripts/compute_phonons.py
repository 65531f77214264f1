"""Phonons of a shard of candidates, with a figure of each."""

from matwheel.core.progress import logged
from matwheel.crystals.table import crystal_table, crystals_of_table, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.vibrations.born_charges import read_born_charges
from matwheel.vibrations.phonon_figure import archive_phonon_figures
from matwheel.vibrations.phonon_results import daughters_of, phonon_table
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonons_of

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    selected = read_table(snakemake.input.crystals)
    shard = crystals_of_table(selected.iloc[int(snakemake.wildcards.shard) :: params.shards])
    settings, name = PhononSettings(**params.settings), params.potential["name"]
    charges = read_born_charges(params.born_charges) if params.born_charges else []
    elements = POTENTIALS[name].elements
    with stored_calculator(name, snakemake.config["store"], log, device=params.device) as calculator:
        results = phonons_of(shard, calculator, settings, log, elements=elements, known_charges=charges)
    archive_phonon_figures(results, snakemake.output.figures)
    write_table(crystal_table(daughters_of(results)), snakemake.output.daughters)
    write_table(phonon_table(results), snakemake.output.phonons)
