"""Shares of a whole, with their intervals."""

from __future__ import annotations


def proportion(count: int, n: int) -> dict[str, float | int]:
    """Return count / n with its 95 % Wilson score interval (Wilson, J. Am. Stat. Assoc. 22, 209, 1927)."""
    from scipy.stats import binomtest

    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} is not a proportion")
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return {"value": count / n, "count": count, "n": n, "low": float(low), "high": float(high)}
