"""Delimited text, CSV and its kin, as rows of text cells: how a file is written is found out and said.

The separator is ';', tab, '|' or ',', never white space: the one under which the header holds most of the
names that are looked for; then one that gives most rows as many cells as the header; then the one that gives
most columns; then the first in that order, as a number may hold a comma. `sep=;` in the first line decides.

Encodings are UTF-8, UTF-16 or UTF-32 with a byte order mark, else Windows-1252, which is noted as a guess.

Lines before the header that begin with '#' are passed over, with a note; nowhere else does '#' mean anything.

A quote inside a quoted cell is written twice. Text behind a closing quote means that a quote is missing
somewhere: no row after it can be trusted, so the file is refused. Blanks before a cell do not count.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from math import isfinite

from matwheel.core.errors import InputError

SEPARATORS = (";", "\t", "|", ",")
_NAMES_OF_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "'|'", ",": "commas"}
_SAMPLE_LINES = 500
_MOST_NAMED = 20
_LONGEST_CELL = 2**31 - 1
_LONGEST_NUMBER = 40

_OTHER_FORMATS = (
    (b"\x1f\x8b", "is compressed by gzip", "give its name the ending .gz"),
    (b"PK\x03\x04", "is an Excel workbook or a zip archive", "save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook of the old kind", "save the sheet as CSV"),
    (b"PAR1", "is Parquet", "give its name the ending .parquet"),
    (b"\xfd7zXZ\x00", "is compressed by xz", "unpack it, or compress it by gzip as .gz"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it, or compress it by gzip as .gz"),
    (
        b"version https://git-lfs",
        "is a pointer of Git LFS, not the file itself",
        "fetch it with 'git lfs pull'",
    ),
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
_POINT_NUMBER = re.compile(r"[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?")
# 1.234 or 1,234: a fraction, or thousands.
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")


@dataclass(frozen=True)
class TextTable:
    """A table of text cells.

    Attributes:
        columns: names from the header, without blanks around them; 'column 3' where the third has none.
        lines: line of the file, from 1, at which each row begins.
        faults: what is wrong with a row that has too few or too many cells, and the remedy, by its index in
            `rows`; the row holds what cells there are.
        notes: what was decided in reading: separator, encoding, lines passed over.
        decimal_comma: numbers are written '1,5'; see `number_of`.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, str]] = field(repr=False)
    lines: list[int] = field(repr=False)
    faults: dict[int, str] = field(repr=False)
    notes: tuple[str, ...]
    decimal_comma: bool


@dataclass(frozen=True)
class _Record:
    """One row as it stands: where it begins (line from 1), and its cells."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class _Head:
    """What stands before the header: the index of the header's line, comment lines, the separator named."""

    start: int
    comments: list[tuple[int, str]]
    separator: str | None


class _Malformed(Exception):
    """A record whose quotes do not match; holds the lines, from 1, where it begins and where it fails."""

    def __init__(self, begins: int, fails: int, unclosed: bool) -> None:
        super().__init__()
        self.begins, self.fails, self.unclosed = begins, fails, unclosed


def read_text_table(
    content: bytes, origin: str, *, names: Sequence[str] = (), without_header: Sequence[str] = ()
) -> TextTable:
    """Read a delimited text file; see the module for the rules.

    Args:
        names: column names that are hoped for, in any letter case; they tell the header and the separator.
        without_header: columns of a file without header: where the first line holds none of `names` and its
            last cell is a number, it is a row. Without them, or with another number of cells, such a file is
            refused.

    Raises:
        InputError: no text, another format, no header, a column name that occurs twice, or quotes that do not
            match.
    """
    text, notes = _decoded(content, origin)
    lines = io.StringIO(text, newline="").readlines()
    head = _head(lines, origin)
    with _long_cells():
        separator = head.separator or _separator(lines, head.start, names)
        records = _records(lines, head.start, separator, origin)
    if separator != ",":
        notes.append(f"columns separated by {_NAMES_OF_SEPARATORS[separator]}")
    columns, records, said = _with_header(records, head, separator, names, without_header, origin)
    notes += said
    rows: list[dict[str, str]] = []
    begins: list[int] = []
    faults: dict[int, str] = {}
    empty: list[int] = []
    for record in records:
        cells = record.cells
        if not any(cell.strip() for cell in cells) and (len(cells) > 1 or len(columns) > 1):
            empty.append(record.line)
            continue
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(columns):
            faults[len(rows)] = (
                f"has {len(cells)} cells for {len(columns)} columns; quote cells that hold {separator!r} or "
                "line ends, add missing ones"
            )
        rows.append(dict(zip(columns, cells, strict=False)))
        begins.append(record.line)
    if empty:
        notes.append(f"{len(empty)} rows without content passed over, the first in line {empty[0]}")
    decimal_comma = separator != "," and _has_decimal_commas(rows, separator)
    if decimal_comma:
        example = next(cell for row in rows for cell in row.values() if _COMMA_NUMBER.fullmatch(cell.strip()))
        notes.append(
            f"numbers with decimal commas: {example.strip()!r} is {example.strip().replace(',', '.')}"
        )
    return TextTable(tuple(columns), rows, begins, faults, tuple(notes), decimal_comma)


