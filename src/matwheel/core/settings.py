"""Settings as classes whose fields say what may be given; a wrong value ends in one line with the remedy.

A settings class is a frozen dataclass that pydantic checks as it is made. The type of a field says its range,
the text below it what it is; schemas, the settings page and messages are made of both
(`matwheel.configuration`). What hangs together is checked in `__post_init__`, which raises `WrongSetting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache, wraps
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from matwheel.core.errors import InputError

Kind = TypeVar("Kind", bound=type)
Schema = Mapping[str, Any]

CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
"""Of all settings: no text is a number, no number a truth value; unknown names are refused."""

_LONGEST_VALUE = 60
_LONGEST_LIST = 120
_LONGEST_FAULT = 300


class Because:
    """Why a value may not be larger, of a type whose `Field` says how large."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "because": self.reason}


class Given:
    """Mark of a field that holds other settings: a mapping of their names will do."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kind: Any = next(one for one in (*get_args(source), source) if is_dataclass(one))

        def made(value: Any) -> Any:
            if not isinstance(value, Mapping):
                return value
            return kind(**{str(name): setting for name, setting in value.items()})

        return no_info_before_validator_function(made, handler(source))


GIVEN = Given()


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if twice is not None:
        raise WrongSetting(f"name {twice!r} once")
    return values


class _Distinct(AfterValidator):
    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "uniqueItems": True}


DISTINCT = _Distinct(_distinct)
"""Of a tuple: no value occurs twice."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
CountOrZero = Annotated[int, Field(ge=0, le=1_000_000_000)]
Steps = Annotated[int, Field(ge=1, le=10_000_000), Because("ten million steps take weeks on a GPU")]
Width = Annotated[int, Field(ge=1, le=65_536), Because("a wider layer does not fit into memory")]
Layers = Annotated[int, Field(ge=1, le=100), Because("no network here is deeper")]
Batch = Annotated[int, Field(ge=1, le=1_000_000), Because("a larger batch does not fit into memory")]
Rate = Annotated[float, Field(gt=0, le=1)]
Trees = Annotated[int, Field(ge=1, le=100_000), Because("more trees take days")]
Folds = Annotated[int, Field(ge=2, le=1000)]
Epochs = Annotated[int, Field(ge=1, le=1_000_000), Because("so many passes take weeks on a GPU")]
Seconds = Annotated[float, Field(gt=0, le=31_536_000), Because("that is a year")]
Tolerance = Annotated[float, Field(gt=0, le=1), Because("atoms an ångström apart are different ones")]
Numbers = Annotated[tuple[Positive, ...], Field(min_length=1, strict=False)]


class WrongSetting(InputError):
    """What is wrong with settings that are each allowed, or with a name; made into a line by `fault_of`.

    Attributes:
        advice: what to give instead.
        at: key path of the wrong one, from where the error was raised.
        known: names that might have been meant.
    """

    def __init__(self, advice: str, at: str = "", known: Sequence[str] = ()) -> None:
        super().__init__(f"{at}: {advice}" if at else advice)
        self.advice, self.at, self.known = advice, at, tuple(known)


class RefusedSettings(InputError):
    """Settings that cannot be made.

    Attributes:
        path: keys within them that lead to what is wrong.
        fault: what is wrong with it.
    """

    def __init__(self, owner: str, path: tuple[Any, ...], fault: str) -> None:
        super().__init__(_joined((owner, *path), fault))
        self.path, self.fault = path, fault


@dataclass_transform(frozen_default=True)
def settings(kind: Kind) -> Kind:
    """Make a settings class of annotated fields with defaults, each followed by a text that says what it is.

    Numbers stay as they were given: a whole one is none with a point, which would change files.

    Raises:
        InputError: as an object is made: a wrong or unknown setting, in one line.
    """
    made: Any = dataclass(frozen=True, config=CONFIG)(kind)
    checked = made.__init__

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        given = dict(zip((field.name for field in fields(made)), values, strict=False)) | named
        try:
            checked(self, *values, **named)
        except ValidationError as error:
            raise RefusedSettings(made.__name__, *found_fault(error, given, made)) from None
        for name, value in given.items():
            _keep_as_given(self, name, value)

    made.__init__ = wraps(checked)(__init__)
    return made  # type: ignore[no-any-return]


def _keep_as_given(made: Any, name: str, value: Any) -> None:
    checked = getattr(made, name)
    if isinstance(checked, tuple) and isinstance(value, (list, tuple)):
        value = tuple(value)
    if type(value) in (int, tuple) and value == checked and repr(value) != repr(checked):
        object.__setattr__(made, name, value)


