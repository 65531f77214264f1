"""Phonons of a shard of candidates, with a figure of each."""

import tempfile
import zipfile
from pathlib import Path

import torch

from matwheel.crystals.table import crystal_table, crystals_of_table, read_table, write_table
from matwheel.evaluation.phonon_figure import draw_phonons
from matwheel.files import atomic_path
from matwheel.progress import logged
from matwheel.validation.phonons import PhononSettings, daughters_of, phonon_table, phonons_of
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
        results = phonons_of(shard, calculator, settings, log, elements=POTENTIALS[name].elements)
    with (
        atomic_path(snakemake.output.figures) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        for result in results:
            if result.gamma_frequencies_thz is not None:
                figure = Path(folder, f"{result.id}.svg")
                draw_phonons(result, figure)
                entry = zipfile.ZipInfo(figure.name, date_time=(1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, figure.read_bytes(), zipfile.ZIP_DEFLATED)
    write_table(crystal_table(daughters_of(results)), snakemake.output.daughters)
    write_table(phonon_table(results), snakemake.output.phonons)
