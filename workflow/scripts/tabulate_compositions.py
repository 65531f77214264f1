"""Tables 1 and 2 of MatGAN and the tables behind its figures, from the evaluations of all sets."""

from matwheel.chapters.matgan import composition_tables
from matwheel.chapters.matgan.compositions import CompositionEvaluation
from matwheel.core.files import read_json, write_csv
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]):
    evaluations = [CompositionEvaluation.from_dict(read_json(path)) for path in snakemake.input.evaluations]
    for name, tabulate in {
        "table1": composition_tables.table1,
        "table2": composition_tables.table2,
        "validity": composition_tables.validity_table,
        "uniqueness": composition_tables.uniqueness_table,
        "recovery": composition_tables.recovery_table,
        "recovery_curve": composition_tables.recovery_curve_table,
    }.items():
        write_csv(tabulate(evaluations), snakemake.output[name])
