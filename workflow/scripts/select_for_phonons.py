"""Select the candidates that get phonons: those nearest to the reference hull."""

import pandas as pd

from matwheel.crystals.table import COLUMNS, read_table, write_table
from matwheel.progress import logged
from matwheel.screening.verdicts import survivors

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    relaxed = read_table(snakemake.input.relaxed).set_index("id", drop=False)
    energies = read_table(snakemake.input.hull).set_index("id")["e_above_hull_dft_ev_per_atom"]
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    passed = survivors(verdicts, list(relaxed["id"]), params.require)
    near = energies.reindex(passed)
    near = near[near <= params.largest_e_above_hull].sort_values(kind="stable")
    selected = list(near.index[: params.at_most])
    log(f"{len(near)} candidates within {params.largest_e_above_hull:g} eV/atom; {len(selected)} get phonons")
    write_table(relaxed.loc[selected, list(COLUMNS)], snakemake.output.crystals)
