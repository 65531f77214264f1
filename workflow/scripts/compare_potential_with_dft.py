"""Energies, forces and stresses of the potential beside those of density-functional theory."""

import torch

from matwheel.chapters.phonon.configuration_dft import compare_with_dft
from matwheel.chapters.phonon.configurations import label_with_potential
from matwheel.chapters.phonon.labelled_configurations import OK, REST
from matwheel.core.files import write_csv
from matwheel.core.progress import logged
from matwheel.crystals.table import read_table
from matwheel.potentials.potentials import make_calculator

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
