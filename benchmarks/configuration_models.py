"""Validation error of the graph networks that could learn displaced configurations: distance network, CGCNN.

python benchmarks/configuration_models.py resources/phonon/Ag3SBr_pbe.parquet --seeds 5

Each is trained on the thermal rows of the training blocks and validated on those of the validation blocks;
the test blocks are not looked at. CGCNN sees all neighbours within the same cutoff, one target at a time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from matwheel.chapters.phonon.bond_baselines import BondLengthRidge
from matwheel.chapters.phonon.configuration_transfer import (
    TARGETS,
    labelled_rows,
    split_blocks,
    training_order,
    validation_rows,
)
from matwheel.chapters.phonon.distance_network import DistanceNetwork
from matwheel.crystals.graphs import GraphSettings
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.predictors.training import CGCNNPredictor
from matwheel.predictors.training_settings import training_settings

NEIGHBOURS_WITHIN_CUTOFF = 30


def main() -> None:
    """Print the mean validation error of each model and target, in the target's unit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labelled")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="of CGCNN")
    arguments = parser.parse_args()
    table = read_table(arguments.labelled)
    table = labelled_rows(table[table["kind"] == "thermal"], TARGETS)
    errors: dict[str, list[np.ndarray]] = {"distance_network": [], "bond_length_ridge": [], "cgcnn": []}
    seconds = dict.fromkeys(errors, 0.0)
    graph = GraphSettings(neighbours=NEIGHBOURS_WITHIN_CUTOFF, cutoff_angstrom=5.5)
    for seed in range(arguments.seeds):
        parts = split_blocks(table, seed)
        rows = [
            training_order(table, parts, "thermal", seed),
            validation_rows(table, parts, "thermal", seed),
        ]
        (train, train_labels), (held, held_labels) = (
            (crystals_of_table(table.iloc[part]), table[list(TARGETS)].to_numpy()[part]) for part in rows
        )
        for name in errors:
            started = time.process_time()
            if name == "cgcnn":
                predicted = np.full(held_labels.shape, np.nan)
                for column in range(len(TARGETS)):
                    model = CGCNNPredictor(
                        training_settings("default", {"target": "raw", "steps": arguments.steps}),
                        graph_settings=graph,
                    )
                    model.fit(
                        train,
                        train_labels[:, column],
                        held,
                        held_labels[:, column],
                        seed=seed,
                        log=lambda _: None,
                    )
                    predicted[:, column] = model.predict(held)
            else:
                model = DistanceNetwork() if name == "distance_network" else BondLengthRidge()
                model.fit(train, train_labels, held, held_labels, seed=seed)
                predicted = model.predict(held)
            seconds[name] += time.process_time() - started
            errors[name].append(np.nanmean(np.abs(predicted - held_labels), axis=0))
    print("model, " + ", ".join(TARGETS) + ", CPU seconds per seed")
    for name, values in errors.items():
        means = ", ".join(f"{value:.4f}" for value in np.mean(values, axis=0))
        print(f"{name}, {means}, {seconds[name] / arguments.seeds:.1f}")


if __name__ == "__main__":
    main()
