"""Energy, forces and stress of a shard of configurations by the potential."""

from matwheel.chapters.phonon.configurations import label_with_potential
from matwheel.crystals.table import read_table, write_table
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    name, store = snakemake.params.potential["name"], snakemake.config["store"]
    with stored_calculator(name, store, log, double_precision=True) as calculator:
        labels = label_with_potential(read_table(snakemake.input.configurations), calculator)
    log(f"{labels['status'].value_counts().to_dict()}; {labels['seconds'].sum():.1f} s")
    write_table(labels.drop(columns="seconds"), snakemake.output.labels)
