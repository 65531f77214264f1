"""Energies, forces and stresses of the potential beside those of density-functional theory."""

from matwheel.chapters.phonon.configuration_dft import compare_with_dft
from matwheel.chapters.phonon.configurations import label_with_potential
from matwheel.chapters.phonon.labelled_configurations import OK, REST
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.potentials.stored_calculator import stored_calculator
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    labelled = read_table(snakemake.input.labelled)
    labelled = labelled[(labelled["status"] == OK) & (labelled["set"] != REST)]
    name, store = params.potential["name"], snakemake.config["store"]
    with stored_calculator(name, store, log, double_precision=True) as calculator:
        potential = label_with_potential(labelled, calculator)
    failed = potential["id"][potential["status"] != OK]
    agreement = compare_with_dft(labelled[~labelled["id"].isin(failed)], potential[potential["status"] == OK])
    write_csv(agreement, snakemake.output.agreement)
