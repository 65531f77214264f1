"""Which budgets of a run are not the defaults: what a reader must know before any figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def other_budgets(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return the whole numbers of a configuration that are not the default ones, as `key value (default …)`.

    Budgets are whole numbers: runs, steps, samples, seeds, numbers of crystals. The seed is none. Where the
    default is the code's own, that of the configuration being empty, it is not named.
    """
    return [
        f"{key} {value}" + (f" (default {default})" if _is_budget(default) else "")
        for key, value, default in _numbers(settings, defaults, "")
        if value != default
    ]


def budget_warning(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return what stands on top of a page of such a run; empty for one with the default budgets."""
    changed = other_budgets(settings, defaults)
    if not changed:
        return ""
    return (
        f"Made with other budgets than the defaults: {', '.join(changed)}. Small budgets show that "
        "everything works, not what is true."
    )


def _numbers(settings: Mapping[str, Any], defaults: Any, before: str) -> Iterator[tuple[str, int, Any]]:
    for key in sorted(settings):
        value = settings[key]
        default = defaults.get(key) if isinstance(defaults, Mapping) else None
        if isinstance(value, Mapping):
            yield from _numbers(value, default, f"{before}{key}.")
        elif _is_budget(value) and before + key != "seed":
            yield before + key, value, default


def _is_budget(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
