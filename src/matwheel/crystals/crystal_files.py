"""Files and folders of crystals as entries: what each holds, what it calls itself, what lies beside it.

One rule for every use: a file's name says its kind, a compressed one (.gz) is opened first. Passed over are
hidden files and folders (names that begin with '.', '__' or '$', so also '._x.cif', '.ipynb_checkpoints',
'__MACOSX' and '$RECYCLE.BIN'), which are copies that systems keep, without a word; and files of other
kinds, which are named.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from matwheel.core.errors import InputError, one_line
from matwheel.core.parquet import refuse_damaged
from matwheel.core.table_rows import records
from matwheel.crystals.cif import crystal_blocks
from matwheel.crystals.crystal import UnreadableCrystal
from matwheel.crystals.text_tables import column_named, read_text_table

ID_COLUMNS = ("id", "material_id", "jid", "mp_id", "mpid", "entry_id")
CRYSTAL_COLUMNS = (
    "cif", "structure", "generated_cif", "poscar", "atoms", "crystal", "cif_string", "cif_text", "structures",
)  # fmt: skip
TABLE_COLUMNS = ("species", "lattice", "frac_coords")
FORMATS = (
    ".csv or .tsv with a column of CIFs, POSCARs or structures; .parquet with such a column or as a crystal "
    "table; .extxyz; .xyz; .cif; .mcif; POSCAR, CONTCAR, .vasp or .poscar; .json of pymatgen structures; "
    "a .zip or a folder of such files; each also as .gz"
)
_KINDS = {
    ".cif": "cif", ".mcif": "cif", ".extxyz": "extxyz", ".xyz": "extxyz", ".json": "json", ".csv": "csv",
    ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".zip": "zip", ".vasp": "poscar",
    ".poscar": "poscar", ".contcar": "poscar",
}  # fmt: skip
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
_TOOLS = {
    "cif": "gemmi",
    "cif_block": "gemmi",
    "poscar": "pymatgen",
    "structure": "pymatgen",
    "extxyz": "ase",
}


@dataclass(frozen=True)
class Entry:
    """One crystal to be.

    Attributes:
        where: file, and row, frame or block, for messages.
        own_id: what it calls itself; empty where it does not.
        form: what `read_crystal` is to read; empty where `fault` says why it cannot.
        values: what stands beside the crystal, by column or key.
    """

    where: str
    own_id: str
    form: str
    content: Any = field(repr=False, default=None)
    fault: str = ""
    values: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def tool(self) -> str:
        """Name of the library that parses the entry."""
        return _TOOLS.get(self.form, "matwheel")


@dataclass(frozen=True)
class CrystalFile:
    """What a file or folder holds.

    Attributes:
        entries: crystals to be, in order.
        passed_over: files inside that are of no known kind, with the reason, in order.
        notes: what was decided in reading the file itself, such as the separator of a CSV.
        decimal_comma: numbers of a CSV are written with commas.
    """

    entries: tuple[Entry, ...]
    passed_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    decimal_comma: bool = False


def open_crystal_file(
    path: str | Path, *, id_column: str | None = None, crystal_column: str | None = None
) -> CrystalFile:
    """Return the entries of a file, a zip archive or a folder; see `FORMATS`.

    Args:
        id_column: column or key of ids; None takes the first of `ID_COLUMNS` that there is.
        crystal_column: column of the crystals in a table; None takes the first of `CRYSTAL_COLUMNS`.

    Raises:
        InputError: it does not exist, cannot be read, is of another kind, or lacks the columns.
    """
    path = Path(path)
    columns = _Columns(id_column, crystal_column)
    kind = kind_of(path.name)
    if path.is_dir() or (kind == "zip" and path.exists()):
        return _of_members(path, members_of(path), columns)
    if not kind:
        if not path.exists():
            raise InputError(f"{path}: does not exist; correct the path")
        suffix = Path(_uncompressed(path.name)).suffix.lower()
        raise InputError(f"{path}: files of type {suffix or 'no suffix'!r} cannot be read; give {FORMATS}")
    content = unpacked(path.name, file_bytes(path), str(path))
    if not content.strip():
        raise InputError(f"{path}: the file is empty; put at least one crystal into it")
    if kind == "csv":
        return _of_csv(path, content, columns)
    if kind == "parquet":
        return CrystalFile(tuple(_parquet_entries(path, content, columns)))
    if kind == "json":
        return CrystalFile(
            tuple(_json_entries(path.name, stem_of(path.name), _json(content, str(path)), columns))
        )
    stem = stem_of(path.name)
    found = list(_text_entries(path.name, stem, kind, text_of(content), columns))
    return CrystalFile(tuple(_named_after(stem, found) if len(found) == 1 else found))


@dataclass(frozen=True)
class _Columns:
    """Columns that were asked for by name."""

    id: str | None
    crystal: str | None


def kind_of(name: str) -> str:
    """Return the kind of a file by its name: cif, poscar, extxyz, json, csv, parquet, zip; '' for others."""
    plain = _uncompressed(name)
    suffix = PurePosixPath(plain).suffix.lower()
    if suffix in _KINDS:
        return _KINDS[suffix]
    return "poscar" if re.match(r"(POSCAR|CONTCAR)(?![A-Za-z])", plain) else ""


def stem_of(name: str) -> str:
    """Return a file's name without the suffixes that say its kind, e.g. 'run.1' of 'run.1.cif.gz'."""
    plain = _uncompressed(name)
    suffix = PurePosixPath(plain).suffix
    return plain.removesuffix(suffix) if suffix.lower() in _KINDS else plain


