"""Keys of reduced compositions, and an index of many of them: millions are compared in a second."""

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
        element_rows: number of rows that hold each element, shape (elements,).
    """

    keys: NDArray[np.uint64]
    n_elements: NDArray[np.int64]
    element_rows: NDArray[np.int64]


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
    from matwheel.compositions.composition_kernels import reduce_and_hash

    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(elements) or not np.issubdtype(counts.dtype, np.integer):
        raise InputError(
            f"counts of shape {counts.shape} and type {counts.dtype} are not whole numbers of shape "
            f"(compositions, {len(elements)} elements)"
        )
    if counts.dtype != np.uint8:  # each dtype is compiled once more
        counts = counts.astype(np.int64)
    keys = np.zeros((len(counts), 2), dtype=np.uint64)
    sizes = np.zeros(len(counts), dtype=np.int64)
    element_rows = np.zeros(len(elements), dtype=np.int64)
    bad = reduce_and_hash(np.ascontiguousarray(counts), _words(tuple(elements)), keys, sizes, element_rows)
    if bad >= 0:
        raise InputError(
            f"counts, row {bad + 1}: an amount is negative, or above {LARGEST_REDUCED_AMOUNT} when reduced"
        )
    return ReducedKeys(keys, sizes, element_rows)


class KeyIndex:
    """Distinct keys by the order in which they were added; about 40 bytes each."""

    def __init__(self, expected: int = 1024) -> None:
        """Make room for `expected` keys; it grows where there are more."""
        self._used = 0
        self._stored = np.zeros((0, 2), dtype=np.uint64)
        self._slots = np.zeros(0, dtype=np.int64)
        self._make_room(max(expected, 1))

    def __len__(self) -> int:
        return self._used

    def add(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Add keys, shape (n, 2); return the place of each and whether it was new, both of shape (n,).

        Places count from 0 in the order of first additions; of equal keys the first is new.
        """
        if self._used + len(keys) > len(self._stored):
            self._make_room(max(self._used + len(keys), 2 * len(self._stored)))
        before = self._used
        places = self._search(keys, add=True)
        # Places rise as keys are added, so a new one is above all places before it.
        highest = np.maximum.accumulate(np.concatenate([[before - 1], places]))
        return places, places > highest[:-1]

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each key, shape (n,); -1 where it was never added."""
        return self._search(keys, add=False)

    def _search(self, keys: NDArray[np.uint64], *, add: bool) -> NDArray[np.int64]:
        from matwheel.compositions.composition_kernels import find_or_add

        places = np.empty(len(keys), dtype=np.int64)
        keys = np.ascontiguousarray(keys, dtype=np.uint64).reshape(-1, 2)
        self._used = find_or_add(keys, self._slots, self._stored, self._used, add, places)
        return places

    def _make_room(self, keys: int) -> None:
        stored = self._stored[: self._used]
        self._stored = np.zeros((keys, 2), dtype=np.uint64)
        self._slots = np.full(1 << (2 * keys - 1).bit_length(), -1, dtype=np.int64)  # at most half full
        self._used = 0
        self._search(stored, add=True)


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
