"""Train the graph network and its baselines on growing parts of one training set; predict all test rows."""

import torch

from matwheel.chapters.phonon.bond_baselines import BondLengthRidge, ConstantBaseline
from matwheel.chapters.phonon.configuration_transfer import (
    CONSTANT,
    MAIN_METHOD,
    RIDGE,
    TEST_SETS,
    transfer_predictions,
)
from matwheel.chapters.phonon.distance_network import DistanceNetwork, DistanceNetworkSettings
from matwheel.core.files import sha256_of_file, write_json
from matwheel.crystals.table import read_table, write_table
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    networks = []

    def make_network():
        networks.append(
            DistanceNetwork(DistanceNetworkSettings(**params.settings), target_names=params.targets)
        )
        return networks[-1]

    table = read_table(snakemake.input.labelled)
    predictions, reports = transfer_predictions(
        table[table["kind"].isin(TEST_SETS)].reset_index(drop=True),
        snakemake.wildcards.learnt_set,
        params.seed,
        {MAIN_METHOD: make_network, RIDGE: BondLengthRidge, CONSTANT: ConstantBaseline},
        targets=params.targets,
        sizes=params.sizes,
    )
    # The seed of a training is long; a run is known by its number.
    write_table(predictions.assign(seed=int(snakemake.wildcards.seed)), snakemake.output.predictions)
    networks[-1].save(snakemake.output.model)  # sizes ascend: the one of most rows
    write_json(
        {
            "training_set": snakemake.wildcards.learnt_set,
            "seed": params.seed,
            "labelled_sha256": sha256_of_file(snakemake.input.labelled),
            "reports": reports,
            "versions": library_versions(),
        },
        snakemake.output.card,
    )
    log(f"{len(predictions)} predictions of {len(networks)} networks and their baselines")
