"""Crystals made by other programs: each entry of a file becomes a crystal or a verdict of screen `parse`.

Nothing that an entry may hold stops the others: it is read, with notes on what was decided, or refused with
the fault. Only a file that cannot be read at all is an error.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal, UnreadableCrystal
from matwheel.crystals.crystal_files import FORMATS, CrystalFile, Entry, open_crystal_file, stem_of
from matwheel.crystals.reader import read_crystal, with_room
from matwheel.verdicts import ERROR, PASS, Verdict

SCREEN = "parse"


def read_imported(
    path: str | Path, *, id_column: str | None = None, crystal_column: str | None = None
) -> tuple[list[Crystal], list[Verdict]]:
    """Read crystals that another program made.

    Formats: `matwheel.crystals.crystal_files.FORMATS`. Ids come from `id_column`, else from a column or key
    `id` or `material_id`, the name of the file; else they number the rows. Characters that an id cannot have
    become '-', an id that occurs again gets a number; the reason says so.

    Args:
        crystal_column: column of crystals in a table, where it has an unusual name.

    Returns:
        The crystals, and one verdict of the screen `parse` per entry, in file order: 'pass', or 'error' for
        what became no crystal. `Verdict.candidate_id` of a pass is the id of its crystal; its reason holds
        the notes of the reader.

    Raises:
        InputError: the file does not exist, cannot be read, has another format, or holds no entry.
    """
    opened = open_crystal_file(path, id_column=id_column, crystal_column=crystal_column)
    return crystals_of_entries(Path(path), opened)


def crystals_of_entries(path: Path, opened: CrystalFile) -> tuple[list[Crystal], list[Verdict]]:
    """Read the entries of an opened file; as `read_imported`."""
    if not opened.entries:
        raise InputError(f"{path}: holds no crystal; put at least one entry into it ({FORMATS})")
    crystals, verdicts = [], []
    versions: dict[str, str] = {}
    stem = path.name if path.is_dir() else stem_of(path.name)
    for entry, (crystal_id, renamed) in zip(opened.entries, _ids(opened.entries, stem), strict=True):
        started = time.perf_counter()
        notes: Sequence[str] = ()
        try:
            if entry.fault:
                raise UnreadableCrystal(entry.fault)
            reading = with_room(read_crystal(entry.content, entry.form, crystal_id))
        except UnreadableCrystal as error:
            verdict, fault = ERROR, str(error)
        else:
            verdict, fault, notes = PASS, "", reading.notes
            crystals.append(reading.crystal)
        said = "; ".join(part for part in (fault, *renamed, *notes) if part)
        verdicts.append(
            Verdict(
                candidate_id=crystal_id,
                screen=SCREEN,
                verdict=verdict,
                reason=f"{entry.where}: {said}" if said else "",
                tool=entry.tool,
                tool_version=versions.setdefault(entry.tool, version(entry.tool)),
                seconds=time.perf_counter() - started,
            )
        )
    return crystals, verdicts


def _ids(entries: Sequence[Entry], stem: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the id of each entry, unique and of permitted characters, and what was changed."""
    width = max(5, len(str(len(entries))))
    wanted = []
    for number, entry in enumerate(entries, 1):
        given = entry.own_id.strip()
        # 'NaN' and 'Na' are sodium compounds of formulas; what pandas writes for nothing is 'nan'.
        given = "" if given in ("nan", "None", "null") else given
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
