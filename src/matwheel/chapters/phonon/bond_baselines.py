"""What a model of displaced configurations has to beat: the mean label, and a line through bond lengths.

For each pair of elements the descriptors are mean, standard deviation and minimum of the distances in the
nearest shell, for instance of the six Ag around each S. How many neighbours the shell has is found in the
training rows: neighbours of each atom are sorted by distance, and the shell ends at the widest gap of the
mean sorted distances. A fixed number of neighbours, other than a fixed radius, lets no bond enter or leave
as atoms move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matwheel.chapters.phonon.distance_network import checked_labels, edges_of, refuse_unlabelled
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.predictors.interface import fitted

SEARCH_RADIUS_ANGSTROM = 6.5
RIDGE_STRENGTHS = tuple(10.0 ** (power / 2) for power in range(-8, 9))
STATISTICS = ("mean", "std", "min")


@dataclass(frozen=True)
class NearestShell:
    """The nearest neighbours of one element around another.

    Attributes:
        centre, neighbour: symbols; the centre is the rarer element, of two equally frequent ones the first
            by name.
    """

    centre: str
    neighbour: str
    size: int

    @property
    def name(self) -> str:
        """Elements of the pair, e.g. 'S-Ag'."""
        return f"{self.centre}-{self.neighbour}"


def nearest_shells(crystals: Sequence[Crystal]) -> tuple[NearestShell, ...]:
    """Return the nearest shell of every pair of elements, sorted by symbols.

    A pair whose central atoms do not all have a neighbour within the search radius has no shell.

    Raises:
        InputError: no crystals, or crystals of different composition: their shells are not comparable.
    """
    if not len(crystals):
        raise InputError("no crystals to find nearest shells in; enlarge the training part")
    counts = crystals[0].element_counts
    _check_composition(crystals, counts)
    shells = []
    found = [_distances(crystal) for crystal in crystals]
    for one, other in combinations_with_replacement(sorted(counts), 2):
        centre, neighbour = (one, other) if counts[one] <= counts[other] else (other, one)
        sorted_distances = [atom for distances in found for atom in distances[centre, neighbour]]
        common = min(len(atom) for atom in sorted_distances)
        if not common:
            continue
        profile = np.mean([atom[:common] for atom in sorted_distances], axis=0)
        # Beyond the last neighbour that all atoms have, the next one is at least somewhere before the radius.
        gaps = np.diff(np.append(profile, SEARCH_RADIUS_ANGSTROM))
        shells.append(NearestShell(centre, neighbour, int(gaps.argmax()) + 1))
    return tuple(shells)


def shell_descriptors(crystals: Sequence[Crystal], shells: Sequence[NearestShell]) -> NDArray[np.float64]:
    """Return mean, standard deviation and minimum of the distances in each shell, Å.

    Returns:
        Shape (crystals, 3 · shells): the statistics of the first shell, of the second, and so on.

    Raises:
        InputError: a central atom has fewer neighbours than the shell within the search radius.
    """
    rows = np.zeros((len(crystals), len(shells), len(STATISTICS)))
    for row, crystal in enumerate(crystals):
        found = _distances(crystal)
        for place, shell in enumerate(shells):
            atoms = found.get((shell.centre, shell.neighbour), [])
            if not atoms or min(len(atom) for atom in atoms) < shell.size:
                raise InputError(
                    f"crystal {crystal.id}: fewer than {shell.size} {shell.neighbour} within "
                    f"{SEARCH_RADIUS_ANGSTROM:g} Å of a {shell.centre}; it is not a configuration of the "
                    "crystal that the shells were found in"
                )
            distances = np.array([atom[: shell.size] for atom in atoms])
            rows[row, place] = distances.mean(), distances.std(), distances.min()
    return rows.reshape(len(crystals), -1)


def _distances(crystal: Crystal) -> dict[tuple[str, str], list[NDArray[np.float64]]]:
    """Return for each ordered pair of elements the ascending distances of each central atom."""
    edges = edges_of([crystal], SEARCH_RADIUS_ANGSTROM)
    target, source = edges.target.numpy(), edges.source.numpy()
    distance = edges.distance.numpy().astype(np.float64)
    species = np.array(crystal.species)
    first = np.searchsorted(target, np.arange(len(species) + 1))
    found: dict[tuple[str, str], list[NDArray[np.float64]]] = {
        (centre, neighbour): [] for centre in crystal.element_counts for neighbour in crystal.element_counts
    }
    for atom, centre in enumerate(crystal.species):
        # The edges of an atom are sorted by distance.
        own = slice(first[atom], first[atom + 1])
        kinds, distances = species[source[own]], distance[own]
        for neighbour in crystal.element_counts:
            found[centre, neighbour].append(distances[kinds == neighbour])
    return found


def _check_composition(crystals: Sequence[Crystal], counts: dict[str, int]) -> None:
    for crystal in crystals:
        if crystal.element_counts != counts:
            raise InputError(
                f"crystal {crystal.id} has the atoms {crystal.element_counts}, {crystals[0].id} has "
                f"{counts}; bond-length baselines are made for the configurations of one crystal"
            )


class ConstantBaseline:
    """The mean of the known training labels of each target."""

    name = "constant"

    def __init__(self) -> None:
        self._mean: NDArray[np.float64] | None = None

    def fit(
        self,
        train_crystals: Sequence[Crystal],
        train_targets: NDArray[np.float64],
        validation_crystals: Sequence[Crystal] = (),
        validation_targets: NDArray[np.float64] | None = None,
        *,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Take the means; validation rows and seed are not used.

        Args:
            train_targets: shape (rows, targets); NaN where a label is not known.

        Raises:
            InputError: shapes that do not fit, or a target without a known label.
        """
        labels = _known_labels(train_crystals, train_targets, smallest=1)
        self._mean = np.nanmean(labels, axis=0)
        return {"training_rows": len(labels), "mean": self._mean.tolist()}

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return the means for each crystal, shape (n, targets)."""
        return np.tile(fitted(self._mean), (len(crystals), 1))


class BondLengthRidge:
    """Ridge regression on the statistics of nearest-shell distances, one model per target.

    Descriptors are standardised over the training rows. The strength of the ridge is the one of
    `RIDGE_STRENGTHS` with the smallest leave-one-out error within the training rows.
    """

    name = "bond_length_ridge"

    def __init__(self) -> None:
        self.shells: tuple[NearestShell, ...] = ()
        self._models: list[Any] | None = None

    def fit(
        self,
        train_crystals: Sequence[Crystal],
        train_targets: NDArray[np.float64],
        validation_crystals: Sequence[Crystal] = (),
        validation_targets: NDArray[np.float64] | None = None,
        *,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Fit; validation rows and seed are not used.

        Args:
            train_targets: shape (rows, targets); NaN where a label is not known.

        Raises:
            InputError: shapes that do not fit, a target with fewer than three known labels, or crystals of
                different composition.
        """
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        labels = _known_labels(train_crystals, train_targets, smallest=3)
        self.shells = nearest_shells(train_crystals)
        descriptors = shell_descriptors(train_crystals, self.shells)
        models = []
        for values in labels.T:
            known = np.isfinite(values)
            model = make_pipeline(StandardScaler(), RidgeCV(alphas=RIDGE_STRENGTHS))
            models.append(model.fit(descriptors[known], values[known]))
        self._models = models
        return {
            "training_rows": len(labels),
            "shells": {shell.name: shell.size for shell in self.shells},
            "strengths": [float(model[-1].alpha_) for model in models],
        }

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return predictions, shape (n, targets).

        Raises:
            InputError: see `shell_descriptors`.
            RuntimeError: not fitted.
        """
        models = fitted(self._models)
        if not len(crystals):
            return np.zeros((0, len(models)))
        descriptors = shell_descriptors(crystals, self.shells)
        return np.stack([model.predict(descriptors) for model in models], axis=1)

    def coefficients(self) -> dict[str, NDArray[np.float64]]:
        """Return the change of each target per standard deviation of a descriptor, shape (targets,) each.

        Keys are 'S-Ag mean' and so on.
        """
        models = fitted(self._models)
        names = [f"{shell.name} {statistic}" for shell in self.shells for statistic in STATISTICS]
        table = np.array([model[-1].coef_ for model in models])
        return {name: table[:, column] for column, name in enumerate(names)}


def _known_labels(
    crystals: Sequence[Crystal], targets: NDArray[np.float64], *, smallest: int
) -> NDArray[np.float64]:
    labels = checked_labels(crystals, targets, "training rows")
    refuse_unlabelled(labels, [f"target {column}" for column in range(labels.shape[1])], smallest)
    return labels
