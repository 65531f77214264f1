"""The latent predictor without and with computed properties, on official splits: errors and intervals.

    OMP_NUM_THREADS=1 python benchmarks/latent_properties.py NAME CRYSTALS.parquet MIRROR_FOLDER OUT.csv \
        --features ONE.npz OTHER.npz --properties TABLE.parquet --columns COLUMN ... --base COLUMN

NAME is that of a dataset of Chang et al. 2022, whose five splits give F (all training rows) and S (a tenth of
them labelled); `matbench` are the five folds of Matbench, which are those of `KFold(5, shuffle=True,
random_state=18012019)` in the published row order. All errors are those of test rows, for which no setting of
a variant was chosen; which variants there are was. Each finished row is appended to OUT.csv at once, and rows
that are there are not computed again. The last table says which of two variants is better by the corrected
resampled t-test on the splits, after Holm's correction.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.model_selection import KFold

from matwheel.core.files import sha256_of_file
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.datasets.published_splits import chang2022_split, read_published_splits
from matwheel.datasets.splits import labelled_rows
from matwheel.predictors.forest import ForestPredictor
from matwheel.predictors.latent import LatentPredictor, PreparedLatent
from matwheel.statistics.paired_statistics import (
    corrected_standard_error,
    corrected_t_test,
    with_decisions,
)

MATBENCH_SEED = 18012019
COVERAGE = 0.9


def parts(name: str, table: pd.DataFrame, sha256: str, mirror: str) -> Iterator[tuple[str, int, list, list]]:
    """Yield scheme and column, split, training and test rows."""
    ids = table["id"].to_numpy()
    for split, (train, test) in enumerate(KFold(5, shuffle=True, random_state=MATBENCH_SEED).split(ids)):
        yield "matbench", split, list(ids[train]), list(ids[test])
    published = read_published_splits([mirror])
    for column in ("S", "F"):
        for seed in range(5):
            split = chang2022_split(table, published, seed, dataset=name, dataset_sha256=sha256)
            rows = labelled_rows(split) if column == "S" else split.train
            yield f"chang2022 {column}", seed, list(rows), list(split.test)


def variants(options: argparse.Namespace) -> dict[str, tuple[list[str], dict]]:
    """Return for each variant the potentials and what of the settings changes."""
    every = list(LatentPredictor.read_prepared(options.features).features)
    informed = {
        "properties": options.columns,
        "positive_properties": options.positive,
        "base_property": options.base,
        "chosen_by": "label",
        "gammas": [0.01, 0.03, 0.1, 0.3, 1.0],
    }
    found = {
        "latent, volume": (every[:1], {"size": "volume"}),
        "latent": (every[:1], {}),
        "latent, two potentials": (every, {}),
    }
    if options.properties:
        found |= {
            "latent with properties": (every[:1], informed),
            "latent with properties, two potentials": (every, informed),
        }
    return found


def measured(predictor: LatentPredictor, crystals: dict, target: pd.Series, train: list, test: list) -> dict:
    """Return what one split says of a predictor."""
    started = time.process_time()
    report = predictor.fit(
        [crystals[name] for name in train], target[train].to_numpy(), [], np.zeros(0),
        seed=0, log=lambda message: None,
    )  # fmt: skip
    seconds = time.process_time() - started
    asked, labels = [crystals[name] for name in test], target[test].to_numpy()
    row = {"training_rows": len(train), "test_rows": len(test), "fit_cpu_s": round(seconds, 1)}
    if not isinstance(predictor, LatentPredictor):
        return {**row, "mae": np.abs(predictor.predict(asked) - labels).mean()}
    given = predictor.predict_intervals(asked, COVERAGE)
    held = (given.lowest <= labels) & (labels <= given.highest)
    return {
        **row,
        "mae": np.abs(given.predicted - labels).mean(),
        "covered": int(held.sum()),
        "median_width": np.median(given.highest - given.lowest),
        "unlike_training": int(given.unlike_training.sum()),
        "mae_unlike": np.abs(given.predicted - labels)[given.unlike_training].mean()
        if given.unlike_training.any() else np.nan,
        "chosen": json.dumps({"form": report.get("form"), "all": report.get("forms", report["chosen"])}),
    }  # fmt: skip


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return paired differences of the variants from the first one, scheme by scheme."""
    table = []
    for scheme, of_scheme in rows.groupby("scheme", sort=False):
        errors = of_scheme.pivot(index="split", columns="variant", values="mae")
        ratio = float((of_scheme["test_rows"] / of_scheme["training_rows"]).mean())
        first = rows["variant"].iloc[0]
        for variant in errors.columns.drop(first):
            difference = (errors[variant] - errors[first]).dropna().to_numpy()
            error = corrected_standard_error(difference, ratio)
            margin = student.ppf(0.975, len(difference) - 1) * error
            table.append(
                {"scheme": scheme, "variant": variant, "against": first, "splits": len(difference),
                 "mean_difference": difference.mean(),
                 "low": difference.mean() - margin, "high": difference.mean() + margin,
                 "p_corrected_t": corrected_t_test(difference, ratio)[1]}
            )  # fmt: skip
    return with_decisions(pd.DataFrame(table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("crystal_table")
    parser.add_argument("mirror_folder")
    parser.add_argument("out")
    parser.add_argument("--features", nargs="+", required=True, help="of the default potential, then others")
    parser.add_argument("--properties", nargs="*", default=[], help="tables of computed properties")
    parser.add_argument("--columns", nargs="*", default=[], help="of these tables")
    parser.add_argument("--positive", nargs="*", default=[], help="columns on a logarithmic scale")
    parser.add_argument("--base", help="column that stands for the label")
    parser.add_argument("--only", nargs="*", help="variants to measure")
    parser.add_argument("--schemes", nargs="+", default=["matbench", "chang2022 S", "chang2022 F"])
    options = parser.parse_args()
    table = read_table(options.crystal_table)
    crystals = dict(zip(table["id"], crystals_of_table(table), strict=True))
    target = table.set_index("id")["target"]
    sha256 = sha256_of_file(options.crystal_table)
    prepared = LatentPredictor.read_prepared([*options.features, *options.properties])
    out = Path(options.out)
    rows = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["variant", "scheme", "split"])
    done = set(zip(rows["variant"], rows["scheme"], rows["split"], strict=True))
    chosen = {**variants(options), "forest": ([], {})}
    for variant, (potentials, settings) in chosen.items():
        if options.only and variant not in options.only:
            continue
        for scheme, split, train, test in parts(options.name, table, sha256, options.mirror_folder):
            if (variant, scheme, split) in done or scheme not in options.schemes:
                continue
            known = PreparedLatent({one: prepared.features[one] for one in potentials}, prepared.properties)
            predictor = (
                LatentPredictor.from_settings({"potentials": potentials, **settings}, known)
                if potentials
                else ForestPredictor()
            )
            row = {"dataset": options.name, "variant": variant, "scheme": scheme, "split": split}
            row |= measured(predictor, crystals, target, train, test)
            rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
            rows.to_csv(out, index=False, float_format="%.6g")
            print(row, flush=True)
    order = list(chosen)
    rows = rows.sort_values(
        ["variant", "scheme", "split"], key=lambda one: one.map(order.index) if one.name == "variant" else one
    )
    rows.to_csv(out, index=False, float_format="%.6g")
    means = rows.groupby(["variant", "scheme"], sort=False)
    print(pd.DataFrame({
        "mae": means["mae"].mean(), "sd": means["mae"].std(),
        "coverage": means["covered"].sum() / means["test_rows"].sum(),
    }).round(3).to_string())  # fmt: skip
    if rows["variant"].nunique() > 1:
        print(compare(rows).round(4).to_string())


if __name__ == "__main__":
    main()
