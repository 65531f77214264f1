"""Phonons of a shard of the candidates nearest to the reference hull, with a figure of each."""

import pandas as pd

from matwheel.crystals.table import (
    crystal_table,
    crystals_of_table,
    geometry_columns,
    read_table,
    write_table,
)
from matwheel.hull.hull import HullSettings
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.selection import nearest_to_hull
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import survivors
from matwheel.vibrations.born_charges import read_born_charges
from matwheel.vibrations.phonon_figure import archive_phonon_figures
from matwheel.vibrations.phonon_results import daughters_of, phonon_table
from matwheel.vibrations.phonon_settings import PhononSettings
from matwheel.vibrations.phonons import phonons_of

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    relaxed = read_table(snakemake.input.relaxed).set_index("id", drop=False)
    hull, limits = read_table(snakemake.input.hull).set_index("id"), HullSettings(**params.hull)
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    near = nearest_to_hull(
        survivors(verdicts, list(relaxed["id"]), params.require),
        hull["e_above_hull_dft_ev_per_atom"].to_dict(),
        hull["dimensionality"].map(limits.threshold_of).to_dict(),
    )
    selected = near[: params.at_most]
    log(f"{len(near)} candidates within the threshold of the hull; {len(selected)} get phonons")
    mine = selected[int(snakemake.wildcards.shard) :: params.shards]
    shard = crystals_of_table(relaxed.loc[mine, geometry_columns(relaxed)])
    settings, name = PhononSettings(**params.settings), params.potential["name"]
    charges = read_born_charges(params.born_charges) if params.born_charges else []
    elements = POTENTIALS[name].elements
    with stored_calculator(name, snakemake.config["store"], log, device=params.device) as calculator:
        results = phonons_of(shard, calculator, settings, log, elements=elements, known_charges=charges)
    archive_phonon_figures(results, snakemake.output.figures)
    write_table(crystal_table(daughters_of(results)), snakemake.output.daughters)
    write_table(phonon_table(results), snakemake.output.phonons)
