"""Values of a configuration held against its JSON schema: types, paths, what is wrong with them.

What stands inside a nested `--config` (validate={relax_at_most: 10}) reaches a workflow as text, since
Snakemake reads it without types; and YAML 1.1 reads 1e-3 as text in any file. The schema says which texts are
numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

Schema = Mapping[str, Any]
PATH, NAME_OR_PATH = "path", "name-or-path"
"""Values of `format` in a schema: a path; a name, or the path of a file that is there."""

_LONGEST_FAULT = 300


def parsed_setting(text: str) -> Any:
    """Return the value of a setting KEY=VALUE as Snakemake reads it: YAML whose scalars are all texts."""
    try:
        return yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        return text


def conformed(values: Any, schema: Schema, *, from_texts: bool = False) -> Any:
    """Return values in the types that a schema wants: texts that stand for numbers as numbers.

    A text that the schema takes stays a text, and so does one that stands for nothing it takes, which
    `first_fault` then names. A whole number written as 500.0 or 5e2 is an integer where one is wanted.

    Args:
        values: what YAML gives: mappings, lists, scalars.
        schema: JSON schema of the values.
        from_texts: whether all scalars were texts for want of types. Where the schema says nothing of a value
            (settings of a user's own predictor), a text that looks like a number, true, false or null is one.
    """

    def typed(value: Any, parts: list[Schema]) -> Any:
        def is_taken(candidate: Any) -> bool:
            return all(_is_valid(candidate, part, schema) for part in parts)

        if isinstance(value, str) and not (parts and is_taken(value)):
            read = _scalar(value)
            is_wanted = is_taken(read) or _is_of_type(read, parts, schema) if parts else from_texts
            value = read if is_wanted else value
        if isinstance(value, float) and value.is_integer() and any(_is_whole(part) for part in parts):
            return int(value)
        return value

    return _mapped(values, [schema], schema, typed)


def with_paths_from(values: Any, schema: Schema, folder: Path) -> Any:
    """Return values whose relative paths, where the schema says `format: path`, begin in a folder.

    Of a name or a path (`format: name-or-path`) only what is a file there becomes one.
    """

    def placed(value: Any, parts: list[Schema]) -> Any:
        kinds = {part.get("format") for part in parts} & {PATH, NAME_OR_PATH}
        if not kinds or not isinstance(value, str) or not value:
            return value
        path = placed_path(value, folder)
        return str(path) if PATH in kinds or path.exists() else value

    return _mapped(values, [schema], schema, placed)


def placed_path(path: str | Path, folder: Path) -> Path:
    """Return a path that begins in a folder where it is relative, and in the home folder after '~/'."""
    text = str(path)
    return folder / (os.path.expanduser(text) if text.startswith("~/") else text)


def first_fault(values: Any, schema: Schema) -> str:
    """Return in one line what is wrong with values, by key; the empty text where nothing is."""
    error = best_match(Draft202012Validator(schema).iter_errors(values))
    if error is None:
        return ""
    where = ".".join(map(str, error.absolute_path))
    fault = " ".join(_in_words(error).split())
    fault = fault if len(fault) <= _LONGEST_FAULT else f"{fault[: _LONGEST_FAULT - 1]}…"
    return f"{where}: {fault}" if where else fault


def survives_hand_over(value: Any) -> bool:
    """Say whether jobs read a value of `--config` as it was: Snakemake hands it on as repr, read as YAML."""
    return not isinstance(value, (str, dict, list)) or parsed_setting(repr(value)) == _as_texts(value)


def _as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_texts(item) for key, item in value.items()}
    return [_as_texts(item) for item in value] if isinstance(value, list) else str(value)


def _in_words(error: ValidationError) -> str:
    schema, values = error.schema, error.instance
    if not isinstance(schema, Mapping) or not isinstance(values, Mapping):
        return error.message
    if error.validator != "additionalProperties" or "patternProperties" in schema:
        return error.message
    known = list(schema.get("properties", {}))
    unknown = next((str(key) for key in values if key not in known), "")
    near = get_close_matches(unknown, known, n=1)
    return f"unknown key {unknown!r}{f'; did you mean {near[0]}?' if near else ''}"


def _mapped(value: Any, parts: list[Schema], root: Schema, change: Callable[[Any, list[Schema]], Any]) -> Any:
    """Return a value whose scalars were changed, each by what `change` makes of it and of its schemas."""
    parts = [applying for part in parts for applying in _applying(part, value, root)]
    if isinstance(value, Mapping):
        return {key: _mapped(item, _of_key(parts, key), root, change) for key, item in value.items()}
    if isinstance(value, list):
        of_items = [part["items"] for part in parts if "items" in part]
        return [_mapped(item, of_items, root, change) for item in value]
    return change(value, parts)


def _applying(part: Schema, value: Any, root: Schema) -> Iterator[Schema]:
    """Yield a schema and those that it refers to, chooses between or asks for under a condition."""
    yield part
    further = []
    if "$ref" in part:
        further.append(root["$defs"][part["$ref"].removeprefix("#/$defs/")])
    if "if" in part:
        further.append(part.get("then" if _is_valid(value, part["if"], root) else "else", {}))
    for choice in (*part.get("oneOf", ()), *part.get("anyOf", ())):
        # Texts inside a container may not be numbers yet, so that its kind alone decides.
        is_container = isinstance(value, (Mapping, list))
        asked = {"type": choice["type"]} if is_container and "type" in choice else choice
        further += [choice] if _is_valid(value, asked, root) else []
    for deeper in further:
        yield from _applying(deeper, value, root)


def _of_key(parts: list[Schema], key: str) -> list[Schema]:
    found = []
    for part in parts:
        if key in part.get("properties", {}):
            found.append(part["properties"][key])
        elif isinstance(part.get("additionalProperties"), Mapping):
            found.append(part["additionalProperties"])
    return found


def _is_valid(value: Any, part: Schema, root: Schema) -> bool:
    return Draft202012Validator(root).evolve(schema=part).is_valid(value)


def _is_of_type(value: Any, parts: list[Schema], root: Schema) -> bool:
    """Whether a value is of the types that schemas ask for, though perhaps too large or too small."""
    types = [{"type": part["type"]} for part in parts if "type" in part]
    return bool(types) and all(_is_valid(value, part, root) for part in types)


def _is_whole(part: Schema) -> bool:
    kinds = part.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return "integer" in kinds and "number" not in kinds


def _scalar(text: str) -> Any:
    """Return the number, truth value or None that a text stands for in YAML, the text where it is none."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if value is None or isinstance(value, (bool, int, float)):
        return text if ":" in text else value  # YAML 1.1 reads 1:30 as ninety
    try:  # YAML 1.1 wants a point in 1e-3
        return float(text) if text[:1] in "+-.0123456789" else text
    except ValueError:
        return text
