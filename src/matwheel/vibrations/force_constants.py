"""Force constants by finite displacements, and the phonons they give.

The only module that calls phonopy, but for `born_charges`, which reads files of phonopy.

q-points are fractions of the reciprocal vectors of the primitive cell; frequencies are in THz (not angular),
imaginary ones as negative numbers. Longitudinal and transverse optical modes split at Γ where force constants
carry Born charges, which the potentials do not give: the dipole-dipole part is taken out before interpolation
and put back after it (Gonze and Lee, Phys. Rev. B 55, 10355, 1997). That changes interpolated frequencies and
those that come to Γ from a direction, but none at the q-points that fit into the supercell.

A layer (a crystal with `LAYER_PERIODICITY`, as `crystals.dimensionality.layer_cell` makes it) repeats in its
plane only: its supercells, q-points, meshes and paths have one cell, or q = 0, along the vacuum.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matwheel.core.archives import write_arrays
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.dimensionality import LAYER_PERIODICITY, shortest_plane_vectors
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.symmetric_relaxation import IDEAL_SYMPREC_ANGSTROM

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from phonopy import Phonopy

DISPLACEMENT_ANGSTROM = 0.01
# Even, so that zone-boundary modes, where most doublings of a cell begin, are sampled exactly.
_MULTIPLES = (1, 2, 4, 6, 8)
# So that 2×2×2 cells of a cubic perovskite (3.8 to 4 Å) count as 8 Å.
_LENGTH_TOLERANCE = 0.05
_SYMMETRISATION_LEVEL = 5
_SAVED = (
    "supercell_matrix",
    "matrix_ev_per_angstrom2",
    "displacement_angstrom",
    "displacements",
    "acoustic_residual_raw_thz",
    "acoustic_residual_thz",
)
# Of Born charges; left out of an archive where there are none.
_SAVED_CHARGES = ("source", "charges_e", "dielectric")


@dataclass(frozen=True, eq=False)
class BornCharges:
    """What splits the optical modes of a crystal at Γ.

    Attributes:
        source: the file they come from.
        charges_e: Born effective charges, shape (atoms, 3, 3), in elementary charges, Cartesian, atoms in the
            order of the crystal.
        dielectric: relative permittivity of the electrons alone (ε∞), shape (3, 3), Cartesian.
    """

    source: str
    charges_e: NDArray[np.float64] = field(repr=False)
    dielectric: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class SupercellChoice:
    """A supercell and how good it is.

    Attributes:
        matrix: shape (3, 3), integers; rows are the supercell's vectors in those of the primitive cell.
        atoms: atoms in the supercell.
        shortest_length_angstrom: distance of an atom to its nearest image; of a layer, in its plane.
        zone_boundary: whether all q-points of halves fit, e.g. (½, ½, 0); of a layer, those in its plane.
        long_enough: whether that is the length asked for, within 5 %.
    """

    matrix: NDArray[np.int64]
    atoms: int
    shortest_length_angstrom: float
    zone_boundary: bool
    long_enough: bool


@dataclass(frozen=True, eq=False)
class ForceConstants:
    """Second derivatives of the energy of a crystal, from finite displacements in a supercell.

    Attributes:
        crystal: the primitive cell.
        supercell_matrix: as in `SupercellChoice`.
        matrix_ev_per_angstrom2: shape (supercell atoms, supercell atoms, 3, 3), with the acoustic sum rule
            and the symmetry of indices imposed.
        displacement_angstrom: length of the displacements.
        displacements: number of displaced supercells that were computed.
        acoustic_residual_raw_thz: largest |frequency| of a rigid translation before the sum rule: the
            numerical error of the forces.
        acoustic_residual_thz: the same after the sum rule.
        born_charges: of the crystal; None where none are known. Those of a layer are not used: the correction
            is that of a crystal, and wrong for long waves in a plane.
    """

    crystal: Crystal
    supercell_matrix: NDArray[np.int64]
    matrix_ev_per_angstrom2: NDArray[np.float64] = field(repr=False)
    displacement_angstrom: float
    displacements: int
    acoustic_residual_raw_thz: float
    acoustic_residual_thz: float
    born_charges: BornCharges | None = None


@dataclass(frozen=True, eq=False)
class Modes:
    """Phonons at some q-points.

    Attributes:
        q_points: shape (points, 3), fractions of the primitive reciprocal vectors.
        frequencies_thz: shape (points, bands), ascending at each point.
        eigenvectors: shape (points, bands, atoms, 3), complex, of length one; atom j at position r moves
            along Re[e_j exp(2πi q·r)] / √m_j.
        acoustic: shape (points, bands): the three modes of each point that are most like rigid translations.
    """

    q_points: NDArray[np.float64]
    frequencies_thz: NDArray[np.float64]
    eigenvectors: NDArray[np.complex128] = field(repr=False)
    acoustic: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Bands:
    """Frequencies along a path through the Brillouin zone.

    Attributes:
        segments: label pairs of the straight pieces, e.g. (('G', 'X'), ('X', 'M')).
        q_points: per segment, shape (points, 3).
        distances: per segment, shape (points,), Å⁻¹ along the path (without 2π); segments follow one another.
        frequencies_thz: per segment, shape (points, bands).
    """

    segments: tuple[tuple[str, str], ...]
    q_points: tuple[NDArray[np.float64], ...] = field(repr=False)
    distances: tuple[NDArray[np.float64], ...] = field(repr=False)
    frequencies_thz: tuple[NDArray[np.float64], ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class DensityOfStates:
    """Density of phonon states on a q mesh, with the lowest frequency of the mesh.

    Attributes:
        frequencies_thz: shape (points,).
        states_per_thz: shape (points,), modes per primitive cell and THz.
        mesh_points: number of q-points of the mesh.
        lowest_frequency_thz: lowest frequency on the mesh, Γ left out.
        q_point: where that is.
        lowest_far_from_gamma_thz, far_q_point: the same of those points of the mesh that are not closer to Γ
            than to any other q-point that fits into the supercell; NaN where there is none.
    """

    frequencies_thz: NDArray[np.float64] = field(repr=False)
    states_per_thz: NDArray[np.float64] = field(repr=False)
    mesh_points: int
    lowest_frequency_thz: float
    q_point: tuple[float, float, float]
    lowest_far_from_gamma_thz: float
    far_q_point: tuple[float, float, float]


def choose_supercell(
    crystal: Crystal, shortest_length_angstrom: float, max_atoms: int, zone_boundary_atoms: int = 0
) -> SupercellChoice:
    """Return the smallest supercell with the symmetry of the crystal that is long enough.

    Supercells are even multiples (or one) of the vectors of the primitive or the conventional cell. The
    smallest one with the whole zone boundary is taken if it has no more than `zone_boundary_atoms`, else the
    smallest of all. Where none within `max_atoms` is long enough, the longest within it is returned.

    Args:
        crystal: an idealised primitive cell.

    Raises:
        ValueError: the primitive cell alone has more than `max_atoms`.
    """
    atoms = len(crystal.species)
    if atoms > max_atoms:
        raise ValueError(f"{atoms} atoms in the primitive cell, more than {max_atoms}")
    layer = is_layer(crystal)
    rotations, conventional = _point_group_and_conventional_cell(crystal)
    if layer:
        conventional = _conventional_cell_of_layer(conventional)
    along_third = (1,) if layer else _MULTIPLES
    choices = {}
    for basis, *multiples in product(
        (np.eye(3, dtype=np.int64), conventional), _MULTIPLES, _MULTIPLES, along_third
    ):
        matrix = np.diag(multiples) @ basis
        count = atoms * round(abs(np.linalg.det(matrix)))
        if count > max_atoms or not _is_invariant(matrix, rotations):
            continue
        length = _shortest_vector(matrix @ crystal.lattice, layer)
        enough = length >= (1 - _LENGTH_TOLERANCE) * shortest_length_angstrom
        doubled = not (matrix[: 2 if layer else 3] % 2).any()
        preferred = doubled and count <= zone_boundary_atoms
        size = (count, -round(length, 6)) if enough else (-round(length, 6), count)
        key = (not enough, enough and not preferred, *size, *matrix.ravel().tolist())
        choices[key] = SupercellChoice(matrix, count, length, doubled, enough)
    return choices[min(choices)]


def is_layer(crystal: Crystal) -> bool:
    """Return whether a crystal is a layer in the cell of `layer_cell`."""
    return crystal.pbc == LAYER_PERIODICITY


def force_constants(
    crystal: Crystal,
    calculator: Calculator,
    supercell_matrix: ArrayLike,
    displacement_angstrom: float = DISPLACEMENT_ANGSTROM,
    *,
    symprec_angstrom: float = IDEAL_SYMPREC_ANGSTROM,
    before_evaluation: Callable[[int], None] = lambda atoms: None,
) -> ForceConstants:
    """Compute force constants by finite displacements, those that symmetry leaves independent.

    The forces of the undisplaced crystal are subtracted.

    Args:
        crystal: primitive cell at a minimum of its energy, symmetric within `symprec_angstrom`.
        calculator: ASE calculator with forces.
        supercell_matrix: shape (3, 3) or (3,), see `SupercellChoice`.
        before_evaluation: called before each force evaluation with the number of its atoms; what it raises
            ends the computation.

    Raises:
        ArithmeticError: forces are not finite.
    """
    from ase import Atoms

    def forces(atoms: Atoms) -> NDArray[np.float64]:
        before_evaluation(len(atoms))
        atoms.calc = calculator
        values = np.asarray(atoms.get_forces(), dtype=np.float64)
        if not np.isfinite(values).all():
            raise ArithmeticError("forces are not finite")
        return values

    matrix = np.asarray(supercell_matrix, dtype=np.int64)
    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    phonopy = _phonopy(crystal, matrix, symprec_angstrom)
    at_rest = forces(to_atoms(crystal))
    phonopy.generate_displacements(distance=displacement_angstrom)
    cell_atom = [phonopy.supercell.u2u_map[atom] for atom in phonopy.supercell.s2u_map]
    cells = phonopy.supercells_with_displacements
    assert cells is not None  # generated above
    sets = []
    for cell in cells:
        atoms = Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
        sets.append(forces(atoms) - at_rest[cell_atom])
    phonopy.forces = np.array(sets)
    phonopy.produce_force_constants(show_drift=False)
    raw = _translation_residual_thz(phonopy)
    phonopy.symmetrize_force_constants(level=_SYMMETRISATION_LEVEL, show_drift=False)
    return ForceConstants(
        crystal,
        matrix,
        np.array(phonopy.force_constants, dtype=np.float64),
        displacement_angstrom,
        len(sets),
        raw,
        _translation_residual_thz(phonopy),
    )


def save_force_constants(constants: ForceConstants, path: str | Path) -> None:
    """Write force constants with their crystal as an npz archive."""
    crystal, charges = constants.crystal, constants.born_charges
    write_arrays(
        path,
        id=crystal.id,
        species=np.array(crystal.species),
        lattice=crystal.lattice,
        frac_coords=crystal.frac_coords,
        # Left out where all is periodic: archives of before stay what they were.
        **({} if all(crystal.pbc) else {"pbc": np.array(crystal.pbc)}),
        **{name: getattr(constants, name) for name in _SAVED},
        **({f"born_{name}": getattr(charges, name) for name in _SAVED_CHARGES} if charges else {}),
    )


def load_force_constants(path: str | Path) -> ForceConstants:
    """Read what `save_force_constants` wrote."""
    with np.load(path) as saved:
        species = tuple(str(symbol) for symbol in saved["species"])
        pbc = saved.get("pbc", (True, True, True))
        crystal = Crystal(str(saved["id"]), species, saved["lattice"], saved["frac_coords"], pbc)
        figures = {name: saved[name] for name in _SAVED}
        has_charges = f"born_{_SAVED_CHARGES[0]}" in saved
        charges = {name: saved[f"born_{name}"] for name in _SAVED_CHARGES} if has_charges else {}

    def plain(arrays: dict[str, Any]) -> dict[str, Any]:
        return {name: value if value.ndim else value.item() for name, value in arrays.items()}

    return ForceConstants(
        crystal, **plain(figures), born_charges=BornCharges(**plain(charges)) if charges else None
    )


def supercell_at_rest(constants: ForceConstants) -> tuple[Crystal, NDArray[np.float64]]:
    """Return the supercell of force constants, its atoms in their order, and the masses, amu."""
    cell, rest = phonopy_of(constants).supercell, constants.crystal
    crystal = Crystal(rest.id, tuple(cell.symbols), cell.cell, cell.scaled_positions, rest.pbc)
    return crystal, np.array(cell.masses, dtype=np.float64)


def fitted_force_constants(
    constants: ForceConstants, displacements: NDArray[np.float64], forces: NDArray[np.float64]
) -> ForceConstants:
    """Return the force constants that fit forces at large displacements best, symmetry imposed (symfc).

    Args:
        constants: of the same supercell; says nothing but its geometry.
        displacements: from rest, shape (n, atoms, 3), Å.
        forces: shape (n, atoms, 3), eV/Å.
    """
    phonopy = _phonopy(constants.crystal, constants.supercell_matrix, IDEAL_SYMPREC_ANGSTROM)
    phonopy.dataset = {
        "displacements": np.asarray(displacements, dtype=np.float64),
        "forces": np.asarray(forces, dtype=np.float64),
    }
    phonopy.produce_force_constants(fc_calculator="symfc", show_drift=False)
    raw = _translation_residual_thz(phonopy)
    phonopy.symmetrize_force_constants(level=_SYMMETRISATION_LEVEL, show_drift=False)
    return ForceConstants(
        constants.crystal,
        constants.supercell_matrix,
        np.array(phonopy.force_constants, dtype=np.float64),
        float("nan"),
        len(displacements),
        raw,
        _translation_residual_thz(phonopy),
        constants.born_charges,
    )


def phonopy_of(constants: ForceConstants) -> Phonopy:
    """Return force constants as a phonopy object, for what phonopy can do with them."""
    from phonopy.interface.calculator import get_calculator_physical_units

    phonopy = _phonopy(constants.crystal, constants.supercell_matrix, IDEAL_SYMPREC_ANGSTROM)
    phonopy.force_constants = constants.matrix_ev_per_angstrom2
    charges = constants.born_charges
    if charges is not None and not is_layer(constants.crystal):
        phonopy.nac_params = {
            "born": charges.charges_e,
            "dielectric": charges.dielectric,
            "factor": get_calculator_physical_units().nac_factor,  # e²/(4π ε0), eV Å
            "method": "gonze",
        }
    return phonopy


def commensurate_points(supercell_matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the q-points whose waves fit into the supercell, shape (det, 3), Γ first, in [0, 1).

    At these the frequencies are exact whatever the size of the supercell; at all others interpolated.
    """
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    points = np.asarray(get_commensurate_points(np.asarray(supercell_matrix, dtype=np.int64).T))
    points = np.round(points, 10) % 1.0
    return points[np.lexsort(points.T[::-1])]


