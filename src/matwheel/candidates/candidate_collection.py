"""The candidates of several sets put together: their tables, and one archive of their crystals."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from matwheel.candidates.ranking import ranked
from matwheel.core.archives import write_zip


def collect_candidates(paths: Sequence[str | Path], archive: str | Path) -> pd.DataFrame:
    """Read the ranked candidates of each set and rank them as one.

    Args:
        paths: CSV files of `candidates_table`, each with crystals in an archive of its own.
        archive: where `merge_archives` puts these crystals; the column `cif` names it.
    """
    # An id may look like a number, or like a missing value.
    tables = [pd.read_csv(path, dtype={"id": str}, keep_default_na=False, na_values=[""]) for path in paths]
    candidates = ranked(tables)
    files = candidates["cif"].fillna("").str.rpartition("/")[2]
    return candidates.assign(cif=[f"{archive}/{file}" if file else "" for file in files])


def merge_archives(parts: Sequence[str | Path], path: str | Path) -> None:
    """Write the files of several zip archives into one, in the given order."""

    def entries() -> Iterator[tuple[str, bytes]]:
        for part in parts:
            with zipfile.ZipFile(part) as archive:
                for entry in archive.infolist():
                    yield entry.filename, archive.read(entry)

    write_zip(entries(), path)


def read_by_set(sets: Sequence[str], paths: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Read one CSV table of each set."""
    return {name: pd.read_csv(path) for name, path in zip(sets, paths, strict=True)}


def stacked_by_set(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of several sets as one, with the column `set` in front."""
    return pd.concat(tables, names=["set"]).reset_index("set")
