"""Volume per atom of a crystal from its composition alone, fitted to training crystals.

A plain sum of atomic volumes is the start: one volume per element, by non-negative least squares. Its
logarithm is then corrected by ridge regression on x_i x_g (share of an element times share of a class of
elements, so that a metal is smaller in an oxide than in an alloy) and on the ionic terms
Σ x_i x_j |χ_i − χ_j| and Σ x_i x_j (χ_i − χ_j)², χ being Pauling's electronegativity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matwheel.compositions.formulas import ELEMENTS
from matwheel.compositions.oxidation_states import pauling_electronegativities
from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError

ELEMENT_CLASSES = (
    "H",
    "Li Na K Rb Cs Fr",
    "Be Mg Ca Sr Ba Ra",
    "Sc Y Ti Zr Hf V Nb Ta Cr Mo W Mn Tc Re",
    "Fe Ru Os Co Rh Ir Ni Pd Pt Cu Ag Au",
    "Zn Cd Hg Al Ga In Tl Sn Pb",
    "La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr",
    "B C Si Ge",
    "N",
    "P As Sb Bi",
    "O",
    "S Se Te Po",
    "F",
    "Cl Br I At",
    "He Ne Ar Kr Xe Rn",
)
RIDGE = 0.1
LARGEST_CORRECTION = 0.5  # of the logarithm, so that no odd composition gets an absurd volume
_UNKNOWN_ELECTRONEGATIVITY = 1.3  # of elements without a value (some f metals, noble gases): a middling metal
_SMALLEST_ATOM_ANGSTROM3 = 1.0


@dataclass(frozen=True, eq=False)
class VolumeEstimate:
    """A fitted estimate.

    Attributes:
        element_volumes: Å³ per atom of each element, shape (103,); the mean where there were no data.
        has_data: elements that training crystals held, bool, shape (103,).
        ionic_terms: coefficients of the two ionic terms, shape (2,).
        class_terms: coefficients of x_i x_g, shape (103, classes).
    """

    element_volumes: NDArray[np.float64]
    has_data: NDArray[np.bool_]
    ionic_terms: NDArray[np.float64]
    class_terms: NDArray[np.float64]

    def volume_angstrom3_per_atom(self, counts: ArrayLike) -> NDArray[np.float64]:
        """Return Å³ per atom of compositions, shape (n,).

        Args:
            counts: atoms of each element, shape (n, 103), columns `ELEMENTS`; any multiple of the formula.

        Raises:
            InputError: wrong shape, a negative count, or a row without atoms.
        """
        shares = _shares(counts)
        ionic, by_class = _descriptors(shares)
        correction = ionic @ self.ionic_terms + by_class @ self.class_terms.ravel()
        return (shares @ self.element_volumes) * np.exp(
            np.clip(correction, -LARGEST_CORRECTION, LARGEST_CORRECTION)
        )

    @property
    def elements_without_data(self) -> tuple[str, ...]:
        """Elements that no training crystal held; they count with the mean volume."""
        return tuple(symbol for symbol, known in zip(ELEMENTS, self.has_data, strict=True) if not known)

    def save(self, path: str | Path) -> None:
        """Write the estimate as an npz archive."""
        write_arrays(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})


def fit_volume_estimate(counts: ArrayLike, volumes_angstrom3_per_atom: ArrayLike) -> VolumeEstimate:
    """Fit the estimate to training crystals.

    Args:
        counts: atoms of each element of each crystal, shape (n, 103).
        volumes_angstrom3_per_atom: shape (n,).

    Raises:
        InputError: wrong shapes, no crystals, a row without atoms, or a volume that is not positive.
    """
    from scipy.optimize import nnls

    shares = _shares(counts)
    volumes = np.asarray(volumes_angstrom3_per_atom, dtype=np.float64)
    if volumes.shape != (len(shares),) or not len(shares):
        raise InputError(f"{len(shares)} compositions and volumes of shape {volumes.shape}; give one each")
    bad = np.flatnonzero(~(np.isfinite(volumes) & (volumes > 0)))
    if len(bad):
        raise InputError(f"row {bad[0]}: volume {volumes[bad[0]]} Å³ per atom; it must be positive")
    has_data = np.any(shares, axis=0)
    # Relative errors count, hence rows and targets divided by the volume.
    fitted, _ = nnls(shares[:, has_data] / volumes[:, None], np.ones(len(volumes)))
    element_volumes = np.full(len(ELEMENTS), max(fitted.mean(), _SMALLEST_ATOM_ANGSTROM3))
    element_volumes[has_data] = np.maximum(fitted, _SMALLEST_ATOM_ANGSTROM3)

    descriptors = np.hstack(_descriptors(shares))
    target = np.log(volumes / (shares @ element_volumes))
    normal = descriptors.T @ descriptors + RIDGE * np.eye(descriptors.shape[1])
    terms = np.linalg.solve(normal, descriptors.T @ target)
    return VolumeEstimate(element_volumes, has_data, terms[:2], terms[2:].reshape(len(ELEMENTS), -1))


def load_volume_estimate(path: str | Path) -> VolumeEstimate:
    """Read an estimate that `VolumeEstimate.save` wrote.

    Raises:
        InputError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return VolumeEstimate(**{name: arrays[name] for name in VolumeEstimate.__dataclass_fields__})
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a volume estimate ({error}); fit it anew") from None


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] != len(ELEMENTS):
        raise InputError(f"counts of shape {counts.shape}; give (n, {len(ELEMENTS)})")
    totals = counts.sum(axis=1)
    bad = np.flatnonzero(~(totals > 0) | (counts < 0).any(axis=1))
    if len(bad):
        raise InputError(f"row {bad[0]} of the counts has no atoms or a negative number of them")
    return counts / totals[:, None]


def _descriptors(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ionic terms (n, 2) and x_i x_g (n, 103 × classes)."""
    differences, membership = _element_tables()
    ionic = np.stack([((shares @ table) * shares).sum(axis=1) for table in differences], axis=1)
    by_class = shares[:, :, None] * (shares @ membership)[:, None, :]
    return ionic, by_class.reshape(len(shares), -1)


@cache
def _element_tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |χ_i − χ_j| and its square, shape (2, 103, 103), and class membership (103, classes)."""
    known = pauling_electronegativities()
    values = np.array([known.get(symbol, np.nan) for symbol in ELEMENTS])
    values = np.where(np.isfinite(values), values, _UNKNOWN_ELECTRONEGATIVITY)
    difference = np.abs(values[:, None] - values)
    members = [text.split() for text in ELEMENT_CLASSES]
    membership = np.array([[symbol in group for group in members] for symbol in ELEMENTS], dtype=np.float64)
    return np.stack([difference, difference**2]), membership