def number_of(text: str, *, decimal_comma: bool = False) -> float:
    """Return a finite number as written in a cell, blanks around it left out.

    Args:
        text: e.g. '1.5', ' 2 ', '1e-3'; with `decimal_comma` also '1,5'.
        decimal_comma: of the table. A point among decimal commas is one too unless it may mark thousands.

    Raises:
        ValueError: no number, or one that may mean two; the message is one line with what to write.
    """
    written = text.strip().replace("−", "-")
    if "," in written and not decimal_comma:
        raise ValueError(f"{text!r} has a comma; write a decimal point, and nothing between thousands")
    if "," in written and "." in written:
        raise ValueError(f"{text!r} has a comma and a point; write nothing between thousands")
    if decimal_comma and "." in written and _MAYBE_THOUSANDS.fullmatch(written):
        raise ValueError(
            f"{text!r} may be thousands among decimal commas; write it with a comma or without point"
        )
    written = written.replace(",", ".")
    if not _NUMBER.fullmatch(written):
        raise ValueError(f"{text!r} is no number")
    if not isfinite(number := float(written)):
        raise ValueError(f"{text!r} is too large for a number")
    return number


def column_named(
    columns: Sequence[str], wanted: Sequence[str], *, asked: str | None, origin: str, what: str
) -> str | None:
    """Return the column that holds something, None where there is none.

    Args:
        wanted: names to look for, in order: as written, then in any letter case.
        asked: the name that a user gave; it alone will do.
        what: what the column holds, in the plural, for messages.

    Raises:
        InputError: `asked` is not there, or two columns differ from a wanted name by letter case only.
    """
    if asked is not None:
        if asked in columns:
            return asked
        folded = {name.strip().casefold(): name for name in columns}
        near = get_close_matches(asked.strip().casefold(), folded, n=1)
        hint = f"did you mean {folded[near[0]]!r}?" if near else "name one of these"
        raise InputError(f"{origin}: no column {asked!r} of {what}; found {', '.join(columns)}; {hint}")
    for name in wanted:
        if name in columns:
            return name
    for name in wanted:
        alike = [column for column in columns if column.strip().casefold() == name.strip().casefold()]
        if len(alike) > 1:
            raise InputError(
                f"{origin}: the columns {' and '.join(map(repr, alike))} differ by letter case only and both "
                f"may hold {what}; rename one"
            )
        if alike:
            return alike[0]
    return None


def named_faults(origin: str, faults: Mapping[int, str], lines: Sequence[int] = ()) -> str:
    """Return one message of all rows that cannot be used: the first twenty, and how many there are.

    Args:
        faults: what is wrong, by the index of the row; at least one.
        lines: line of the file at which each row begins; nothing for a file without lines.
    """

    def place(row: int) -> str:
        return f"row {row + 1}" + (f" (line {lines[row]})" if lines else "")

    rows = sorted(faults)
    if len(rows) == 1:
        return f"{origin}, {place(rows[0])}: {faults[rows[0]]}; correct or delete the row"
    said = [f"{origin}: {len(rows)} rows cannot be used; correct or delete them:"]
    said += [f"  {place(row)}: {faults[row]}" for row in rows[:_MOST_NAMED]]
    if len(rows) > _MOST_NAMED:
        said.append(f"  and {len(rows) - _MOST_NAMED} more")
    return "\n".join(said)


def _decoded(content: bytes, origin: str) -> tuple[str, list[str]]:
    for mark, what, remedy in _OTHER_FORMATS:
        if content.startswith(mark):
            raise InputError(f"{origin}: {what}, not CSV; {remedy}")
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    notes: list[str] = []
    try:
        text = content.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        if marked:
            raise InputError(
                f"{origin}, line {line}: is not the {marked.removesuffix('-sig').upper()} that its first "
                "bytes say; save it as UTF-8"
            ) from error
        text = content.decode("cp1252", errors="replace")
        notes.append(f"line {line} is not UTF-8: read as Windows-1252 (Latin-1), which is a guess")
    if marked not in (None, "utf-8-sig"):
        notes.append(f"encoding {marked.upper()}")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(
            f"{origin}, line {line}: holds a NUL byte, so it is no text or UTF-16 without byte order mark; "
            "save it as CSV in UTF-8"
        )
    begin = text.lstrip()[:20].lower()
    for opening, what in (
        ("<!doctype html", "a web page"),
        ("<html", "a web page"),
        ("[{", "JSON"),
        ('{"', "JSON"),
    ):
        if begin.startswith(opening):
            raise InputError(f"{origin}: is {what}, not CSV; save the table itself as CSV")
    return text.lstrip("\ufeff"), notes


