"""Pre-train an MPVAE on the genes and formation energies of the training rows."""

import torch

from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.table import read_table
from matwheel.generators.mpvae.generator import MPVAE
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded
from matwheel.training.checkpoints import TrainingCheckpoint, fingerprint
from matwheel.wyckoff.gene_rows import part_of_table

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params, output = dict(snakemake.params), snakemake.output
    table = read_table(snakemake.input.genes)
    genes, labels = part_of_table(table, "train")
    validation_genes, validation_labels = part_of_table(table, "validation")
    model = MPVAE.from_settings({**params["settings"], "device": params["device"]})
    checkpoint = TrainingCheckpoint(f"{output.model}.checkpoint", fingerprint(params, snakemake.input))
    report = model.pretrain(
        genes,
        labels,
        validation_genes=validation_genes,
        validation_labels=validation_labels,
        seed=params["seed"],
        checkpoint=checkpoint,
        log=log,
    )
    card = {
        "genes_sha256": sha256_of_file(snakemake.input.genes),
        "seed": params["seed"],
        "settings": params["settings"],
        "report": report,
        "versions": library_versions(),
    }
    write_json(card, output.card)
    model.save(output.model)
    checkpoint.remove()
