"""Energy, forces and stress of a shard of configurations by the potential."""

import torch

from matwheel.chapters.phonon.configurations import label_with_potential
from matwheel.core.progress import logged
from matwheel.crystals.table import read_table, write_table
from matwheel.potentials.potentials import make_calculator

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    calculator = make_calculator(snakemake.params.potential["name"], double_precision=True)
    labels = label_with_potential(read_table(snakemake.input.configurations), calculator)
    log(f"{labels['status'].value_counts().to_dict()}; {labels['seconds'].sum():.1f} s")
    write_table(labels.drop(columns="seconds"), snakemake.output.labels)
