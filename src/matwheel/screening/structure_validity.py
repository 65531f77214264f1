"""Structure validity: atoms neither too close (periodic images included) nor isolated, a cell with a volume.

The criterion of CDVAE (Xie et al., ICLR 2022, appendix): minimum distance ≥ 0.5 Å and volume ≥ 0.1 Å³. There
the images of an atom itself were left out; here they count, so a collapsed cell vector is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal

MINIMUM_DISTANCE_ANGSTROM = 0.5
MINIMUM_VOLUME_ANGSTROM3 = 0.1
LARGEST_CELL_VECTOR_ANGSTROM = 1000.0
# An atom has its own images at the ends of every cell vector, so one vector this short leaves none isolated;
# without it a neighbour graph may not exist, and one such crystal would end the training of a predictor.
LARGEST_SHORTEST_VECTOR_ANGSTROM = 40.0
_PAIRS_PER_BLOCK = 500_000


def structure_validity(
    crystals: Sequence[Crystal],
    *,
    minimum_distance_angstrom: float = MINIMUM_DISTANCE_ANGSTROM,
    minimum_volume_angstrom3: float = MINIMUM_VOLUME_ANGSTROM3,
) -> pd.DataFrame:
    """Judge the geometry of each crystal.

    Returns:
        Columns id, structure_valid (bool), min_distance_angstrom (NaN where it cannot be computed),
        volume_angstrom3, reason (empty where valid), in the given order.
    """
    rows = []
    for crystal in crystals:
        distance, volume = np.nan, np.nan
        if not crystal.species:
            reason = "no atoms"
        elif not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
            reason = "lattice or positions are not finite"
        else:
            volume = crystal.volume_angstrom3
            lengths = np.linalg.norm(crystal.lattice, axis=1)
            shortest, longest = float(lengths.min()), float(lengths.max())
            if not volume >= minimum_volume_angstrom3:
                reason = f"volume {volume:.3g} Å³ is below {minimum_volume_angstrom3:g} Å³"
            elif longest > LARGEST_CELL_VECTOR_ANGSTROM:
                reason = f"cell vector of {longest:.3g} Å is above {LARGEST_CELL_VECTOR_ANGSTROM:g} Å"
            elif shortest > LARGEST_SHORTEST_VECTOR_ANGSTROM:
                reason = f"no cell vector below {shortest:.3g} Å: atoms may have no neighbour"
            else:
                try:
                    distance = minimum_distance(crystal.lattice, crystal.frac_coords)
                    close = not distance >= minimum_distance_angstrom
                    reason = f"atoms {distance:.3g} Å apart" if close else ""
                except Exception as error:  # one strange cell must not end the batch
                    reason = f"error: {type(error).__name__}: {error}"
        rows.append((crystal.id, not reason, distance, volume, reason))
    columns = ["id", "structure_valid", "min_distance_angstrom", "volume_angstrom3", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"structure_valid": bool})


def minimum_distance(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]) -> float:
    """Return the shortest distance in Å between two atoms, or an atom and its own image.

    Exact for any cell with a volume, skewed ones included: the cell is LLL-reduced, its shortest vector
    bounds the answer from above, and all images within that bound are visited.

    Args:
        lattice: cell vectors as rows, shape (3, 3), Å.
        frac_coords: fractional coordinates, shape (atoms, 3), atoms ≥ 1.
    """
    from pymatgen.core import Lattice

    reduced = np.array(Lattice(lattice).get_lll_reduced_lattice().matrix)
    positions = frac_coords @ lattice @ np.linalg.inv(reduced)
    shortest = float(np.linalg.norm(reduced, axis=1).min())
    heights = 1.0 / np.linalg.norm(np.linalg.inv(reduced), axis=0)
    # Differences are wrapped to [-1/2, 1/2], hence the added half.
    reach = np.floor(shortest / heights + 0.5 + 1e-9).astype(int)
    steps = [np.arange(-limit, limit + 1) for limit in reach]
    images = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)

    own = np.linalg.norm(images[(images != 0).any(axis=1)] @ reduced, axis=1)
    smallest = min(shortest, float(own.min(initial=np.inf)))
    first, second = np.triu_indices(len(positions), k=1)
    block = max(1, _PAIRS_PER_BLOCK // len(images))
    for start in range(0, len(first), block):
        pair = slice(start, start + block)
        difference = positions[first[pair]] - positions[second[pair]]
        difference -= np.round(difference)
        squared = (((difference[:, None] + images) @ reduced) ** 2).sum(axis=-1)
        smallest = min(smallest, float(np.sqrt(squared.min())))
    return smallest
