"""Do models trained on thermal configurations beat models trained on random ones? The plan and the tables.

An arm is a training set (thermal, uniform, uniform with the rms displacements of the thermal set, or half
thermal and half uniform) of a given number of rows. Every arm is scored on the test rows of every set, and
all arms and methods of a seed share the test rows. A seed stands for a split and an initialisation.

Configurations with the same block number come from the same stretch of a random sequence, whatever their set
and compound. One block is never on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.chapters.phonon.labelled_configurations import TARGETS
from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed
from matwheel.core.table_rows import groups
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table
from matwheel.statistics.paired_statistics import (
    OTHER_FAMILY,
    corrected_standard_error,
    corrected_t_test,
    hierarchical_bootstrap_interval,
    with_decisions,
)
from matwheel.vibrations.displacements import THERMAL, UNIFORM_ONE_SIDED, UNIFORM_SCALED

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")
BOTH = "both"
TEST_SETS = (THERMAL, UNIFORM_ONE_SIDED, UNIFORM_SCALED)
TRAINING_SETS = (*TEST_SETS, BOTH)
_KINDS_OF_BOTH = (THERMAL, UNIFORM_ONE_SIDED)
TRAINING_SIZES = (8, 16, 24, 32, 44)
FRACTIONS = (0.70, 0.15, 0.15)
MAIN_METHOD, RIDGE, CONSTANT = "distance_network", "bond_length_ridge", "constant"

PUBLISHED_R2_AND_MAE = {"band_gap_ev": (0.85, 0.030)}
"""Of Benítez et al., arXiv 2511.15222: trained on about 1,000 thermal configurations, tested on such."""

COMPARED_TRAINING_SETS = (
    (THERMAL, UNIFORM_ONE_SIDED),
    (THERMAL, UNIFORM_SCALED),
    (BOTH, THERMAL),
    (BOTH, UNIFORM_ONE_SIDED),
)
"""Pairs (training set, reference): the difference is MAE(set) − MAE(reference); below zero the set wins."""

COMPARED_METHODS = ((MAIN_METHOD, CONSTANT), (MAIN_METHOD, RIDGE))
"""Pairs (method, reference) that are compared within each training set."""

_RUN = ["training_set", "size", "seed", "method"]
PREDICTION_COLUMNS = (*_RUN, "target", "test_set", "id", "truth", "prediction")
_CELL = ["training_set", "size", "method", "target", "test_set"]


class Method(Protocol):
    """A model of several targets at once; a label that is not known is NaN."""

    def fit(
        self,
        train_crystals: Sequence[Crystal],
        train_targets: NDArray[np.float64],
        validation_crystals: Sequence[Crystal],
        validation_targets: NDArray[np.float64],
        *,
        seed: int,
    ) -> dict[str, Any]:
        """Train and return a report."""

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return predictions, shape (n, targets)."""


# --- splits -----------------------------------------------------------------------------------------------


def kinds_of(table: pd.DataFrame) -> pd.Series:
    """Return the kind of set of each configuration, e.g. 'thermal': column `kind`, or else `set`."""
    return table["kind"] if "kind" in table.columns else table["set"]


def split_blocks(table: pd.DataFrame, seed: int) -> pd.Series:
    """Assign whole blocks to training, validation and test so that every set is cut near the fractions.

    Blocks are taken in random order, and each goes where the sets it holds lack most of their share.

    Args:
        table: configuration table with `block` and `kind` (or `set`); one row per configuration.

    Returns:
        'train', 'validation' or 'test' for each row, with the index of `table`.

    Raises:
        InputError: rows without a block, or a set with fewer than three blocks.
    """
    shares = np.array(FRACTIONS, dtype=np.float64)
    if table["block"].isna().any():
        row = table.loc[table["block"].isna(), "id"].iloc[0]
        raise InputError(f"configuration {row} has no block; label the table with blocks before splitting")
    counts = pd.crosstab(table["block"], kinds_of(table)).sort_index()
    for kind in counts.columns:
        blocks = int((counts[kind] > 0).sum())
        if blocks < len(PARTS):
            raise InputError(
                f"set {kind} has {blocks} blocks, a split needs at least {len(PARTS)}; make more "
                "configurations or smaller blocks"
            )
    sizes = counts.to_numpy(np.float64) / counts.to_numpy().sum(axis=0)
    # What every part still lacks of every set, as a share of the set.
    lacking = np.repeat(shares[:, None], sizes.shape[1], axis=1)
    parts: dict[Any, str] = {}
    for place in np.random.default_rng(derive_seed(seed, "blocks")).permutation(len(counts)):
        # Relative to the fraction, or the small parts would be filled last and take whatever is left.
        need = (lacking * sizes[place]).sum(axis=1) / shares
        chosen = int(need.argmax())
        lacking[chosen] -= sizes[place]
        parts[counts.index[place]] = PARTS[chosen]
    assigned = table["block"].map(parts).rename("part")
    check_blocks_apart(table, assigned)
    return assigned


