"""Pseudo-labels: what a teacher says of the training rows that have no label of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import inf

import pandas as pd
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table

REAL, PSEUDO = "real", "pseudo"


def pseudo_labels(
    train: pd.DataFrame, labelled: Collection[str], predict: Callable[[Sequence[Crystal]], NDArray]
) -> pd.DataFrame:
    """Return a label of every training row: its own where it may be used, else the teacher's prediction.

    A property that the labelled rows know as never negative stays so.

    Args:
        train: crystal table with `target`; that of rows that are not labelled is not looked at.
        labelled: ids whose own label may be used.
        predict: the teacher, see `interface.Predictor.predict`.

    Returns:
        Columns id, target and source ('real' or 'pseudo'), in the order of the rows.
    """
    own = train["id"].isin(labelled).to_numpy()
    target = train["target"].to_numpy(dtype=float, copy=True)
    lowest = 0.0 if (target[own] >= 0).all() else -inf
    target[~own] = predict(crystals_of_table(train[~own])).clip(min=lowest)
    source = [REAL if is_own else PSEUDO for is_own in own]
    return pd.DataFrame({"id": train["id"].to_numpy(), "target": target, "source": source})
