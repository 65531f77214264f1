"""Radioactivity: elements that have no stable isotope (Tc, Pm, and Po onwards; Bi counts as stable)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.verdicts import ERROR, FAIL, PASS, Verdict


class RadioactivityScreen:
    """Refuses crystals with a radioactive element, by pymatgen's table.

    Args:
        tolerated: symbols of elements that may be there all the same, e.g. ('Th', 'U').
    """

    name = "radioactivity"

    def __init__(self, tolerated: Sequence[str] = ()) -> None:
        self.tolerated = frozenset(tolerated)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RadioactivityScreen:
        """Return the screen with its one setting, `tolerated`, changed.

        Raises:
            InputError: another setting, or a symbol that is no element.
        """
        from pymatgen.core import Element

        unknown = sorted(set(settings) - {"tolerated"})
        if unknown:
            raise InputError(f"unknown radioactivity setting {unknown[0]!r}; known is tolerated")
        for symbol in settings.get("tolerated", ()):
            if not Element.is_valid_symbol(symbol):
                raise InputError(f"radioactivity screen: tolerated has {symbol!r}, which is no element")
        return cls(**settings)

    def judge(self, crystals: Sequence[Crystal]) -> list[Verdict]:
        """Return one verdict per crystal; the value is the number of its radioactive elements."""
        from pymatgen.core import Element

        pymatgen_version = version("pymatgen")
        verdicts = []
        for crystal in crystals:
            started = time.perf_counter()
            symbols = sorted(set(crystal.species))
            value, threshold = float("nan"), 0.0
            strangers = [symbol for symbol in symbols if not Element.is_valid_symbol(symbol)]
            if strangers:
                verdict, reason = ERROR, f"{strangers[0]!r} is no element"
            else:
                found = [one for one in symbols if Element(one).is_radioactive and one not in self.tolerated]
                verdict, value = (FAIL if found else PASS), float(len(found))
                reason = f"no stable isotope of {', '.join(found)}" if found else ""
            verdicts.append(
                Verdict(
                    crystal.id, self.name, verdict, value, threshold, reason,
                    tool="pymatgen", tool_version=pymatgen_version, seconds=time.perf_counter() - started,
                )
            )  # fmt: skip
        return verdicts
