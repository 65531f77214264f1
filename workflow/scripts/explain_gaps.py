"""Which bonds the networks look at, which ones the gap depends on, and whether altering them matters."""

import torch

from matwheel.chapters.phonon.attribution_figure import draw_explanations, sensitivity_rows
from matwheel.chapters.phonon.distance_network import DistanceNetwork
from matwheel.chapters.phonon.gap_explanations import ExplainedNetwork, explain_gaps
from matwheel.core.files import write_csv
from matwheel.crystals.table import read_table
from matwheel.figures.figures import save_figure
from matwheel.runs.recorded_code import recorded
from matwheel.vibrations.force_constants import load_force_constants, supercell_at_rest

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params, output = snakemake.params, snakemake.output
    at_rest, _ = supercell_at_rest(load_force_constants(snakemake.input.constants))
    given = zip(params.models, snakemake.input.models, snakemake.input.predictions, strict=True)
    networks = [
        ExplainedNetwork(learnt_set, seed, DistanceNetwork.load(path), frozenset(read_table(tested)["id"]))
        for (learnt_set, seed), path, tested in given
    ]
    found = explain_gaps(
        networks, read_table(snakemake.input.labelled), at_rest, pairs=params.pairs, seed=params.seed
    )
    log(f"largest part of a change that attributions miss: {found.largest_missing_ev:.2g} eV")
    write_csv(found.importance, output.importance)
    write_csv(found.contrasts, output.contrast)
    write_csv(found.curves, output.faithfulness)
    write_csv(found.areas, output.areas)
    write_csv(found.label_sensitivity, output.sensitivity)
    write_csv(found.network_sensitivity, output.network_sensitivity)
    figure = draw_explanations(
        found.importance,
        found.over_distance,
        sensitivity_rows(found.label_sensitivity, found.network_sensitivity),
        found.curves[(found.curves["altered"] == "restored") & (found.curves["measure"] == "change")],
        measure="variance_share",
        note=f"{len(networks)} networks, each on its own test rows, {found.configurations} thermal "
        "configurations in all; integrated gradients from the bonds at rest to the displaced ones",
    )
    save_figure(figure, output.figure)
