"""One-hot features of the elements, built from pymatgen's elemental data.

After the table of CGCNN (Xie & Grossman, Phys. Rev. Lett. 120, 145301, supplementary table I): each
elemental property is cut into bins and coded as one-hot columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_ATOMIC_NUMBER = 118
_BLOCKS = ("s", "p", "d", "f")
_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)

# name: (lowest, highest, bins); values outside fall into the outermost bins.
_BINNED = {
    "electronegativity": (0.5, 4.0, 10),
    "covalent_radius_angstrom": (0.25, 2.5, 10),
    "log_ionisation_energy_ev": (1.3, 3.3, 10),
    "electron_affinity_ev": (-3.0, 3.7, 10),
    "log_atomic_volume_cm3_per_mol": (1.5, 4.3, 10),
}
WIDTH = 18 + 7 + 12 + 4 + 1 + sum(bins for _, _, bins in _BINNED.values())


@lru_cache(maxsize=1)
def element_features() -> NDArray[np.float32]:
    """Return the features of all elements, shape (119, 92); row Z belongs to atomic number Z.

    Columns: group 18, period 7, valence electrons 12, block 4, lanthanide or actinide 1, then ten bins
    each of Pauling electronegativity, covalent radius, log ionisation energy, electron affinity and
    log molar volume. A property that pymatgen does not know leaves all its columns at 0, so no value
    is made up. Row 0 is zero. The array is shared and must not be written to.
    """
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
    from pymatgen.core import Element

    table = np.zeros((LARGEST_ATOMIC_NUMBER + 1, WIDTH), dtype=np.float32)
    for number in range(1, LARGEST_ATOMIC_NUMBER + 1):
        element = Element.from_Z(number)
        block = "s" if number == 2 else element.block
        radius = CovalentRadius.radius.get(element.symbol, np.nan)
        ionisation = element.ionization_energy
        volume = element.data.get("Molar volume")
        affinity = element.data.get("Electron affinity")
        values = {
            # pymatgen marks unknown electronegativities by NaN and warns on .X, so the raw entry is read.
            "electronegativity": _number(element.data.get("X")),
            "covalent_radius_angstrom": radius,
            "log_ionisation_energy_ev": np.log(_number(ionisation)),
            "electron_affinity_ev": _number(affinity),
            "log_atomic_volume_cm3_per_mol": np.log(_number(volume)),
        }
        row = [
            _one_hot(element.group - 1, 18),
            _one_hot(element.row - 1, 7),
            _one_hot(_valence_electrons(number, element.group, block) - 1, 12),
            _one_hot(_BLOCKS.index(block), 4),
            np.array([float(block == "f")]),
        ]
        for name, (lowest, highest, bins) in _BINNED.items():
            row.append(_binned(values[name], lowest, highest, bins))
        table[number] = np.concatenate(row)
    table.setflags(write=False)
    return table


def _number(value: Any) -> float:
    """Return a value of the elemental table as a number; NaN where there is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _one_hot(position: int, length: int) -> NDArray[np.float64]:
    row = np.zeros(length)
    row[position] = 1.0
    return row


def _binned(value: float, lowest: float, highest: float, bins: int) -> NDArray[np.float64]:
    if not np.isfinite(value):
        return np.zeros(bins)
    position = int(np.floor((value - lowest) / (highest - lowest) * bins))
    return _one_hot(min(max(position, 0), bins - 1), bins)


def _valence_electrons(number: int, group: int, block: str) -> int:
    """Return the electrons outside the closed shells: s, p and, up to group 12, d; f-block: at most 12."""
    if number == 2:
        return 2
    if block == "p":
        return group - 10
    if block == "f":
        return min(12, number - max(core for core in _NOBLE_GASES if core < number))
    return group