def _head(lines: Sequence[str], origin: str) -> _Head:
    comments: list[tuple[int, str]] = []
    separator = None
    for place, line in enumerate(lines):
        stated = re.fullmatch(r'"?sep=(.)"?', line.strip("\r\n"), re.IGNORECASE)
        if stated and separator is None and not comments:
            separator = stated.group(1)
            if separator not in SEPARATORS:
                raise InputError(
                    f"{origin}, line {place + 1}: says sep={separator}; separate columns by "
                    f"{', '.join(_NAMES_OF_SEPARATORS.values())}"
                )
        elif line.lstrip().startswith("#"):
            comments.append((place + 1, line.strip().lstrip("#")))
        elif line.strip():
            return _Head(place, comments, separator)
    if comments:
        raise InputError(f"{origin}: holds comment lines only; write a header and rows")
    raise InputError(f"{origin}: the file is empty; write a header and rows")


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell hold a whole structure; the limit of the csv module is one for the process."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _separator(lines: Sequence[str], start: int, names: Sequence[str]) -> str:
    hoped = {name.strip().casefold() for name in names}
    sample = lines[start : start + _SAMPLE_LINES]
    merits = {separator: _merit(sample, separator, hoped) for separator in SEPARATORS}
    best = max(SEPARATORS, key=merits.__getitem__)
    return best if merits[best][2] > 1 else ","


def _merit(sample: Sequence[str], separator: str, hoped: set[str]) -> tuple[int, bool, int]:
    """Return what speaks for a separator: names found, whether most rows are as long as the header, width."""
    records: list[_Record] = []
    with suppress(_Malformed):  # what stands before the fault counts; the sample may end within a cell
        for record in _parsed(_without_blanks_after_quotes(sample, 0, separator), 0, separator):
            records.append(record)
    if not records:
        return 0, False, 1
    width = len(records[0].cells)
    found = len({cell.strip().casefold() for cell in records[0].cells} & hoped)
    alike = sum(len(record.cells) == width for record in records)
    return found, width > 1 and 2 * alike > len(records), width