def is_hidden(name: str) -> bool:
    """Whether a path inside a folder or archive is a hidden copy: a part begins with '.', '__' or '$'."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    copies = any(part.startswith((".", "__", "$")) and part not in (".", "..") for part in parts)
    return copies or (bool(parts) and parts[-1].lower() in _SYSTEM_FILES)


def file_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: it does not exist or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist; correct the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def text_of(content: bytes) -> str:
    """Return the text of a crystal; a strange byte in a comment, an Å of another encoding, costs nothing."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def _uncompressed(name: str) -> str:
    return name[: -len(".gz")] if name.lower().endswith(".gz") else name


def unpacked(name: str, content: bytes, origin: str) -> bytes:
    """Return the bytes of a file, taken out of gzip where its name ends in .gz.

    Raises:
        InputError: they are damaged.
    """
    if not name.lower().endswith(".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{origin}: damaged gzip file ({error}); copy or make it again") from error


def members_of(path: Path) -> dict[str, Callable[[], bytes]]:
    """Return the files of a folder or zip archive by name, in order, hidden ones left out; a call reads one.

    Of a name that occurs twice in an archive, the later ones get a mark.

    Raises:
        InputError: the archive cannot be read.
    """
    if path.is_dir():
        # A link to nowhere is an entry that cannot be read, not no entry.
        files = sorted(file for file in path.rglob("*") if file.is_file() or not file.exists())
        names = [(file.relative_to(path).as_posix(), file) for file in files]
        return {name: file.read_bytes for name, file in names if not is_hidden(name)}
    content = unpacked(path.name, file_bytes(path), str(path))
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: damaged zip archive ({error}); copy or make it again") from error
    members: dict[str, Callable[[], bytes]] = {}
    for info in archive.infolist():
        given = info.filename.replace("\\", "/")
        if info.is_dir() or is_hidden(given):
            continue
        stem, dot, suffix = given.partition(".")
        name, number = given, 1
        while name in members:
            number += 1
            name = f"{stem} ({number}){dot}{suffix}"
        members[name] = partial(archive.read, info)
    return members


def entries_of_member(name: str, content: bytes) -> list[Entry]:
    """Return the entries of one file of a folder or archive, given by its name and bytes.

    Raises:
        InputError: it is damaged.
    """
    stem = stem_of(PurePosixPath(name).name)
    content = unpacked(name, content, name)
    return list(_member_entries(name, stem, kind_of(name), content, _Columns(None, None)))


