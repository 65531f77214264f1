"""Settings of a generator in two parts: those that it is trained with, and those that only sampling reads.

Users give both in one place; a rule takes its own part, so that another way of sampling trains nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from matwheel.core.registries import Registry, registered

# name: (module, class) of what only sampling reads; all settings of other generators are trained with
SAMPLING_SETTINGS: Registry[tuple[str, str]] = {
    "con_cdvae": ("matwheel.generators.con_cdvae.sampling_settings", "ConCDVAESamplingSettings"),
    "matgan": ("matwheel.generators.matgan.sampling_settings", "MatGANSamplingSettings"),
}


def parted_settings(generator: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a generator's training and those of its sampling."""
    if not settings or generator not in SAMPLING_SETTINGS:  # nothing to import then
        return dict(settings), {}
    kind = registered(SAMPLING_SETTINGS, generator, "generator")
    names = {field.name for field in fields(kind)}
    training = {name: value for name, value in settings.items() if name not in names}
    return training, {name: value for name, value in settings.items() if name in names}
