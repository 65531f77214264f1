"""What sections of the configuration are made of: mappings, names of registries, changes of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from matwheel.core.settings import CONFIG, RefusedSettings, found_fault, refuse_unknown


class Section(BaseModel):
    """A mapping of the configuration: its keys are fields, and there are no others."""

    # Jobs get what the user wrote; a section is made to be checked, and dropped.
    model_config = ConfigDict(**CONFIG, frozen=True, validate_default=False)


class _Changes(Section):
    # The fields have their texts from the settings classes; there is no source to look for them.
    model_config = ConfigDict(use_attribute_docstrings=False)


PathText = Annotated[str, Field(min_length=1, json_schema_extra={"format": "path"})]
Name = Annotated[str, Field(min_length=1)]


def name_of(registry: Mapping[str, Any], *others: str) -> Any:
    """Return the type of a name that a registry has, or of one of a few other words."""
    return Annotated[str, AfterValidator(lambda name: refuse_unknown(name, [*others, *registry]))]


def changes_of(
    name: str,
    *kinds: Any,
    make: Callable[[dict[str, Any]], Any],
    without: tuple[str, ...] = (),
    **further: Any,
) -> type[Section]:
    """Return a section of single settings that replace the defaults of settings classes.

    Args:
        name: of the section's class.
        kinds: the classes, whose fields stand beside each other.
        make: makes the settings of the changes, to see whether they go together.
        without: fields that are not for users.
        further: fields beside them, each a type with its default.
    """
    own = {field: info for kind in kinds for field, info in kind.__pydantic_fields__.items()}
    # A field without default would be asked for.
    taken = {field: (info.annotation, copy(info)) for field, info in own.items() if field not in without}

    def go_together(section: Section) -> Section:
        changes = {field: getattr(section, field) for field in section.model_fields_set}
        make({field: value for field, value in changes.items() if field not in further or field == "preset"})
        return section

    checks: dict[str, Any] = {"go_together": model_validator(mode="after")(go_together)}
    fields: dict[str, Any] = {**further, **taken}
    return create_model(name, __base__=_Changes, __validators__=checks, **fields)


def refuse_fault(section: type[Section], values: Any, at: str) -> None:
    """Check values by a section that depends on what stands beside them.

    Raises:
        RefusedSettings: a fault, with its key path from where it is raised.
    """
    try:
        section.model_validate(values)
    except ValidationError as error:
        path, fault = found_fault(error, values, section)
        raise RefusedSettings("", (at, *path), fault) from None
