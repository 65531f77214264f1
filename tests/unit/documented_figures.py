"""Holds the figures of a document against the committed tables that it names.

A block (paragraph, item of a list, table) that holds figures is followed by a comment with the cells that
they come from, in lines of four kinds; a line that begins with a blank goes on with the one before:

    from FILE [where QUERY] [order KEY=A|B, KEY=C|D]: COLUMNS
        Every selected row gives its cells; FILE is in docs/results, CSV or JSON (then columns are paths,
        a.b.0). `order` takes rows with these values and puts them in this order. A column may also be an
        expression without blanks; over the selected rows mean(column), sd, min, max or sum; or
        `number_of_rows`.
    not from a table: A | B
        Phrases that are settings, names or published, as the block writes them.
    measured: WHAT
        The whole block is of a clock, a machine or a log, not of a result: commands, versions, times.
    checked by: TEST
        The whole block is held by another test.

The figures of a table are those cells in reading order, without its head and first column, which are names;
those of a sentence are those cells in any order, each once. A figure may be rounded, be in per cent or
thousandths (meV of eV), or millions. Without a sign it is the size only. "Six of the eight" is written in
digits, so that it can be found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
FACTORS = (1.0, 100.0, 1000.0)
AGGREGATES = {"mean": "mean", "sd": "std", "min": "min", "max": "max", "sum": "sum"}

_AGGREGATE = re.compile(rf"({'|'.join(AGGREGATES)})\(.+\)")
_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_COUNT_IN_WORDS = re.compile(
    rf"\b({_WORDS}) (times )?(out )?of (the |these |those |its |all )?({_WORDS}|\d+)\b", re.I
)
# Digits that belong to a name (Ag3SBr, 7net-0, smact14, 2×2×2, e898686) are no figures.
_NUMBER = re.compile(
    r"(?<![\w.,×])(?<![\w][-−])[+\-−]?(?:\d[\d,]*\d|\d)?(?:\.\d+)?(?:e[+-]\d+)?(?![\w×]|[-−][a-z])"
)
_LABEL = re.compile(r"(?:Table|Fig\.) \d\w?")
_NOT_TEXT = re.compile(r"`[^`]*`|!?\[([^\]]*)\]\([^)]*\)|<!--.*?-->", re.S)
_CONTINUED = re.compile(r"\n +(?! |from |not from a table:|measured:|checked by:)")
_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.S)


class Block(NamedTuple):
    line: int
    text: str
    sources: tuple[str, ...]


def faults(document: str) -> list[str]:
    """Return what is wrong with the figures of a document, one line each, by the line of the block."""
    return [f"line {block.line}: {fault}" for block in blocks(document) for fault in block_faults(block)]


def blocks(document: str) -> Iterator[Block]:
    """Yield the blocks of a Markdown document with the comments that follow them."""
    document = re.sub(r"```.*?```", lambda found: "\n" * found[0].count("\n"), document, flags=re.S)
    lines: list[str] = []
    start, number, held = 1, 0, None
    for line in [*_joined_comments(document), ""]:
        number += 1 + line.count("\x00")
        comment = _COMMENT.fullmatch(line.strip().replace("\x00", "\n"))
        begins = not line.strip() or comment or line.startswith(("- ", "#", "!"))
        if begins and lines:
            if held:
                yield held
            held, lines = Block(start, "\n".join(lines), ()), []
        if comment and held:
            held = held._replace(sources=(*held.sources, *_CONTINUED.sub(" ", comment[1]).splitlines()))
        elif line.strip() and not line.startswith(("#", "!")):
            if not lines:
                start = number
            lines.append(line)
    if held:
        yield held


def _joined_comments(document: str) -> Iterator[str]:
    """Yield the lines, a comment of several lines as one with NUL between."""
    joined = re.sub(r"<!--.*?-->", lambda found: found[0].replace("\n", "\x00"), document, flags=re.S)
    yield from joined.split("\n")


def figures(text: str) -> list[str]:
    """Return the figures of a text in reading order, as written."""
    plain = _LABEL.sub(" ", _NOT_TEXT.sub(lambda found: found[1] or " ", text))
    found = (match.group() for match in _NUMBER.finditer(plain))
    return [figure for figure in found if any(char.isdigit() for char in figure)]


def _without_names(table: str) -> str:
    """Return a table without its head and first column."""
    return "\n".join(f"| {line.split('|', 2)[2]}" for line in table.splitlines()[2:])


def block_faults(block: Block) -> list[str]:
    """Return what is wrong with the figures of one block."""
    sources = [line.strip() for line in block.sources if line.strip()]
    if any(line.startswith(("measured:", "checked by:")) for line in sources):
        return []
    text, wrong = block.text, []
    if not text.startswith("|"):
        text = " ".join(text.split())  # a phrase may stand across the end of a line
    for line in sources:
        if line.startswith("not from a table:"):
            for phrase in line.removeprefix("not from a table:").split(" | "):
                if phrase.strip() not in text:
                    wrong.append(f"the comment's phrase {phrase.strip()!r} is not in the text")
                text = text.replace(phrase.strip(), " ")
        elif not line.startswith("from "):
            wrong.append(f"comment not understood: {line!r}")
    if text.startswith("|"):
        text = _without_names(text)
    wrong += [f"write {found[0]!r} in digits" for found in _COUNT_IN_WORDS.finditer(text)]
    written = figures(text)
    try:
        cells = [cell for line in sources if line.startswith("from ") for cell in cells_of(line)]
    except (ValueError, KeyError, OSError, SyntaxError, pd.errors.UndefinedVariableError) as error:
        return [*wrong, f"source cannot be read: {error}"]
    if written and not cells:
        return [*wrong, f"no source of {', '.join(written[:8])} ({block.text[:60]!r})"]
    if len(written) != len(cells):
        wrong.append(f"{len(written)} figures ({', '.join(written[:400])}), {len(cells)} cells {cells[:400]}")
    elif block.text.startswith("|"):
        wrong += [f"{f} is not {c:.6g}" for f, c in zip(written, cells, strict=True) if not agrees(f, c)]
    else:
        wrong += [f"{figure} is in no cell named" for figure in unmatched(written, cells)]
    return wrong


def agrees(figure: str, cell: float) -> bool:
    """Say whether a figure is a cell, rounded, in its unit or a multiple of it."""
    plain = figure.replace(",", "").replace("−", "-")
    mantissa, _, exponent = plain.partition("e")
    value = float(plain)
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    if "," in figure and figure.endswith(",000"):
        decimals = -3
    if figure[0] not in "+-−":
        value, cell = abs(value), abs(cell)
    tolerance = 0.5 * 10.0**-decimals * (1 + 1e-6)
    factors = [*FACTORS, *([1e-6] if decimals and abs(cell) >= 1e5 else [])]
    return any(abs(cell * factor - value) <= tolerance for factor in factors)


def unmatched(written: list[str], cells: list[float]) -> list[str]:
    """Return the figures that find no cell of their own in the largest matching of figures and cells."""
    possible = [[place for place, cell in enumerate(cells) if agrees(figure, cell)] for figure in written]
    taken: dict[int, int] = {}

    def take(figure: int, seen: set[int]) -> bool:
        for place in possible[figure]:
            if place not in seen:
                seen.add(place)
                if place not in taken or take(taken[place], seen):
                    taken[place] = figure
                    return True
        return False

    return [written[number] for number in range(len(written)) if not take(number, set())]


@cache
def cells_of(line: str) -> tuple[float, ...]:
    """Return the cells that a `from` line names, row by row.

    Raises:
        ValueError: the line cannot be read, or a cell is no number.
    """
    place, _, columns = line.removeprefix("from ").rpartition(":")
    place, _, order = place.partition(" order ")
    name, _, query = place.partition(" where ")
    path = RESULTS / name.strip()
    if path.suffix == ".json":
        return tuple(_json_cell(path, column) for column in columns.split())
    table = _table(path)
    if query:
        table = table.query(query, engine="python")
    table = _ordered(table, [key.strip() for key in order.split(", ") if key.strip()])
    if not len(table) and columns.strip() != "number_of_rows":
        raise ValueError(f"{line!r} selects no row")
    wanted = columns.split()
    if any(column == "number_of_rows" or _AGGREGATE.match(column) for column in wanted):
        return tuple(_aggregate(table, column) for column in wanted)
    cells = pd.concat([_values(table, column) for column in wanted], axis=1).astype(float).to_numpy()
    return tuple(float(cell) for cell in cells.ravel() if cell == cell)


def _ordered(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the rows with the values that are asked for, in their order; later keys vary faster."""
    ranks = []
    for key in keys:
        column, _, values = key.partition("=")
        order = {value: place for place, value in enumerate(values.split("|"))}
        if missing := set(order) - set(table[column].astype(str)):
            raise ValueError(f"no row has {column} {', '.join(sorted(missing))}")
        ranks.append(table[column].astype(str).map(order))
    if not ranks:
        return table
    rank = pd.concat(ranks, axis=1, keys=range(len(ranks))).dropna()
    return table.loc[rank.sort_values(list(rank.columns), kind="stable").index]


def _aggregate(table: pd.DataFrame, column: str) -> float:
    if column == "number_of_rows":
        return float(len(table))
    function, _, name = column.removesuffix(")").partition("(")
    return float(getattr(_values(table, name), AGGREGATES[function])())


def _values(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else table.eval(name, engine="python")


@cache
def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def _json_cell(path: Path, column: str) -> float:
    found = json.loads(path.read_text(encoding="utf-8"))
    for key in column.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key]
    return float(found)
