"""What every computed property offers: crystals in, one table of named values with status and reason out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import pandas as pd

from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError, one_line
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.settings import Count, Seconds, settings
from matwheel.core.time_limits import Hung, hang_guard
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.computing_time import computing_clock

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

OK = "ok"  # computed; a reason that is there all the same is a doubt
REFUSED = "refused"  # not computed: the question makes no sense of this crystal, or costs too much
FAILED = "failed"  # computed without a result, as when an error was raised or a figure is not finite
STATUSES = (OK, REFUSED, FAILED)
SMALLEST_VOLUME_ANGSTROM3_PER_ATOM = 2.0
"""A denser cell is refused; it would have too many neighbours."""
COLUMNS_BESIDE = ("id", "status", "reason", "seconds")
"""Columns of a table of properties beside the values."""


@settings
class LimitsOfEach:
    """Limits that every property of single crystals has."""

    max_atoms: Count = 200
    """A larger cell is refused."""
    time_limit_seconds: Seconds = 3600.0
    """Wall time of one crystal, a guard against a hang that ends the job; the work itself is limited in
    evaluations.
    """


class Property(Protocol):
    """A property that is computed, by a potential or from the geometry alone.

    Attributes:
        name: in the registry.
        values: columns of its table, units at the end of their names.
        estimates: those of them that stand for a property as it is measured or computed by DFT, in its units;
            the others are features.
        uses_potential: whether a calculator is needed.
        double_precision: whether the potential is asked in float64 where it has it.
    """

    name: str
    values: tuple[str, ...]
    estimates: tuple[str, ...]
    uses_potential: bool
    double_precision: bool

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return the property: its defaults with single settings changed.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        ...

    def compute(
        self,
        crystals: Sequence[Crystal],
        calculator: Calculator | None = None,
        log: Log = log_to_stderr,
        *,
        elements: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return the values of crystals, in the given order; no error of one crystal ends the batch.

        Args:
            calculator: any ASE calculator with energy, forces and stress; None where none is needed.
            elements: what the potential was fitted to; a crystal with another element is refused. None: not
                checked here.

        Returns:
            Columns id, then `values` (NaN where there is none), status (one of `STATUSES`), reason (one
            sentence; empty where there is nothing to say) and seconds (wall time, as if everything had been
            computed; the only column that differs between two runs).

        Raises:
            InputError: a calculator is needed and there is none.
            Hung: work whose steps are limited does not end.
        """
        ...


class Refusal(ValueError):
    """Raised by `PropertyOfEach.values_of` for a crystal that the property makes no sense of; says why."""


class PropertyOfEach(ABC):
    """A property that is computed crystal by crystal, which is most of them; see `Property`."""

    name: ClassVar[str]
    values: ClassVar[tuple[str, ...]]
    estimates: ClassVar[tuple[str, ...]] = ()
    uses_potential: ClassVar[bool] = True
    double_precision: ClassVar[bool] = False
    settings_class: ClassVar[type[LimitsOfEach]] = LimitsOfEach

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings or self.settings_class()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Property.from_settings`."""
        return cls(cls.settings_class(**settings))

    @abstractmethod
    def values_of(self, crystal: Crystal, calculator: Calculator | None) -> tuple[Mapping[str, float], str]:
        """Return one crystal's values by column, and a doubt, empty where there is none.

        Any error becomes the crystal's status: a `Refusal` 'refused', all others 'failed'.
        """

    def compute(
        self,
        crystals: Sequence[Crystal],
        calculator: Calculator | None = None,
        log: Log = log_to_stderr,
        *,
        elements: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """See `Property.compute`."""
        if self.uses_potential and calculator is None:
            raise InputError(f"{self.name} is computed by a potential; give a calculator")
        progress = Progress(f"{self.name}: crystal", len(crystals), log)
        rows = []
        for number, crystal in enumerate(crystals, start=1):
            rows.append(self._row(crystal, calculator, elements))
            if rows[-1]["status"] != OK:
                log(f"{crystal.id}: {rows[-1]['status']}: {rows[-1]['reason']}")
            progress.report(number)
        return property_table(self.values, rows)

    def _row(
        self, crystal: Crystal, calculator: Calculator | None, elements: Collection[str] | None
    ) -> dict[str, Any]:
        started = _clock(calculator)
        found: Mapping[str, float] = {}
        limit, setting = self.settings.time_limit_seconds, f"time_limit_seconds of {self.name}"
        try:
            with hang_guard(limit, f"{self.name} of {crystal.id}", setting), np.errstate(all="ignore"):
                _refuse_unfit(crystal, elements, self.settings.max_atoms)
                found, reason = self.values_of(crystal, calculator)
            status, wrong = OK, [name for name in self.values if not isfinite(found[name])]
            if wrong:
                status, reason, found = FAILED, f"{wrong[0]} is not finite", {}
        except Refusal as refusal:
            status, reason = REFUSED, str(refusal)
        except Hung:
            raise
        except Exception as error:
            status, reason = FAILED, f"{type(error).__name__}: {one_line(error)}"
        seconds = _clock(calculator) - started
        return {"id": crystal.id, **found, "status": status, "reason": reason, "seconds": seconds}


def property_table(values: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows with id, status, reason, seconds and some of the values as a table; see `Property`."""
    frame = pd.DataFrame(rows, columns=["id", *values, "status", "reason", "seconds"])
    return frame.astype({**dict.fromkeys(values, np.float64), "seconds": np.float64})


def _clock(calculator: Calculator | None) -> float:
    return time.monotonic() if calculator is None else computing_clock(calculator)


def _refuse_unfit(crystal: Crystal, elements: Collection[str] | None, max_atoms: int) -> None:
    """Refuse what neither a potential nor a geometry can be asked of.

    Raises:
        Refusal: no atoms or too many, a cell that is flat or not finite, or an element that is unknown.
    """
    atoms = len(crystal.species)
    if not atoms:
        raise Refusal("no atoms")
    if atoms > max_atoms:
        raise Refusal(f"{atoms} atoms, more than the {max_atoms} allowed by max_atoms")
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        raise Refusal("lattice or positions are not finite")
    if not crystal.volume_angstrom3 / atoms >= SMALLEST_VOLUME_ANGSTROM3_PER_ATOM:
        raise Refusal(
            f"volume {crystal.volume_angstrom3 / atoms:.3g} Å³ per atom is below "
            f"{SMALLEST_VOLUME_ANGSTROM3_PER_ATOM:g} Å³"
        )
    no_elements = sorted(set(crystal.species) - set(ELEMENTS))
    if no_elements:
        raise Refusal(f"{', '.join(no_elements)}: not an element")
    unknown = sorted(set(crystal.species) - set(elements)) if elements is not None else []
    if unknown:
        raise Refusal(f"the potential was not fitted to {', '.join(unknown)}")
