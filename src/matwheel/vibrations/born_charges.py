"""Born charges from files of phonopy, and the crystals that they belong to.

A file brings its own structure, so nothing has to be named: `phonopy.yaml` and its like with the sections
`primitive_cell` and `nac`, or a folder with `POSCAR` and `BORN` in phonopy's formats. phonopy reads them, and
averages the charges over the symmetry of that structure and to a neutral cell. Charges and structures come in
any setting; they are turned and ordered as the crystal that they serve.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError, one_line
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.symmetry.symmetry_dataset import symmetry_dataset
from matwheel.vibrations.force_constants import BornCharges, is_layer

if TYPE_CHECKING:
    from phonopy.structure.atoms import PhonopyAtoms
    from phonopy.structure.cells import Primitive

LARGEST_CHANGE = 0.1
"""Symmetry and neutrality may change charges by so many e, the dielectric tensor by that part of its mean."""
LARGEST_VOLUME_DIFFERENCE = 0.2
# By the symmetry of the crystal that symmetric charges are turned to: rounding, unless axes are mixed up.
_LARGEST_CHANGE_BY_A_TURN = 0.01
_SYMPREC_ANGSTROM = 0.01
# Of lengths, and of angles in radians. Tightest first: of nearly equal axes the right ones shall be paired.
_SHAPE_TOLERANCES = (0.003, 0.01, 0.03, 0.1)
_SITE_TOLERANCE = 0.1  # of the root mean square distance, in (volume per atom)^⅓
_YAML = (".yaml", ".yml")
_COMPRESSED = (".gz", ".xz", ".lzma", ".bz2")
_REMEDY = "correct it or take it out of the folder"


@dataclass(frozen=True, eq=False)
class ChargedCrystal:
    """A primitive cell of a file, its id the file's name in its folder, and its Born charges."""

    crystal: Crystal
    charges: BornCharges


