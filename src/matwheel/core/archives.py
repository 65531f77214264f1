"""Archives of arrays or of files: whole or absent, with the same bytes for the same content."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from matwheel.core.files import atomic_path

# A zip archive stores a time with each entry; the earliest it can hold stands for none.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def write_arrays(path: str | Path, **arrays: Any) -> None:
    """Write named arrays, numbers and texts as a compressed npz archive; `numpy.load` reads it."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_zip(entries: Iterable[tuple[str, bytes]], path: str | Path) -> None:
    """Write files, given as name and content, into a compressed zip archive in the given order."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, date_time=_NO_TIME), content, zipfile.ZIP_DEFLATED)
