"""What a page is made of, and how it becomes HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

GOOD, BAD, OPEN, PLAIN = "good", "bad", "open", "plain"
"""Tones of a card: what was hoped for, what was not, what cannot be told, and plain information."""


@dataclass(frozen=True)
class Text:
    """A paragraph, or text whose lines stay as they are."""

    kind: ClassVar[str] = "text"
    text: str
    verbatim: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture with its caption; `source` is a data URI, `words` what it shows for who cannot see it."""

    kind: ClassVar[str] = "picture"
    source: str
    words: str
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """A table of texts; columns named in `numbers` are aligned to the right."""

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    caption: str = ""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars: (label, value, text beside the bar)."""

    kind: ClassVar[str] = "bars"
    rows: tuple[tuple[str, float, str], ...]
    caption: str = ""

    @property
    def largest(self) -> float:
        """The value that fills the width."""
        return max((value for _, value, _ in self.rows), default=0.0) or 1.0


@dataclass(frozen=True)
class Card:
    """A question, its answer in a few words, and the figures behind it."""

    kind: ClassVar[str] = "card"
    about: str
    question: str
    answer: str
    tone: str
    evidence: str
    section: str


@dataclass(frozen=True)
class Listed:
    """A candidate in a list: its id, formula, and what was said of it; with a page of its own or without."""

    candidate_id: str
    formula: str
    said: str
    has_page: bool = False


@dataclass(frozen=True)
class FunnelGroup:
    """The candidates to which one screen did the same; `listed` are the first of `count`."""

    name: str
    count: int
    listed: tuple[Listed, ...]


@dataclass(frozen=True)
class FunnelStep:
    """One screen of a funnel: how many were alive before it, and what it made of them."""

    screen: str
    before: int
    groups: tuple[FunnelGroup, ...]


@dataclass(frozen=True)
class Funnel:
    """The funnel of a set of candidates."""

    kind: ClassVar[str] = "funnel"
    title: str
    candidates: int
    steps: tuple[FunnelStep, ...]


@dataclass(frozen=True)
class CandidatePage:
    """A candidate: its picture, its figures, its whole history, its phonons, and the CIF to save."""

    kind: ClassVar[str] = "candidate"
    candidate_id: str
    title: str
    overall: str
    reason: str
    facts: tuple[tuple[str, str], ...]
    history: str
    drawing: str = ""
    phonon_bands: str = ""
    cif_name: str = ""
    cif: str = ""


@dataclass(frozen=True)
class Gallery:
    """Candidates side by side, each opening to its page."""

    kind: ClassVar[str] = "gallery"
    title: str
    pages: tuple[CandidatePage, ...]


@dataclass(frozen=True)
class Folded:
    """Blocks behind a line that opens them."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: tuple[Block, ...]


Block = Text | Picture | Table | Bars | Card | Funnel | Gallery | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, title, what a reader should know first, and its blocks."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """The whole page; `facts` stand in its head, and `warning`, where there is one, above all else."""

    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    warning: str = ""


def render(page: Page, *, template: str, style: str, script: str) -> str:
    """Return the page as one HTML document that loads nothing.

    Args:
        page: what it shows; every text is escaped.
        template: Jinja2 template that gets `page`, `style` and `script`.

    Raises:
        jinja2.TemplateError: the template asks for something that is not there.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    rendered = environment.from_string(template).render(page=page, style=Markup(style), script=Markup(script))
    return rendered.strip() + "\n"


def fitting_page(write: Callable[[int], str], *, sheets: int, largest_bytes: int) -> tuple[str, int]:
    """Return a page that is no larger than asked for, with half as many sheets until it is, and their number.

    Args:
        write: number of candidates per set that get a sheet → page.
        sheets: how many there would be if all fits.
        largest_bytes: size in UTF-8. A page without any sheet is returned as it is.
    """
    page = write(sheets)
    while sheets and len(page.encode()) > largest_bytes:
        sheets //= 2
        page = write(sheets)
    return page, sheets


def table_of(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], *, caption: str = "") -> Table:
    """Return a table of chosen columns; numbers are written with four digits.

    Args:
        columns: key of a row → heading.
        caption: of the table.
    """
    numbers = frozenset(
        heading
        for key, heading in columns.items()
        if rows and all(isinstance(row.get(key), (int, float)) for row in rows)
    )
    texts = tuple(tuple(in_digits(row.get(key)) for key in columns) for row in rows)
    return Table(tuple(columns.values()), texts, numbers, caption)


def in_digits(value: object, digits: int = 4) -> str:
    """Return a value as text: numbers with so many digits and a true minus, what is missing as a dash."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    whole = float(value).is_integer() and abs(value) < 1e7
    text = f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if whole else f"{value:.{digits}g}"
    return text.replace("-", "−")