def born_charge_files(folder: str | Path) -> list[Path]:
    """Return the files of a folder that `read_born_charges` reads, sorted; other names are left alone.

    Raises:
        InputError: there is no such folder, or none of them in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name one with files of Born charges")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and _is_read(file, folder)]
    if not files:
        raise InputError(
            f"{folder}: holds no Born charges; put phonopy.yaml files with a section nac there, or folders "
            "with POSCAR and BORN"
        )
    return files


def _is_read(file: Path, folder: Path) -> bool:
    from matwheel.crystals.crystal_files import is_hidden

    plain = file.with_suffix("") if file.suffix in _COMPRESSED else file
    is_yaml = plain.suffix in _YAML
    return (is_yaml or file.name in ("POSCAR", "BORN")) and not is_hidden(file.relative_to(folder).as_posix())


def read_born_charges(folder: str | Path) -> list[ChargedCrystal]:
    """Read all Born charges of a folder, in the order of `born_charge_files`.

    Raises:
        InputError: a file cannot be read, its charges are far from neutral or from the symmetry of its
            structure, its dielectric tensor is none, or two files are of one crystal.
    """
    found = [
        _read(path, path.relative_to(folder).as_posix())
        for path in born_charge_files(folder)
        if path.name != "POSCAR" or not path.with_name("BORN").is_file()
    ]
    for one, other in combinations(found, 2):
        if _on_crystal(one.crystal, other) is not None:
            raise _two_of_one(folder, one, other)
    return found


def _two_of_one(folder: str | Path, one: ChargedCrystal, other: ChargedCrystal) -> InputError:
    return InputError(
        f"{folder}: {one.crystal.id} and {other.crystal.id} are Born charges of one crystal; keep one of them"
    )


def born_charges_of(crystal: Crystal, known: Sequence[ChargedCrystal]) -> BornCharges | None:
    """Return the Born charges of a crystal in its setting and order of atoms; None where no file is of it.

    A file is of the crystal if both have the same space group and formula, volumes within 20 %, axes within
    10 % at the same volume, and atoms at the same places within a tenth of their mean distance.

    Args:
        crystal: a relaxed crystal, primitive or not; of a layer None is returned.

    Raises:
        InputError: two files are of the crystal.
    """
    if is_layer(crystal):
        return None
    fitting = [(one, charges) for one in known if (charges := _on_crystal(crystal, one)) is not None]
    if len(fitting) > 1:
        raise _two_of_one(crystal.id, fitting[0][0], fitting[1][0])
    return fitting[0][1] if fitting else None


def _on_crystal(crystal: Crystal, known: ChargedCrystal) -> BornCharges | None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    other, charges = known.crystal, known.charges
    cells, left = divmod(len(crystal.species), len(other.species))
    multiple = {symbol: cells * number for symbol, number in other.element_counts.items()}
    if left or crystal.element_counts != multiple:
        return None
    ratio = crystal.volume_angstrom3 / (cells * other.volume_angstrom3)
    if abs(ratio - 1) > LARGEST_VOLUME_DIFFERENCE or _space_group(crystal) != _space_group(other):
        return None
    for tolerance in _SHAPE_TOLERANCES:
        matcher = StructureMatcher(
            ltol=tolerance,
            stol=_SITE_TOLERANCE,
            angle_tol=float(np.degrees(tolerance)),
            primitive_cell=False,
            scale=True,
            attempt_supercell=True,
        )
        found = matcher.get_transformation(to_structure(crystal), to_structure(other))
        if found is None:
            continue
        matrix, _, sites = found
        # The turn without the strain, of row vectors; the sites are those of all cells, cell by cell.
        left_vectors, _, right_vectors = np.linalg.svd(
            np.linalg.inv(matrix @ other.lattice) @ crystal.lattice
        )
        turn = left_vectors @ right_vectors
        turned, change = _symmetrised(
            crystal,
            turn.T @ charges.charges_e[np.array(sites) // cells] @ turn,
            turn.T @ charges.dielectric @ turn,
        )
        if change <= _LARGEST_CHANGE_BY_A_TURN:
            return replace(turned, source=charges.source)
    return None


def _space_group(crystal: Crystal) -> int:
    dataset = symmetry_dataset(crystal, _SYMPREC_ANGSTROM)
    return 0 if dataset is None else int(dataset.number)


def _symmetrised(
    crystal: Crystal, charges_e: NDArray[np.float64], dielectric: NDArray[np.float64]
) -> tuple[BornCharges, float]:
    """Return charges averaged over the symmetry of a crystal and to a neutral cell; the largest change."""
    from phonopy.structure.symmetry import symmetrize_borns_and_epsilon

    dielectric = (dielectric + dielectric.T) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large changes, which the caller judges
        charges, epsilon = symmetrize_borns_and_epsilon(
            charges_e, dielectric, _phonopy_atoms(crystal), symprec=_SYMPREC_ANGSTROM
        )
    of_dielectric = np.abs(epsilon - dielectric).max() / (np.trace(dielectric) / 3)
    change = max(np.abs(charges - charges_e).max(), of_dielectric)
    return BornCharges(crystal.id, charges, epsilon), float(change)


def _phonopy_atoms(crystal: Crystal) -> PhonopyAtoms:
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        symbols=list(crystal.species), cell=crystal.lattice, scaled_positions=crystal.frac_coords
    )


def _read(path: Path, name: str) -> ChargedCrystal:
    """Read one file (of a pair, BORN) as a primitive cell with symmetric charges."""
    try:
        cell, nac, calculator = _from_pair(path) if path.name in ("POSCAR", "BORN") else _from_yaml(path)
        return _checked(path, name, cell, nac, calculator)
    except InputError:
        raise
    except Exception as error:  # whatever phonopy makes of a file that is none of its own
        fault = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{path}: phonopy cannot read Born charges from it ({fault}); {_REMEDY}") from error


def _from_yaml(path: Path) -> tuple[PhonopyAtoms, dict[str, Any], str | None]:
    from phonopy.interface.phonopy_yaml import read_phonopy_yaml

    data = read_phonopy_yaml(path)
    if data.primitive is None or data.nac_params is None:
        section = "primitive_cell" if data.primitive is None else "nac"
        raise InputError(
            f"{path}: lacks the section {section} of phonopy.yaml; let phonopy write it with Born charges, "
            "or take it out of the folder"
        )
    return data.primitive, dict(data.nac_params), data.calculator


def _from_pair(path: Path) -> tuple[PhonopyAtoms, dict[str, Any], str | None]:
    from phonopy.file_IO import parse_BORN
    from phonopy.interface.vasp import read_vasp

    for name in ("POSCAR", "BORN"):
        if not path.with_name(name).is_file():
            raise InputError(f"{path}: has no {name} beside it; put the one that belongs to it there")
    # BORN lists those atoms of the primitive cell that phonopy, with its own tolerance, calls independent.
    primitive = _primitive(read_vasp(path.with_name("POSCAR")), 1e-5)
    return primitive, dict(parse_BORN(primitive, filename=path.with_name("BORN"))), None


def _primitive(cell: PhonopyAtoms, symprec_angstrom: float) -> Primitive:
    from phonopy import Phonopy
    from phonopy.structure.cells import guess_primitive_matrix

    matrix = guess_primitive_matrix(cell, symprec=symprec_angstrom)
    return Phonopy(cell, primitive_matrix=matrix, symprec=symprec_angstrom, log_level=0).primitive


def _checked(
    path: Path, name: str, cell: PhonopyAtoms, nac: dict[str, Any], calculator: str | None
) -> ChargedCrystal:
    """Return the primitive content of a cell, in Å, with its charges averaged over its symmetry.

    Raises:
        InputError: the figures are no Born charges and dielectric tensor of that cell.
    """
    from phonopy.interface.calculator import get_calculator_physical_units

    def refused(what: str) -> InputError:
        return InputError(f"{path}: {what}; {_REMEDY}")

    units = get_calculator_physical_units(calculator)
    charges, dielectric = nac["born"], nac["dielectric"]
    if charges.shape != (len(cell), 3, 3) or dielectric.shape != (3, 3):
        raise refused(
            f"{len(cell)} atoms need as many charges of 3 × 3 numbers and one dielectric tensor, not "
            f"{charges.shape} and {dielectric.shape}"
        )
    if not (np.isfinite(charges).all() and np.isfinite(dielectric).all()):
        raise refused("charges or dielectric tensor are not finite")
    factor = nac.get("factor") or units.nac_factor
    if abs(factor / units.nac_factor - 1) > 0.01:
        raise refused(f"unit conversion factor {factor:g}, not the {units.nac_factor:g} of its calculator")
    lowest = float(np.linalg.eigvalsh((dielectric + dielectric.T) / 2).min())
    if lowest < 1:
        raise refused(f"a dielectric tensor with the eigenvalue {lowest:.3g}, below the 1 of empty space")
    residual = float(np.abs(charges.sum(axis=0)).max()) / len(cell)
    if residual > LARGEST_CHANGE:
        raise refused(f"charges add up to {residual:.2f} e per atom, not to zero within {LARGEST_CHANGE:g} e")
    symbols = tuple(symbol.rstrip("0123456789") for symbol in cell.symbols)
    whole = Crystal(name, symbols, cell.cell * units.distance_to_A, cell.scaled_positions)
    symmetric, change = _symmetrised(whole, charges, dielectric)
    if change > LARGEST_CHANGE:
        raise refused(
            f"the symmetry of its structure changes charges or dielectric tensor by {change:.2f}, more than "
            f"{LARGEST_CHANGE:g}: order of atoms or axes are another's"
        )
    primitive = _primitive(_phonopy_atoms(whole), _SYMPREC_ANGSTROM)
    crystal = Crystal(name, tuple(primitive.symbols), primitive.cell, primitive.scaled_positions)
    # With one cell as supercell its atoms are those of the file.
    return ChargedCrystal(crystal, replace(symmetric, charges_e=symmetric.charges_e[primitive.p2s_map]))
