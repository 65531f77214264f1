"""Which bonds the networks look at, which ones the gap depends on, and whether altering them matters."""

import numpy as np
import pandas as pd
import torch

from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.evaluation.attribution_figure import draw_explanations, sensitivity_rows
from matwheel.evaluation.bond_attributions import (
    bond_table,
    importance,
    importance_contrast,
    integrated_gradients_of_distances,
)
from matwheel.evaluation.bonds import bonds_of
from matwheel.evaluation.faithfulness import (
    faithfulness,
    faithfulness_areas,
    faithfulness_curves,
    restored_predictions,
)
from matwheel.evaluation.figures import save_figure
from matwheel.evaluation.gap_sensitivity import (
    mean_sensitivities,
    network_sensitivities,
    ranking_agreement,
    sensitivity_from_labels,
)
from matwheel.files import write_csv
from matwheel.predictors.distance_network import DistanceNetwork
from matwheel.progress import logged
from matwheel.validation.force_constants import load_force_constants, supercell_at_rest

GAP = "band_gap_ev"
DISTANCE_BINS_ANGSTROM = np.arange(1.5, 6.01, 0.25)
# Of the most important bonds of a configuration, out of about 600.
ALTERED_BONDS = (5, 10, 20, 50, 100)

with logged(snakemake.log[0]) as log:
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    labelled = read_table(snakemake.input.labelled)
    labelled = labelled[labelled["status"] == "ok"]
    explained = labelled[labelled["kind"] == "thermal"].reset_index(drop=True)
    crystals, blocks = crystals_of_table(explained), explained["block"].to_numpy()
    at_rest, _ = supercell_at_rest(load_force_constants(snakemake.input.constants))

    tables, slopes, altered, missing = [], [], {}, []
    for (learnt_set, seed), path in zip(params.models, snakemake.input.models, strict=True):
        predictor = DistanceNetwork.load(path)
        of_gap = {"output": predictor.target_names.index(GAP)}
        of_model = {"model": learnt_set, "seed": seed, "block": blocks}
        bonds = bonds_of(crystals, at_rest, predictor.settings.cutoff_angstrom)
        attributions = integrated_gradients_of_distances(predictor.forward, bonds, **of_gap)
        missing.append(attributions.largest_missing)
        tables.append(bond_table(bonds, attributions.values, **of_model))
        slopes.append(network_sensitivities(predictor.forward, bonds, **of_gap, **of_model))
        restored = restored_predictions(predictor.forward, bonds, **of_gap)
        altered.setdefault(learnt_set, []).append(
            faithfulness(
                restored,
                bonds,
                attributions.values,
                ALTERED_BONDS,
                seed=params.seed,
                labels=explained[GAP].to_numpy(),
            )
        )
    table = pd.concat(tables, ignore_index=True)
    by_pair = importance(table, seed=params.seed)
    over_distance = importance(table, distance_bins_angstrom=DISTANCE_BINS_ANGSTROM, seed=params.seed)
    of_labels = sensitivity_from_labels(
        labelled[labelled["kind"] != "rest"], at_rest, pairs=params.pairs, seed=params.seed
    )
    of_networks = mean_sensitivities(pd.concat(slopes, ignore_index=True), seed=params.seed)

    curves, areas = [], []
    for learnt_set, rows in altered.items():
        joined = pd.concat(rows, ignore_index=True)
        for measure in ("change", "error_increase"):
            options = {"measure": measure, "blocks": blocks, "seed": params.seed}
            columns = {"model": learnt_set, "measure": measure}
            curves.append(faithfulness_curves(joined, **options).assign(**columns))
            areas.append(faithfulness_areas(joined, **options).assign(**columns))
    curves, areas = pd.concat(curves, ignore_index=True), pd.concat(areas, ignore_index=True)

    sensitivity = of_labels.set_index("pair")["effect_ev"].abs()
    words = []
    for learnt_set in altered:
        own = by_pair[by_pair["model"] == learnt_set].set_index("pair")["variance_share"]
        words.append(f"{learnt_set}: {ranking_agreement(own, sensitivity).words}")
    log(f"largest part of a prediction that attributions miss: {max(missing):.2g} eV; {'; '.join(words)}")
    note = (
        f"{len(params.models)} networks on {len(crystals)} thermal configurations; integrated gradients from "
        "the bonds at rest to the displaced ones"
    )

    write_csv(by_pair, snakemake.output.importance)
    write_csv(curves, snakemake.output.faithfulness)
    write_csv(areas, snakemake.output.areas)
    write_csv(of_labels, snakemake.output.sensitivity)
    write_csv(of_networks, snakemake.output.network_sensitivity)
    first, *others = altered
    contrasts = [importance_contrast(table, first, other, seed=params.seed) for other in others]
    write_csv(
        pd.concat(contrasts, ignore_index=True) if contrasts else pd.DataFrame(), snakemake.output.contrast
    )
    figure = draw_explanations(
        by_pair,
        over_distance,
        sensitivity_rows(of_labels, of_networks),
        curves[curves["measure"] == "change"],
        measure="variance_share",
        note=note,
    )
    save_figure(figure, snakemake.output.figure)
