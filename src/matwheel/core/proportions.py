"""Shares of a whole, with their intervals."""

from __future__ import annotations

from math import nan


def proportion(count: int, n: int) -> dict[str, float | int]:
    """Return count / n with its 95 % Wilson score interval (Wilson, J. Am. Stat. Assoc. 22, 209, 1927).

    Keys value, count, n, low, high; the share of nothing is NaN.
    """
    from scipy.stats import binomtest

    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is not a proportion")
    low, high = binomtest(count, n).proportion_ci(method="wilson") if n else (nan, nan)
    return {"value": count / n if n else nan, "count": count, "n": n, "low": float(low), "high": float(high)}


def share_columns(name: str, count: int, n: int) -> dict[str, float]:
    """Return count / n and the ends of its interval as `name`, `name_low`, `name_high`."""
    share = proportion(count, n)
    return {name: share["value"], f"{name}_low": share["low"], f"{name}_high": share["high"]}
