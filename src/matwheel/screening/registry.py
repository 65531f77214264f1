"""Screens that judge one crystal at a time, by name. A new one is one module and one line here.

See docs/extending.md. `screen.further` in the config says which are asked beside the built-in screens, which
write several verdicts at once or compare crystals with each other and have rules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from matwheel.core.registries import Registry, registered
from matwheel.crystals.crystal import Crystal
from matwheel.verdicts import Verdict

# name: (module, class)
SCREENS: Registry[tuple[str, str]] = {
    "radioactivity": ("matwheel.screening.radioactivity", "RadioactivityScreen"),
}


class Screen(Protocol):
    """A question that each crystal answers alone."""

    name: str

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return the screen: its defaults with single settings changed.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        ...

    def judge(self, crystals: Sequence[Crystal]) -> list[Verdict]:
        """Return one verdict per crystal under the screen's name, in the given order.

        A crystal that cannot be judged has the verdict 'error'; it never ends the batch.
        """
        ...


def make_screen(name: str, settings: Mapping[str, Any] | None = None) -> Screen:
    """Return a screen; `settings` change single defaults.

    Raises:
        InputError: unknown screen or setting.
    """
    return registered(SCREENS, name, "screen").from_settings(settings or {})