def zone_boundary_points(crystal: Crystal) -> NDArray[np.float64]:
    """Return Γ and the q-points of halves, shape (8, 3), of a layer those of its plane, shape (4, 3)."""
    return np.array(list(product(*((0.0, 0.5) if periodic else (0.0,) for periodic in crystal.pbc))))


def modes_at(constants: ForceConstants, q_points: ArrayLike) -> Modes:
    """Return frequencies and eigenvectors at q-points, shape (points, 3)."""
    points = np.asarray(q_points, dtype=np.float64).reshape(-1, 3)
    return _modes(phonopy_of(constants), points)


def _modes(phonopy: Phonopy, points: NDArray[np.float64]) -> Modes:
    result = phonopy.run_qpoints(points, with_eigenvectors=True)
    atoms = len(phonopy.primitive)
    frequencies = np.array(result.frequencies, dtype=np.float64)
    eigenvectors = np.swapaxes(np.array(result.eigenvectors), 1, 2).reshape(len(points), 3 * atoms, atoms, 3)
    # Overlap with the three rigid translations; equal overlaps go to the lower frequency.
    weights = np.sqrt(phonopy.primitive.masses / phonopy.primitive.masses.sum())
    overlap = (np.abs(np.einsum("a,qbai->qbi", weights, eigenvectors)) ** 2).sum(axis=2)
    rank = np.argsort(-np.round(overlap, 6), axis=1, kind="stable")[:, :3]
    acoustic = np.zeros(frequencies.shape, dtype=bool)
    np.put_along_axis(acoustic, rank, True, axis=1)
    return Modes(points, frequencies, eigenvectors, acoustic)


