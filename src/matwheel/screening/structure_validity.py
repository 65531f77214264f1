"""Structure validity: atoms neither too close (periodic images included) nor isolated, a cell with a volume.

The criterion of CDVAE (Xie et al., ICLR 2022, appendix): minimum distance ≥ 0.5 Å and volume ≥ 0.1 Å³. There
the images of an atom itself were left out; here they count, so a collapsed cell vector is seen.
`structure_validity` judges by it alone; `structure_verdicts` adds limits on density, on distances beside the
sum of covalent radii, on empty space and on the number of atoms. The vacuum of a layer is no part of its
density: that is of its area and its thickness.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.settings import CountOrZero, NotNegative, settings
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import (
    ATOM_SIZE_ANGSTROM,
    VACUUM_ANGSTROM,
    LayerGeometry,
    VacuumGap,
    layer_geometry,
)
from matwheel.crystals.neighbours import pairs_within
from matwheel.verdicts import ERROR, FAIL, PASS, Verdict

SCREEN = "structure"
MINIMUM_DISTANCE_ANGSTROM = 0.5
MINIMUM_VOLUME_ANGSTROM3 = 0.1
LARGEST_CELL_VECTOR_ANGSTROM = 1000.0
# An atom has its own images at the ends of every cell vector, so one vector this short leaves none isolated;
# without it a neighbour graph may not exist, and one such crystal would end the training of a predictor.
LARGEST_SHORTEST_VECTOR_ANGSTROM = 40.0
GRAM_PER_CM3 = 1.66053906660
"""One atomic mass unit per Å³ in g/cm³."""
SAME_PLACE_ANGSTROM = 0.01
_FIRST_CUTOFF_ANGSTROM, _LARGEST_CUTOFF_ANGSTROM = 5.0, 80.0
_EQUAL_DISTANCE_ANGSTROM = 1e-4
_PAIRS_PER_BLOCK = 500_000


@settings
class StructureSettings:
    """Limits of the structure screen; they refuse 4 of 27,677 real crystals, see benchmarks/README.md."""

    minimum_distance_angstrom: NotNegative = MINIMUM_DISTANCE_ANGSTROM
    """Between any two atoms, an atom and its own images included."""
    minimum_volume_angstrom3: NotNegative = MINIMUM_VOLUME_ANGSTROM3
    """Of the cell."""
    minimum_density_g_per_cm3: NotNegative = 0.02
    """0 switches the limit off. The volume of a layer is its area times its thickness, with 3 Å for the size
    of its outermost atoms.
    """
    maximum_density_g_per_cm3: Annotated[float, Field(ge=0, allow_inf_nan=True)] = 25.0
    """Infinity switches the limit off."""
    minimum_scaled_distance: NotNegative = 0.5
    """Smallest distance over the sum of the two covalent radii (Cordero et al., Dalton Trans. 2008, 2832); 0
    switches the limit off.
    """
    largest_gap_angstrom: Annotated[float, Field(ge=0, allow_inf_nan=True)] = 10.0
    """With steps up to this length from atom to atom or image, every atom must be part of a net that spreads
    in `net_dimensions`; infinity switches the limit off.
    """
    net_dimensions: Annotated[int, Field(ge=1, le=3)] = 2
    """1, 2 or 3. 2 refuses a molecule or a chain in an empty box and keeps single layers under vacuum, as
    two-dimensional data sets hold them; 3 refuses those too.
    """
    largest_atoms: CountOrZero = 200
    """Atoms in the cell."""
    vacuum_angstrom: VacuumGap = VACUUM_ANGSTROM


def structure_validity(crystals: Sequence[Crystal]) -> pd.DataFrame:
    """Judge the geometry of each crystal by the criterion of CDVAE.

    Returns:
        Columns id, structure_valid (bool), min_distance_angstrom (NaN where it cannot be computed),
        volume_angstrom3, reason (empty where valid), in the given order.
    """
    rows = []
    for crystal in crystals:
        distance, volume = nan, nan
        try:
            fault = _cell_fault(crystal, MINIMUM_VOLUME_ANGSTROM3)
            if crystal.species and _is_finite(crystal):
                volume = crystal.volume_angstrom3
            reason = fault.reason if fault else ""
            if not fault:
                distance = minimum_distance(crystal.lattice, crystal.frac_coords)
                close = not distance >= MINIMUM_DISTANCE_ANGSTROM
                reason = f"atoms {distance:.3g} Å apart" if close else ""
        except Exception as error:  # one strange cell must not end the batch
            reason = f"error: {type(error).__name__}: {error}"
        rows.append((crystal.id, not reason, distance, volume, reason))
    columns = ["id", "structure_valid", "min_distance_angstrom", "volume_angstrom3", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"structure_valid": bool})


def structure_verdicts(
    crystals: Sequence[Crystal], settings: StructureSettings | None = None
) -> list[Verdict]:
    """Judge the geometry of each crystal by all limits of `settings`.

    The first limit that a crystal breaks decides: its figure is the value, its limit the threshold. A crystal
    that passes has its smallest distance (Å) as value.

    Returns:
        One verdict per crystal, in the given order; 'error' for symbols that are no elements and for cells
        that no figure can be computed of.
    """
    settings = settings or StructureSettings()
    verdicts = []
    for crystal in crystals:
        started = time.perf_counter()
        try:
            finding = _finding(crystal, settings)
        except Exception as error:  # one strange cell must not end the batch
            finding = _Finding(ERROR, nan, nan, f"{type(error).__name__}: {error}")
        verdicts.append(
            Verdict(
                crystal.id, SCREEN, finding.verdict, finding.value, finding.threshold, finding.reason,
                tool="matwheel", seconds=time.perf_counter() - started,
            )
        )  # fmt: skip
    return verdicts


def minimum_distance(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]) -> float:
    """Return the shortest distance in Å between two atoms, or an atom and its own image.

    Exact for any cell with a volume, skewed ones included.

    Args:
        lattice: cell vectors as rows, shape (3, 3), Å.
        frac_coords: fractional coordinates, shape (atoms, 3), atoms ≥ 1.
    """
    return float(shortest_distances(lattice, frac_coords).min())


def shortest_distances(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], reach_angstrom: float = 0.0
) -> NDArray[np.float64]:
    """Return the shortest distance in Å between each two atoms over all images, shape (atoms, atoms).

    The diagonal holds the distance of an atom to its own nearest image. Entries up to the larger of
    `reach_angstrom` and the shortest lattice vector are exact, longer ones are upper bounds: the cell is
    LLL-reduced and all images within the reach are visited. Arguments as for `minimum_distance`.
    """
    from pymatgen.core import Lattice

    reduced = np.array(Lattice(lattice).get_lll_reduced_lattice().matrix)
    positions = frac_coords @ lattice @ np.linalg.inv(reduced)
    shortest = float(np.linalg.norm(reduced, axis=1).min())
    images = _images(reduced, max(shortest, reach_angstrom))
    own = np.linalg.norm(images[(images != 0).any(axis=1)] @ reduced, axis=1)
    distances = np.full((len(positions), len(positions)), min(shortest, float(own.min(initial=np.inf))))
    first, second = np.triu_indices(len(positions), k=1)
    block = max(1, _PAIRS_PER_BLOCK // len(images))
    for start in range(0, len(first), block):
        i, j = first[start : start + block], second[start : start + block]
        difference = positions[i] - positions[j]
        difference -= np.round(difference)
        squared = (((difference[:, None] + images) @ reduced) ** 2).sum(axis=-1)
        distances[i, j] = distances[j, i] = np.sqrt(squared.min(axis=1))
    return distances


def smallest_scaled_distance(crystal: Crystal) -> tuple[float, int, int]:
    """Return the smallest distance over the sum of covalent radii, and the two atoms (equal for an image).

    Every element must have a covalent radius (those up to Cm have).
    """
    radii = np.array([_covalent_radius(symbol) for symbol in crystal.species])
    sums = radii[:, None] + radii
    scaled = shortest_distances(crystal.lattice, crystal.frac_coords) / sums
    # No pair farther apart than this can be closer in scaled distance than the closest found so far.
    reach = float(scaled.min() * sums.max())
    scaled = shortest_distances(crystal.lattice, crystal.frac_coords, reach) / sums
    i, j = np.unravel_index(int(scaled.argmin()), scaled.shape)
    return float(scaled[i, j]), int(i), int(j)


def nets_spread(crystal: Crystal, cutoff_angstrom: float, dimensions: int = 3) -> bool:
    """Return whether each net that steps up to the cut-off make spreads in `dimensions` at least.

    Steps lead from atom to atom or image. A molecule is a net of no dimension, a chain one of one, a layer
    one of two.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    center, source, image, _ = pairs_within(crystal, cutoff_angstrom)
    atoms = len(crystal.species)
    bonds = coo_array((np.ones(len(center)), (center, source)), shape=(atoms, atoms)).tocsr()
    # Along a tree of steps from its first atom, every atom of a net gets the image it is reached in; every
    # other step closes a loop, and where it ends away from its start is a direction in which the net goes on.
    first_step = {(i, j): s for i, j, s in zip(center[::-1], source[::-1], image[::-1], strict=True)}
    reached = np.full((atoms, 3), np.nan)
    for start in range(atoms):
        if not np.isnan(reached[start, 0]):
            continue
        order, predecessor = breadth_first_order(bonds, start, directed=False)
        reached[start] = 0
        for atom in order[1:]:
            reached[atom] = reached[predecessor[atom]] + first_step[predecessor[atom], atom]
        mine = np.isin(center, order)
        loops = reached[center[mine]] + image[mine] - reached[source[mine]]
        if np.linalg.matrix_rank(loops.T @ loops) < dimensions:
            return False
    return True


