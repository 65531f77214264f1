"""Which candidates the costly steps get, where they cannot get all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np


def random_sample(ids: Sequence[str], at_most: int, seed: int) -> list[str]:
    """Return `at_most` of the ids, in their order, drawn without looking at any property.

    So rates among the drawn stand for all.
    """
    drawn = np.random.default_rng(seed).permutation(len(ids))[:at_most]
    return [ids[place] for place in sorted(drawn)]


def nearest_to_hull(
    ids: Sequence[str],
    e_above_hull_ev_per_atom: Mapping[str, float],
    largest_ev_per_atom: float | Mapping[str, float],
) -> list[str]:
    """Return the ids within `largest_ev_per_atom` of the hull, the nearest first, of equals as they come.

    Ids without an energy, or with NaN, are left out.
    """
    limits = largest_ev_per_atom if isinstance(largest_ev_per_atom, Mapping) else {}
    default = nan if isinstance(largest_ev_per_atom, Mapping) else largest_ev_per_atom
    near = [name for name in ids if e_above_hull_ev_per_atom.get(name, nan) <= limits.get(name, default)]
    return sorted(near, key=e_above_hull_ev_per_atom.__getitem__)
