"""What is asked of generated genes: windows of properties and a range of space groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.core.errors import InputError
from matwheel.wyckoff.wyckoff_positions import SPACE_GROUPS


@dataclass(frozen=True)
class PropertyWindow:
    """A closed interval of a property; None is no bound.

    Attributes:
        low: smallest value inside, in the unit of the property.
    """

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is None:
                continue
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not np.isfinite(bound):
                raise InputError(f"a bound of a window is {bound!r}; give a number, or null for none")
            object.__setattr__(self, name, float(bound))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError(f"window [{self.low:g}, {self.high:g}] is empty; give the smaller bound first")

    def contains(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return which values are inside; NaN is not."""
        values = np.asarray(values, dtype=np.float64)
        inside = ~np.isnan(values)
        if self.low is not None:
            inside &= values >= self.low
        if self.high is not None:
            inside &= values <= self.high
        return inside

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return "any"
        if self.low is None:
            return f"at most {self.high:g}"
        if self.high is None:
            return f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}"


def checked_windows(
    target: str, windows: Mapping[str, PropertyWindow | Sequence[float | None]]
) -> Mapping[str, PropertyWindow]:
    """Return windows of which some may be pairs [low, high], None for no bound.

    Raises:
        InputError: no mapping, or something that is no window; the message names the target.
    """
    if not isinstance(windows, Mapping):
        raise InputError(f"target {target}: windows are {windows!r}; give property: [low, high]")
    checked = {}
    for name, window in windows.items():
        try:
            checked[str(name)] = window if isinstance(window, PropertyWindow) else window_of_pair(window)
        except InputError as error:
            raise InputError(f"target {target}, {name}: {error}") from None
    return MappingProxyType(checked)


@dataclass(frozen=True)
class Target:
    """What a generated crystal should be: the window of each property, and its space groups.

    Attributes:
        name: e.g. 'condition_1'.
        windows: column of a property → its window; a pair [low, high] will do, None for no bound.
        space_groups: first and last space group, 1 … 230.
    """

    name: str
    windows: Mapping[str, PropertyWindow] = field(default_factory=dict)
    space_groups: tuple[int, int] = (1, SPACE_GROUPS)

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise InputError(f"target: name is {self.name!r}; give it a name")
        object.__setattr__(self, "windows", checked_windows(self.name, self.windows))
        groups = self.space_groups
        if (
            isinstance(groups, str)
            or not isinstance(groups, Sequence)
            or len(groups) != 2
            or not all(isinstance(group, int) and not isinstance(group, bool) for group in groups)
            or not 1 <= groups[0] <= groups[1] <= SPACE_GROUPS
        ):
            raise InputError(
                f"target {self.name}: space_groups are {groups!r}; give the first and the last, "
                f"from 1 to {SPACE_GROUPS}"
            )
        object.__setattr__(self, "space_groups", tuple(groups))

    def rows_inside(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows are inside every window and the space groups, shape (n,); unknown values are not.

        Args:
            table: a column per property of `windows`, and `space_group`.

        Raises:
            InputError: a column is missing.
        """
        missing = [name for name in ("space_group", *self.windows) if name not in table.columns]
        if missing:
            raise InputError(f"target {self.name}: the table has no column {', '.join(missing)}; add it")
        groups = table["space_group"].to_numpy()
        inside = (groups >= self.space_groups[0]) & (groups <= self.space_groups[1])
        for name, window in self.windows.items():
            inside &= window.contains(table[name].to_numpy(dtype=np.float64, na_value=np.nan))
        return inside


def window_of_pair(pair: object) -> PropertyWindow:
    """Return the window of a pair [low, high].

    Raises:
        InputError: anything else.
    """
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(f"the window is {pair!r}; give [low, high], null for no bound")
    return PropertyWindow(pair[0], pair[1])
