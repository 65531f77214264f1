"""Rows of tables, whose cells have the types of their columns, which a type checker cannot know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def named_rows(table: pd.DataFrame) -> Iterator[Any]:
    """Yield each row as a named tuple, e.g. `row.id`."""
    return table.itertuples(index=False)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row as a dict, column → cell."""
    return table.to_dict("records", into=dict[str, Any]())


def groups(
    table: pd.DataFrame, columns: Sequence[str], *, sort: bool = True, dropna: bool = True
) -> Iterable[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Return (values, rows) of each combination of values; options as of `DataFrame.groupby`."""
    return table.groupby(list(columns), sort=sort, dropna=dropna)
