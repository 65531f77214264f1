"""Damage as disks and killed copies do it: files cut off and single bits turned over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def damages(content: bytes, *, seed: int, times: int) -> Iterator[tuple[str, bytes]]:
    """Yield `times` damaged copies of a file's content, each with what was done to it."""
    random = np.random.default_rng(seed)
    for _ in range(times):
        where = int(random.integers(len(content)))
        if random.random() < 0.3:
            yield f"cut off after {where} of {len(content)} bytes", content[:where]
        else:
            bit = int(random.integers(8))
            turned = bytearray(content)
            turned[where] ^= 1 << bit
            yield f"bit {bit} of byte {where} turned over", bytes(turned)
