"""Tables 1 and 2 of MatGAN and the tables behind its figures, from the evaluations of all sets."""

from matwheel.evaluation import compositions
from matwheel.files import read_json, write_csv
from matwheel.progress import logged

with logged(snakemake.log[0]):
    evaluations = [
        compositions.CompositionEvaluation.from_dict(read_json(path)) for path in snakemake.input.evaluations
    ]
    for name, tabulate in {
        "table1": compositions.table1,
        "table2": compositions.table2,
        "validity": compositions.validity_table,
        "uniqueness": compositions.uniqueness_table,
        "recovery": compositions.recovery_table,
        "recovery_curve": compositions.recovery_curve_table,
    }.items():
        write_csv(tabulate(evaluations), snakemake.output[name])
