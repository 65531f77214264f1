"""Charge balance of whole Parquet files of formulas or counts, in pieces, so that memory does not grow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matwheel.errors import InputError
from matwheel.files import atomic_path
from matwheel.progress import Log, Progress
from matwheel.screening.charge_balance import CompositionSettings, charge_balance, formula_balance
from matwheel.screening.formulas import ELEMENTS, LARGEST_AMOUNT
from matwheel.screening.oxidation_states import smact_version

if TYPE_CHECKING:
    import pyarrow as pa

NEUTRAL_COLUMN, BALANCED_COLUMN, ERROR_COLUMN = (
    "charge_neutral",
    "electronegativity_balanced",
    "formula_error",
)
METADATA_KEY = b"matwheel.charge_balance"
CHUNK_ROWS = 100_000


_Judged = tuple[NDArray[np.bool_], NDArray[np.bool_], list[str]]


class FormulaTableSummary(NamedTuple):
    """What a file held.

    Attributes:
        rows: rows of the file.
        neutral: rows that are charge-neutral.
        balanced: rows that are neutral and electronegativity-balanced.
        unreadable: rows whose formula could not be read; neither neutral nor balanced.
    """

    rows: int
    neutral: int
    balanced: int
    unreadable: int


def judge_formula_table(
    source: str | Path,
    target: str | Path,
    settings: CompositionSettings | None = None,
    *,
    formula_column: str = "formula",
    chunk_rows: int = CHUNK_ROWS,
    log: Log | None = None,
) -> FormulaTableSummary:
    """Copy a Parquet file of formulas with the verdicts on each row.

    Args:
        source: file with a column of formulas.
        target: written whole or not at all: the columns of `source`, then charge_neutral (bool),
            electronegativity_balanced (bool) and formula_error (empty where the formula was read). Its
            metadata name the table of oxidation states with its hash, the settings and SMACT's version.
        settings: what to judge by.
        formula_column: name of the column.
        chunk_rows: rows in memory at once.
        log: told of the progress.

    Raises:
        InputError: a file that cannot be read, a column that is missing or already there, not strings.
    """

    def judge(column: pa.Array, first_row: int) -> _Judged:
        verdict = formula_balance(column, settings)
        return verdict.neutral, verdict.balanced, [verdict.errors.get(row, "") for row in range(len(column))]

    return _judge_file(source, target, settings, formula_column, judge, True, chunk_rows, log)


def judge_count_table(
    source: str | Path,
    target: str | Path,
    elements: Sequence[str] = ELEMENTS,
    settings: CompositionSettings | None = None,
    *,
    counts_column: str = "counts",
    chunk_rows: int = CHUNK_ROWS,
    log: Log | None = None,
) -> FormulaTableSummary:
    """Copy a Parquet file of counts with the verdicts on each row.

    Args:
        source: file with a column of lists, the atoms of each of `elements`.
        target: as in `judge_formula_table`, without formula_error.
        elements: symbols in the order of the lists, e.g. `MATGAN_ELEMENTS`.
        settings: what to judge by.
        counts_column: name of the column.
        chunk_rows: rows in memory at once.
        log: told of the progress.

    Raises:
        InputError: as in `judge_formula_table`; a list of another length or a count out of range, with its
            row.
    """

    def judge(column: pa.Array, first_row: int) -> _Judged:
        counts = _matrix(column, len(elements), f"{source}, column {counts_column}", first_row)
        return *charge_balance(counts, elements, settings), []

    return _judge_file(source, target, settings, counts_column, judge, False, chunk_rows, log)


def _judge_file(
    source: str | Path,
    target: str | Path,
    settings: CompositionSettings | None,
    name: str,
    judge: Callable[[pa.Array, int], _Judged],
    with_errors: bool,
    chunk_rows: int,
    log: Log | None,
) -> FormulaTableSummary:
    import pyarrow as pa
    import pyarrow.parquet as pq

    settings = settings or CompositionSettings()
    metadata = _provenance(settings)
    try:
        file = pq.ParquetFile(source)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{source} cannot be read as Parquet: {error}") from None
    with file:
        schema = file.schema_arrow
        if name not in schema.names:
            raise InputError(f"{source} has no column {name!r}; it has {', '.join(schema.names)}")
        added = [pa.field(NEUTRAL_COLUMN, pa.bool_()), pa.field(BALANCED_COLUMN, pa.bool_())]
        added += [pa.field(ERROR_COLUMN, pa.string())] if with_errors else []
        for column in added:
            if column.name in schema.names:
                raise InputError(f"{source} already has a column {column.name!r}; rename or drop it")
        full = pa.schema([*schema, *added], metadata={**(schema.metadata or {}), METADATA_KEY: metadata})
        progress = (
            Progress(f"charge balance of {Path(source).name}", file.metadata.num_rows, log) if log else None
        )
        rows = neutral = balanced = unreadable = 0
        with (
            atomic_path(target) as temporary,
            pq.ParquetWriter(temporary, full, compression="zstd") as writer,
        ):
            for batch in file.iter_batches(batch_size=chunk_rows):
                is_neutral, is_balanced, errors = judge(batch.column(name), rows)
                verdicts = [pa.array(is_neutral), pa.array(is_balanced)]
                verdicts += [pa.array(errors, type=pa.string())] if with_errors else []
                writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, *verdicts], schema=full))
                rows += len(batch)
                neutral += int(is_neutral.sum())
                balanced += int(is_balanced.sum())
                unreadable += sum(map(bool, errors))
                if progress:
                    progress.report(rows)
    return FormulaTableSummary(rows, neutral, balanced, unreadable)


def _provenance(settings: CompositionSettings) -> bytes:
    table = settings.table()
    described = {
        "oxidation_table": table.name,
        "oxidation_table_sha256": table.sha256,
        "settings": asdict(settings) | {"oxidation_table": table.name},
        "smact": smact_version(),
    }
    return json.dumps(described, sort_keys=True).encode()


def _matrix(column: pa.Array, width: int, where: str, first_row: int) -> NDArray[np.integer]:
    import pyarrow as pa

    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not (lists or pa.types.is_fixed_size_list(column.type)) or not pa.types.is_integer(
        column.type.value_type
    ):
        raise InputError(f"{where} holds {column.type}, not lists of whole numbers")
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f"{where}, row {first_row + row + 1}: no counts")
    lengths = (
        column.value_lengths().to_numpy(zero_copy_only=False) if lists else np.array([column.type.list_size])
    )
    wrong = np.flatnonzero(lengths != width)
    if len(wrong):
        row = first_row + int(wrong[0]) + 1
        raise InputError(f"{where}, row {row}: {lengths[wrong[0]]} counts for {width} elements")
    values = column.flatten()
    if values.null_count:
        row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]) // width
        raise InputError(f"{where}, row {first_row + row + 1}: a count is missing")
    counts = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    outside = np.flatnonzero(((counts < 0) | (counts > LARGEST_AMOUNT)).any(axis=1))
    if len(outside):
        row = first_row + int(outside[0]) + 1
        raise InputError(f"{where}, row {row}: a count is not between 0 and {LARGEST_AMOUNT} atoms")
    return counts
