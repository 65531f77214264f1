"""What is written of the configuration model: JSON schemas for editors and jobs, and the page of settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from matwheel.configuration.configuration import Configuration
from matwheel.configuration.registry import Registry
from matwheel.configuration.sections import SECTION_OF_CHAPTER
from matwheel.core.settings import in_words

HEAD = "# Written by `python -m matwheel.configuration`; change the classes of the settings instead.\n"
_PAGE = """# Settings

Every key of the configuration with its default, what may be given, and what it is. Defaults of sections stand
in [config/config.yaml](../config/config.yaml) and [config/chapters/](../config/chapters); single settings
below them replace the defaults of the library. A wrong value is refused before anything runs, in one line.
Written by `python -m matwheel.configuration`.
"""

_LONGEST_DEFAULT = 170
_UNITS = {
    "_mev_per_atom": "meV/atom",
    "_ev_per_atom": "eV/atom",
    "_ev_per_angstrom": "eV/Å",
    "_angstrom3_per_atom": "Å³/atom",
    "_angstrom3": "Å³",
    "_per_inverse_angstrom": "Å",
    "_angstrom": "Å",
    "_g_per_cm3": "g/cm³",
    "_n_per_m": "N/m",
    "_thz": "THz",
    "_kelvin": "K",
    "_gpa": "GPa",
    "_gb": "GB",
    "_ev": "eV",
    "_seconds": "s",
}
"""End of a setting's name → its unit."""


class _Schemas(GenerateJsonSchema):
    """JSON schemas without titles, in which null is a type like others."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        if isinstance(inner.get("type"), str):
            return {**inner, "type": [inner["type"], "null"]}
        return super().nullable_schema(schema)

    def get_title_from_name(self, name: str) -> str:
        return ""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        # Defaults are said where they are numbers or words; those of whole sections are those of their keys.
        if isinstance(made.get("default"), Mapping) or "$ref" in made or "allOf" in made:
            made.pop("default", None)
        return made


def json_schema(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a model, as files and jobs read it."""
    schema = TypeAdapter(kind).json_schema(schema_generator=_Schemas)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_tidy(schema)}


def _tidy(part: Any) -> Any:
    """Return a schema without empty titles and line breaks in texts."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _tidy(value)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str))
    }


def schema_text(kind: Any) -> str:
    """Return the file of a model's JSON schema."""
    return HEAD + yaml.safe_dump(
        json_schema(kind), sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )


def settings_page(defaults: Mapping[str, Any]) -> str:
    """Return docs/settings.md: a table for every mapping of the configuration and of the registry.

    Args:
        defaults: the default configuration with all chapters.
    """
    return "\n".join(
        [
            _PAGE,
            *_tables(json_schema(Configuration), defaults, ()),
            "# Datasets\n\nEntries of the file that `dataset_registry` names.\n",
            *_tables(json_schema(Registry), {}, ()),
        ]
    )


def _tables(root: Mapping[str, Any], defaults: Mapping[str, Any], start: tuple[str, ...]) -> Iterator[str]:
    for path, part in _mappings(root, root, start):
        rows = [
            f"| `{key}` | {_default(defaults, (*path, key), item)} | {_cell(in_words(item))} "
            f"| {_unit(key)} | {_cell(item.get('description', ''))} |"
            for key, item in ((key, _whole(item, root)) for key, item in part["properties"].items())
            if not _is_mapping(item)
        ]
        if rows:
            yield f"## {'.'.join(path) or 'Top level'}\n\n{part.get('description', '')}\n"
            yield from ("| key | default | allowed | unit | what it is |", "|---|---|---|---|---|", *rows, "")


def _whole(part: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return dict(part)
    own = {key: value for key, value in part.items() if key != "$ref"}
    return {**root["$defs"][part["$ref"].rpartition("/")[2]], **own}


def _is_mapping(part: Mapping[str, Any]) -> bool:
    return bool(part.get("properties"))


def _mappings(
    part: Mapping[str, Any], root: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield every mapping with keys of its own below a schema; NAME stands for a key of the user's choice."""
    part = _whole(part, root)
    if _is_mapping(part):
        yield path, part
    for choice in part.get("anyOf", ()):
        yield from _mappings(choice, root, path)
    for key, item in part.get("properties", {}).items():
        yield from _mappings(item, root, (*path, key))
    if "items" in part:
        yield from _mappings(part["items"], root, path)
    if "then" in part:
        for key, item in part["then"]["properties"].items():
            yield from _mappings(item, root, (*path, key))
    for further in (part.get("additionalProperties"), *part.get("patternProperties", {}).values()):
        if isinstance(further, Mapping):
            yield from _mappings(further, root, (*path, "NAME"))


def _unit(key: str) -> str:
    """Return the unit that the name of a setting ends with."""
    return next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), "")


def _value_at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return None
        values = values[key]
    return values


def _default(defaults: Mapping[str, Any], path: tuple[str, ...], part: Mapping[str, Any]) -> str:
    given = _value_at(defaults, path)
    value = part.get("default") if given is None else given
    if value is None or value == "":
        return "null" if "null" in part.get("type", ()) else ""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    text = text.removesuffix("...").strip()
    if len(text) <= _LONGEST_DEFAULT:
        return f"`{text}`"
    chapter = next(name for name, section in SECTION_OF_CHAPTER.items() if section == path[0])
    return f"see [{chapter}.yaml](../config/chapters/{chapter}.yaml)"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
