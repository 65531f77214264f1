"""A shard of the configurations of a family of sets."""

import pandas as pd

from matwheel.chapters.phonon.configurations import ConfigurationSet, configurations
from matwheel.crystals.table import write_table
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.displacements import DisplacementSettings, vibrations
from matwheel.vibrations.force_constants import load_force_constants, supercell_at_rest

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params, wildcards = snakemake.params, snakemake.wildcards
    modes = []
    for path in snakemake.input:
        constants = load_force_constants(path)
        supercell, masses_amu = supercell_at_rest(constants)
        modes.append(vibrations(supercell, constants.matrix_ev_per_angstrom2, masses_amu))
    # One for all sets, or one for each.
    modes = modes * len(params.sets) if len(modes) == 1 else modes
    tables = []
    for (name, block_size), its_modes in zip(params.sets.items(), modes, strict=True):
        per_shard = params.shard_size * block_size // params.block_size
        first = int(wildcards.shard) * per_shard
        tables.append(
            configurations(
                wildcards.compound,
                ConfigurationSet.of_name(name),
                its_modes,
                range(first, first + per_shard),
                seed=params.seed,
                settings=DisplacementSettings(**params.settings),
                block_size=block_size,
            )
        )
        lengths = tables[-1]["rms_displacement_angstrom"]
        log(f"{name}: {len(lengths)} configurations, rms displacement {lengths.mean():.3f} Å")
    write_table(pd.concat(tables, ignore_index=True), snakemake.output.configurations)
