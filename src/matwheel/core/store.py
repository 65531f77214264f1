"""What was computed once and is not computed again: records found by a key, in files that only grow.

A store is a folder; below it lies one folder per method (a potential with its weights, precision and code),
with a description and files of records. Every process appends to a file of its own, so that jobs may work at
once and one that is killed in the middle of a write spoils nothing but that record. A record carries a
digest: one that is damaged is named and computed again, never used. A folder that cannot be written costs
repeated work, no result.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any
from uuid import uuid4
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from matwheel.core.files import sha256_of_content
from matwheel.core.progress import Log, log_to_stderr

Arrays = dict[str, NDArray[Any]]
Place = tuple[bytes, int, int]
"""Key, and where its record begins and ends in a file."""

KEY_BYTES = 16
DESCRIPTION = "method.json"
INDEX = ".index"
TAG = "CACHEDIR.TAG"
"""Marks a folder whose content can be computed again, for backup programs (bford.info/cachedir)."""
_MAGIC = b"\x89mwrec\r\n"
_HEAD = Struct(f"<{len(_MAGIC)}s{KEY_BYTES}sQ")  # mark, key, length of the content
_HEADER = Struct(f"<{_HEAD.size}sI")  # that, and its check sum: a wrong key would be missed without a word
_DIGEST_BYTES = 16
_SYNC_EVERY_SECONDS = 5.0
_TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# What was computed and is found again.\n"


def digest(*parts: bytes) -> bytes:
    """Return the 16 bytes that stand for some bytes, as keys do; where a part ends counts."""
    one = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        one.update(len(part).to_bytes(8, "little"))
        one.update(part)
    return one.digest()


class Records:
    """The records of one method: arrays by key.

    What other processes have written by the first look-up is seen.

    Args:
        folder: of the store; made when something is put.
        method: all that shapes the numbers, as JSON can hold it; another description is another method.
        log: is told of damage, and of a folder that cannot be written, once each.
    """

    def __init__(self, folder: str | Path, method: Mapping[str, Any], log: Log = log_to_stderr) -> None:
        self.folder = Path(folder) / sha256_of_content(method)[:16]
        self._method, self._log = dict(method), log
        self._places: dict[bytes, tuple[Path, int, int]] | None = None  # file, begin and end of the record
        self._used: set[Path] = set()
        self._file: int | None = None
        self._path = self.folder / f"{uuid4().hex}.records"
        self._writes, self._synced = True, time.monotonic()

    def get(self, key: bytes) -> Arrays | None:
        """Return what was put under a key; None where there is nothing, or it is damaged."""
        if self._places is None:
            self._places = {}
            for path in sorted(self.folder.glob("*.records")):
                self._index(path, self._places)
        if key not in self._places:
            return None
        path, begin, end = self._places[key]
        try:
            with path.open("rb") as file:
                file.seek(begin)
                record = file.read(end - begin)
            content = _checked(record, key)
        except (OSError, ValueError) as error:
            self._log(f"store: {path}: {error}; computed again")
            del self._places[key]
            return None
        self._mark_as_used(path)
        return content

    def put(self, key: bytes, arrays: Mapping[str, Any]) -> None:
        """Append a record; where that is impossible the log says so and nothing else happens."""
        if not self._writes:
            return
        content = _packed(arrays)
        head = _HEAD.pack(_MAGIC, key, len(content))
        body = _HEADER.pack(head, crc32(head)) + content
        begin = 0
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            begin = os.lseek(self._file, 0, os.SEEK_END)
            record = body + _digest_of(body)
            written = os.write(self._file, record)
            if written != len(record):
                raise OSError(f"{written} of {len(record)} bytes written; is the disk full?")
            if time.monotonic() - self._synced > _SYNC_EVERY_SECONDS:
                self._sync()
        except OSError as error:
            self._stop_writing(begin, error)
            return
        if self._places is not None:
            self._places[key] = (self._path, begin, begin + len(record))

    def close(self) -> None:
        """Bring what was put to the disk; the records stay readable."""
        if self._file is not None:
            self._sync()
            os.close(self._file)
            self._file = None
            self._path = self.folder / f"{uuid4().hex}.records"

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        description = json.dumps(self._method, indent=1, sort_keys=True) + "\n"
        for text, path in ((_TAG_TEXT, self.folder.parent / TAG), (description, self.folder / DESCRIPTION)):
            if not path.exists():
                _write_whole(text.encode(), path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file)
        self._synced = time.monotonic()

    def _stop_writing(self, begin: int, error: OSError) -> None:
        self._writes = False
        if self._file is not None:
            with contextlib.suppress(OSError):  # an unfinished record is left out by whoever reads
                os.ftruncate(self._file, begin)
                os.close(self._file)
            self._file = None
        self._log(f"store: {self.folder} cannot be written ({error}); what is computed now is not kept")

    def _index(self, path: Path, places: dict[bytes, tuple[Path, int, int]]) -> None:
        """Add where the records of a file lie, by its index, which is made where there is none yet."""
        try:
            found = _read_index(path)
            if found is None:
                found, damaged = _scanned(path)
                if damaged:
                    self._log(f"store: {path}: damaged or unfinished in {damaged} places; computed again")
                else:
                    _write_index(path, found)
        except (OSError, ValueError):  # an empty file, one that another process has just removed
            return
        places.update({key: (path, begin, end) for key, begin, end in found})

    def _mark_as_used(self, path: Path) -> None:
        if path not in self._used:
            self._used.add(path)
            with contextlib.suppress(OSError):  # a store that can only be read
                os.utime(path)


@dataclass(frozen=True)
class MethodSize:
    """What a store holds of one method.

    Attributes:
        folder: its folder.
        method: its description.
        records, size_bytes, files: how much there is.
        unused_days: since a record was last put or used.
    """

    folder: Path
    method: dict[str, Any]
    records: int
    size_bytes: int
    files: int
    unused_days: float


def sizes(folder: str | Path) -> list[MethodSize]:
    """Return what a store holds, the method that was used last first."""
    found = []
    for method in (path for path in Path(folder).glob("*") if path.is_dir()):
        files = sorted(method.glob("*.records"))
        records = Records(folder, {})
        places: dict[bytes, tuple[Path, int, int]] = {}
        for path in files:
            records._index(path, places)
        ages = [_unused_days(path) for path in files]
        try:
            description = json.loads((method / DESCRIPTION).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            description = {}
        size = sum(path.stat().st_size for path in files)
        found.append(MethodSize(method, description, len(places), size, len(files), min(ages, default=0.0)))
    return sorted(found, key=lambda one: (one.unused_days, one.folder.name))


def prune(folder: str | Path, unused_days: float) -> int:
    """Remove files of records that nobody has used for so long; return the bytes that became free."""
    freed = 0
    for path in sorted(Path(folder).glob("*/*.records")):
        if _unused_days(path) >= unused_days:
            freed += path.stat().st_size
            path.unlink()
            path.with_suffix(INDEX).unlink(missing_ok=True)
    for method in Path(folder).glob("*"):
        if method.is_dir() and not any(method.glob("*.records")):
            (method / DESCRIPTION).unlink(missing_ok=True)
            if not any(method.iterdir()):
                method.rmdir()
    return freed


def _write_whole(content: bytes, path: Path) -> None:
    """Write a file that many jobs may write at the same time."""
    temporary = path.with_name(f".partial-{uuid4().hex}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _unused_days(path: Path) -> float:
    return max(0.0, (time.time() - path.stat().st_mtime) / 86400)


def _scanned(path: Path) -> tuple[list[Place], int]:
    """Return where the records of a file lie, and how many stretches of it are damaged or unfinished."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        found = list(_records_in(view))
    whole = [(key, begin, end) for key, begin, end in found if key is not None]
    return whole, len(found) - len(whole)