@cache
def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a settings class, or of any other type."""
    return TypeAdapter(kind).json_schema()


def refuse_unknown(name: str, known: Sequence[str]) -> str:
    """Return a name that is known.

    Raises:
        WrongSetting: it is not; the error names those there are.
    """
    if name not in known:
        raise WrongSetting(f"give {_one_of(known)}", known=known)
    return name


def fault_of(error: ValidationError, given: Any, kind: Any) -> str:
    """Return `found_fault` in one line."""
    return _joined(*found_fault(error, given, kind))


def _joined(path: Sequence[Any], fault: str) -> str:
    text = ".".join(map(str, path)) + fault if path else fault.removeprefix(": ")
    return text if len(text) < _LONGEST_FAULT else f"{text[: _LONGEST_FAULT - 2]}…"


def found_fault(error: ValidationError, given: Any, kind: Any) -> tuple[tuple[Any, ...], str]:
    """Return the first fault found: its key path; then value, what is allowed and what was meant.

    Args:
        error: what it found.
        given: the values that were checked.
        kind: the class, or its JSON schema.
    """
    schema = kind if isinstance(kind, Mapping) else schema_of(kind)
    errors = error.errors(include_url=False)
    paths = [_path(one["loc"], given, one["type"]) for one in errors]
    # Who writes a name wrongly also lacks the right one; of the branches of a choice the deepest was meant.
    depth = -1 if _is_in_a_choice(paths) else 0
    first = min(
        range(len(errors)),
        key=lambda number: (errors[number]["type"] not in _UNKNOWN, depth * len(paths[number])),
    )
    return _fault(errors[first], paths[first], given, schema)


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument", "invalid_key")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")


def _is_in_a_choice(paths: Sequence[tuple[Any, ...]]) -> bool:
    shortest = min(paths, key=len)
    return len(paths) > 1 and all(path[: len(shortest)] == shortest for path in paths)


def _fault(found: Any, path: tuple[Any, ...], given: Any, schema: Schema) -> tuple[tuple[Any, ...], str]:
    cause = found.get("ctx", {}).get("error")
    if isinstance(cause, RefusedSettings):
        return (*path, *cause.path), cause.fault
    if isinstance(cause, WrongSetting) and cause.at:
        path += tuple(int(part) if part.isdigit() else part for part in cause.at.split("."))
    part, parent = _part_at(schema, path), _part_at(schema, path[:-1])
    value = _value_at(given, path)
    if value is _ABSENT:  # a default that does not go with what was given
        value = part.get("default")
    shown, meant = f" is {_shown(value)};", value
    known: Sequence[str] = ()
    if found["type"] in _MISSING:
        return path, f" is missing; give {in_words(part)}"
    if found["type"] in _UNKNOWN:
        meant, known = path[-1], list(parent.get("properties", {}))
        others = ", ".join(known)
        advice = "there is no such setting"
        if not _near(meant, known) and len(others) <= _LONGEST_LIST:
            advice += f", but {others}"
    elif found["loc"] and found["loc"][-1] == "[key]":
        named = parent.get("propertyNames", {})
        meant, known = path[-1], cause.known if isinstance(cause, WrongSetting) else named.get("enum", ())
        patterns = {"type": "string", "pattern": "|".join(parent.get("patternProperties", {"": 0}))}
        advice = f"its name must be {_one_of(known) if known else in_words(patterns)}"
    elif cause is not None:
        known = cause.known if isinstance(cause, WrongSetting) else ()
        advice = cause.advice if isinstance(cause, WrongSetting) else " ".join(str(cause).split())
        shown = ":" if isinstance(value, Mapping) or not path else shown
    else:
        known = [str(name) for name in part.get("enum", ())]
        allowed = in_words(part)
        advice = f"give {allowed}{_reason(part, value)}" if allowed else found["msg"]
    near = _near(meant, known)
    return path, f"{shown} {advice}{f'; did you mean {near}?' if near else ''}"


_ABSENT = object()


def _near(value: Any, known: Sequence[str]) -> str:
    return next(iter(get_close_matches(str(value), known, n=1)), "") if isinstance(value, str) else ""


def _path(location: Sequence[Any], given: Any, kind: str) -> tuple[Any, ...]:
    """Return the keys of a location that stand in what was given; others are names of pydantic's own."""
    path, here = [], given
    for number, key in enumerate(location):
        if isinstance(here, Mapping) and key in here:
            path.append(key)
            here = here[key]
        elif isinstance(here, (list, tuple)) and isinstance(key, int):
            path.append(key)
            here = here[key] if key < len(here) else _ABSENT
        elif isinstance(here, Mapping) and number == 0 and isinstance(key, int) and key < len(here):
            path.append(name := list(here)[key])  # an argument without its name
            here = here[name]
        elif kind in _MISSING and number == len(location) - 1:
            path.append(key)
    return tuple(path)


