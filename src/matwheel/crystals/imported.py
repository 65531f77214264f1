"""Crystals made by other programs: extxyz, CIF (a file, a folder, a zip archive), CSV or Parquet.

Nothing that a row may hold stops the others: each entry becomes a crystal or a verdict `error` of the screen
`parse` that names the file, the row and the fault. Only a file that cannot be read at all is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matwheel.crystals.crystal import Crystal, from_structure
from matwheel.errors import InputError
from matwheel.screening.verdicts import ERROR, PASS, Verdict

if TYPE_CHECKING:
    from pymatgen.core import Structure

SCREEN = "parse"
ID_COLUMNS = ("id", "material_id")
CIF_COLUMN = "cif"
TABLE_COLUMNS = ("species", "lattice", "frac_coords")
FORMATS = (
    ".csv with a column cif; .parquet with that column or as a crystal table; .extxyz; .xyz; .cif; .zip of "
    "CIF files; a folder of CIF files; .csv, .extxyz, .xyz and .cif also as .gz"
)
# A site is partly occupied below this; above it, the rest is rounding.
_FULL_OCCUPANCY = 0.999


@dataclass(frozen=True)
class _Entry:
    """One crystal to be: where it stands, what it calls itself, how to make it."""

    where: str
    own_id: str
    parse: Callable[[str], Crystal] = field(repr=False)
    tool: str


def read_imported(path: str | Path, *, id_column: str | None = None) -> tuple[list[Crystal], list[Verdict]]:
    """Read crystals that another program made.

    Formats by suffix, see `FORMATS`; a CSV or Parquet file has a column `cif`, a Parquet file may be a
    crystal table instead (species, lattice, frac_coords). Ids come from `id_column`, else from a column `id`
    or `material_id`, the extxyz key of that name, the name of the CIF file; else they number the rows.
    Characters that an id cannot have become '-', an id that occurs again gets a number; the reason says so.

    Args:
        path: a file or a folder.
        id_column: column of ids in a table.

    Returns:
        The crystals, and one verdict of the screen `parse` per entry, in file order: 'pass', or 'error' for
        what became no crystal. `Verdict.candidate_id` of a pass is the id of its crystal.

    Raises:
        InputError: the file does not exist, cannot be read, has another format, or holds no entry.
    """
    path = Path(path)
    entries = list(_entries(path, id_column))
    if not entries:
        raise InputError(f"{path}: holds no crystal; put at least one entry into it ({FORMATS})")
    crystals, verdicts = [], []
    versions: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry, (crystal_id, notes) in zip(entries, _ids(entries, _stem(path)), strict=True):
            if entry.tool not in versions:
                versions[entry.tool] = version(entry.tool)
            started = time.perf_counter()
            try:
                crystal = entry.parse(crystal_id)
                _check(crystal)
            except Exception as error:  # parsers raise many types; whatever it was, the entry is no crystal
                verdict, fault = ERROR, _fault(error, crystal_id)
            else:
                verdict, fault = PASS, ""
                crystals.append(crystal)
            said = "; ".join(part for part in (fault, *notes) if part)
            verdicts.append(
                Verdict(
                    candidate_id=crystal_id,
                    screen=SCREEN,
                    verdict=verdict,
                    reason=f"{entry.where}: {said}" if said else "",
                    tool=entry.tool,
                    tool_version=versions[entry.tool],
                    seconds=time.perf_counter() - started,
                )
            )
    return crystals, verdicts


def _entries(path: Path, id_column: str | None) -> Iterator[_Entry]:
    if path.is_dir():
        yield from _folder_entries(path)
        return
    content = _content(path)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: damaged gzip file ({error}); copy or make it again") from error
    if not content.strip():
        raise InputError(f"{path}: the file is empty; put at least one crystal into it")
    if suffix == ".zip":
        yield from _zip_entries(path, content)
    elif suffix == ".csv":
        yield from _csv_entries(path, _text(content), id_column)
    elif suffix in (".parquet", ".pq"):
        yield from _parquet_entries(path, content, id_column)
    elif suffix in (".extxyz", ".xyz"):
        yield from _extxyz_entries(path, _text(content))
    elif suffix == ".cif":
        yield from _cif_entries(path.name, _stem(path), _text(content))
    else:
        raise InputError(f"{path}: files of type {suffix or 'no suffix'!r} cannot be read; give {FORMATS}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist; correct the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _text(content: bytes) -> str:
    # A strange byte in a comment, say an Å of another encoding, must not cost the crystal.
    return content.decode("utf-8-sig", errors="replace")


def _stem(path: Path) -> str:
    return path.name.split(".")[0] if path.is_file() else path.name


def _csv_entries(path: Path, text: str, id_column: str | None) -> Iterator[_Entry]:
    limit = csv.field_size_limit(sys.maxsize)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); check that it is complete") from error
    finally:
        csv.field_size_limit(limit)
    header = [name.strip() for name in lines[0]]
    ids = _id_column(path, header, id_column)
    if CIF_COLUMN not in header:
        raise InputError(
            f"{path}: column {CIF_COLUMN!r} is missing; found {', '.join(header)}. "
            "Name the column that holds the CIF texts so"
        )
    cif_place = header.index(CIF_COLUMN)
    id_place = header.index(ids) if ids else None
    for number, row in enumerate(lines[1:], 1):
        own_id = row[id_place] if id_place is not None and id_place < len(row) else ""
        where = f"{path.name}, row {number}"
        if len(row) != len(header):
            fault = (
                f"has {len(row)} cells, the header has {len(header)}; quote cells with commas or line ends"
            )
            yield _Entry(where, own_id, _refuse(fault), "matwheel")
        else:
            yield _Entry(where, own_id, _cif_parser(row[cif_place]), "pymatgen")


def _parquet_entries(path: Path, content: bytes, id_column: str | None) -> Iterator[_Entry]:
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # pyarrow raises many types
        raise InputError(f"{path}: cannot be read as Parquet ({_one_line(error)}); make it again") from error
    columns = [str(name) for name in frame.columns]
    ids = _id_column(path, columns, id_column)
    as_table = all(name in columns for name in TABLE_COLUMNS)
    if not as_table and CIF_COLUMN not in columns:
        raise InputError(
            f"{path}: neither the columns {', '.join(TABLE_COLUMNS)} nor a column {CIF_COLUMN!r}; found "
            f"{', '.join(columns)}. Rename the columns"
        )
    for number, row in enumerate(frame.to_dict("records"), 1):
        own_id = str(row[ids]) if ids and row[ids] is not None else ""
        parse = _array_parser(row) if as_table else _cif_parser(row[CIF_COLUMN])
        yield _Entry(f"{path.name}, row {number}", own_id, parse, "matwheel" if as_table else "pymatgen")


def _id_column(path: Path, columns: Sequence[str], asked: str | None) -> str | None:
    if asked is not None and asked not in columns:
        raise InputError(f"{path}: no column {asked!r} of ids; found {', '.join(columns)}")
    return asked or next((name for name in ID_COLUMNS if name in columns), None)


def _array_parser(row: Mapping[str, Any]) -> Callable[[str], Crystal]:
    def parse(crystal_id: str) -> Crystal:
        for name in TABLE_COLUMNS:
            if row[name] is None or np.ndim(row[name]) == 0:
                raise ValueError(f"{name} is missing")
        lattice = np.asarray(row["lattice"], dtype=float)
        positions = np.asarray(row["frac_coords"], dtype=float)
        if lattice.size != 9:
            raise ValueError(f"lattice has {lattice.size} numbers, must have 9")
        if positions.size != 3 * len(row["species"]):
            raise ValueError(f"{positions.size} coordinates for {len(row['species'])} atoms; three each")
        return Crystal(crystal_id, tuple(map(str, row["species"])), lattice, positions)

    return parse


def _refuse(fault: str) -> Callable[[str], Crystal]:
    def parse(crystal_id: str) -> Crystal:
        raise ValueError(fault)

    return parse


def _folder_entries(folder: Path) -> Iterator[_Entry]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() == ".cif" and file.is_file())
    if not files:
        raise InputError(f"{folder}: holds no .cif file; give {FORMATS}")
    for file in files:
        where = file.relative_to(folder).as_posix()
        try:
            text = _text(file.read_bytes())
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
            yield _Entry(f"{folder.name}, {where}", file.stem, _refuse(fault), "pymatgen")
            continue
        yield from _cif_entries(f"{folder.name}, {where}", file.stem, text)


def _zip_entries(path: Path, content: bytes) -> Iterator[_Entry]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: damaged zip archive ({error}); copy or make it again") from error
    with archive:
        members = [
            name
            for name in archive.namelist()
            if name.lower().endswith(".cif") and not name.startswith("__MACOSX/")
        ]
        if not members:
            raise InputError(f"{path}: holds no .cif file; put one CIF file per crystal into it")
        for name in members:
            stem = Path(name).stem
            try:
                text = _text(archive.read(name))
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
                fault = f"cannot be unpacked ({_one_line(error)})"
                yield _Entry(f"{path.name}, {name}", stem, _refuse(fault), "pymatgen")
                continue
            yield from _cif_entries(f"{path.name}, {name}", stem, text)


def _cif_entries(where: str, stem: str, text: str) -> Iterator[_Entry]:
    """Yield one entry per data block that describes a crystal; a file without any is one faulty entry."""
    blocks = [block for block in _data_blocks(text) if "_atom_site" in block or "_cell_length" in block]
    if len(blocks) <= 1:
        yield _Entry(where, stem, _cif_parser(blocks[0] if blocks else text), "pymatgen")
        return
    for number, block in enumerate(blocks, 1):
        yield _Entry(f"{where}, data block {number}", f"{stem}-{number:05d}", _cif_parser(block), "pymatgen")


def _data_blocks(text: str) -> list[str]:
    """Split a CIF at its `data_` lines, those inside multi-line text fields left alone."""
    blocks: list[list[str]] = [[]]
    inside_text = False
    for line in text.splitlines(keepends=True):
        if line.startswith(";"):
            inside_text = not inside_text
        if not inside_text and line.lower().startswith("data_"):
            blocks.append([])
        blocks[-1].append(line)
    return ["".join(block) for block in blocks[1:]]


def _cif_parser(text: Any) -> Callable[[str], Crystal]:
    return lambda crystal_id: from_structure(crystal_id, _structure_from_cif(text))


def _structure_from_cif(text: Any) -> Structure:
    from pymatgen.io.cif import CifParser

    if not isinstance(text, str) or not text.strip():
        raise ValueError("the CIF is empty")
    try:
        parser = CifParser(io.StringIO(text), check_cif=False)
        blocks = parser.as_dict().values()
    except Exception as error:
        raise ValueError(f"the CIF does not parse ({_one_line(error)})") from error
    # The parser leaves atoms out whose occupancy is zero or no number, without a word.
    sites = 0
    for block in blocks:
        sites += len(_listed(block.get("_atom_site_label", block.get("_atom_site_type_symbol", []))))
        for occupancy in _listed(block.get("_atom_site_occupancy", [])):
            if str(occupancy).strip() in (".", "?"):
                raise ValueError("an occupancy is not given; write 1")
            if not _number(occupancy) >= _FULL_OCCUPANCY:
                raise ValueError(f"a site has occupancy {occupancy}; partial occupancy is disorder, order it")
    try:
        structures = parser.parse_structures(primitive=False, on_error="raise")
    except Exception as error:
        said = _one_line(error).removeprefix("No structure parsed for section 1 in CIF. ")
        if "exceeded tolerance" in said:
            said = "two atoms at one place"
        raise ValueError(f"the CIF gives no structure ({said})") from error
    if len(structures) != 1:
        raise ValueError(f"the CIF holds {len(structures)} structures, must hold one")
    if len(structures[0]) < sites:
        raise ValueError(f"of {sites} sites {len(structures[0])} could be read")
    return structures[0]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _number(text: Any) -> float:
    """Return a CIF number without its standard uncertainty, NaN where it is none."""
    try:
        return float(re.sub(r"\(.*\)", "", str(text)))
    except ValueError:
        return float("nan")


def _extxyz_entries(path: Path, text: str) -> Iterator[_Entry]:
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
        where = f"{path.name}, frame {number} (line {line + 1})"
        while begins[coming] <= line:
            coming += 1
        following = begins[coming]
        if not lines[line].strip().isdecimal():
            fault = "no frame of extxyz begins here: expected a line with the number of atoms"
            yield _Entry(where, "", _refuse(fault), "ase")
            line = following
            continue
        atoms = int(lines[line])
        end = line + 2 + atoms
        comment = lines[line + 1] if line + 1 < len(lines) else ""
        if end > following:
            fault = f"says {atoms} atoms, has lines for {max(0, following - line - 2)}"
            yield _Entry(where, _extxyz_id(comment), _refuse(fault), "ase")
            line = following
            continue
        frame = "\n".join(lines[line:end]) + "\n"
        yield _Entry(where, _extxyz_id(comment), _extxyz_parser(frame, comment, atoms), "ase")
        line = end


def _extxyz_id(comment: str) -> str:
    for name in ID_COLUMNS:
        if found := re.search(rf"(?<!\w){name}=(?:\"([^\"]*)\"|(\S+))", comment):
            return found.group(1) or found.group(2) or ""
    return ""


def _extxyz_parser(frame: str, comment: str, atoms: int) -> Callable[[str], Crystal]:
    def parse(crystal_id: str) -> Crystal:
        from ase.io import read

        if not atoms:
            raise ValueError("the crystal has no atoms")
        if "lattice=" not in comment.lower():
            raise ValueError("no Lattice in the comment line: a molecule without a cell is no crystal")
        read_atoms = read(io.StringIO(frame), index=0, format="extxyz")
        if not read_atoms.pbc.any():
            raise ValueError("periodic in no direction (pbc): a molecule is no crystal")
        lattice = np.asarray(read_atoms.cell, dtype=float)
        if not np.isfinite(lattice).all():
            raise ValueError("the lattice is not finite")
        if abs(np.linalg.det(lattice)) == 0.0:
            raise ValueError("the cell has no volume")
        positions = read_atoms.positions @ np.linalg.inv(lattice)
        return Crystal(crystal_id, tuple(read_atoms.symbols), lattice, positions)

    return parse


def _ids(entries: Sequence[_Entry], stem: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the id of each entry, unique and of permitted characters, and what was changed."""
    width = max(5, len(str(len(entries))))
    wanted = []
    for number, entry in enumerate(entries, 1):
        given = entry.own_id.strip()
        given = "" if given.lower() in ("nan", "none", "null") else given
        wanted.append((given, _permitted(given) or f"{_permitted(stem) or 'row'}-{number:0{width}d}"))
    occurs = Counter(clean for _, clean in wanted)
    used: set[str] = set()
    for given, clean in wanted:
        notes = [] if given in ("", clean) else [f"id {given!r} became {clean}"]
        crystal_id = clean
        if clean in used:
            k = 2
            while (crystal_id := f"{clean}-{k}") in used or crystal_id in occurs:
                k += 1
            notes.append(f"id {clean} occurs before, became {crystal_id}")
        used.add(crystal_id)
        yield crystal_id, notes


def _permitted(text: str) -> str:
    """Return a text with letters, digits, '-' and '_' only: ids become file names and arguments."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")


def _check(crystal: Crystal) -> None:
    from pymatgen.core import Element

    if not crystal.species:
        raise ValueError("the crystal has no atoms")
    for symbol in sorted(set(crystal.species)):
        if not Element.is_valid_symbol(symbol) or symbol in ("D", "T"):
            raise ValueError(f"{symbol!r} is not a chemical element (write H for D and T)")
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        raise ValueError("the lattice or a position is not finite")


def _fault(error: BaseException, crystal_id: str) -> str:
    return _one_line(error).removeprefix(f"crystal {crystal_id}: ")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
