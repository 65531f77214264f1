"""Self-consistent phonons of a compound at a temperature."""

from dataclasses import asdict
from math import isfinite

from matwheel.core.files import write_json
from matwheel.potentials.potentials import potential_card
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.force_constants import load_force_constants, save_force_constants
from matwheel.vibrations.self_consistent_phonons import SelfConsistentSettings, self_consistent_phonons

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    settings = SelfConsistentSettings(**params.settings)
    name, store = params.potential["name"], snakemake.config["store"]
    with stored_calculator(name, store, log, double_precision=True) as calculator:
        found = self_consistent_phonons(
            load_force_constants(snakemake.input.constants),
            calculator,
            float(snakemake.wildcards.temperature),
            params.seed,
            settings,
        )
    log(f"converged: {found.converged}; {found.evaluations} evaluations. {found.reason}")
    save_force_constants(found.constants, snakemake.output.constants)
    write_json(
        {
            "converged": found.converged,
            "reason": found.reason,
            "temperature_kelvin": found.temperature_kelvin,
            "evaluations": found.evaluations,
            # Not known where the computation ended early.
            "statistical_error_thz": found.statistical_error_thz
            if isfinite(found.statistical_error_thz)
            else None,
            "iterations": [asdict(iteration) for iteration in found.history],
            "settings": asdict(settings),
            "seed": params.seed,
            "potential": asdict(potential_card(params.potential["name"])),
        },
        snakemake.output.card,
    )
