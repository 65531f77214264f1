"""PBE of a shard of configurations."""

from matwheel.chapters.phonon.configuration_dft import label_with_dft
from matwheel.crystals.table import read_table, write_table
from matwheel.dft.dft import DFTSettings, find_backend
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.force_constants import load_force_constants

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    settings = DFTSettings(**params.settings)
    configurations = read_table(snakemake.input.configurations)
    labels = label_with_dft(
        configurations[configurations["block"] < params.configurations // params.block_size],
        load_force_constants(snakemake.input.constants).crystal,
        settings,
        find_backend(settings, "rule compute_configuration_dft"),
        params.folder,
        log,
    )
    write_table(labels, snakemake.output.labels)
