"""Settings of scikit-learn's histogram-based boosted trees that grow to a fixed number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matwheel.core.errors import InputError


@dataclass(frozen=True)
class TreeSettings:
    """How boosted trees grow.

    Attributes:
        trees: number of trees.
        learning_rate: share of each tree that is added.
        largest_leaves: leaves of a tree.
        smallest_leaf: training rows in a leaf, at least.
        l2: penalty on the values of the leaves.
        features_per_split: share of the features tried at each split.
    """

    trees: int = 300
    learning_rate: float = 0.1
    largest_leaves: int = 31
    smallest_leaf: int = 10
    l2: float = 1.0
    features_per_split: float = 0.5

    def __post_init__(self) -> None:
        self.check_smallest(trees=1, largest_leaves=2, smallest_leaf=1, l2=0)
        for name in ("learning_rate", "features_per_split"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} = {getattr(self, name)}; give a number above 0, at most 1")

    def check_smallest(self, **smallest: float) -> None:
        """Check that settings are at least so large.

        Raises:
            InputError: one is smaller.
        """
        for name, least in smallest.items():
            if not getattr(self, name) >= least:
                raise InputError(f"{name} = {getattr(self, name)}; give at least {least}")

    def growth(self, seed: int) -> dict[str, Any]:
        """Return the keywords of scikit-learn's HistGradientBoosting models; trees grow to their number."""
        return {
            "max_iter": self.trees,
            "learning_rate": self.learning_rate,
            "max_leaf_nodes": self.largest_leaves,
            "min_samples_leaf": self.smallest_leaf,
            "l2_regularization": self.l2,
            "max_features": self.features_per_split,
            "early_stopping": False,
            "random_state": seed,
        }