def _parsed(lines: Sequence[str], start: int, separator: str) -> Iterator[_Record]:
    """Yield the records from a line on; blank lines are none.

    Raises:
        _Malformed: quotes that do not match.
    """
    reader = csv.reader(islice(lines, start, None), delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        begins = start + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _Malformed(begins + 1, start + reader.line_num, "unexpected end" in str(error)) from error
        if lines[begins].strip():
            yield _Record(begins + 1, cells)


def _records(lines: Sequence[str], start: int, separator: str, origin: str) -> list[_Record]:
    try:
        return list(_parsed(lines, start, separator))
    except _Malformed:
        # Blanks between a closing quote and the separator are harmless, but the csv module takes none.
        lines = _without_blanks_after_quotes(lines, start, separator)
    try:
        return list(_parsed(lines, start, separator))
    except _Malformed as fault:
        if fault.unclosed:
            line = _line_of_open_quote(lines, fault.begins, separator)
            raise InputError(
                f"{origin}, line {line}: a quote is opened and never closed; close it, and write a quote "
                "inside a cell twice"
            ) from fault
        raise InputError(
            f"{origin}, line {fault.fails}: text follows a closing quote, in the row that begins in line "
            f"{fault.begins}; close the quote of each cell, and write a quote inside a cell twice"
        ) from fault


def _quoted_cell(separator: str) -> re.Pattern[str]:
    """Return the pattern of a whole quoted cell: what stands before, blanks, the cell, blanks."""
    ends = rf"[\r\n{re.escape(separator)}]"
    return re.compile(rf'(^|{ends})( *)("(?:[^"]++|"")*+")( *)(?={ends}|\Z)')


def _without_blanks_after_quotes(lines: Sequence[str], start: int, separator: str) -> list[str]:
    text = _quoted_cell(separator).sub(r"\1\3", "".join(lines[start:]))
    return [*lines[:start], *io.StringIO(text, newline="").readlines()]


def _line_of_open_quote(lines: Sequence[str], begins: int, separator: str) -> int:
    text = "".join(lines[begins - 1 :])
    # Whole quoted cells become as many other characters, so that the quote left is the open one.
    rest = _quoted_cell(separator).sub(
        lambda cell: cell[1] + re.sub("[^\r\n]", "x", cell[0][len(cell[1]) :]), text
    )
    opened = re.search(rf'(?:^|[\r\n{re.escape(separator)}]) *(")', rest)
    return begins + (len(re.findall("\r\n|\r|\n", rest[: opened.start(1)])) if opened else 0)


def _with_header(
    records: list[_Record],
    head: _Head,
    separator: str,
    names: Sequence[str],
    without_header: Sequence[str],
    origin: str,
) -> tuple[list[str], list[_Record], list[str]]:
    """Return the columns, the rows below the header, and notes on the lines before them."""
    notes: list[str] = []
    hoped = {name.strip().casefold() for name in names}
    first = [cell.strip() for cell in records[0].cells]
    comments = list(head.comments)
    if hoped.isdisjoint(cell.casefold() for cell in first):
        _refuse_white_space(first, hoped, without_header, records[0].line, origin)
        header = _header_in_comment(comments, separator, hoped, len(first))
        if header:
            notes.append(f"the header is the comment in line {comments.pop()[0]}")
            columns, rows = header, records
        elif (hoped or without_header) and _is_numeric(first[-1]):
            if len(first) != len(without_header):
                shown = ", ".join(cell if len(cell) <= 20 else cell[:17] + "..." for cell in first[:6])
                wanted = ",".join(without_header) or ",".join(names[:3])
                raise InputError(
                    f"{origin}: has no header line, line {records[0].line} holds {shown}; write one above "
                    f"it, with names such as {wanted}"
                )
            notes.append(f"no header line: the columns are taken to be {', '.join(without_header)}")
            columns, rows = list(without_header), records
        else:
            columns, rows = first, records[1:]
    else:
        columns, rows = first, records[1:]
    if comments:
        places = [str(line) for line, _ in comments]
        notes.insert(0, f"comment in line {', '.join(places)} passed over")
    return _named(columns, origin), rows, notes


def _refuse_white_space(
    first: Sequence[str], hoped: set[str], without_header: Sequence[str], line: int, origin: str
) -> None:
    if len(first) > 1:
        return
    words = first[0].split()
    as_header = len(words) > 1 and any(word.casefold() in hoped for word in words)
    as_row = len(words) > 1 and len(words) == len(without_header) and _is_numeric(words[-1])
    if as_header or as_row:
        raise InputError(
            f"{origin}, line {line}: white space is no separator of columns ({first[0]!r}); separate them by "
            "commas, semicolons or tabs"
        )


def _header_in_comment(
    comments: Sequence[tuple[int, str]], separator: str, hoped: set[str], width: int
) -> list[str]:
    """Return the cells of the comment just above the rows where it is the header, as numpy writes it."""
    if not comments:
        return []
    cells = [cell.strip().strip('"') for cell in comments[-1][1].split(separator)]
    is_header = len(cells) == width and not hoped.isdisjoint(cell.casefold() for cell in cells)
    return cells if is_header else []


def _named(header: Sequence[str], origin: str) -> list[str]:
    """Return names for all columns; those at the end without a name are no columns."""
    header = list(header)
    while len(header) > 1 and not header[-1]:
        header.pop()
    columns = [name or f"column {place}" for place, name in enumerate(header, 1)]
    for name, occurs in Counter(columns).items():
        if occurs > 1:
            places = [str(place) for place, other in enumerate(columns, 1) if other == name]
            raise InputError(
                f"{origin}: the column name {name!r} occurs {occurs} times (columns {', '.join(places)}); "
                "rename or delete the others"
            )
    return columns


def _is_numeric(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text.strip()) or _COMMA_NUMBER.fullmatch(text.strip()))


def _has_decimal_commas(rows: Sequence[Mapping[str, str]], separator: str) -> bool:
    """Whether numbers have decimal commas: '0,5' does, '1,234' may be thousands.

    Semicolons are there because of decimal commas, so then '1,234' has one, unless other numbers have points.
    """
    short = [
        cell.strip().replace("−", "-")
        for row in rows
        for cell in row.values()
        if len(cell) <= _LONGEST_NUMBER and ("," in cell or "." in cell)
    ]
    with_comma = [cell for cell in short if _COMMA_NUMBER.fullmatch(cell)]
    if any(not _MAYBE_THOUSANDS.fullmatch(cell) for cell in with_comma):
        return True
    return separator == ";" and bool(with_comma) and not any(_POINT_NUMBER.fullmatch(cell) for cell in short)
