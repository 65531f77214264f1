"""Drawn compositions as Parquet files: one column `counts`, a list of the atoms of each element."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matwheel.files import atomic_path

_ROWS_AT_A_TIME = 100_000


def write_samples(counts: NDArray[np.uint8], path: str | Path) -> None:
    """Write compositions, shape (n, elements), whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = counts.shape[1]
    schema = pa.schema([("counts", pa.list_(pa.uint8(), width))])
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for start in range(0, len(counts), _ROWS_AT_A_TIME):
            values = np.ascontiguousarray(counts[start : start + _ROWS_AT_A_TIME], dtype=np.uint8)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
            writer.write_batch(pa.record_batch([lists], schema=schema))


def join_samples(paths: Sequence[str | Path], target: str | Path) -> None:
    """Write the compositions of several files into one, in their order, a piece at a time."""
    import pyarrow.parquet as pq

    with (
        atomic_path(target) as temporary,
        pq.ParquetWriter(temporary, pq.read_schema(paths[0]), compression="zstd") as writer,
    ):
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME):
                    writer.write_batch(batch)