def largest_gap(crystal: Crystal, dimensions: int = 3) -> float:
    """Return the length in Å up to which steps must go before every atom is part of a net that spreads.

    It is the smallest cut-off at which `nets_spread` holds. In a dense crystal it is about a bond length,
    between layers their distance (with two dimensions, their bond length), for a molecule in a box the space
    around it. Infinity where it is above 80 Å.
    """
    cutoff = _FIRST_CUTOFF_ANGSTROM
    while not nets_spread(crystal, cutoff, dimensions):
        if cutoff >= _LARGEST_CUTOFF_ANGSTROM:
            return float("inf")
        cutoff *= 2
    lengths = np.unique(pairs_within(crystal, cutoff).distance)
    low, high = -1, len(lengths) - 1
    while high - low > 1:
        middle = (low + high) // 2
        # A cut-off just above the length, so that equal steps are all inside.
        if nets_spread(crystal, float(lengths[middle]) + _EQUAL_DISTANCE_ANGSTROM, dimensions):
            high = middle
        else:
            low = middle
    return float(lengths[high])


def density_g_per_cm3(crystal: Crystal, layer: LayerGeometry | None = None) -> float:
    """Return the density in g/cm³, of a layer without its vacuum.

    Raises:
        ValueError: a symbol is no element.
    """
    mass = sum(count * _atomic_mass(symbol) for symbol, count in crystal.element_counts.items())
    volume = layer.filled_volume_angstrom3 if layer else crystal.volume_angstrom3
    return GRAM_PER_CM3 * mass / volume