def _of_members(path: Path, members: Mapping[str, Callable[[], bytes]], columns: _Columns) -> CrystalFile:
    """Return the entries of the files in a folder or archive."""
    entries: list[Entry] = []
    passed_over: list[str] = []
    for name, read in members.items():
        kind, where = kind_of(name.rpartition("/")[2]), f"{path.name}, {name}"
        if kind == "zip":
            fault = "an archive inside is not opened; unpack it or give it by itself"
            entries.append(Entry(where, stem_of(PurePosixPath(name).name), "", fault=fault))
            continue
        if kind in ("", "csv", "parquet"):
            reason = "a table; give it by itself, or all as a dataset" if kind else "no kind of crystal file"
            passed_over.append(f"{where}: {reason}")
            continue
        stem = stem_of(PurePosixPath(name).name)
        try:
            content = unpacked(name, read(), where)
            found = tuple(_member_entries(where, stem, kind, content, columns))
        except (InputError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            is_link = isinstance(error, FileNotFoundError)
            fault = "is a link to nowhere" if is_link else f"cannot be unpacked ({one_line(error)})"
            entries.append(Entry(where, stem, "", fault=fault))
            continue
        if kind == "json" and not any(entry.form for entry in found):
            passed_over.append(f"{where}: {found[0].fault if found else 'holds no crystal'}")
            continue
        entries += _named_after(stem, found)
    if not entries:
        others = f" (passed over: {'; '.join(passed_over[:5])})" if passed_over else ""
        raise InputError(f"{path}: holds no .cif file or other file of crystals{others}; give {FORMATS}")
    return CrystalFile(tuple(entries), tuple(passed_over))


def _named_after(stem: str, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of one file, those without a name of their own called after it."""
    if len(entries) == 1:
        return [replace(entry, own_id=entry.own_id or stem) for entry in entries]
    return [
        replace(entry, own_id=entry.own_id or f"{stem}-{number:05d}")
        for number, entry in enumerate(entries, 1)
    ]


def _member_entries(where: str, stem: str, kind: str, content: bytes, columns: _Columns) -> Iterator[Entry]:
    if kind == "json":
        try:
            opened = json.loads(text_of(content))
        except ValueError as error:
            yield Entry(where, stem, "", fault=f"does not parse as JSON ({one_line(error)})")
            return
        yield from _json_entries(where, stem, opened, columns)
    else:
        yield from _text_entries(where, stem, kind, text_of(content), columns)


def _text_entries(where: str, stem: str, kind: str, text: str, columns: _Columns) -> Iterator[Entry]:
    if kind == "cif":
        yield from _cif_entries(where, stem, text)
    elif kind == "poscar":
        yield Entry(where, stem, "poscar", text)
    else:
        yield from _extxyz_entries(where, text, columns)


def _cif_entries(where: str, stem: str, text: str) -> Iterator[Entry]:
    """Yield one entry per data block that describes a crystal; a file without any is one faulty entry."""
    try:
        blocks = crystal_blocks(text)
    except UnreadableCrystal as error:
        pieces = _data_blocks(text)
        if len(pieces) < 2:
            yield Entry(where, stem, "", fault=one_line(error))
            return
        # One damaged block does not cost the others.
        for number, piece in enumerate(pieces, 1):
            yield Entry(f"{where}, data block {number}", f"{stem}-{number:05d}", "cif", piece)
        return
    if len(blocks) <= 1:
        yield Entry(where, stem, *(("cif_block", blocks[0]) if blocks else ("cif", text)))
        return
    for number, block in enumerate(blocks, 1):
        yield Entry(f"{where}, data block {number}", f"{stem}-{number:05d}", "cif_block", block)


def _data_blocks(text: str) -> list[str]:
    """Split a CIF that does not parse at its `data_` lines, those inside text fields left alone."""
    blocks: list[list[str]] = [[]]
    inside_text = False
    for line in text.splitlines(keepends=True):
        if line.startswith(";"):
            inside_text = not inside_text
        if not inside_text and line.lower().startswith("data_"):
            blocks.append([])
        blocks[-1].append(line)
    joined = ["".join(block) for block in blocks[1:]]
    return [block for block in joined if "_atom_site" in block.lower() or "_cell_length" in block.lower()]


def _of_csv(path: Path, content: bytes, columns: _Columns) -> CrystalFile:
    table = read_text_table(content, str(path), names=(*CRYSTAL_COLUMNS, *ID_COLUMNS))
    ids = column_named(table.columns, ID_COLUMNS, asked=columns.id, origin=str(path), what="ids")
    crystals = column_named(
        table.columns, CRYSTAL_COLUMNS, asked=columns.crystal, origin=str(path), what="crystals"
    )
    if crystals is None:
        raise InputError(_no_crystal_column(path, table.columns))
    others = [name for name in table.columns if name.lower() in CRYSTAL_COLUMNS and name != crystals]
    notes = [f"the column {crystals} was read, not {', '.join(others)}"] if others else []
    entries = []
    for number, row in enumerate(table.rows):
        own_id = row.get(ids, "") if ids else ""
        entry = _of_cell(f"{path.name}, row {number + 1}", own_id, row.get(crystals), row)
        if number in table.faults:
            entry = replace(entry, form="", fault=table.faults[number])
        entries.append(entry)
    return CrystalFile(tuple(entries), notes=(*table.notes, *notes), decimal_comma=table.decimal_comma)


def _no_crystal_column(path: Path, found: Sequence[str]) -> str:
    return (
        f"{path}: column 'cif' is missing, and so is any of {', '.join(CRYSTAL_COLUMNS[1:])}; found "
        f"{', '.join(map(str, found))}. Rename the column that holds the crystals, or name it "
        "(--crystal-column of matwheel screen, crystal_column of a dataset)"
    )


def _of_cell(where: str, own_id: str, cell: Any, values: Mapping[str, Any]) -> Entry:
    """Return the entry of one cell of a column of crystals: a CIF, a POSCAR, or a structure as a mapping."""
    if isinstance(cell, Mapping):
        form = _form_of_mapping(cell)
        fault = "" if form else f"a mapping with the keys {', '.join(map(str, list(cell)[:6]))} is no crystal"
        return Entry(where, own_id, form, cell, fault, values)
    if isinstance(cell, bytes):
        cell = text_of(cell)
    text = cell if isinstance(cell, str) else ""
    if text.startswith(("b'", 'b"')):  # bytes that were printed
        with contextlib.suppress(ValueError, SyntaxError):
            text = text_of(ast.literal_eval(text))
    if fault := _fault_of_cell(cell, text):
        return Entry(where, own_id, "", None, fault, values)
    if text.lstrip().startswith("{"):
        try:
            return _of_cell(where, own_id, _mapping_of_text(text), values)
        except (ValueError, SyntaxError) as error:
            return Entry(where, own_id, "", None, f"the structure does not parse ({one_line(error)})", values)
    if re.match(r"\s*\d+\s*\n[^\n]*lattice=", text, flags=re.IGNORECASE):
        return Entry(where, own_id, "extxyz", text, "", values)
    is_cif = "_atom_site" in text.lower() or "_cell_length" in text.lower() or "data_" in text.lower()
    lines = text.replace("\\n", "\n").strip().splitlines()
    form = "poscar" if not is_cif and len(lines) >= 8 else "cif"
    return Entry(where, own_id, form, text, "", values)


def _fault_of_cell(cell: Any, text: str) -> str:
    """Return why a cell is no text of a crystal; the empty text where it may be one."""
    if text.strip() in ("", "nan", "NaN", "None", "null"):
        kind = "" if cell is None or isinstance(cell, str | float) else f": it is {type(cell).__name__}"
        return f"the CIF is empty{kind}"
    if "\n" not in text.strip() and "\\n" not in text and kind_of(text.strip().rpartition("/")[2]):
        return f"{text.strip()!r} is the name of a file, not a crystal; give the folder of the files"
    if text.lstrip().startswith(("Structure(", "Full Formula", "Atoms(", "Structure Summary")):
        return "the text is a printed object, not a crystal; write CIFs"
    return ""


def _mapping_of_text(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = ast.literal_eval(text)  # pandas and matminer write mappings as Python does
    if not isinstance(found, Mapping):
        raise ValueError("no mapping")
    return found


def _parquet_entries(path: Path, content: bytes, columns: _Columns) -> Iterator[Entry]:
    import pandas as pd

    refuse_damaged(path, io.BytesIO(content))
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # pyarrow raises many types
        raise InputError(f"{path}: cannot be read as .parquet ({one_line(error)}); make it again") from error
    names = [str(name) for name in frame.columns]
    frame.columns = names
    if frame.index.name is not None and str(frame.index.name) not in names:  # pandas keeps ids there
        frame = frame.reset_index()
        names = [str(name) for name in frame.columns]
    ids = column_named(names, ID_COLUMNS, asked=columns.id, origin=str(path), what="ids")
    as_table = all(name in names for name in TABLE_COLUMNS) and columns.crystal is None
    crystals = column_named(names, CRYSTAL_COLUMNS, asked=columns.crystal, origin=str(path), what="crystals")
    if not as_table and crystals is None:
        raise InputError(
            f"{path}: neither the columns {', '.join(TABLE_COLUMNS)} nor a column 'cif' or the like; found "
            f"{', '.join(names)}. Rename the columns"
        )
    for number, row in enumerate(records(frame), 1):
        own_id = str(row[ids]) if ids and row[ids] is not None else ""
        where = f"{path.name}, row {number}"
        if as_table or crystals is None:
            yield Entry(where, own_id, "arrays", row, "", row)
        else:
            yield _of_cell(where, own_id, row[crystals], row)


def _json(content: bytes, origin: str) -> Any:
    text = text_of(content)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        with contextlib.suppress(ValueError, RecursionError):  # JSON Lines: one object in each line
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        raise InputError(
            f"{origin}: cannot be read as .json ({one_line(error)}); check that it is complete"
        ) from error


def _json_entries(where: str, stem: str, content: Any, columns: _Columns) -> Iterator[Entry]:
    """Yield the crystals of JSON: one structure, a list, a table by columns or split, or a mapping of ids."""
    if isinstance(content, Mapping):
        if rows := _rows_of_table(content):
            yield from _json_entries(where, stem, rows, columns)
        elif _form_of_mapping(content) or _crystal_key(content, columns):
            yield _of_json(where, stem, content, columns)
        elif (inner := _list_of_crystals(content)) is not None:
            yield from _json_entries(where, stem, inner, columns)
        elif content and all(isinstance(value, Mapping | str) for value in content.values()):
            for name, value in content.items():
                entry = _of_json(f"{where}, key {name}", str(name), value, columns)
                yield replace(entry, own_id=str(name))
        else:
            yield Entry(where, stem, "", fault=_no_crystal(content))
    elif isinstance(content, list):
        for number, item in enumerate(content, 1):
            if isinstance(item, list):
                yield from _json_entries(f"{where}, row {number}", "", item, columns)
            else:
                yield _of_json(f"{where}, row {number}", "", item, columns)
    else:
        yield Entry(where, stem, "", fault=f"holds no crystal but {type(content).__name__}")


def _of_json(where: str, stem: str, item: Any, columns: _Columns) -> Entry:
    if not isinstance(item, Mapping):
        return _of_cell(where, stem, item, {})
    ids = column_named(list(item), ID_COLUMNS, asked=None, origin=where, what="ids")
    ids = columns.id if columns.id in item else ids
    own_id = str(item[ids]) if ids and item[ids] is not None else stem
    if form := _form_of_mapping(item):
        return Entry(where, own_id, form, item, "", item)
    if key := _crystal_key(item, columns):
        return _of_cell(where, own_id, item[key], item)
    return Entry(where, own_id, "", None, _no_crystal(item), item)


def _no_crystal(item: Mapping[str, Any]) -> str:
    keys = ", ".join(map(str, list(item)[:6])) or "none"
    return (
        f"holds no crystal: an object with the keys {keys}; give pymatgen structures, JARVIS atoms, "
        "CIF texts, or species, lattice and frac_coords"
    )


def _list_of_crystals(content: Mapping[str, Any]) -> list[Any] | None:
    """Return the list under the one key that may hold crystals ('structures', 'data', 'entries'), if any."""
    lists = [value for value in content.values() if isinstance(value, list) and value]
    if len(lists) == 1 and all(isinstance(item, Mapping) for item in lists[0]):
        return lists[0]
    return None


def _form_of_mapping(item: Mapping[str, Any]) -> str:
    if "lattice" in item and "sites" in item:
        return "structure"
    if "lattice_mat" in item and "coords" in item and "elements" in item:
        return "jarvis"
    return "arrays" if all(name in item for name in TABLE_COLUMNS) else ""


def _crystal_key(item: Mapping[str, Any], columns: _Columns) -> str | None:
    if columns.crystal is not None:
        return columns.crystal if columns.crystal in item else None
    return next((name for name in CRYSTAL_COLUMNS if isinstance(item.get(name), str | Mapping)), None)


def _rows_of_table(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table as pandas and matminer write it, split or by columns; none for others."""
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    values = list(content.values())
    if len(values) > 1 and all(isinstance(value, list) for value in values) and _crystal_names(content):
        return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=False)]
    if len(values) < 2 or not all(isinstance(value, Mapping) for value in values):
        return []
    labels = list(values[0])
    if _form_of_mapping(values[0]) or any(list(value) != labels for value in values):
        return []
    if not _crystal_names(content):
        return []
    return [{name: value[label] for name, value in content.items()} for label in labels]


