"""Numbers that describe Wyckoff genes: Magpie features of the composition, and the symmetry of the sites."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.composition_features import magpie_features_of_counts
from matwheel.compositions.formulas import ELEMENTS
from matwheel.compositions.magpie import FEATURE_NAMES as MAGPIE_FEATURE_NAMES
from matwheel.core.errors import InputError
from matwheel.wyckoff.wyckoff_genes import GeneArrays
from matwheel.wyckoff.wyckoff_positions import (
    CRYSTAL_SYSTEMS,
    SPACE_GROUPS,
    crystal_system,
    wyckoff_positions,
)

SYMMETRY_FEATURE_NAMES: tuple[str, ...] = (
    "space group",
    *(f"is {system}" for system in CRYSTAL_SYSTEMS),
    "lattice points per conventional cell",
    "order of the point group",
    "atoms per primitive cell",
    "formula units per primitive cell",
    "orbits",
    "free coordinates",
    "free coordinates per atom",
    "atoms per orbit minimum",
    "atoms per orbit maximum",
    "atoms per orbit mean",
    "share of atoms on fixed positions",
    "share of atoms on the general position",
    "site-symmetry order mean over atoms",
    "site-symmetry order minimum over elements",
    "site-symmetry order maximum over elements",
    "site-symmetry order of the least electronegative element",
    "site-symmetry order of the most electronegative element",
    "orbits of the least electronegative element",
    "orbits of the most electronegative element",
)
GENE_FEATURE_NAMES: tuple[str, ...] = MAGPIE_FEATURE_NAMES + SYMMETRY_FEATURE_NAMES

_GENES_AT_A_TIME = 8192


def gene_features(arrays: GeneArrays) -> NDArray[np.float32]:
    """Return the features of genes, 100,000 genes in a CPU second.

    Atoms of an orbit are counted in the primitive cell. The order of a site symmetry is the multiplicity of
    the general position by that of the site's position: 1 for a general site, 48 for a site of Oh. Of an
    element it is the mean over its atoms.

    Returns:
        Shape (n, 159), in the order of `GENE_FEATURE_NAMES`; all finite.

    Raises:
        InputError: a gene without atoms or with an impossible space group or letter, by its number from 1.
    """
    _check(arrays)
    features = np.empty((len(arrays), len(GENE_FEATURE_NAMES)), dtype=np.float32)
    for first in range(0, len(arrays), _GENES_AT_A_TIME):
        part = arrays[first : first + _GENES_AT_A_TIME]
        counts = part.counts()
        rows = slice(first, first + len(part))
        features[rows, : len(MAGPIE_FEATURE_NAMES)] = magpie_features_of_counts(counts, ELEMENTS)
        features[rows, len(MAGPIE_FEATURE_NAMES) :] = _symmetry_features(part, counts.sum(axis=1))
    return features


def _symmetry_features(arrays: GeneArrays, atoms_per_formula: NDArray[np.int64]) -> NDArray[np.float64]:
    positions, groups = wyckoff_positions(), arrays.space_group.astype(np.int64)
    multiplicity = positions.multiplicity[groups]
    general = multiplicity.max(axis=1)
    centring = positions.centring[groups]
    per_orbit = multiplicity // centring[:, None]
    order = general[:, None] / np.maximum(multiplicity, 1)

    orbits_of_elements = arrays.letters.astype(np.int64)  # (n, elements, letters)
    orbits_of_letters = orbits_of_elements.sum(axis=1)
    orbits = orbits_of_letters.sum(axis=1)
    taken = orbits_of_letters > 0
    atoms_of_letters = orbits_of_letters * per_orbit
    atoms = atoms_of_letters.sum(axis=1)
    free = (orbits_of_letters * positions.free_coordinates[groups]).sum(axis=1)
    is_general = multiplicity == general[:, None]

    atoms_of_elements = np.einsum("nel,nl->ne", orbits_of_elements, per_orbit)
    summed_order = np.einsum("nel,nl->ne", orbits_of_elements, per_orbit * order)
    present = atoms_of_elements > 0
    order_of_elements = summed_order / np.maximum(atoms_of_elements, 1)
    row = np.arange(len(arrays))
    least, most = _first_and_last(present)
    orbits_per_element = orbits_of_elements.sum(axis=2)

    systems = _systems()[groups]
    return np.column_stack(
        [
            groups,
            *(systems == system for system in range(len(CRYSTAL_SYSTEMS))),
            centring,
            general // centring,
            atoms,
            atoms / atoms_per_formula,
            orbits,
            free,
            free / atoms,
            np.where(taken, per_orbit, np.iinfo(np.int64).max).min(axis=1),
            np.where(taken, per_orbit, 0).max(axis=1),
            atoms / orbits,
            (atoms_of_letters * positions.is_fixed[groups]).sum(axis=1) / atoms,
            (atoms_of_letters * is_general).sum(axis=1) / atoms,
            summed_order.sum(axis=1) / atoms,
            np.where(present, order_of_elements, np.inf).min(axis=1),
            order_of_elements.max(axis=1),
            order_of_elements[row, least],
            order_of_elements[row, most],
            orbits_per_element[row, least],
            orbits_per_element[row, most],
        ]
    )


def _first_and_last(present: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the slots of the first and the last element of each gene, both of shape (n,)."""
    return present.argmax(axis=1), present.shape[1] - 1 - present[:, ::-1].argmax(axis=1)


def _systems() -> NDArray[np.int64]:
    """Return the crystal system of each space group, shape (231,); index 0 is unused."""
    return np.array([-1, *(crystal_system(group) for group in range(1, SPACE_GROUPS + 1))])


def _check(arrays: GeneArrays) -> None:
    groups = arrays.space_group.astype(np.int64)
    wrong = np.flatnonzero((groups < 1) | (groups > SPACE_GROUPS))
    if len(wrong):
        raise InputError(
            f"gene {wrong[0] + 1}: there is no space group {groups[wrong[0]]}; leave the gene out"
        )
    taken = np.any(arrays.letters, axis=1)
    exists = wyckoff_positions().exists
    for row in np.flatnonzero((taken & ~exists[groups]).any(axis=1))[:1]:
        raise InputError(
            f"gene {row + 1}: takes a Wyckoff letter that space group {groups[row]} lacks; leave the gene out"
        )
    for row in np.flatnonzero(~taken.any(axis=1))[:1]:
        raise InputError(f"gene {row + 1} has no atoms; leave the gene out")
    for row in np.flatnonzero((arrays.letters.any(axis=2) & (arrays.elements < 1)).any(axis=1))[:1]:
        raise InputError(f"gene {row + 1} has atoms of no element; leave the gene out")
