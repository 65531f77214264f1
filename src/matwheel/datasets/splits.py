"""Splits of a dataset into training, validation and test rows, and the labelled part of the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed

SCHEMES = ("random", "formula", "prototype", "chang2022")
FRACTIONS = (0.70, 0.15, 0.15)
LABELLED_FRACTION = 0.1


@dataclass(frozen=True)
class Split:
    """Ids of the parts of a dataset, each in the dataset's row order.

    Attributes:
        scheme: one of `SCHEMES`.
        seed: that the parts were drawn with; for chang2022 the number of the published split.
        validation: rows for early stopping and the choice of checkpoints.

    Raises:
        InputError: parts overlap, or a part is too small to learn from.
    """

    dataset: str
    dataset_sha256: str
    scheme: str
    seed: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        where = self.said
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        everything = [crystal_id for ids in parts.values() for crystal_id in ids]
        if len(set(everything)) != len(everything):
            raise InputError(f"{where}: train, validation and test share rows; make the split again")
        if len(self.train) < 2:
            raise InputError(
                f"{where}: {len(self.train)} training rows, at least 2 are needed; "
                "raise the training part of fractions or use a larger dataset"
            )
        for name in ("validation", "test"):
            if not parts[name]:
                raise InputError(f"{where}: no {name} rows; change fractions or use a larger dataset")

    @property
    def said(self) -> str:
        """What messages call it."""
        return f"split of {self.dataset}, scheme {self.scheme}, seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """Return the split as a JSON-able mapping."""
        return {
            "dataset": self.dataset,
            "dataset_sha256": self.dataset_sha256,
            "scheme": self.scheme,
            "seed": self.seed,
            "train": list(self.train),
            "validation": list(self.validation),
            "test": list(self.test),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Split:
        """Return the split of a mapping written by `to_json`."""
        return cls(
            dataset=content["dataset"],
            dataset_sha256=content["dataset_sha256"],
            scheme=content["scheme"],
            seed=int(content["seed"]),
            train=tuple(content["train"]),
            validation=tuple(content["validation"]),
            test=tuple(content["test"]),
        )


def split_dataset(
    table: pd.DataFrame,
    scheme: str,
    seed: int,
    *,
    dataset: str,
    dataset_sha256: str,
    fractions: Sequence[float] = FRACTIONS,
    prototypes: Sequence[str] | None = None,
) -> Split:
    """Return a split of a crystal table, drawn with `seed`.

    Args:
        table: crystal table; columns id and formula are used.
        scheme: 'random' (rows; sizes exact), 'formula' (no reduced formula in two parts) or 'prototype'
            (no prototype label in two parts, see `prototypes.prototype_label`). Sizes of the last two are
            as close as their groups allow.
        seed: of the draw; parts of one seed differ between datasets and schemes.
        fractions: of train, validation and test; they sum to 1.
        prototypes: prototype label of each row (`prototypes.prototype_table`); needed for 'prototype' only.

    Raises:
        InputError: unknown scheme, impossible fractions, or too few rows in a part.
    """
    if scheme not in ("random", "formula", "prototype"):
        remedy = (
            "use published_splits.chang2022_split"
            if scheme == "chang2022"
            else f"choose one of {', '.join(SCHEMES)}"
        )
        raise InputError(f"split scheme {scheme!r} is not drawn here; {remedy}")
    check_fractions(fractions)
    sizes = _part_sizes(len(table), fractions)
    rng = np.random.default_rng(derive_seed(seed, "split", dataset, scheme))
    if scheme == "random":
        order = rng.permutation(len(table))
        parts = np.split(order, np.cumsum(sizes)[:2])
    else:
        if scheme == "formula":
            labels = table["formula"].tolist()
        elif prototypes is None:
            raise InputError("the scheme prototype needs prototype labels; make them with prototype_table")
        else:
            labels = list(prototypes)
            if len(labels) != len(table):
                raise InputError(f"{len(labels)} prototype labels for {len(table)} rows of {dataset}")
        parts = _assign_groups(labels, sizes, rng)
    return split_of_rows(table, parts, dataset, dataset_sha256, scheme, seed)


def split_of_rows(
    table: pd.DataFrame,
    parts: Sequence[np.ndarray],
    dataset: str,
    dataset_sha256: str,
    scheme: str,
    seed: int,
) -> Split:
    """Return the split of given row numbers of train, validation and test."""
    ids = table["id"].tolist()
    train, validation, test = (tuple(ids[row] for row in np.sort(part)) for part in parts)
    return Split(dataset, dataset_sha256, scheme, seed, train, validation, test)


def labelled_rows(split: Split, labelled_fraction: float = LABELLED_FRACTION) -> tuple[str, ...]:
    """Return ids of the training rows whose labels a semi-supervised run may see, in the order of the split.

    They are drawn with the split's seed; a smaller labelled part is a part of a larger.

    Args:
        split: the split.
        labelled_fraction: of the training rows.

    Raises:
        InputError: an impossible fraction, or fewer than two rows.
    """
    if not 0 < labelled_fraction <= 1:
        raise InputError(f"labelled_fraction is {labelled_fraction}; it must be above 0 and at most 1")
    rng = np.random.default_rng(derive_seed(split.seed, "labelled", split.dataset, split.scheme))
    rows = _round_half_up(labelled_fraction * len(split.train))
    labelled = np.sort(rng.permutation(len(split.train))[:rows])
    if len(labelled) < 2:
        raise InputError(
            f"{split.said}: {len(labelled)} labelled rows of {len(split.train)} training rows after the "
            "cut, at least 2 are needed; raise labelled_fraction or use a larger dataset"
        )
    return tuple(split.train[place] for place in labelled)


def _assign_groups(labels: Sequence[str], sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Give whole groups to the parts, so that the parts come as close to `sizes` as groups allow.

    Large groups go first and small ones fill what is left. A group goes to a part in which it fits, drawn
    with a probability proportional to the room left there, so the largest groups are not always training.
    """
    members: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        members.setdefault(label, []).append(row)
    groups = [members[label] for label in sorted(members)]
    order = sorted(rng.permutation(len(groups)).tolist(), key=lambda index: -len(groups[index]))
    room = np.array(sizes, dtype=float)
    parts: list[list[int]] = [[], [], []]
    for index in order:
        group = groups[index]
        fits = np.where(room >= len(group), room, 0.0)
        part = int(rng.choice(3, p=fits / fits.sum())) if fits.any() else int(room.argmax())
        parts[part].extend(group)
        room[part] -= len(group)
    return [np.array(part, dtype=int) for part in parts]


def _part_sizes(rows: int, fractions: Sequence[float]) -> tuple[int, int, int]:
    train, validation = (_round_half_up(fraction * rows) for fraction in fractions[:2])
    return train, validation, rows - train - validation


def _round_half_up(value: float) -> int:
    # Products such as 0.15 * 20 fall a rounding error short of the number that is meant.
    return math.floor(value + 0.5 + 1e-9)


def check_fractions(fractions: Sequence[float]) -> None:
    """Refuse fractions that no split can have.

    Raises:
        InputError: not three positive fractions that sum to 1.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"fractions of train, validation and test are {tuple(fractions)}; "
            "give three positive numbers that sum to 1"
        )
