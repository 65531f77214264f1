"""What the latent predictor costs and how well it does on the published splits of Chang et al. 2022.

    OMP_NUM_THREADS=1 python benchmarks/latent.py NAME CRYSTAL_TABLE.parquet MIRROR_FOLDER [--test]

NAME is that of a dataset with published splits, MIRROR_FOLDER holds the split file. Without --test the
errors are those of the validation rows, which the predictor does not use; settings are to be chosen on
those. The last figure is how good the predictor is as a teacher: trained on the labelled rows, its error on
the other training rows beside that of the labelled rows' median, and the rank correlation.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from scipy.stats import spearmanr

from matwheel.core.files import sha256_of_file
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.datasets.published_splits import chang2022_split, read_published_splits
from matwheel.datasets.splits import labelled_rows
from matwheel.predictors.latent import LatentPredictor
from matwheel.predictors.latent_features import LatentModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("crystal_table")
    parser.add_argument("mirror_folder")
    parser.add_argument("--test", action="store_true", help="score the test rows")
    parser.add_argument("--settings", default="{}", help="settings to change, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = read_table(options.crystal_table)
    crystals = dict(zip(table["id"], crystals_of_table(table), strict=True))
    target = table.set_index("id")["target"]
    started = time.process_time()
    model = LatentModel()
    loaded = time.process_time()
    features = model.features_of(list(crystals.values()))
    each = (time.process_time() - loaded) / len(crystals)
    without = sum(bool(reason) for reason in features.reasons)
    print(f"{options.name}: {len(crystals)} crystals, {without} without features")
    print(f"potential loaded in {loaded - started:.1f} CPU-s, then {each:.4f} CPU-s per crystal")

    published = read_published_splits([options.mirror_folder])
    dataset_sha256 = sha256_of_file(options.crystal_table)
    errors: dict[str, list[float]] = {"F": [], "S": []}
    teacher: list[tuple[float, float, float]] = []
    for seed in range(5):
        split = chang2022_split(table, published, seed, dataset=options.name, dataset_sha256=dataset_sha256)
        scored = list(split.test if options.test else split.validation)
        labelled = labelled_rows(split)
        for column, rows in (("F", split.train), ("S", labelled)):
            predictor = LatentPredictor.from_settings(json.loads(options.settings), features)
            started = time.process_time()
            report = predictor.fit(
                [crystals[name] for name in rows], target[list(rows)].to_numpy(), [], np.zeros(0),
                seed=seed, log=lambda message: None,
            )  # fmt: skip
            seconds = time.process_time() - started
            predicted = predictor.predict([crystals[name] for name in scored])
            errors[column].append(float(np.abs(predicted - target[scored].to_numpy()).mean()))
            chosen = json.dumps(report["chosen"])
            print(f"split {seed} {column}: {errors[column][-1]:.3f}, fit {seconds:.1f} CPU-s, {chosen}")
        rest = [name for name in split.train if name not in set(labelled)]
        guessed, true = predictor.predict([crystals[name] for name in rest]), target[rest].to_numpy()
        median = float(np.median(target[list(labelled)]))
        teacher.append(
            (np.abs(guessed - true).mean(), np.abs(median - true).mean(), spearmanr(guessed, true)[0])
        )
    part = "test" if options.test else "validation"
    for column, values in errors.items():
        print(f"{column}, {part} MAE {np.mean(values):.2f} ({np.std(values, ddof=1):.2f})")
    mae, of_median, rank = np.mean(teacher, axis=0)
    print(
        f"as a teacher: MAE {mae:.2f} on unlabelled rows, median {of_median:.2f}, rank correlation {rank:.2f}"
    )


if __name__ == "__main__":
    main()
