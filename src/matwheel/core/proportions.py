"""Shares of a whole, with their intervals."""

from __future__ import annotations

import numpy as np


def proportion(count: int, n: int) -> dict[str, float | int]:
    """Return count / n with its 95 % Wilson score interval (Wilson, J. Am. Stat. Assoc. 22, 209, 1927)."""
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} is not a proportion")
    z = 1.959963984540054
    share = count / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return {
        "value": share,
        "count": count,
        "n": n,
        "low": 0.0 if count == 0 else float(centre - margin),
        "high": 1.0 if count == n else float(centre + margin),
    }
