"""PBE on the best small candidates, beside the potential's figures."""

from pathlib import Path

import pandas as pd

from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table, write_table
from matwheel.dft.dft import DFTSettings, calculate_all, find_backend
from matwheel.dft.dft_comparison import (
    best_small,
    compare_with_potential,
    dft_verdicts,
    potential_results,
    symmetric_minima,
)
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded
from matwheel.verdicts import verdict_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    settings = DFTSettings(**params.settings)
    backend = find_backend(settings, "rule compute_dft")
    relaxed = pd.concat([read_table(path) for path in snakemake.input.relaxed], ignore_index=True)
    best = best_small(
        pd.read_csv(snakemake.input.candidates, dtype={"id": str}, keep_default_na=False),
        relaxed,
        max_atoms=settings.max_atoms,
        n=params.at_most,
        elements=backend.elements - set(settings.left_out_elements),
    )
    # Forces below 0.05 eV/Å leave traces of disorder; with its symmetry kept a crystal costs far less PBE.
    name, store = params.potential["name"], snakemake.config["store"]
    with stored_calculator(name, store, log, device=params.device) as calculator:
        crystals = symmetric_minima(best, calculator)
        potential = potential_results(crystals, calculator, name, settings)
    # Finished calculations stay in this folder by a hash of all they depend on, and are found again.
    results = calculate_all(crystals, settings, backend, Path(snakemake.output.verdicts).parent, log)
    write_csv(compare_with_potential(results, potential, crystals), snakemake.output.table)
    write_table(verdict_table(dft_verdicts(results, crystals, settings)), snakemake.output.verdicts)
