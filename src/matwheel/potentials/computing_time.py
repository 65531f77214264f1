"""How long a potential takes, also where a store spares it the work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def computing_clock(calculator: Calculator) -> float:
    """Return seconds on a clock that runs as if a calculator computed everything and was loaded before.

    What `matwheel.potentials.stored_calculator` finds in its store counts with the wall time that it once
    took, so that the costs in tables stay those of the computation. Any other calculator: the wall time.
    """
    stored: float = getattr(calculator, "stored_seconds", 0.0)
    loading: float = getattr(calculator, "loading_seconds", 0.0)
    return time.monotonic() + stored - loading
