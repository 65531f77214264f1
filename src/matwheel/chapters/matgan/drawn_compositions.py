"""Questions to a file of drawn compositions, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.composition_keys import KeyIndex, reduced_keys
from matwheel.compositions.composition_samples import counts_of_parquet
from matwheel.compositions.formulas import reduce_counts


def distinct_compounds(
    path: str | Path,
    elements: Sequence[str],
    *,
    containing: str | None = None,
    largest_rows: int | None = None,
) -> NDArray[np.uint8]:
    """Return the first distinct reduced compositions of two elements or more, in the order of the file.

    Args:
        elements: symbols of the columns.
        containing: an element that each of them must hold.
        largest_rows: how many at most; None for all.

    Returns:
        Shape (n, len(elements)).

    Raises:
        InputError: the file does not hold such counts.
        ValueError: `containing` is none of the elements.
    """
    index = KeyIndex()
    found: list[NDArray[np.uint8]] = [np.zeros((0, len(elements)), dtype=np.uint8)]
    left = np.inf if largest_rows is None else largest_rows
    for piece in counts_of_parquet(path, elements):
        compounds = piece[(piece > 0).sum(axis=1) >= 2]
        if containing is not None:
            compounds = compounds[compounds[:, elements.index(containing)] > 0]
        _, is_new = index.add(reduced_keys(compounds, elements).keys)
        fresh = reduce_counts(compounds[is_new])[: None if np.isinf(left) else int(left)]
        found.append(fresh)
        left -= len(fresh)
        if left <= 0:
            break
    return np.concatenate(found)


def found_among(
    counts: NDArray[np.integer], samples: Iterable[NDArray[np.integer]], elements: Sequence[str]
) -> NDArray[np.bool_]:
    """Say of each composition whether a sample reduces to the same one.

    Args:
        counts: shape (n, len(elements)).
        samples: pieces of shape (any, len(elements)).
        elements: symbols of the columns.

    Returns:
        Shape (n,).
    """
    index = KeyIndex()
    places, is_first = index.add(reduced_keys(counts, elements).keys)
    found = np.zeros(int(is_first.sum()), dtype=bool)
    for piece in samples:
        hit = index.find(reduced_keys(piece, elements).keys)
        found[hit[hit >= 0]] = True
    return found[places]
