"""Train ElemNet on the formation energies of a formula set."""

import torch

from matwheel.composition_models.elemnet import ElemNet
from matwheel.core.files import sha256_of_file, write_json
from matwheel.datasets.formula_sets import labelled_part, read_formula_set
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.training.checkpoints import TrainingCheckpoint, fingerprint

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = dict(snakemake.params)
    table = read_formula_set(snakemake.input.formulas)
    training, validation = labelled_part(table, "train"), labelled_part(table, "validation")
    model = ElemNet.from_settings({**params["settings"], "device": params["device"]})
    checkpoint = TrainingCheckpoint(
        f"{snakemake.output.model}.checkpoint", fingerprint(params, snakemake.input)
    )
    report = model.fit(
        *training,
        validation_counts=validation[0],
        validation_target=validation[1],
        elements=params["elements"],
        seed=params["seed"],
        checkpoint=checkpoint,
        log=log,
    )
    card = {
        "formulas_sha256": sha256_of_file(snakemake.input.formulas),
        "report": report,
        "versions": library_versions(),
    }
    write_json(card, snakemake.output.card)
    model.save(snakemake.output.model)
    checkpoint.remove()