@dataclass(frozen=True)
class _Finding:
    verdict: str
    value: float = nan
    threshold: float = nan
    reason: str = ""


def _cell_fault(crystal: Crystal, minimum_volume_angstrom3: float) -> _Finding | None:
    """Return what forbids to measure any distance in the cell, or None."""
    if not crystal.species:
        return _Finding(FAIL, reason="no atoms")
    if not _is_finite(crystal):
        return _Finding(FAIL, reason="lattice or positions are not finite")
    volume, limit = crystal.volume_angstrom3, minimum_volume_angstrom3
    if not volume >= limit:
        return _Finding(FAIL, volume, limit, f"volume {volume:.3g} Å³ is below {limit:g} Å³")
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    longest, limit = float(lengths.max()), LARGEST_CELL_VECTOR_ANGSTROM
    if longest > limit:
        return _Finding(FAIL, longest, limit, f"cell vector of {longest:.3g} Å is above {limit:g} Å")
    shortest, limit = float(lengths.min()), LARGEST_SHORTEST_VECTOR_ANGSTROM
    if shortest > limit:
        reason = f"no cell vector below {shortest:.3g} Å: atoms may have no neighbour"
        return _Finding(FAIL, shortest, limit, reason)
    return None


def _finding(crystal: Crystal, settings: StructureSettings) -> _Finding:
    atoms, most = len(crystal.species), settings.largest_atoms
    if atoms > most:
        return _Finding(FAIL, atoms, most, f"{atoms} atoms in the cell, more than {most}")
    if fault := _cell_fault(crystal, settings.minimum_volume_angstrom3):
        return fault
    strangers = sorted(symbol for symbol in set(crystal.species) if not _is_element(symbol))
    if strangers:
        return _Finding(ERROR, reason=f"{strangers[0]!r} is no element")

    distances = shortest_distances(crystal.lattice, crystal.frac_coords)
    smallest, limit = float(distances.min()), settings.minimum_distance_angstrom
    if not smallest >= limit:
        one, other = np.unravel_index(int(distances.argmin()), distances.shape)
        pair = _pair(crystal, int(one), int(other))
        place = "at one place" if smallest < SAME_PLACE_ANGSTROM else f"{smallest:.3g} Å apart"
        return _Finding(FAIL, smallest, limit, f"{pair} {place}, below {limit:g} Å")
    layer = layer_geometry(crystal, settings.vacuum_angstrom)
    density, limit = density_g_per_cm3(crystal, layer), settings.maximum_density_g_per_cm3
    if not density <= limit:
        what = f"density {density:.3g} g/cm³{_size(layer)}"
        return _Finding(FAIL, density, limit, f"{what} is above {limit:g}: collapsed cell")
    limit = settings.minimum_scaled_distance
    if limit > 0 and all(_covalent_radius(symbol) for symbol in crystal.species):
        scaled, i, j = smallest_scaled_distance(crystal)
        if not scaled >= limit:
            reason = (
                f"{_pair(crystal, i, j)} at {scaled:.2f} of the sum of their covalent radii, below {limit:g}"
            )
            return _Finding(FAIL, scaled, limit, reason)
    limit, dimensions = settings.largest_gap_angstrom, settings.net_dimensions
    if np.isfinite(limit) and not any(
        nets_spread(crystal, min(cutoff, limit), dimensions) for cutoff in (_FIRST_CUTOFF_ANGSTROM, limit)
    ):
        gap = largest_gap(crystal, dimensions)
        kind = ("molecule", "molecule or chain", "molecule, chain or layer")[dimensions - 1]
        return _Finding(FAIL, gap, limit, f"{kind} in a box: {gap:.3g} Å of empty space, above {limit:g} Å")
    limit = settings.minimum_density_g_per_cm3
    if not density >= limit:
        what = f"density {density:.3g} g/cm³{_size(layer)}"
        return _Finding(FAIL, density, limit, f"{what} is below {limit:g}: an empty cell")
    return _Finding(PASS, smallest, settings.minimum_distance_angstrom)


