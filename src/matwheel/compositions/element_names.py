"""Symbols of elements in settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.settings import WrongSetting


def _element(symbol: str) -> str:
    if symbol not in ELEMENTS:
        raise WrongSetting("give the symbol of an element, such as Ag", known=ELEMENTS)
    return symbol


Element = Annotated[str, AfterValidator(_element)]
"""Symbol of an element."""
