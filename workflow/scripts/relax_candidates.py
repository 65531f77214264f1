"""Relax a shard of crystals."""

from matwheel.core.progress import logged
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.relaxation import RelaxationSettings, relax
from matwheel.potentials.stored_calculator import stored_calculator

with logged(snakemake.log[0]) as log:
    params = snakemake.params
    first = int(snakemake.wildcards.shard) * params.shard_size
    crystals = crystals_of_table(read_table(snakemake.input.crystals).iloc[first : first + params.shard_size])
    settings, name = RelaxationSettings(**params.settings), params.potential["name"]
    # Float32 runs that differ by rounding alone have ended some meV per atom apart after long relaxations;
    # float64 rounds 10⁹ times finer.
    with stored_calculator(
        name, snakemake.config["store"], log, device=params.device, double_precision=None
    ) as calculator:
        relaxed = relax(crystals, calculator, settings, log, elements=POTENTIALS[name].elements)
    write_table(relaxed, snakemake.output.relaxed)
