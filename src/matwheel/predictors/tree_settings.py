"""Settings of scikit-learn's histogram-based boosted trees that grow to a fixed number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from matwheel.core.settings import Count, NotNegative, PositiveShare, Rate, Trees, settings


@settings
class TreeSettings:
    """How boosted trees grow."""

    # Texts as part of the types, since classes that inherit them keep only those.
    trees: Annotated[Trees, Field(description="Number of trees.")] = 300
    learning_rate: Annotated[Rate, Field(description="Share of each tree that is added.")] = 0.1
    largest_leaves: Annotated[int, Field(ge=2, le=1_000_000, description="Leaves of a tree.")] = 31
    smallest_leaf: Annotated[Count, Field(description="Training rows in a leaf, at least.")] = 10
    l2: Annotated[NotNegative, Field(description="Penalty on the values of the leaves.")] = 1.0
    features_per_split: Annotated[
        PositiveShare, Field(description="Share of the features tried at each split.")
    ] = 0.5

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
