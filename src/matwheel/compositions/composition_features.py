"""Numbers that describe compositions given as counts of atoms: Magpie features and element fractions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.formulas import ELEMENTS, MATGAN_ELEMENTS, symbol_columns
from matwheel.compositions.magpie import FEATURE_NAMES, magpie_statistics
from matwheel.core.errors import InputError

ELEMNET_ELEMENTS: tuple[str, ...] = tuple(
    symbol for symbol in ELEMENTS if symbol in MATGAN_ELEMENTS or symbol == "Kr"
)
"""The 86 elements of ElemNet (Jha et al., Sci. Rep. 8, 17593, 2018): the 85 of MatGAN and Kr."""


def magpie_features_of_counts(
    counts: NDArray[np.integer], elements: Sequence[str] = MATGAN_ELEMENTS
) -> NDArray[np.float64]:
    """Return the Magpie features of compositions, hundreds of thousands of rows per second.

    Counts need not be reduced: the features depend on the fractions only.

    Args:
        counts: atoms of each element, shape (n, k).
        elements: the k symbols of the columns.

    Returns:
        Shape (n, 132), in the order of `matwheel.compositions.magpie.FEATURE_NAMES`.

    Raises:
        InputError: a wrong shape, a negative amount, a row without elements (by its number from 1).
    """
    counts = checked_counts(counts, elements)
    if not len(counts):
        return np.zeros((0, len(FEATURE_NAMES)))
    rows, columns = np.nonzero(counts)
    starts = np.searchsorted(rows, np.arange(len(counts) + 1))
    numbers = np.array([ELEMENTS.index(symbol) + 1 for symbol in elements])
    return magpie_statistics(numbers[columns], counts[rows, columns].astype(np.float64), starts)


def element_fractions(
    counts: NDArray[np.integer], elements: Sequence[str] = MATGAN_ELEMENTS
) -> NDArray[np.float32]:
    """Return the share of each of `ELEMNET_ELEMENTS` in the atoms of each composition.

    Args:
        counts: atoms of each element, shape (n, k).
        elements: the k symbols of the columns of `counts`.

    Returns:
        Shape (n, len(ELEMNET_ELEMENTS)), each row of sum 1.

    Raises:
        InputError: as `magpie_features_of_counts`, or atoms of an element that is not among them.
    """
    counts = checked_counts(counts, elements)
    place = {symbol: column for column, symbol in enumerate(ELEMNET_ELEMENTS)}
    fractions = np.zeros((len(counts), len(ELEMNET_ELEMENTS)), dtype=np.float32)
    total = counts.sum(axis=1, dtype=np.float64)
    for column, symbol in enumerate(elements):
        if symbol in place:
            fractions[:, place[symbol]] = counts[:, column] / total
        elif counts[:, column].any():
            row = int(np.argmax(counts[:, column] > 0))
            raise InputError(
                f"composition {row + 1} holds {symbol}, which is none of the {len(ELEMNET_ELEMENTS)} "
                "elements of the model; leave the row out"
            )
    return fractions


def checked_counts(counts: NDArray[np.integer], elements: Sequence[str]) -> NDArray[np.integer]:
    """Return counts of atoms that every row has some of.

    Raises:
        InputError: a wrong shape or dtype, unknown or repeated elements, a negative amount, or a row without
            elements, by its number from 1.
    """
    counts = np.asarray(counts)
    symbol_columns(elements)  # refuses unknown and repeated elements
    if counts.ndim != 2 or counts.shape[1] != len(elements) or not np.issubdtype(counts.dtype, np.integer):
        raise InputError(
            f"counts of shape {counts.shape} and type {counts.dtype}; give whole numbers, one column for "
            f"each of the {len(elements)} elements"
        )
    for wrong, what in (((counts < 0).any(axis=1), "a negative amount"), (~counts.any(axis=1), "no atoms")):
        if wrong.any():
            raise InputError(f"composition {int(np.argmax(wrong)) + 1} has {what}; leave the row out")
    return counts


def checked_targets(
    counts: NDArray[np.integer], target: NDArray[np.float64], what: str, *, smallest: int = 1
) -> NDArray[np.float64]:
    """Return labels as floats, one finite number per composition.

    Raises:
        InputError: fewer rows than `smallest`, numbers of rows that differ, or a label that is not finite.
    """
    values = np.asarray(target, dtype=np.float64)
    if len(counts) < smallest:
        raise InputError(f"{what}: {len(counts)} rows, at least {smallest} are needed; enlarge the set")
    if values.shape != (len(counts),):
        raise InputError(f"{what}: {len(counts)} compositions but labels of shape {values.shape}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise InputError(
            f"{what}: composition {wrong[0] + 1} has the label {values[wrong[0]]}; give it a finite "
            "number or remove the row"
        )
    return values