def _value_at(given: Any, path: Sequence[Any]) -> Any:
    for key in path:
        try:
            given = given[key]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return given


def _resolved(part: Schema, root: Schema) -> Schema:
    """Return a schema with what it refers to in its place."""
    if "$ref" in part:
        return {
            **root["$defs"][part["$ref"].rpartition("/")[2]],
            **{k: v for k, v in part.items() if k != "$ref"},
        }
    return part


def _parts_at(part: Schema, path: Sequence[Any], root: Schema) -> Iterator[Schema]:
    """Yield the schemas of what lies at a key path."""
    part = _resolved(part, root)
    if not path:
        yield part
        return
    key, *rest = path
    further = part.get("additionalProperties")
    if key in part.get("properties", {}):
        yield from _parts_at(part["properties"][key], rest, root)
    elif isinstance(further, Mapping):
        yield from _parts_at(further, rest, root)
    elif isinstance(key, int) and "items" in part:
        yield from _parts_at(part["items"], rest, root)
    for pattern in part.get("patternProperties", {}).values():
        yield from _parts_at(pattern, rest, root)
    for choice in part.get("anyOf", ()):
        yield from _parts_at(choice, path, root)
    if "then" in part:
        yield from _parts_at(part["then"], path, root)


def _shown(value: Any) -> str:
    """Return a value as it stands in a file, shortened."""
    words = {None: "null", True: "true", False: "false"}
    plain = value is None or isinstance(value, bool)
    text = words[value] if plain else " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _part_at(schema: Schema, path: Sequence[Any]) -> Schema:
    """Return the schema of what lies at a key path, with what it refers to in its place."""
    return next(_parts_at(schema, path, schema), {})


def _one_of(names: Sequence[Any]) -> str:
    text = ", ".join(map(str, names))
    return f"one of {text}" if len(text) <= _LONGEST_LIST else f"one of {len(names)} known names"


def in_words(part: Schema) -> str:
    """Return what a schema allows, in words; references in it were resolved before."""
    if "$ref" in part:
        return "a mapping"
    if "enum" in part or "const" in part:
        names = part.get("enum", [part.get("const")])
        return _one_of([_shown(name) if name is None else name for name in names])
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(in_words(choice) for choice in part["anyOf"]))
    kinds = part.get("type", "")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    words = [_OF_KIND.get(kind, lambda _: "another value")(part) for kind in kinds if kind != "null"]
    return " or ".join([*words, *(["null"] if "null" in kinds else [])])


def _reason(part: Schema, value: Any) -> str:
    """Return why a value is too large, where it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    said = (
        one
        for one in (part, *part.get("anyOf", ()))
        if "because" in one and value > one.get("maximum", value)
    )
    return next((f": {one['because']}" for one in said), "")


def _number(part: Schema, word: str) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    above, below = part.get("exclusiveMinimum"), part.get("exclusiveMaximum")
    word += f" divisible by {part['multipleOf']}" if "multipleOf" in part else ""
    if low is not None and high is not None:
        return f"{word} from {low:,} to {high:,}"
    bounds = {"above": above, "from": low, "below": below, "at most": high}
    said = [f"{what} {bound:,}" for what, bound in bounds.items() if bound is not None]
    return f"{word} {', '.join(said)}".strip()


def _list(part: Schema) -> str:
    fewest, most = part.get("minItems", 0), part.get("maxItems")
    number = f" of {fewest}" if fewest and fewest == most else f" of {fewest} or more" if fewest else ""
    items = in_words(part["items"]) if part.get("items") and "$ref" not in part["items"] else ""
    twice = ", none twice" if part.get("uniqueItems") else ""
    return f"a list{number}{f' ({items})' if items else ''}{twice}"


def _text(part: Schema) -> str:
    return "a text that is not empty" if part.get("minLength") else "a text"


_OF_KIND = {
    "integer": lambda part: _number(part, "a whole number"),
    "number": lambda part: _number(part, "a number"),
    "boolean": lambda part: "true or false",
    "string": lambda part: f"a text that matches {part['pattern']}" if "pattern" in part else _text(part),
    "array": _list,
    "object": lambda part: "a mapping",
}
