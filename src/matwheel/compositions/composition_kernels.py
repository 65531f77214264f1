"""Compiled inner loops of `matwheel.compositions.composition_keys`; import it where it is called."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit


def _compiled(function: Callable) -> Callable:
    """Compile at the first call and keep the result on disk, where there is a place to write to."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def reduce_and_hash(counts, words, keys, sizes, element_rows):
    """Hash each row of `counts`, divided by its greatest common divisor.

    Args:
        counts: atoms, any integer type, shape (rows, k).
        words: uint64, shape (k, amounts, 2); the word of each column and reduced amount.
        keys: output, uint64, shape (rows, 2); zeros for a row of zeros.
        sizes: output, number of elements of each row.
        element_rows: rows that hold each column, added to, shape (k,).

    Returns:
        The first row with a negative count or a reduced one beyond `words`; -1 where there is none.
    """
    rows, k = counts.shape
    columns = np.empty(k, dtype=np.int64)
    for row in range(rows):
        size = 0
        divisor = 0
        for column in range(k):
            count = np.int64(counts[row, column])
            if count == 0:
                continue
            if count < 0:
                return row
            columns[size] = column
            size += 1
            element_rows[column] += 1
            while count != 0:
                divisor, count = count, divisor % count
        sizes[row] = size
        first, second = np.uint64(0), np.uint64(0)
        for place in range(size):
            column = columns[place]
            amount = np.int64(counts[row, column]) // divisor
            if amount >= words.shape[1]:
                return row
            first ^= words[column, amount, 0]
            second ^= words[column, amount, 1]
        keys[row, 0], keys[row, 1] = first, second
    return -1


@_compiled
def find_or_add(keys, slots, stored, used, add, places):
    """Look keys up in a table of open addressing, whose slots hold the place of a key in `stored`.

    Args:
        keys: uint64, shape (rows, 2).
        slots: int64, length a power of two, -1 where empty; never full.
        stored: uint64, the keys by place, shape (room, 2).
        used: how many keys are stored.
        add: store keys that are not there.
        places: output, place of each key; -1 where it is not there and not added.

    Returns:
        How many keys are stored now.
    """
    mask = np.uint64(len(slots) - 1)
    for row in range(len(keys)):
        slot = keys[row, 0] & mask
        while True:
            place = slots[slot]
            if place < 0:
                if add:
                    slots[slot] = used
                    stored[used, 0], stored[used, 1] = keys[row, 0], keys[row, 1]
                    place = used
                    used += 1
                break
            if stored[place, 0] == keys[row, 0] and stored[place, 1] == keys[row, 1]:
                break
            slot = (slot + np.uint64(1)) & mask
        places[row] = place
    return used
