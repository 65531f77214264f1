"""Formal charges of the atoms of a crystal, neutral as a whole."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matwheel.compositions.average_oxidation_states import (
    bond_valences,
    electronegativity,
    states_of_formula,
)
from matwheel.crystals.crystal import Crystal

BOND_VALENCE, FORMULA, ELECTRONEGATIVITY = "bond valence", "formula", "electronegativity"


class FormalCharges(NamedTuple):
    """Charges and where they come from.

    Attributes:
        charges_e: of each atom, in elementary charges, shape (atoms,); their sum is zero.
        source: 'bond valence', 'formula' (the neutral states most frequent in the ICSD) or
            'electronegativity' (of no better use than as a sign).
    """

    charges_e: NDArray[np.float64]
    source: str


def formal_charges(crystal: Crystal) -> FormalCharges:
    """Return formal charges: by bond valence sums, else by the formula, else by electronegativity."""
    valences = bond_valences(crystal)
    if valences and sum(valences) == 0:
        return FormalCharges(np.array(valences, dtype=np.float64), BOND_VALENCE)
    counts = tuple(sorted((symbol, float(count)) for symbol, count in Counter(crystal.species).items()))
    states = states_of_formula(counts) or states_of_formula(counts, all_states=True)
    if states:
        charges = np.array([states[symbol] for symbol in crystal.species])
        return FormalCharges(charges - charges.mean(), FORMULA)  # of thirds, to the last bit
    charges = -np.array([electronegativity(symbol) for symbol in crystal.species])
    return FormalCharges(charges - charges.mean(), ELECTRONEGATIVITY)
