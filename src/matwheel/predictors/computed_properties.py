"""Tables of properties that were computed for crystals before, found by crystal id.

Which properties there are and how they are computed is no business of a predictor: it gets columns of
numbers, NaN where a crystal has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.crystals.table import read_table


@dataclass(frozen=True, eq=False)
class PropertyTable:
    """Computed properties of many crystals.

    Attributes:
        ids: crystal ids, length n.
        names: columns, length p, each with its unit.
        values: shape (n, p); NaN where a crystal has none.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float64]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def of(self, ids: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
        """Return the columns `names` for crystals, shape (len(ids), len(names)); NaN for unknown ids.

        Raises:
            InputError: there is no such column.
        """
        absent = [name for name in names if name not in self.names]
        if absent:
            raise InputError(
                f"no computed property {absent[0]!r}; the tables have {', '.join(self.names) or 'none'}"
            )
        columns = [self.names.index(name) for name in names]
        found = np.full((len(ids), len(names)), np.nan)
        for place, crystal_id in enumerate(ids):
            if crystal_id in self._rows:
                found[place] = self.values[self._rows[crystal_id], columns]
        return found


def property_table(frame: pd.DataFrame) -> PropertyTable:
    """Return the columns of a table that are numbers, by its column id.

    Raises:
        InputError: no column id, or an id that occurs twice.
    """
    if "id" not in frame.columns:
        raise InputError("a table of computed properties has no column 'id'")
    twice = frame["id"][frame["id"].duplicated()]
    if len(twice):
        raise InputError(f"crystal {twice.iloc[0]} occurs twice in a table of computed properties")
    numbers = frame.drop(columns="id").select_dtypes("number").astype(np.float64)
    values = numbers.to_numpy()
    return PropertyTable(
        tuple(frame["id"].astype(str)),
        tuple(map(str, numbers.columns)),
        np.where(np.isfinite(values), values, np.nan),
    )


def read_properties(paths: Sequence[str | Path]) -> PropertyTable:
    """Read Parquet tables of computed properties and join them by crystal and column.

    Raises:
        InputError: see `property_table`; a damaged file; or two tables that differ about a crystal.
    """
    tables = [property_table(read_table(path)) for path in paths]
    ids = tuple(dict.fromkeys(name for table in tables for name in table.ids))
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    values = np.full((len(ids), len(names)), np.nan)
    place = {name: row for row, name in enumerate(ids)}
    for table in tables:
        at = np.ix_([place[name] for name in table.ids], [names.index(name) for name in table.names])
        before = values[at]
        differs = np.isfinite(before) & np.isfinite(table.values) & (before != table.values)
        if differs.any():
            row, column = np.argwhere(differs)[0]
            raise InputError(
                f"two tables differ about {table.names[column]} of crystal {table.ids[row]}: "
                f"{before[row, column]:.6g} and {table.values[row, column]:.6g}"
            )
        values[at] = np.where(np.isfinite(table.values), table.values, before)
    return PropertyTable(ids, names, values)
