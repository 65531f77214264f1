"""Select the candidates that get phonons: those nearest to the reference hull, within its threshold."""

import pandas as pd

from matwheel.core.progress import logged
from matwheel.crystals.table import geometry_columns, read_table, write_table
from matwheel.hull.hull import HullSettings
from matwheel.potentials.selection import nearest_to_hull
from matwheel.verdicts import survivors

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    relaxed = read_table(snakemake.input.relaxed).set_index("id", drop=False)
    hull, settings = read_table(snakemake.input.hull).set_index("id"), HullSettings(**params.hull)
    energies = hull["e_above_hull_dft_ev_per_atom"].to_dict()
    limits = hull["dimensionality"].map(settings.threshold_of).to_dict()
    verdicts = pd.concat([read_table(path) for path in snakemake.input.verdicts])
    passed = survivors(verdicts, list(relaxed["id"]), params.require)
    near = nearest_to_hull(passed, energies, limits)
    selected = near[: params.at_most]
    log(f"{len(near)} candidates within the threshold of the hull; {len(selected)} get phonons")
    write_table(relaxed.loc[selected, geometry_columns(relaxed)], snakemake.output.crystals)