def bands_along_path(constants: ForceConstants, points: int) -> Bands | None:
    """Return the bands along ASE's path for the lattice (Setyawan & Curtarolo 2010), about `points` q-points.

    With Born charges the modes at Γ are those that a piece of the path comes to; pieces differ there.
    None where the lattice cannot be classified.
    """
    from ase.dft.kpoints import parse_path_string

    lattice = constants.crystal.lattice
    try:
        path = to_atoms(constants.crystal).cell.bandpath(pbc=constants.crystal.pbc)
    except Exception:  # a cell at the edge between two Bravais lattices
        return None
    reciprocal = np.linalg.inv(lattice).T
    pieces = [pair for part in parse_path_string(path.path) for pair in pairwise(part)]
    ends = [(path.special_points[first], path.special_points[last]) for first, last in pieces]
    lengths = [float(np.linalg.norm((last - first) @ reciprocal)) for first, last in ends]
    total = sum(lengths)
    counts = [max(2, 1 + round(points * length / total)) for length in lengths]
    q_points = [
        first + np.linspace(0, 1, count)[:, None] * (last - first)
        for (first, last), count in zip(ends, counts, strict=True)
    ]
    phonopy = phonopy_of(constants)
    frequencies = tuple(
        np.array(phonopy.run_qpoints(piece, nac_q_direction=last - first).frequencies)
        for piece, (first, last) in zip(q_points, ends, strict=True)
    )
    starts = np.cumsum([0.0, *lengths])
    return Bands(
        tuple(pieces),
        tuple(q_points),
        tuple(
            start + np.linspace(0, length, count)
            for start, length, count in zip(starts, lengths, counts, strict=False)
        ),
        frequencies,
    )