def _write_index(path: Path, places: Sequence[Place]) -> None:
    """Write where the records of a file lie, so that who looks for one need not read through all."""
    keys = np.frombuffer(b"".join(key for key, _, _ in places), np.uint8)
    ends = np.array([place[1:] for place in places], dtype=np.int64)
    content = _packed({"size": path.stat().st_size, "keys": keys, "ends": ends.reshape(-1, 2)})
    with contextlib.suppress(OSError):  # a store that can only be read
        _write_whole(content + _digest_of(content), path.with_suffix(INDEX))


def _read_index(path: Path) -> list[Place] | None:
    """Return what `_write_index` wrote; None where it is missing or damaged, or the file has grown."""
    with contextlib.suppress(OSError):
        written = path.with_suffix(INDEX).read_bytes()
        content = written[:-_DIGEST_BYTES]
        if _digest_of(content) == written[-_DIGEST_BYTES:]:
            index = _unpacked(content)
            if int(index["size"]) == path.stat().st_size:
                keys = index["keys"].tobytes()
                begins = range(0, len(keys), KEY_BYTES)
                ends = index["ends"].tolist()
                return [(keys[k : k + KEY_BYTES], *end) for k, end in zip(begins, ends, strict=True)]
    return None


def _records_in(view: mmap.mmap) -> Iterator[tuple[bytes | None, int, int]]:
    """Yield key, begin and end of each record; None as key for a damaged or unfinished stretch."""
    begin, size = 0, len(view)
    while begin < size:
        end = size + 1
        if begin + _HEADER.size <= size:
            head, check = _HEADER.unpack_from(view, begin)
            mark, key, length = _HEAD.unpack(head)
            if mark == _MAGIC and check == crc32(head):
                end = begin + _HEADER.size + length + _DIGEST_BYTES
        if end <= size and (end == size or view[end : end + len(_MAGIC)] == _MAGIC):
            yield key, begin, end
            begin = end
            continue
        yield None, begin, size
        begin = view.find(_MAGIC, begin + 1)
        if begin < 0:
            return


def _digest_of(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


def _checked(record: bytes, key: bytes) -> Arrays:
    """Return the arrays of a record.

    Raises:
        ValueError: it is damaged.
    """
    body = record[:-_DIGEST_BYTES]
    if _digest_of(body) != record[-_DIGEST_BYTES:] or _HEAD.unpack_from(body)[1] != key:
        raise ValueError("a record is damaged")
    return _unpacked(body[_HEADER.size :])


def _packed(arrays: Mapping[str, Any]) -> bytes:
    values = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    head = [[name, value.dtype.str, np.shape(arrays[name])] for name, value in values.items()]
    return json.dumps(head).encode() + b"\n" + b"".join(value.tobytes() for value in values.values())


def _unpacked(content: bytes) -> Arrays:
    head, _, rest = content.partition(b"\n")
    arrays, place = {}, 0
    for name, kind, shape in json.loads(head):
        dtype, count = np.dtype(kind), int(np.prod(shape, dtype=np.int64))
        values = np.frombuffer(rest, dtype, count, place).reshape(shape)
        arrays[name] = values.copy()  # one may write into it
        place += count * dtype.itemsize
    return arrays
