"""Energies, forces and stresses of the potential beside those of density-functional theory."""

import torch

from matwheel.crystals.labelled_configurations import OK, REST
from matwheel.crystals.table import read_table
from matwheel.files import write_csv
from matwheel.progress import logged
from matwheel.validation.configuration_dft import compare_with_dft
from matwheel.validation.configurations import label_with_potential
from matwheel.validation.potentials import make_calculator

with logged(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    labelled = read_table(snakemake.input.labelled)
    labelled = labelled[(labelled["status"] == OK) & (labelled["set"] != REST)]
    calculator = make_calculator(params.potential["name"], double_precision=True)
    potential = label_with_potential(labelled, calculator)
    failed = potential["id"][potential["status"] != OK]
    agreement = compare_with_dft(labelled[~labelled["id"].isin(failed)], potential[potential["status"] == OK])
    write_csv(agreement, snakemake.output.agreement)
