"""Magpie features of compositions, for all crystals at once.

The 132 features of Ward et al., npj Comput. Mater. 2, 16028 (2016): six statistics of 22 elemental
properties, from matminer's own elemental table and equal to its `ElementProperty` preset "magpie".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from matwheel.crystals.crystal import Crystal

PROPERTIES = (
    "Number",
    "MendeleevNumber",
    "AtomicWeight",
    "MeltingT",
    "Column",
    "Row",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NfValence",
    "NValence",
    "NsUnfilled",
    "NpUnfilled",
    "NdUnfilled",
    "NfUnfilled",
    "NUnfilled",
    "GSvolume_pa",
    "GSbandgap",
    "GSmagmom",
    "SpaceGroupNumber",
)
STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
FEATURE_NAMES = tuple(f"{name} {statistic}" for name in PROPERTIES for statistic in STATISTICS)


@lru_cache(maxsize=1)
def element_table() -> NDArray[np.float64]:
    """Return the elemental properties, shape (119, 22); row Z belongs to atomic number Z, row 0 is NaN.

    Values that the Magpie table lacks are the property's mean over the elements, as in matminer.
    """
    from matminer.utils.data import MagpieData
    from pymatgen.core import Element

    data = MagpieData()
    table = np.full((119, len(PROPERTIES)), np.nan)
    for number in range(1, 119):
        element = Element.from_Z(number)
        table[number] = [data.get_elemental_property(element, name) for name in PROPERTIES]
    table.setflags(write=False)
    return table


def magpie_features(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return the features of the crystals' compositions, shape (n, 132), in the order of FEATURE_NAMES.

    Raises:
        ValueError: a crystal without atoms or with an unknown element.
    """
    from pymatgen.core import Element

    if not len(crystals):
        return np.zeros((0, len(FEATURE_NAMES)))
    for crystal in crystals:
        if not crystal.species:
            raise ValueError(f"crystal {crystal.id}: no atoms; remove it from the set")
    counts = [crystal.element_counts for crystal in crystals]
    numbers = {symbol: 0 for row in counts for symbol in row}
    for symbol in numbers:
        try:
            numbers[symbol] = Element(symbol).Z
        except ValueError:
            owner = next(crystal.id for crystal in crystals if symbol in crystal.species)
            raise ValueError(f"crystal {owner}: unknown element {symbol!r}") from None

    # One row per crystal and element, so that each statistic is one reduction over all crystals.
    owner = np.repeat(np.arange(len(counts)), [len(row) for row in counts])
    starts = np.searchsorted(owner, np.arange(len(counts)))
    values = element_table()[[numbers[symbol] for row in counts for symbol in row]]
    amount = np.array([count for row in counts for count in row.values()], dtype=np.float64)
    fraction = (amount / np.add.reduceat(amount, starts)[owner])[:, None]
    lowest = np.minimum.reduceat(values, starts)
    highest = np.maximum.reduceat(values, starts)
    mean = np.add.reduceat(values * fraction, starts)
    deviation = np.add.reduceat(np.abs(values - mean[owner]) * fraction, starts)
    most_frequent = amount == np.maximum.reduceat(amount, starts)[owner]
    mode = np.minimum.reduceat(np.where(most_frequent[:, None], values, np.inf), starts)
    statistics = np.stack([lowest, highest, highest - lowest, mean, deviation, mode], axis=2)
    return statistics.reshape(len(counts), -1)
