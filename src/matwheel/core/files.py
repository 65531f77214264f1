"""Files that are either whole or absent, with the same bytes for the same content."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_path(path: str | Path, *, keep_previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    A process killed inside the block leaves `path` as it was; the next one writes over the same
    temporary name. That name keeps the suffix of `path`, since several writers choose their format by it.
    What was written is on the disk before it gets its name, so that a power cut leaves no half of it either.

    Args:
        path: where the file shall lie.
        keep_previous: where the one that lay there is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        if keep_previous is not None and path.is_file():
            os.replace(path, keep_previous)
        os.replace(temporary, path)
        with suppress(OSError):  # some file systems sync no folders
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(content: Any, path: str | Path) -> None:
    """Write `content` as indented JSON with sorted keys; NaN and infinity are refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    return sha256(Path(path).read_bytes()).hexdigest()


def sha256_of_content(content: Any) -> str:
    """Return the SHA-256 of any JSON-serialisable content (key order does not matter)."""
    return sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table for people as CSV; numbers keep all their digits."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
