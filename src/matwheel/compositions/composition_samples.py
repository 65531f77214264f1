"""Drawn compositions as Parquet files: one column `counts`, a list of the atoms of each element."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError, one_line
from matwheel.core.parquet import REMEDY, parquet_writer, refuse_damaged

_ROWS_AT_A_TIME = 100_000


def write_samples(counts: NDArray[np.uint8], path: str | Path) -> None:
    """Write compositions, shape (n, elements), whole or not at all."""
    import pyarrow as pa

    width = counts.shape[1]
    schema = pa.schema([("counts", pa.list_(pa.uint8(), width))])
    with parquet_writer(path, schema) as writer:
        for start in range(0, len(counts), _ROWS_AT_A_TIME):
            values = np.ascontiguousarray(counts[start : start + _ROWS_AT_A_TIME], dtype=np.uint8)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
            writer.write_batch(pa.record_batch([lists], schema=schema))


def join_samples(paths: Sequence[str | Path], target: str | Path) -> None:
    """Write the compositions of several files into one, in their order, a piece at a time.

    Raises:
        InputError: one of them is damaged.
    """
    import pyarrow.parquet as pq

    for path in paths:
        refuse_damaged(path)
    with parquet_writer(target, pq.read_schema(paths[0])) as writer:
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME):
                    writer.write_batch(batch)


def counts_of_parquet(
    path: str | Path, elements: Sequence[str], *, column: str = "counts", chunk_rows: int = _ROWS_AT_A_TIME
) -> Iterator[NDArray[np.uint8]]:
    """Yield a Parquet column of counts in pieces of shape (at most `chunk_rows`, len(elements)).

    Raises:
        InputError: a file that cannot be read, without the column, or with lists of another length.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        refuse_damaged(path)
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} cannot be read as Parquet: {one_line(error)}; {REMEDY}") from None
    with file:
        if column not in file.schema_arrow.names:
            raise InputError(f"{path} has no column {column!r}; it has {', '.join(file.schema_arrow.names)}")
        for batch in file.iter_batches(batch_size=chunk_rows, columns=[column]):
            values = batch.column(0).flatten()
            if len(values) != len(batch) * len(elements) or values.null_count:
                raise InputError(f"{path}, column {column}: not {len(elements)} counts in every row")
            yield values.to_numpy(zero_copy_only=False).reshape(len(batch), len(elements))
