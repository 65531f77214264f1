"""Select the candidates that get phonons: those nearest to the reference hull."""

import pandas as pd

from matwheel.crystals.table import geometry_columns, read_table, write_table
from matwheel.progress import logged
from matwheel.screening.verdicts import survivors
from matwheel.validation.selection import nearest_to_hull

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    relaxed = read_table(snakemake.input.relaxed).set_index("id", drop=False)
    energies = read_table(snakemake.input.hull).set_index("id")["e_above_hull_dft_ev_per_atom"].to_dict()
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    passed = survivors(verdicts, list(relaxed["id"]), params.require)
    near = nearest_to_hull(passed, energies, params.largest_e_above_hull)
    selected = near[: params.at_most]
    log(f"{len(near)} candidates within {params.largest_e_above_hull:g} eV/atom; {len(selected)} get phonons")
    write_table(relaxed.loc[selected, geometry_columns(relaxed)], snakemake.output.crystals)
