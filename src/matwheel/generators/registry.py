"""Generators by name. A new generator is one module and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matwheel.errors import InputError
from matwheel.generators.interface import Generator


def _con_cdvae(settings: Mapping[str, Any]) -> Generator:
    from matwheel.generators.con_cdvae.generator import ConCDVAE
    from matwheel.generators.con_cdvae.settings import settings_from_mapping

    return ConCDVAE(settings_from_mapping(settings))


def _load_con_cdvae(path: str | Path) -> Generator:
    from matwheel.generators.con_cdvae.generator import ConCDVAE

    return ConCDVAE.load(path)


GENERATORS: dict[str, Callable[[Mapping[str, Any]], Generator]] = {"con_cdvae": _con_cdvae}
_LOADERS: dict[str, Callable[[str | Path], Generator]] = {"con_cdvae": _load_con_cdvae}


def make_generator(name: str, settings: Mapping[str, Any] | None = None) -> Generator:
    """Return a new generator.

    Args:
        name: a key of `GENERATORS`.
        settings: settings of that generator that differ from its defaults.

    Raises:
        InputError: unknown generator, unknown setting or a value out of range.
    """
    _check(name)
    return GENERATORS[name](settings or {})


def load_generator(name: str, path: str | Path) -> Generator:
    """Return the fitted generator that was saved to `path`."""
    _check(name)
    return _LOADERS[name](path)


def _check(name: str) -> None:
    if name not in GENERATORS:
        raise InputError(f"unknown generator {name!r}; choose one of {', '.join(sorted(GENERATORS))}")