def _crystal_names(content: Mapping[str, Any]) -> bool:
    return any(name in content for name in CRYSTAL_COLUMNS)


def _extxyz_entries(name: str, text: str, columns: _Columns) -> Iterator[Entry]:
    """Yield one entry per frame; a damaged frame ends at the next line pair that can only begin a frame."""
    lines = text.splitlines()
    begins = [
        i
        for i in range(len(lines) - 1)
        if lines[i].strip().isdecimal() and "lattice=" in lines[i + 1].lower()
    ]
    begins.append(len(lines))
    line, number, coming = 0, 0, 0
    while line < len(lines):
        if not lines[line].strip():
            line += 1
            continue
        number += 1
        where = f"{name}, frame {number} (line {line + 1})"
        while begins[coming] <= line:
            coming += 1
        following = begins[coming]
        if not lines[line].strip().isdecimal():
            fault = "no frame of extxyz begins here: expected a line with the number of atoms"
            yield Entry(where, "", "", fault=fault)
            line = following
            continue
        atoms = int(lines[line])
        end = line + 2 + atoms
        comment = lines[line + 1] if line + 1 < len(lines) else ""
        if end > following:
            fault = f"says {atoms} atoms, has lines for {max(0, following - line - 2)}"
            yield Entry(where, _extxyz_id(comment, columns), "", fault=fault)
            line = following
            continue
        frame = "\n".join(lines[line:end]) + "\n"
        yield Entry(where, _extxyz_id(comment, columns), "extxyz", frame, "", _KeyValues(comment))
        line = end


def _extxyz_id(comment: str, columns: _Columns) -> str:
    for name in [columns.id] if columns.id else ID_COLUMNS:
        if found := re.search(rf"(?<!\w){re.escape(name)}=(?:\"([^\"]*)\"|(\S+))", comment):
            return found.group(1) or found.group(2) or ""
    return ""


class _KeyValues(Mapping[str, Any]):
    """The keys and values of a comment line of extxyz, parsed when one is asked for."""

    def __init__(self, comment: str) -> None:
        self._comment = comment
        self._values: dict[str, Any] | None = None

    def _parsed(self) -> dict[str, Any]:
        if self._values is None:
            from ase.io.extxyz import key_val_str_to_dict

            try:
                self._values = dict(key_val_str_to_dict(self._comment))
            except Exception:  # a comment that is no list of keys has none
                self._values = {}
        return self._values

    def __getitem__(self, key: str) -> Any:
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())