def _size(layer: LayerGeometry | None) -> str:
    """Return the size of a layer in words, empty for a crystal."""
    if layer is None:
        return ""
    thickness = layer.thickness_angstrom + ATOM_SIZE_ANGSTROM
    return f" (a layer of {layer.area_angstrom2:.3g} Å² and {thickness:.3g} Å)"


def _is_finite(crystal: Crystal) -> bool:
    return bool(np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all())


def _pair(crystal: Crystal, i: int, j: int) -> str:
    """Return two atoms in words, numbered from one; an atom twice is one and its image."""
    one, other = f"{crystal.species[i]}{i + 1}", f"{crystal.species[j]}{j + 1}"
    return f"{one} and its image" if i == j else f"{one} and {other}"


def _images(reduced: NDArray[np.float64], reach_angstrom: float) -> NDArray[np.int64]:
    """Return the lattice points that hold all images within the reach, shape (images, 3)."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(reduced), axis=0)
    # Differences are wrapped to [-1/2, 1/2], hence the added half.
    steps = [np.arange(-n, n + 1) for n in np.floor(reach_angstrom / heights + 0.5 + 1e-9).astype(int)]
    return np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)


@lru_cache(maxsize=200)
def _is_element(symbol: str) -> bool:
    from pymatgen.core import Element

    return Element.is_valid_symbol(symbol)


@lru_cache(maxsize=200)
def _atomic_mass(symbol: str) -> float:
    from pymatgen.core import Element

    return float(Element(symbol).atomic_mass)


@lru_cache(maxsize=200)
def _covalent_radius(symbol: str) -> float:
    """Return the covalent radius in Å, or 0 for the heaviest elements, which have none."""
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    return float(CovalentRadius.radius.get(symbol, 0.0))
