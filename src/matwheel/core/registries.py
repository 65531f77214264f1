"""Registries: names, and where the code behind each is found.

A module of the library is reached through a registry by name only, so that an edit of one entry's code is no
edit of the others', for the reruns of `matwheel.runs.code_version` as for the cost of the import.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

from matwheel.core.errors import InputError

Entry = TypeVar("Entry")
Registry = dict[str, Entry]
"""Annotation of a registry, written as one dict.

`matwheel.runs.code_version` knows it by this word and leaves out the entries that a job does not use.
"""


def registered(registry: Registry[tuple[str, str]], name: str, what: str) -> Any:
    """Return the object that a registry of (module, name in it) holds under `name`.

    Args:
        registry: the registry.
        name: name of the entry.
        what: what the entries are, for the message, e.g. 'predictor'.

    Raises:
        InputError: there is no such entry; the message names those there are.
    """
    if name not in registry:
        raise InputError(f"unknown {what} {name!r}; choose one of {', '.join(registry)}")
    module, attribute = registry[name]
    return getattr(import_module(module), attribute)
