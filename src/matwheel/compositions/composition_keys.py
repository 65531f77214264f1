"""Keys of reduced compositions, and an index of many of them: a million is compared in a second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError

LARGEST_REDUCED_AMOUNT = 255


class ReducedKeys(NamedTuple):
    """Compositions by what makes them the same.

    Attributes:
        keys: uint64, shape (n, 2); equal for compositions that reduce to the same one.
        n_elements: number of elements, shape (n,).
    """

    keys: NDArray[np.uint64]
    n_elements: NDArray[np.int64]


def reduced_keys(counts: NDArray[np.integer], elements: Sequence[str]) -> ReducedKeys:
    """Return a key of 128 bits for each composition, divided by its greatest common divisor.

    Every pair of an element and an amount has a word of 128 bits from BLAKE2b, and a key is the exclusive or
    of its words, so it does not depend on the order or the choice of columns. Two different compositions have
    the same key with probability 2^-128; any two of 2 million do with 6e-27. (These figures take the hash for
    random; nobody is attacking it here.)

    Args:
        counts: shape (n, len(elements)), any integer dtype. A row of zeros has the key 0.
        elements: symbols of the columns.

    Raises:
        InputError: another shape or dtype, a negative count or a reduced one above 255, by its row from 1.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(elements) or not np.issubdtype(counts.dtype, np.integer):
        raise InputError(
            f"counts of shape {counts.shape} and type {counts.dtype} are not whole numbers of shape "
            f"(compositions, {len(elements)} elements)"
        )
    rows, columns = np.nonzero(counts)
    amounts = counts[rows, columns].astype(np.int64)
    sizes = np.bincount(rows, minlength=len(counts))
    filled = sizes > 0
    starts = (np.cumsum(sizes) - sizes)[filled]
    reduced = amounts // np.repeat(np.gcd.reduceat(amounts, starts), sizes[filled])
    for row in rows[(amounts < 0) | (reduced > LARGEST_REDUCED_AMOUNT)]:
        raise InputError(
            f"counts, row {row + 1}: an amount is negative, or above {LARGEST_REDUCED_AMOUNT} when reduced"
        )
    keys = np.zeros((len(counts), 2), dtype=np.uint64)
    keys[filled] = np.bitwise_xor.reduceat(_words(tuple(elements))[columns, reduced], starts)
    return ReducedKeys(keys, sizes)


class KeyIndex:
    """Distinct keys by the order in which they were added; about 200 bytes each."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Add keys, shape (n, 2); return the place of each and whether it was new, both of shape (n,).

        Places count from 0 in the order of first additions; of equal keys the first is new.
        """
        known = self._places
        before = len(known)
        places = np.array([known.setdefault(key, len(known)) for key in _hashable(keys)], dtype=np.int64)
        # Places rise as keys are added, so a new one is above all places before it.
        highest = np.maximum.accumulate(np.concatenate([[before - 1], places]))
        return places, places > highest[:-1]

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each key, shape (n,); -1 where it was never added."""
        return np.array([self._places.get(key, -1) for key in _hashable(keys)], dtype=np.int64)


def _hashable(keys: NDArray[np.uint64]) -> list[bytes]:
    return np.ascontiguousarray(keys, dtype=np.uint64).view("V16").ravel().tolist()


@lru_cache(maxsize=8)
def _words(elements: tuple[str, ...]) -> NDArray[np.uint64]:
    amounts = range(LARGEST_REDUCED_AMOUNT + 1)
    digests = b"".join(
        blake2b(f"{symbol}{amount}".encode(), digest_size=16).digest()
        for symbol in elements
        for amount in amounts
    )
    words = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
    return words.reshape(len(elements), len(amounts), 2)
