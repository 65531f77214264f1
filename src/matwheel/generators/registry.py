"""All generators of crystals by name. A new one is one module and one line here (see docs/extending.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matwheel.core.registries import Registry, registered

if TYPE_CHECKING:
    from matwheel.generators.interface import Generator

# name: (module, class)
GENERATORS: Registry[tuple[str, str]] = {
    "con_cdvae": ("matwheel.generators.con_cdvae.generator", "ConCDVAE"),
}

# name: (module, function) of what only sampling runs, for a generator that has it apart from its training
SAMPLERS: Registry[tuple[str, str]] = {
    "con_cdvae": ("matwheel.generators.con_cdvae.sampling", "sample_crystals"),
}


def make_generator(name: str, settings: Mapping[str, Any] | None = None) -> Generator:
    """Return an unfitted generator; `settings` change single defaults.

    Raises:
        InputError: unknown generator, unknown setting or a value out of range.
    """
    return registered(GENERATORS, name, "generator").from_settings(settings or {})


def load_generator(name: str, path: str | Path) -> Generator:
    """Return the fitted generator `name` that was saved to `path`.

    Raises:
        InputError: unknown generator.
    """
    return registered(GENERATORS, name, "generator").load(path)
