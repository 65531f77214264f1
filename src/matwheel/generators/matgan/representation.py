"""Compositions as matrices of zeros and ones: a column per element, a row per number of atoms.

Cell (r, e) is 1 when the reduced formula has r + 1 atoms of element e (Dan et al. 2020, section 2.1, d = 8
rows and s = 85 elements).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from matwheel.core.errors import InputError

MOST_ATOMS = 8
"""Rows of the matrix: most atoms of one element."""

"""An element is present when its largest cell exceeds this."""


def encode(counts: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the matrices of compositions.

    Args:
        counts: atoms of each element, shape (n, elements), each between 0 and `MOST_ATOMS`.

    Returns:
        Zeros and ones, shape (n, `MOST_ATOMS`, elements).

    Raises:
        InputError: an amount that has no row; the message names the row of `counts`, from 1.
    """
    counts = np.asarray(counts)
    outside = np.flatnonzero(((counts < 0) | (counts > MOST_ATOMS)).any(axis=1))
    if len(outside):
        raise InputError(
            f"composition {outside[0] + 1}: an amount is not between 0 and {MOST_ATOMS} atoms; leave it out"
        )
    cells = np.zeros((len(counts), MOST_ATOMS, counts.shape[1]), dtype=np.float32)
    rows, columns = np.nonzero(counts)
    cells[rows, counts[rows, columns].astype(np.int64) - 1, columns] = 1.0
    return cells


def decode(cells: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """Return the compositions of matrices: of each column the largest cell, if it exceeds the threshold.

    Args:
        cells: values between 0 and 1, shape (n, `MOST_ATOMS`, elements).
        threshold: what the largest cell of a column must exceed for its element to be present.

    Returns:
        Atoms of each element, uint8, shape (n, elements); not reduced, and a row may be all zeros.
    """
    largest, row = cells.max(dim=1)
    return torch.where(largest > threshold, row + 1, 0).to(torch.uint8)
