"""Parquet files that notice damage: each carries a hash of its bytes and stays a Parquet file for any reader.

Parquet's own checksums cover pages alone: of 400 bits turned over or files cut off in a verdict table, three
were in the footer and gave other values without a word. The hash covers all. It stands in the footer's free
metadata (`KEY`), as 64 digits that count as zeros where it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from matwheel.core.errors import InputError, one_line
from matwheel.core.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

KEY = "matwheel.sha256"
REMEDY = (
    "if it is a result, delete it and start snakemake again, which makes it anew; if it is yours, take it "
    "from where it came"
)
_ZEROS = b"0" * 64
# As Thrift's compact protocol writes a key and a text of 64 bytes after it.
_BEFORE_DIGITS = KEY.encode() + b"\x18\x40"
_TAIL_BYTES = 1 << 20  # the metadata end within so many
_PIECE_BYTES = 1 << 20


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a table whole or not at all, the same bytes for the same content."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table)


@contextmanager
def parquet_writer(path: str | Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of a file that is there, whole, when the block succeeds."""
    import pyarrow.parquet as pq

    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != KEY.encode()}
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, schema.with_metadata(metadata), compression="zstd") as writer:
            yield writer
            writer.add_key_value_metadata({KEY: _ZEROS.decode()})
        with temporary.open("r+b") as file:
            place = _place_of_digits(file)
            if place is None:
                raise RuntimeError(
                    f"{path}: pyarrow wrote the metadata otherwise than Thrift's compact protocol"
                )
            digest = _digest(file, place)
            file.seek(place)
            file.write(digest)


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Refuse a damaged file, before the block by its hash or where the block cannot read it.

    Raises:
        InputError: it is damaged.
        FileNotFoundError: there is no such file.
    """
    import pyarrow as pa

    refuse_damaged(path)
    try:
        yield
    # What lies in a footer without a hash may be anything.
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, one_line(error)) from error


def refuse_damaged(path: str | Path, file: BinaryIO | None = None) -> None:
    """Compare a file with its hash, if it has one.

    Args:
        path: its name.
        file: its content; None is what lies there.

    Raises:
        InputError: it is damaged.
        FileNotFoundError: there is no such file.
    """
    if file is None:
        with Path(path).open("rb") as opened:
            return refuse_damaged(path, opened)
    place = _place_of_digits(file)
    if place is not None:
        file.seek(place)
        if file.read(len(_ZEROS)) != _digest(file, place):
            raise _damaged(path, "its bytes are not those that were written")
    return None


def _damaged(path: str | Path, fault: str) -> InputError:
    return InputError(f"{path}: the file is damaged ({fault}); {REMEDY}")


def _place_of_digits(file: BinaryIO) -> int | None:
    """Return where the digits begin, None in a file without."""
    size = file.seek(0, 2)
    start = max(0, size - _TAIL_BYTES)
    file.seek(start)
    found = file.read().rfind(_BEFORE_DIGITS)
    place = start + found + len(_BEFORE_DIGITS)
    return place if found >= 0 and place + len(_ZEROS) <= size else None


def _digest(file: BinaryIO, place: int) -> bytes:
    """Return the hash of a file, in digits, with zeros for those that begin at `place`."""
    file.seek(0)
    digest = sha256()
    left = place
    while piece := file.read(min(left, _PIECE_BYTES)):
        digest.update(piece)
        left -= len(piece)
    digest.update(_ZEROS)
    file.seek(place + len(_ZEROS))
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest().encode()
