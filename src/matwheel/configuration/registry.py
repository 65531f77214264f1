"""The registry of datasets, and the names of the configuration that stand in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from matwheel.compositions.oxidation_states import OXIDATION_TABLES
from matwheel.configuration.parts import changes_of
from matwheel.core.errors import InputError
from matwheel.datasets.registry import NAME_PATTERN, DatasetEntry, TargetColumn, parse_registry
from matwheel.properties.registry import PROPERTIES


def fault_of_names(values: Mapping[str, Any], registry: Mapping[str, Any], shipped: Mapping[str, Any]) -> str:
    """Return in one line which dataset or formula set of a checked configuration its registry does not have.
    Args: values: the configuration. registry: entries of the registry that it names. shipped: those of the
    registry that comes with the project, which the defaults name.
    """
    for key, name, kind in _named(values):
        is_default = not key.startswith(("datasets.", "matgan.sets."))
        entries = {**shipped, **registry} if is_default else registry
        known = [known for known, entry in entries.items() if entry.get("kind", "crystals") == kind]
        if name in known:
            continue
        near = get_close_matches(name, known, n=1)
        file = values["dataset_registry"]
        if name in registry:
            other = "formulas, no crystals; name it in matgan.sets" if kind == "crystals" else "crystals"
            return f"{key} is {name!r}, which {file} says holds {other}"
        return (
            f"{key} is {name!r}; {file} has no such entry of kind {kind}, add one there"
            f"{f'; did you mean {near[0]}?' if near else ''}"
        )
    return _fault_of_properties(values, registry)


def _fault_of_properties(values: Mapping[str, Any], registry: Mapping[str, Any]) -> str:
    """Return which property of a dataset there is none of, or the empty text."""
    known = [*PROPERTIES, *values["properties"]["computed"]]
    for dataset in values["datasets"]:
        for number, name in enumerate(registry[dataset].get("properties", ())):
            if name not in known:
                near = get_close_matches(name, known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                key = f"{values['dataset_registry']}: {dataset}.properties.{number}"
                return f"{key} is {name!r}; give one of {', '.join(known)}{meant}"
    return ""


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield key path, name and kind of every entry of the registry that a configuration names."""
    for number, name in enumerate(values["datasets"]):
        yield f"datasets.{number}", name, "crystals"
    matgan = values.get("matgan")
    if not matgan or not matgan["sets"]:  # the chapter is left out
        return
    for number, name in enumerate(matgan["sets"]):
        yield f"matgan.sets.{number}", name, "formulas"
    for name in matgan["generator"]["settings_of_set"]:
        yield f"matgan.generator.settings_of_set.{name}", name, "formulas"
    for part in ("autoencoder", "formation_energy", "band_gap"):
        yield f"matgan.{part}.set", matgan[part]["set"], "formulas"


def fault_of_registry(entries: Any) -> str:
    """Return in one line what is wrong with the registry's entries, by key path; the empty text where
    nothing.
    """
    try:
        parsed = parse_registry(entries)
    except InputError as error:
        return str(error)
    formulas = [name for name, entry in parsed.items() if entry.kind == "formulas"]
    for name, entry in parsed.items():
        for key, named, known in (
            ("derived_from", entry.derived_from, [other for other in formulas if other != name]),
            ("balanced_under", entry.balanced_under, OXIDATION_TABLES),
        ):
            if (
                named is not None
                and named not in known
                and not (key == "balanced_under" and Path(named).is_file())
            ):
                near = get_close_matches(named, known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                return f"{name}.{key} is {named!r}; give one of {', '.join(known)}{meant}"
    return ""


Registry = Annotated[
    dict[
        Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")],
        changes_of(
            "Entry",
            DatasetEntry,
            make=lambda changes: changes,
            without=("name", "title", "target"),
            title=(str, Field("", description="One line for people; what, how many, whose, licence.")),
            target=(TargetColumn, Field(TargetColumn("target"), description="The property to learn.")),
        ),
    ],
    Field(
        min_length=1,
        description="One entry per dataset; its key is the dataset's name in config and in paths under "
        "results. Your own data is one more entry with `path`. An entry of kind formulas is a set of "
        "chemical formulas, for the composition chapter.",
    ),
]
"""What the file of the registry holds, for its schema."""