def density_of_states(constants: ForceConstants, mesh_length_angstrom: float) -> DensityOfStates:
    """Return the density of states on a Γ-centred mesh of about `mesh_length_angstrom` / |a| divisions.

    Of a layer the mesh has one division along the vacuum.
    """
    phonopy = phonopy_of(constants)
    layer = is_layer(constants.crystal)
    with warnings.catch_warnings():
        # A mesh that breaks the symmetry of a centred cell is replaced by one that keeps it, with a warning.
        warnings.simplefilter("ignore")
        if layer:
            reciprocal = np.linalg.norm(np.linalg.inv(constants.crystal.lattice), axis=0)
            divisions = np.maximum(1, np.round(mesh_length_angstrom * reciprocal).astype(int))
            mesh = phonopy.run_mesh(
                [*divisions[:2].tolist(), 1], is_gamma_center=True, is_mesh_symmetry=False
            )
        else:
            mesh = phonopy.run_mesh(mesh_length_angstrom)
        dos = phonopy.run_total_dos()
    frequencies = np.array(mesh.frequencies)
    points = np.array(mesh.qpoints)
    lowest_at = frequencies.min(axis=1)
    lowest_at[~np.any(np.abs(points) > 1e-9, axis=1)] = np.inf
    lowest, point = lowest_point(points, lowest_at)
    lowest_at[_near_gamma(constants, points)] = np.inf
    far, far_point = lowest_point(points, lowest_at) if np.isfinite(lowest_at).any() else (nan, (nan,) * 3)
    return DensityOfStates(
        np.array(dos.frequency_points),
        np.array(dos.dos),
        int(mesh.weights.sum()),
        lowest,
        point,
        far,
        far_point,
    )


