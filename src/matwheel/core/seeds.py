"""Seeds derived from one seed, so that no two jobs share a random stream."""

from __future__ import annotations

from hashlib import sha256


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**31) that depends on `seed` and on every name, in order.

    The same arguments give the same seed on every machine and Python version.
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") >> 1