def check_blocks_apart(table: pd.DataFrame, parts: pd.Series) -> None:
    """Refuse a split in which one block is in two parts.

    Raises:
        InputError: it is, a row has no part, or an id occurs twice.
    """
    if len(parts) != len(table) or not parts.isin(PARTS).all():
        raise InputError(f"a split must assign every configuration to one of {', '.join(PARTS)}")
    if table["id"].duplicated().any():
        raise InputError(f"configuration {table.loc[table['id'].duplicated(), 'id'].iloc[0]} occurs twice")
    blocks = pd.DataFrame({"block": table["block"].to_numpy(), "part": parts.to_numpy()})
    sides = blocks.groupby("block")["part"].nunique()
    if (sides > 1).any():
        block = sides.index[sides > 1][0]
        held = ", ".join(sorted(blocks.loc[blocks["block"] == block, "part"].unique()))
        raise InputError(
            f"block {block} stands in {held}: configurations of one block are alike, so the test would "
            "not be one; split by whole blocks"
        )


# --- the plan of arms -------------------------------------------------------------------------------------


def training_order(table: pd.DataFrame, parts: pd.Series, training_set: str, seed: int) -> NDArray[np.int64]:
    """Return positions of the training rows of an arm; its first n are the training set of size n.

    So smaller sets are subsets of larger ones. 'both' takes thermal and uniform rows in turn, the same ones
    that the two sets alone begin with, for as long as there are rows of both.

    Raises:
        InputError: an unknown training set, or one without training rows.
    """
    return _arm_rows(table, parts, training_set, seed, TRAIN)


