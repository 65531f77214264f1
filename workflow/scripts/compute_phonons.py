"""Phonons of a shard of candidates, with a figure of each."""

import torch

from matwheel.crystals.table import crystal_table, crystals_of_table, read_table, write_table
from matwheel.evaluation.phonon_figure import archive_phonon_figures
from matwheel.progress import logged
from matwheel.validation.born_charges import read_born_charges
from matwheel.validation.phonon_results import daughters_of, phonon_table
from matwheel.validation.phonon_settings import PhononSettings
from matwheel.validation.phonons import phonons_of
from matwheel.validation.potentials import POTENTIALS, make_calculator

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    selected = read_table(snakemake.input.crystals)
    shard = crystals_of_table(selected.iloc[int(snakemake.wildcards.shard) :: params.shards])
    results = []
    if shard:
        name = params.potential["name"]
        calculator = make_calculator(name, device=params.device)
        settings = PhononSettings(**params.settings)
        charges = read_born_charges(params.born_charges) if params.born_charges else []
        elements = POTENTIALS[name].elements
        results = phonons_of(shard, calculator, settings, log, elements=elements, known_charges=charges)
    archive_phonon_figures(results, snakemake.output.figures)
    write_table(crystal_table(daughters_of(results)), snakemake.output.daughters)
    write_table(phonon_table(results), snakemake.output.phonons)
