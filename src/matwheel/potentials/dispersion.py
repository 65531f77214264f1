"""Dispersion energies by D3 with the damping of Becke and Johnson, for potentials that were fitted to PBE.

Grimme, Antony, Ehrlich and Krieg, J. Chem. Phys. 132, 154104 (2010); damping: Grimme, Ehrlich and Goerigk,
J. Comput. Chem. 32, 1456 (2011). The parameters are those of PBE, without the term of three bodies. The only
module that calls `dftd3`. Its compiled code allocates what a cell asks for and has ended processes on thin
cells, so cells that are too thin are refused, and it works in a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.isolated_calls import IsolatedCalls

if TYPE_CHECKING:
    from ase import Atoms

PARAMETERS = {"s6": 1.0, "s8": 0.7875, "s9": 0.0, "a1": 0.4289, "a2": 4.4407, "alp": 14.0}
"""Of PBE (Grimme, Ehrlich and Goerigk 2011); s9 = 0 leaves the three bodies out."""
CUTOFFS_BOHR = (50.0, 20.0, 25.0)
"""Of pairs, three bodies and coordination numbers."""
LARGEST_ATOMIC_NUMBER = 94
"""D3 has parameters for the elements up to this one."""
MOST_LATTICE_POINTS = 2_000_000
"""Images of a cell that D3 lists; each takes 24 bytes, several times over."""
MOST_PAIRS = 300_000_000
"""Pairs of atoms and images that D3 sums, some ten seconds of work."""
_MEMORY_BYTES = 4 * 2**30
_BOHR_ANGSTROM = 0.529177210903
_HARTREE_EV = 27.211386245988


class DispersionRefused(ValueError):
    """A cell that is not handed to D3; the message says why."""


@dataclass(frozen=True, eq=False)
class Dispersion:
    """Dispersion of one cell.

    Attributes:
        energy_ev: of the cell.
        forces_ev_per_angstrom: shape (atoms, 3).
        virial_ev: dE/dstrain, shape (3, 3).
    """

    energy_ev: float
    forces_ev_per_angstrom: NDArray[np.float64]
    virial_ev: NDArray[np.float64]


class DispersionModel:
    """D3(BJ) of PBE, in a process of its own that is made when it is first asked.

    Raises:
        InputError: its package is not installed, as where there is no wheel of it.
    """

    def __init__(self) -> None:
        if find_spec("dftd3") is None:
            raise InputError(
                "dispersion energies need the package dftd3, which is not installed where there is no wheel "
                "of it; build it with 'pip install dftd3==1.7.0' and a Fortran compiler, or leave out "
                "exfoliation_energy (properties.oracle_cards)"
            )
        self._calls = IsolatedCalls(_dispersion, _MEMORY_BYTES)

    def evaluate(self, atoms: Atoms) -> Dispersion:
        """Return the dispersion of atoms that are periodic in all directions.

        Raises:
            DispersionRefused: an element without parameters, or a cell with too many neighbours.
            ProcessDied: the compiled code ended its process.
            RuntimeError, MemoryError: it gave up.
        """
        reason = reason_to_refuse(atoms)
        if reason:
            raise DispersionRefused(reason)
        energy, gradient, virial = self._calls(atoms.numbers, atoms.positions, atoms.cell.array)
        return Dispersion(energy, -gradient, virial)

    def close(self) -> None:
        """End the process."""
        self._calls.close()


def elements_without_parameters(atomic_numbers: Sequence[int] | NDArray[np.integer]) -> list[int]:
    """Return the atomic numbers, sorted, that D3 has no parameters for."""
    return sorted({int(number) for number in atomic_numbers if not 1 <= number <= LARGEST_ATOMIC_NUMBER})


def reason_to_refuse(atoms: Atoms) -> str:
    """Return why a cell is not handed to D3, or the empty string."""
    unknown = elements_without_parameters(atoms.numbers)
    if unknown:
        return f"D3 has no parameters for the atomic numbers {', '.join(map(str, unknown))}"
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return "positions or cell are not finite"
    points = _lattice_points(atoms.cell.array)
    if points > MOST_LATTICE_POINTS or points * len(atoms) ** 2 / 2 > MOST_PAIRS:
        return f"a cell with {points:.2g} images within the reach of D3, too thin, too skewed or too large"
    return ""


def _lattice_points(cell_angstrom: NDArray[np.float64]) -> float:
    """Return how many images of a cell D3 lists: in each direction as many as its height asks for."""
    if not abs(np.linalg.det(cell_angstrom)) > 0:
        return float("inf")
    heights = 1 / np.linalg.norm(np.linalg.inv(cell_angstrom), axis=0)
    reach = max(CUTOFFS_BOHR) * _BOHR_ANGSTROM
    return float(np.prod(2 * np.ceil(reach / heights) + 1))


def _dispersion(
    numbers: NDArray[np.integer], positions_angstrom: NDArray[np.float64], cell_angstrom: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return energy (eV), gradient (atoms, 3; eV/Å) and virial (3, 3; eV)."""
    from dftd3.interface import DispersionModel as Model

    model = Model(
        numbers, positions_angstrom / _BOHR_ANGSTROM, cell_angstrom / _BOHR_ANGSTROM, np.ones(3, dtype=bool)
    )
    model.set_realspace_cutoff(*CUTOFFS_BOHR)
    found = model.get_dispersion(_damping(), grad=True)
    return (
        float(found["energy"]) * _HARTREE_EV,
        found["gradient"] * (_HARTREE_EV / _BOHR_ANGSTROM),
        found["virial"] * _HARTREE_EV,
    )


@cache
def _damping() -> Any:
    from dftd3.interface import RationalDampingParam

    return RationalDampingParam(**PARAMETERS)