def _near_gamma(constants: ForceConstants, q_points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which q-points are closer to Γ than to any other point that fits into the supercell."""
    reciprocal = np.linalg.inv(constants.crystal.lattice).T
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))

    def distance(point: NDArray[np.float64]) -> NDArray[np.float64]:
        difference = q_points - point
        difference -= np.round(difference)
        images = (difference[:, None, :] + shifts[None, :, :]) @ reciprocal
        return np.linalg.norm(images, axis=2).min(axis=1)

    commensurate = commensurate_points(constants.supercell_matrix)
    to_gamma = distance(commensurate[0])
    if len(commensurate) == 1:
        return np.zeros(len(q_points), dtype=bool)
    return to_gamma < np.min([distance(point) for point in commensurate[1:]], axis=0) - 1e-9


def lowest_point(
    q_points: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[float, tuple[float, float, float]]:
    """Return the lowest value and its q-point within -½ … ½; of equal ones the first in lexical order."""
    lowest = float(values.min())
    folded = np.round(q_points[values <= lowest + 1e-4], 6) % 1.0
    first, second, third = min(folded.tolist())
    point = tuple(value - 1.0 if value > 0.5 else value for value in (first, second, third))
    return lowest, point


def displaced_along_modes(
    crystal: Crystal, modes: Modes, q_index: int, degenerate_within_thz: float
) -> tuple[Crystal, NDArray[np.float64]]:
    """Return the smallest cell in which the lowest mode at a q-point is periodic, and a displacement of it.

    Of modes that are degenerate with the lowest one a fixed generic combination is taken, so that a
    relaxation from there is bound to no symmetry that the modes could keep; it does not depend on the basis
    in which the degenerate eigenvectors came.

    Returns:
        The undisplaced cell, and displacements, shape (atoms, 3), Å, whose largest is 1 Å.
    """
    from phonopy.structure.atoms import atom_data, symbol_map

    q_point = modes.q_points[q_index]
    frequencies = modes.frequencies_thz[q_index]
    chosen = modes.eigenvectors[q_index][frequencies <= frequencies.min() + degenerate_within_thz]
    generator = np.random.default_rng(0)
    shape = chosen.shape[1:]
    direction = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    vector = np.einsum("bai,b->ai", chosen, np.einsum("bai,ai->b", chosen.conj(), direction))
    matrix = smallest_commensurate_cell(q_point, crystal.lattice)
    shifts = _translations_in(matrix)
    frac_coords = (crystal.frac_coords[:, None, :] + shifts[None, :, :]).reshape(-1, 3)
    atom = np.repeat(np.arange(len(crystal.species)), len(shifts))
    masses = np.array([atom_data[symbol_map[symbol]][3] for symbol in crystal.species])
    wave = np.exp(2j * np.pi * frac_coords @ q_point)[:, None] * vector[atom] / np.sqrt(masses[atom])[:, None]
    displacements = np.ascontiguousarray(wave.real)
    displacements /= np.linalg.norm(displacements, axis=1).max()
    cell = Crystal(
        crystal.id,
        tuple(crystal.species[index] for index in atom),
        matrix @ crystal.lattice,
        frac_coords @ np.linalg.inv(matrix),
        crystal.pbc,
    )
    return cell, displacements


def smallest_commensurate_cell(
    q_point: NDArray[np.float64], lattice: NDArray[np.float64], largest_order: int = 24
) -> NDArray[np.int64]:
    """Return the smallest cell in which a wave of this q-point is periodic: the most compact one of its size.

    Raises:
        ValueError: the wave needs more than `largest_order` cells.
    """
    for order in range(1, largest_order + 1):
        found = [
            matrix
            for matrix in _sublattices(order)
            if np.allclose(matrix @ q_point, np.round(matrix @ q_point), atol=1e-6)
        ]
        if found:
            return max(found, key=lambda matrix: round(_shortest_vector(matrix @ lattice), 6))
    raise ValueError(f"no cell of up to {largest_order} primitive cells for q = {q_point.tolist()}")


def _sublattices(order: int) -> list[NDArray[np.int64]]:
    """Return all sublattices of an order, as matrices in Hermite normal form."""
    matrices = []
    for first in (n for n in range(1, order + 1) if order % n == 0):
        rest = order // first
        for second in (n for n in range(1, rest + 1) if rest % n == 0):
            third = rest // second
            for b, c, d in product(range(second), range(third), range(third)):
                matrices.append(np.array([[first, b, c], [0, second, d], [0, 0, third]], dtype=np.int64))
    return matrices


def _shortest_vector(lattice: NDArray[np.float64], layer: bool = False) -> float:
    """Return the length of the shortest lattice vector, of a layer the shortest in its plane, Å."""
    import spglib

    if layer:
        return float(np.linalg.norm(shortest_plane_vectors(lattice[:2]), axis=1).min())
    reduced = spglib.niggli_reduce(lattice)
    return float(np.linalg.norm(lattice if reduced is None else reduced, axis=1).min())


def _conventional_cell_of_layer(conventional: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the conventional cell of a layer's plane, the vacuum last; else the primitive one."""
    plane = conventional[conventional[:, 2] == 0]
    if len(plane) != 2:
        return np.eye(3, dtype=np.int64)
    cell = np.array([*plane, [0, 0, 1]], dtype=np.int64)
    return cell if np.linalg.det(cell) > 0 else cell[[1, 0, 2]]


def _translations_in(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the lattice translations of a cell in Hermite normal form, shape (order, 3)."""
    return np.array(list(product(*(range(number) for number in np.diag(matrix)))), dtype=np.float64)


def _point_group_and_conventional_cell(crystal: Crystal) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rotations, shape (operations, 3, 3), and the conventional cell's vectors as rows."""
    import spglib

    numbers = [sorted(set(crystal.species)).index(symbol) for symbol in crystal.species]
    cell = (crystal.lattice, crystal.frac_coords, numbers)
    dataset = spglib.get_symmetry_dataset(cell, symprec=IDEAL_SYMPREC_ANGSTROM)  # type: ignore[arg-type]  # takes arrays too
    if dataset is None:
        return np.eye(3, dtype=np.int64)[None], np.eye(3, dtype=np.int64)
    conventional = np.linalg.inv(dataset.transformation_matrix).T
    rounded = np.round(conventional).astype(np.int64)
    if not np.allclose(conventional, rounded, atol=1e-3):
        rounded = np.eye(3, dtype=np.int64)
    return np.unique(np.array(dataset.rotations, dtype=np.int64), axis=0), rounded


def _is_invariant(matrix: NDArray[np.int64], rotations: NDArray[np.int64]) -> bool:
    """Return whether every rotation maps the supercell lattice onto itself."""
    images = matrix @ np.swapaxes(rotations, 1, 2) @ np.linalg.inv(matrix)
    return bool(np.allclose(images, np.round(images), atol=1e-6))


def _phonopy(crystal: Crystal, matrix: NDArray[np.int64], symprec_angstrom: float) -> Phonopy:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=list(crystal.species), cell=crystal.lattice, scaled_positions=crystal.frac_coords
    )
    return Phonopy(
        cell, supercell_matrix=matrix.T, primitive_matrix="P", symprec=symprec_angstrom, log_level=0
    )


def _translation_residual_thz(phonopy: Phonopy) -> float:
    """Return the largest |frequency| at Γ of the modes most like translations, as the force constants are."""
    modes = _modes(phonopy, np.zeros((1, 3)))
    return float(np.abs(modes.frequencies_thz[modes.acoustic]).max())
