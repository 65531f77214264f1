"""Energies against displacements of all compounds, and their phonon bands."""

from dataclasses import replace

import pandas as pd

from matwheel.chapters.phonon.displacement_figure import (
    bands_of_compounds,
    displacement_summary,
    draw_displacements,
)
from matwheel.core.files import read_json, write_csv
from matwheel.crystals.table import read_table
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.born_charges import born_charges_of, read_born_charges
from matwheel.vibrations.force_constants import load_force_constants

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    params = snakemake.params
    cards = dict(zip(params.compounds, map(read_json, snakemake.input.cards), strict=True))
    frame = pd.concat([read_table(path) for path in snakemake.input.configurations], ignore_index=True)
    at_rest = frame["compound"].map({name: card["rest_energy_ev_per_atom"] for name, card in cards.items()})
    frame["energy_above_rest_mev_per_atom"] = 1000 * (frame["energy_ev_per_atom"] - at_rest)
    frame["set"] = frame["kind"]
    atoms = {compound: card["atoms"] for compound, card in cards.items()}
    imaginary = {compound: card["imaginary_fraction"] for compound, card in cards.items()}
    write_csv(displacement_summary(frame, atoms, imaginary), snakemake.output.summary)
    draw_displacements(frame, snakemake.output.figure, atoms=atoms)
    charges = read_born_charges(params.born_charges) if params.born_charges else []
    # Added here, so that they make no configuration anew: only bands depend on them.
    constants = [
        replace(found, born_charges=born_charges_of(found.crystal, charges))
        for found in map(load_force_constants, snakemake.input.constants)
    ]
    save_figure(
        bands_of_compounds(dict(zip(params.compounds, constants, strict=True))), snakemake.output.bands
    )
