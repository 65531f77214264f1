"""All generators by name. A new generator is one module and one line here.

The modules are reached by name only, as in `matwheel.predictors.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matwheel.errors import InputError

if TYPE_CHECKING:
    from matwheel.generators.interface import Generator

# name: (module, class)
GENERATORS: dict[str, tuple[str, str]] = {
    "con_cdvae": ("matwheel.generators.con_cdvae.generator", "ConCDVAE"),
}


def make_generator(name: str, settings: Mapping[str, Any] | None = None) -> Generator:
    """Return an unfitted generator; `settings` change single defaults.

    Raises:
        InputError: unknown generator, unknown setting or a value out of range.
    """
    return _class_of(name).from_settings(settings or {})


def load_generator(name: str, path: str | Path) -> Generator:
    """Return the fitted generator `name` that was saved to `path`.

    Raises:
        InputError: unknown generator.
    """
    return _class_of(name).load(path)


def _class_of(name: str) -> Any:
    if name not in GENERATORS:
        raise InputError(f"unknown generator {name!r}; choose one of {', '.join(GENERATORS)}")
    module, class_name = GENERATORS[name]
    return getattr(import_module(module), class_name)