def validation_rows(table: pd.DataFrame, parts: pd.Series, training_set: str, seed: int) -> NDArray[np.int64]:
    """Return positions of the validation rows of an arm: of its own kind, of both half of each."""
    rows = _arm_rows(table, parts, training_set, seed, VALIDATION)
    return rows[: (len(rows) + 1) // 2] if training_set == BOTH else rows


def _arm_rows(
    table: pd.DataFrame, parts: pd.Series, training_set: str, seed: int, part: str
) -> NDArray[np.int64]:
    if training_set not in TRAINING_SETS:
        raise InputError(f"unknown training set {training_set!r}; choose one of {', '.join(TRAINING_SETS)}")
    columns = []
    for kind in _KINDS_OF_BOTH if training_set == BOTH else (training_set,):
        rows = np.flatnonzero((parts == part).to_numpy() & (kinds_of(table) == kind).to_numpy())
        if not len(rows):
            raise InputError(f"set {kind} has no rows in the {part} part; make more configurations of it")
        # By id, so that the order of the table does not matter.
        rows = rows[np.argsort(table["id"].to_numpy()[rows].astype(str), kind="stable")]
        columns.append(np.random.default_rng(derive_seed(seed, "order", kind, part)).permutation(rows))
    shortest = min(len(rows) for rows in columns)
    return np.stack([rows[:shortest] for rows in columns], axis=1).ravel()


def labelled_rows(table: pd.DataFrame, targets: Sequence[str]) -> pd.DataFrame:
    """Return the rows with status 'ok', where there is that column, and at least one known target.

    Raises:
        InputError: a target is no column, or no configuration has a label of it.
    """
    for target in targets:
        if target not in table.columns or not table[target].notna().any():
            raise InputError(
                f"no configuration has the label {target}; leave it out of the targets or label the table"
            )
    kept = table[list(targets)].notna().any(axis=1)
    if "status" in table.columns:
        kept &= table["status"] == "ok"
    return table[kept].reset_index(drop=True)


def transfer_predictions(
    table: pd.DataFrame,
    training_set: str,
    seed: int,
    methods: Mapping[str, Callable[[], Method]],
    *,
    targets: Sequence[str] = TARGETS,
    sizes: Sequence[int] = TRAINING_SIZES,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Train one training set at all sizes with one seed, and predict the test rows of all sets.

    Args:
        table: configuration table; rows without any of the targets are left out before the split.
        methods: name → maker of an unfitted model.
        targets: columns of the table that are learned together; NaN where not known.
        sizes: numbers of training rows; those beyond what there is are left out.

    Returns:
        Predictions with the columns `PREDICTION_COLUMNS`, one row per size, method, target and test
        configuration whose label is known; and the reports of the trainings.

    Raises:
        InputError: see `labelled_rows`, `split_blocks` and `training_order`, or no size that fits.
    """
    table = labelled_rows(table, targets)
    parts = split_blocks(table, seed)
    order = training_order(table, parts, training_set, seed)
    possible = sorted({size for size in sizes if size <= len(order)})
    if not possible:
        raise InputError(
            f"training set {training_set} has {len(order)} rows, fewer than the smallest size "
            f"{min(sizes, default=0)}; make more configurations or ask for smaller sizes"
        )
    crystals = crystals_of_table(table)
    labels = table[list(targets)].to_numpy(np.float64)
    validation = validation_rows(table, parts, training_set, seed)
    kinds = kinds_of(table).to_numpy()
    test = np.flatnonzero((parts == TEST).to_numpy() & np.isin(kinds, TEST_SETS))
    ids = table["id"].to_numpy()

    def of(rows: NDArray[np.int64]) -> tuple[list[Crystal], NDArray[np.float64]]:
        return [crystals[row] for row in rows], labels[rows]

    frames, reports = [], []
    for size in possible:
        for name, make in methods.items():
            model = make()
            report = model.fit(*of(order[:size]), *of(validation), seed=derive_seed(seed, "model", name))
            predicted = model.predict([crystals[row] for row in test])
            run = {"training_set": training_set, "size": size, "seed": seed, "method": name}
            reports.append(run | {"report": report})
            for column, target in enumerate(targets):
                known = np.isfinite(labels[test, column])
                frames.append(
                    pd.DataFrame(
                        run
                        | {
                            "target": target,
                            "test_set": kinds[test][known],
                            "id": ids[test][known],
                            "truth": labels[test, column][known],
                            "prediction": predicted[known, column],
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)[list(PREDICTION_COLUMNS)], reports


# --- tables -----------------------------------------------------------------------------------------------


def check_transfer_predictions(predictions: pd.DataFrame) -> None:
    """Refuse predictions that cannot be scored.

    Raises:
        InputError: a missing column, no rows, a test row given twice in one run, a value that is not finite,
            one configuration with two truths, or runs of one seed with different test rows.
    """
    missing = [name for name in PREDICTION_COLUMNS if name not in predictions.columns]
    if missing:
        raise InputError(f"predictions lack the columns {', '.join(missing)}")
    if predictions.empty:
        raise InputError("no predictions to score; train at least one training set")
    twice = predictions.duplicated([*_RUN, "target", "id"])
    if twice.any():
        row = predictions[twice].iloc[0]
        raise InputError(f"{row['id']} occurs twice in {_run_name(row)}; give each run once")
    finite = np.isfinite(predictions["truth"]) & np.isfinite(predictions["prediction"])
    if not finite.all():
        row = predictions[~finite].iloc[0]
        raise InputError(
            f"{_run_name(row)}: truth {row['truth']} or prediction {row['prediction']} of {row['id']} is not "
            "finite; look at that training's log"
        )
    if (predictions.groupby(["target", "id"])["truth"].nunique() > 1).any():
        raise InputError("one configuration has two truths; collect predictions of one table only")
    for (target, seed), part in predictions.groupby(["target", "seed"], sort=True):
        rows = part.groupby(["training_set", "size", "method"])["id"].agg(lambda ids: tuple(sorted(ids)))  # type: ignore[type-var]  # a cell may hold a tuple
        if rows.nunique() > 1:
            raise InputError(
                f"seed {seed}, {target}: runs were scored on different test rows; they must come from one "
                "split"
            )


def seed_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score every run on every test set.

    Returns:
        One row per training set, size, method, target, test set and seed, sorted: test_rows, mae, bias (mean
        of prediction − truth), r2 (empty for fewer than two rows or truths that are all the same).

    Raises:
        InputError: see `check_transfer_predictions`.
    """
    check_transfer_predictions(predictions)
    error = (predictions["prediction"] - predictions["truth"]).to_numpy(np.float64)
    scored = predictions.assign(absolute=np.abs(error), error=error)
    return pd.DataFrame(
        dict(zip([*_CELL, "seed"], key, strict=True))
        | {
            "test_rows": len(part),
            "mae": part["absolute"].mean(),
            "bias": part["error"].mean(),
            "r2": r_squared(part["truth"].to_numpy(), part["prediction"].to_numpy()),
        }
        for key, part in groups(scored, [*_CELL, "seed"])
    )


def r_squared(truth: NDArray[np.float64], prediction: NDArray[np.float64]) -> float:
    """Return 1 − Σ(error²) / Σ(truth − mean)²; NaN for fewer than two rows or equal truths."""
    spread = ((truth - truth.mean()) ** 2).sum() if len(truth) > 1 else 0.0
    return float(1 - ((prediction - truth) ** 2).sum() / spread) if spread > 0 else float("nan")


def learning_curves(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average the scores over the seeds.

    Returns:
        One row per training set, size, method, target and test set, in the order of `TRAINING_SETS` and
        `TEST_SETS`: seeds, test_rows (mean of a seed), mae_mean, mae_std, r2_mean, r2_std, bias_mean,
        r2_pooled (of the rows of all seeds together: a seed has few rows, and its R² scatters), published_r2
        and published_mae (see `PUBLISHED_R2_AND_MAE`). Standard deviations have n − 1 in the denominator and
        are empty for one seed.

    Raises:
        InputError: see `check_transfer_predictions`.
    """
    scores = seed_scores(predictions)
    pooled = {
        key: r_squared(part["truth"].to_numpy(), part["prediction"].to_numpy())
        for key, part in predictions.groupby(_CELL)
    }
    rows = []
    for key, part in groups(scores, _CELL):
        cell = dict(zip(_CELL, key, strict=True))
        compared = (cell["method"], cell["training_set"], cell["test_set"]) == (MAIN_METHOD, THERMAL, THERMAL)
        published = PUBLISHED_R2_AND_MAE.get(cell["target"]) if compared else None
        rows.append(
            cell
            | {
                "seeds": len(part),
                "test_rows": part["test_rows"].mean(),
                "mae_mean": part["mae"].mean(),
                "mae_std": part["mae"].std(ddof=1),
                "r2_mean": part["r2"].mean(),
                "r2_std": part["r2"].std(ddof=1),
                "r2_pooled": pooled[key],
                "bias_mean": part["bias"].mean(),
                "published_r2": published[0] if published else np.nan,
                "published_mae": published[1] if published else np.nan,
            }
        )
    return _in_plan_order(pd.DataFrame(rows), ["target", "method", "test_set", "training_set", "size"])


def cross_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return every training set on every test set at the largest number of training rows that all have.

    Returns:
        Rows of `learning_curves`, and mae_over_constant: mae_mean over that of the constant method trained on
        as many rows of the test set's own kind (empty without it).

    Raises:
        InputError: see `check_transfer_predictions`, or the training sets have no size in common.
    """
    check_transfer_predictions(predictions)
    sizes = set.intersection(*(set(part["size"]) for _, part in predictions.groupby("training_set")))
    if not sizes:
        raise InputError("the training sets share no size; train all of them with one size")
    table = learning_curves(predictions[predictions["size"] == max(sizes)])
    own = table[(table["method"] == CONSTANT) & (table["training_set"] == table["test_set"])]
    reference = own.set_index(["target", "test_set"])["mae_mean"]
    keys = pd.MultiIndex.from_frame(table[["target", "test_set"]])
    table["mae_over_constant"] = table["mae_mean"].to_numpy() / reference.reindex(keys).to_numpy()
    return table


def contrasts(predictions: pd.DataFrame, seed: int = 0, replicates: int = 2000) -> pd.DataFrame:
    """Compare training sets, and methods within a training set, on the same seeds and test rows.

    Args:
        seed: of the bootstrap; each contrast derives its own.

    Returns:
        One row per pair of `COMPARED_TRAINING_SETS` (for each method) or `COMPARED_METHODS` (for each
        training set), size that both have, target and test set: seeds, test_rows (of all seeds),
        mean_difference of the absolute errors (below zero the first wins), interval_low, interval_high (95 %,
        hierarchical bootstrap over seeds and rows), corrected_standard_error and p_corrected_t (Nadeau &
        Bengio: seeds share configurations), its Holm correction and better (see `with_decisions`), note.
        `family` is what Holm's correction runs over: 'thermal or random' are the networks of the first set
        against each random one, at the largest size that both have; 'other' is the rest.

    Raises:
        InputError: see `check_transfer_predictions`.
    """
    check_transfer_predictions(predictions)
    planned = (MAIN_METHOD, RIDGE, CONSTANT)
    present = set(predictions["method"])
    methods = [*(name for name in planned if name in present), *sorted(present - set(planned))]
    pairs = [
        ((method, one), (method, other)) for method in methods for one, other in COMPARED_TRAINING_SETS
    ] + [((one, arm), (other, arm)) for one, other in COMPARED_METHODS for arm in TRAINING_SETS]
    absolute = predictions.assign(error=(predictions["prediction"] - predictions["truth"]).abs())
    runs = {
        key: part.set_index(["seed", "id"])["error"].sort_index()
        for key, part in groups(absolute, ["method", "training_set", "size", "target", "test_set"])
    }
    rows = []
    for first, second in pairs:
        for key in sorted(key for key in runs if key[:2] == first):
            other = runs.get((*second, *key[2:]))
            if other is None:
                continue
            size, target, test_set = key[2:]
            own_seed = derive_seed(seed, *first, *second, int(size), target, test_set)
            rows.append(
                {
                    "method": first[0],
                    "training_set": first[1],
                    "reference_method": second[0],
                    "reference_training_set": second[1],
                    "size": size,
                    "target": target,
                    "test_set": test_set,
                    **_paired(runs[key], other, int(size), own_seed, replicates),
                }
            )
    table = pd.DataFrame(rows, columns=[name for name in _CONTRAST_COLUMNS if name not in _DECISIONS])
    return decided_contrasts(table)


def decided_contrasts(table: pd.DataFrame) -> pd.DataFrame:
    """Return contrasts with their family, Holm's correction within it, and `better`."""
    pair = ["training_set", "reference_training_set"]
    network = (table["method"] == MAIN_METHOD) & (table["reference_method"] == MAIN_METHOD)
    asked = network & (table["training_set"] == THERMAL) & table["reference_training_set"].isin(TEST_SETS)
    largest = (
        table["size"]
        == table[asked].groupby(pair)["size"].max().reindex(pd.MultiIndex.from_frame(table[pair])).to_numpy()
    )
    table = table.assign(family=np.where(asked & largest, ASKED, OTHER_FAMILY))
    return with_decisions(table, splits="seeds", family="family")[list(_CONTRAST_COLUMNS)]


ASKED = "thermal or random"
_DECISIONS = ("family", "p_corrected_t_holm", "better")
_CONTRAST_COLUMNS = (
    "method",
    "training_set",
    "reference_method",
    "reference_training_set",
    "size",
    "target",
    "test_set",
    "seeds",
    "test_rows",
    "mean_difference",
    "interval_low",
    "interval_high",
    "corrected_standard_error",
    "p_corrected_t",
    "family",
    "p_corrected_t_holm",
    "better",
    "note",
)


def _paired(first: pd.Series, second: pd.Series, size: int, seed: int, replicates: int) -> dict[str, Any]:
    """Return the figures of one contrast; both series hold absolute errors by (seed, id)."""
    common = sorted(set(first.index.get_level_values("seed")) & set(second.index.get_level_values("seed")))
    differences = [(first.loc[which] - second.loc[which]).to_numpy(np.float64) for which in common]
    rows = sum(len(values) for values in differences)
    figures: dict[str, Any] = {"seeds": len(common), "test_rows": rows, "note": ""}
    if not common:
        return figures | {"note": "no seed has both"}
    means = np.array([values.mean() for values in differences])
    figures["mean_difference"] = float(means.mean())
    if len(common) < 2:
        return figures | {"note": "fewer than two common seeds: no interval and no test"}
    low, high = hierarchical_bootstrap_interval(differences, seed=seed, replicates=replicates)
    ratio = rows / len(common) / size
    return figures | {
        "interval_low": low,
        "interval_high": high,
        "corrected_standard_error": corrected_standard_error(means, ratio),
        "p_corrected_t": corrected_t_test(means, ratio)[1],
    }


def _in_plan_order(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return rows sorted by columns, names in the order of the plan before any others."""
    known = {
        name: place
        for names in (TARGETS, (MAIN_METHOD, RIDGE, CONSTANT), TRAINING_SETS)
        for place, name in enumerate(names)
    }

    def rank(column: pd.Series) -> pd.Series:
        if column.name == "size":
            return column
        return column.map(lambda name: f"{known.get(name, len(known)):03d} {name}")

    return table.sort_values(list(columns), key=rank, kind="stable").reset_index(drop=True)


def _run_name(row: pd.Series) -> str:
    return (
        f"{row['method']} trained on {row['size']} rows of {row['training_set']}, seed {row['seed']}, "
        f"{row['target']}"
    )
