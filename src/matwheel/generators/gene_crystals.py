"""Crystals from Wyckoff genes: lattice shape and free coordinates are drawn, the volume is estimated.

A gene fixes the space group and the occupied positions, not the shape of the cell or the free coordinates.
Each realisation draws them anew, in one of two ways:

'spread' (default): of many draws, that in which the nearest atoms keep the largest distance, measured in sums
of covalent radii. The shape of the cell is that of a training crystal of the same space group.

'pyxtal': PyXtal's random crystal (Fredericks et al., Comput. Phys. Commun. 261, 107810, 2021), as WyCryst+
takes it: the first draw whose atoms keep PyXtal's smallest distances.

Of its realisations a gene keeps the one of lowest energy by a potential. On real genes with free coordinates
that energy is nearer to the real crystal's by 'spread' than by 'pyxtal' (benchmarks/gene_crystals.py).
Every crystal is checked against its gene: all operations of the space group must be symmetries of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from math import inf, isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.archives import write_arrays
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.wyckoff_genes import (
    SYMPREC_ANGSTROM,
    NoGene,
    WyckoffGene,
    fault_of_gene,
    gene_of_crystal,
)
from matwheel.crystals.wyckoff_positions import SPACE_GROUPS, crystal_system, wyckoff_positions
from matwheel.errors import InputError
from matwheel.progress import Log, Progress, log_to_stderr
from matwheel.screening.verdicts import COLUMNS, ERROR, FAIL, PASS, verdict_table
from matwheel.seeds import derive_seed
from matwheel.time_limits import TimeLimitReached, time_limit
from matwheel.validation.atoms import to_atoms
from matwheel.validation.relaxation import RelaxationSettings, initial_problem

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pyxtal.symmetry import Group
    from spglib import SpglibDataset

BUILT, NOT_BUILT, TIMED_OUT = "built", "failed", "timeout"
SPREAD, PYXTAL = "spread", "pyxtal"
SCREEN = "build"
RANKING_COLUMNS = {
    "id": str,
    "realisation": int,
    "energy_ev_per_atom": float,
    "largest_force_ev_per_angstrom": float,
    "problem": str,
    "chosen": bool,
}
_NEAREST_SHAPES = 20  # shapes to draw from: those of the nearest numbers of atoms
_FEWEST_SHAPES = 5  # below, shapes of all groups of the same crystal system and centring are drawn from
_FREE_IN_SHAPE = (5, 3, 2, 1, 1, 1, 0)  # parameters of the shape of a cell, by crystal system
_EXACT_SYMPREC_ANGSTROM = 1e-3
_SAME_PLACE = 1e-4  # of fractional coordinates
_MOST_DISTANCES = 500_000  # per realisation; large cells get fewer draws, so that no time limit decides


@dataclass(frozen=True)
class GeneCrystalSettings:
    """How genes become crystals.

    Attributes:
        placement: 'spread' or 'pyxtal', see the module.
        realisations: most crystals per gene.
        realisations_per_degree: crystals per free coordinate or free parameter of the cell's shape; a gene
            without any has one crystal.
        draws: draws of shape and free coordinates per realisation of 'spread' (fewer in large cells);
            attempts of 'pyxtal'.
        smallest_distance_factor: a crystal with two atoms nearer than this times the sum of their covalent
            radii is not built.
        volume_factor: the estimated volume is multiplied with it.
        most_atoms: largest number of atoms in the conventional cell.
        symprec_angstrom: tolerance of the space group and gene that are recorded.
        time_limit_seconds: wall time per gene, the last resort: the limits above end the work within seconds,
            also on a busy machine, and what a time limit ends depends on the machine.
    """

    placement: str = SPREAD
    realisations: int = 32
    realisations_per_degree: int = 6
    draws: int = 50
    smallest_distance_factor: float = 0.5
    volume_factor: float = 1.0
    most_atoms: int = 400
    symprec_angstrom: float = SYMPREC_ANGSTROM
    time_limit_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.placement not in (SPREAD, PYXTAL):
            raise InputError(f"placement {self.placement!r}; choose {SPREAD} or {PYXTAL}")
        for name in ("realisations", "realisations_per_degree", "draws", "most_atoms"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; give a whole number of at least 1")
        for name in ("smallest_distance_factor", "volume_factor", "symprec_angstrom", "time_limit_seconds"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise InputError(f"{name} is {value!r}; give a positive number")


@dataclass(frozen=True, eq=False)
class LatticeShapes:
    """Shapes of the conventional cells of training crystals.

    Attributes:
        space_group: shape (n,).
        atoms: atoms in the conventional cell, shape (n,).
        parameters: a, b, c of a cell of volume 1, and the angles in degrees, shape (n, 6).
    """

    space_group: NDArray[np.int16]
    atoms: NDArray[np.int32]
    parameters: NDArray[np.float64]

    def save(self, path: str | Path) -> None:
        """Write the shapes as an npz archive."""
        write_arrays(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    def like(self, gene: WyckoffGene) -> NDArray[np.float64]:
        """Return the shapes to draw from for a gene, shape (k, 6), k ≥ 0.

        Those of its space group with the nearest numbers of atoms, at most 20; where the group has fewer
        than 5, those of all groups with its crystal system and centring.
        """
        groups = np.arange(SPACE_GROUPS + 1)
        rows = np.flatnonzero(self.space_group == gene.space_group)
        if len(rows) < _FEWEST_SHAPES:
            rows = np.flatnonzero(np.isin(self.space_group, groups[_same_lattice(gene.space_group)]))
        away = np.abs(np.log(self.atoms[rows] / sum(gene.atoms.values())))
        return self.parameters[rows[np.argsort(away, kind="stable")[:_NEAREST_SHAPES]]]


def lattice_shapes(crystals: Iterable[Crystal], symprec_angstrom: float = SYMPREC_ANGSTROM) -> LatticeShapes:
    """Return the shapes of crystals in the standard setting of spglib (280 per second).

    Crystals in which spglib finds no symmetry are left out.
    """
    groups, atoms, parameters = [], [], []
    for crystal in crystals:
        dataset = _symmetry(crystal, symprec_angstrom)
        if dataset is not None:
            groups.append(int(dataset.number))
            atoms.append(len(dataset.std_types))
            parameters.append(_parameters(dataset.std_lattice))
    return LatticeShapes(
        np.array(groups, dtype=np.int16),
        np.array(atoms, dtype=np.int32),
        np.array(parameters, dtype=np.float64).reshape(-1, 6),
    )


def load_lattice_shapes(path: str | Path) -> LatticeShapes:
    """Read shapes that `LatticeShapes.save` wrote.

    Raises:
        InputError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return LatticeShapes(**{name: arrays[name] for name in LatticeShapes.__dataclass_fields__})
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not lattice shapes ({error}); collect them anew") from None


@dataclass(frozen=True, eq=False)
class GeneRealisations:
    """What became of one gene.

    Attributes:
        candidate_id: id of the gene.
        gene: the gene.
        status: 'built', 'failed' or 'timeout'.
        reason: why there is no crystal; of a built gene, why realisations are missing.
        crystals: primitive standard cells, ids f'{candidate_id}-r{realisation}'.
        space_groups: of each crystal by spglib: that of the gene, or of a supergroup.
        genes: gene that each crystal really has, as text; empty where it has none.
        seconds: wall time.
    """

    candidate_id: str
    gene: WyckoffGene
    status: str
    reason: str = ""
    crystals: tuple[Crystal, ...] = ()
    space_groups: tuple[int, ...] = ()
    genes: tuple[str, ...] = ()
    seconds: float = nan


class _NotBuilt(ValueError):
    """Why a realisation is none."""


def realise_gene(
    candidate_id: str,
    gene: WyckoffGene,
    volume_angstrom3_per_atom: float,
    settings: GeneCrystalSettings,
    seed: int,
    shapes: LatticeShapes | None = None,
) -> GeneRealisations:
    """Return crystals of one gene; nothing that is wrong with it raises an error.

    The same arguments give the same crystals, whatever ran before, unless the time limit strikes.

    Args:
        candidate_id: id of the gene.
        gene: the gene.
        volume_angstrom3_per_atom: of `VolumeEstimate`.
        settings: how.
        seed: seed of all genes; each realisation derives its own from it and the candidate's id.
        shapes: shapes of training crystals to draw from; without them PyXtal draws shapes.
    """
    started = time.monotonic()
    crystals: list[Crystal] = []
    space_groups: list[int] = []
    genes: list[str] = []
    reasons: list[str] = []
    status = ""
    try:
        with time_limit(settings.time_limit_seconds):
            reason = _reason_to_refuse(gene, volume_angstrom3_per_atom, settings)
            reasons += [reason] if reason else []
            known = shapes.like(gene) if shapes is not None else np.zeros((0, 6))
            for realisation in range(0 if reason else _number_of_realisations(gene, settings)):
                generator = np.random.default_rng(derive_seed(seed, candidate_id, realisation))
                name = f"{candidate_id}-r{realisation}"
                try:
                    crystal = _realise(name, gene, volume_angstrom3_per_atom, settings, generator, known)
                    found, own = _check(crystal, gene, settings.symprec_angstrom)
                except _NotBuilt as error:
                    reasons.append(str(error))
                    continue
                except Exception as error:  # of a library; one strange gene must not end the batch
                    reasons.append(f"{type(error).__name__}: {error}")
                    continue
                crystals.append(crystal)
                space_groups.append(found)
                genes.append(own)
    except TimeLimitReached:
        # What was built depends on the speed of the machine, so nothing of it is kept.
        status, crystals, space_groups, genes = TIMED_OUT, [], [], []
        reasons = [f"not built within {settings.time_limit_seconds:g} s"]
    return GeneRealisations(
        candidate_id,
        gene,
        status or (BUILT if crystals else NOT_BUILT),
        "; ".join(dict.fromkeys(reasons)),
        tuple(crystals),
        tuple(space_groups),
        tuple(genes),
        time.monotonic() - started,
    )


def realise_genes(
    candidate_ids: Sequence[str],
    genes: Sequence[WyckoffGene],
    volumes_angstrom3_per_atom: ArrayLike,
    settings: GeneCrystalSettings,
    seed: int,
    shapes: LatticeShapes | None = None,
    log: Log = log_to_stderr,
) -> list[GeneRealisations]:
    """Return `realise_gene` of many genes, in their order.

    Raises:
        InputError: not one id and one volume per gene, or an id twice.
    """
    volumes = np.asarray(volumes_angstrom3_per_atom, dtype=np.float64)
    if not len(candidate_ids) == len(genes) == len(volumes) or len(set(candidate_ids)) != len(genes):
        raise InputError(
            f"{len(set(candidate_ids))} different ids, {len(genes)} genes and {len(volumes)} volumes; "
            "give one each"
        )
    progress = Progress("genes", len(genes), log)
    results = []
    for candidate, gene, volume in zip(candidate_ids, genes, volumes.tolist(), strict=True):
        results.append(realise_gene(candidate, gene, volume, settings, seed, shapes))
        progress.report(len(results))
    return results


def _number_of_realisations(gene: WyckoffGene, settings: GeneCrystalSettings) -> int:
    """Return 1 where nothing is drawn, else more the more is drawn, up to the setting."""
    degrees = gene.free_coordinates + _FREE_IN_SHAPE[crystal_system(gene.space_group)]
    return min(settings.realisations, 1 + settings.realisations_per_degree * degrees)


def _reason_to_refuse(gene: WyckoffGene, volume: float, settings: GeneCrystalSettings) -> str:
    if fault := fault_of_gene(gene):
        return fault
    atoms = sum(gene.atoms.values())
    if atoms > settings.most_atoms:
        return f"{atoms} atoms in the conventional cell, limit {settings.most_atoms}"
    if not (isfinite(volume) and volume > 0):
        return f"volume of {volume} Å³ per atom"
    return ""


def _realise(
    name: str,
    gene: WyckoffGene,
    volume_angstrom3_per_atom: float,
    settings: GeneCrystalSettings,
    generator: np.random.Generator,
    known: NDArray[np.float64],
) -> Crystal:
    """Return one realisation, primitive standard cell."""
    volume = volume_angstrom3_per_atom * settings.volume_factor * sum(gene.atoms.values())
    place = _spread if settings.placement == SPREAD else _by_pyxtal
    conventional = place(name, gene, volume, settings, generator, known)
    if not has_operations(conventional, gene.space_group):
        raise _NotBuilt(f"the crystal lacks operations of space group {gene.space_group}")
    return _primitive(conventional)


# --- Shapes of cells


def _same_lattice(space_group: int) -> NDArray[np.bool_]:
    """Return which space groups share crystal system and centring with one, shape (231,)."""
    centring = wyckoff_positions().centring
    systems = np.array([-1] + [crystal_system(group) for group in range(1, SPACE_GROUPS + 1)])
    return (systems == systems[space_group]) & (centring == centring[space_group])


def _parameters(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lengths at volume 1 and angles (degrees) of a lattice, shape (6,)."""
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    volume = abs(np.linalg.det(lattice))
    return np.concatenate([lengths / np.cbrt(volume), np.degrees(np.arccos(np.clip(cosines, -1, 1)))])


def _lattice_of_shape(
    parameters: ArrayLike, space_group: int, volume_angstrom3: float
) -> NDArray[np.float64]:
    """Return lattice vectors as rows, with the constraints of the crystal system exactly fulfilled."""
    a, b, c, alpha, beta, gamma = np.asarray(parameters, dtype=np.float64)
    system = crystal_system(space_group)
    if system >= 1:
        alpha = gamma = 90.0
    if system >= 2:
        beta = 90.0
    if system in (4, 5):
        gamma = 120.0
    if system in (3, 4, 5):
        a = b = np.sqrt(a * b)
    if system == 6:
        a = b = c = 1.0
    cos_a, cos_b, cos_g = (
        0.0 if x == 90 else -0.5 if x == 120 else np.cos(np.radians(x)) for x in (alpha, beta, gamma)
    )
    sin_g = np.sqrt(1 - cos_g**2)
    third = (cos_a - cos_b * cos_g) / sin_g
    lattice = np.array(
        [
            [a, 0, 0],
            [b * cos_g, b * sin_g, 0],
            [c * cos_b, c * third, c * np.sqrt(max(0.0, 1 - cos_b**2 - third**2))],
        ]
    )
    own = np.linalg.det(lattice)
    if not own > 0:
        raise _NotBuilt("a cell without volume was drawn")
    return lattice * np.cbrt(volume_angstrom3 / own)


def _draw_lattice(
    gene: WyckoffGene, volume: float, known: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    if len(known):
        return _lattice_of_shape(known[generator.integers(len(known))], gene.space_group, volume)
    from pyxtal.lattice import Lattice

    drawn = Lattice(_group(gene.space_group).lattice_type, volume, random_state=generator)
    return _lattice_of_shape(_parameters(drawn.matrix), gene.space_group, volume)


# --- Coordinates


def _spread(
    name: str,
    gene: WyckoffGene,
    volume: float,
    settings: GeneCrystalSettings,
    generator: np.random.Generator,
    known: NDArray[np.float64],
) -> Crystal:
    """Return that of many draws in which the nearest atoms are farthest apart, conventional cell."""
    operations = position_operations(gene.space_group)
    orbits = [(element, operations[letter]) for element, letter, number in gene.sites for _ in range(number)]
    species = np.concatenate([[element] * len(matrices) for element, matrices in orbits])
    first_atoms = np.cumsum([0, *(len(matrices) for _, matrices in orbits)])[:-1]
    radii = np.array([_covalent_radius(symbol) for symbol in species])
    contact = radii[first_atoms][:, None] + radii
    draws = (
        min(settings.draws, max(1, _MOST_DISTANCES // (27 * contact.size))) if gene.free_coordinates else 1
    )
    lattices = np.stack([_draw_lattice(gene, volume, known, generator) for _ in range(draws)])
    points = generator.random((draws, len(orbits), 3))
    coords = np.concatenate(
        [
            np.einsum("mij,nj->nmi", matrices[:, :, :3], points[:, orbit]) + matrices[:, :, 3]
            for orbit, (_, matrices) in enumerate(orbits)
        ],
        axis=1,
    )
    closeness = (_shortest_distances(coords, first_atoms, lattices) / contact).min(axis=(1, 2))
    winner = int(np.argmax(closeness))
    if not closeness[winner] >= settings.smallest_distance_factor:
        raise _NotBuilt(
            f"no room: two atoms nearer than {settings.smallest_distance_factor:g} times their radii "
            f"in each of {draws} draws"
        )
    return Crystal(name, tuple(species.tolist()), lattices[winner], coords[winner] % 1.0)


def _shortest_distances(
    coords: NDArray[np.float64], first_atoms: NDArray[np.integer], lattices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shortest distance between atoms and their images, shape (draws, first atoms, atoms), Å.

    Args:
        coords: fractional, shape (draws, atoms, 3).
        first_atoms: one atom of each orbit; its distances to all atoms are those of the orbit.
        lattices: shape (draws, 3, 3).
    """
    difference = coords[:, first_atoms, None] - coords[:, None]
    difference -= np.round(difference)
    shifts = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    metric = lattices @ lattices.transpose(0, 2, 1)
    images = difference[:, :, :, None] + shifts
    squared = np.einsum("dfasi,dij,dfasj->dfas", images, metric, images, optimize=True)
    # An atom is no neighbour of itself, but its images are.
    squared[:, np.arange(len(first_atoms)), first_atoms, 13] = inf
    return np.sqrt(np.maximum(squared.min(axis=3), 0))


def _by_pyxtal(
    name: str,
    gene: WyckoffGene,
    volume: float,
    settings: GeneCrystalSettings,
    generator: np.random.Generator,
    known: NDArray[np.float64],
) -> Crystal:
    """Return PyXtal's random crystal of a gene, conventional cell."""
    from pyxtal.crystal import random_crystal
    from pyxtal.database.element import Element
    from pyxtal.lattice import Lattice
    from pyxtal.tolerance import Tol_matrix

    class OneAttempt(random_crystal):
        """PyXtal tries up to 400 times in one cell, up to minutes; here every attempt has a new cell."""

        def set_crystal(self) -> None:
            self.numattempts = 0
            self.set_lattice(self.lattice0)
            self.atom_sites = self._set_coords() or []

    for symbol in gene.elements:
        if not (Element(symbol).covalent_radius and Element(symbol).vdw_radius):
            raise _NotBuilt(f"PyXtal has no radii of {symbol}")
    group = _group(gene.space_group)
    labels = {position.letter: position.get_label() for position in group}
    sites = [
        [labels[letter] for own, letter, number in gene.sites if own == element for _ in range(number)]
        for element in gene.elements
    ]
    # PyXtal's tolerances are half the sum of covalent radii, times the factor.
    tolerances = Tol_matrix(prototype="atomic", factor=2 * settings.smallest_distance_factor)
    for _ in range(settings.draws):
        matrix = _draw_lattice(gene, volume, known, generator)
        drawn = OneAttempt(
            dim=3,
            group=group,
            species=list(gene.elements),
            numIons=[gene.atoms[element] for element in gene.elements],
            lattice=Lattice.from_matrix(
                matrix, ltype=group.lattice_type, random=False, random_state=generator
            ),
            sites=sites,
            tm=tolerances,
            random_state=generator,
        )
        if drawn.valid:
            species = [site.specie for site in drawn.atom_sites for _ in range(len(site.coords))]
            coords = np.concatenate([site.coords for site in drawn.atom_sites])
            return Crystal(name, tuple(species), matrix, coords % 1.0)
    raise _NotBuilt(f"no room: PyXtal placed the atoms in none of {settings.draws} cells")


@cache
def _group(space_group: int) -> Group:
    from pyxtal.symmetry import Group

    return Group(space_group)


@cache
def position_operations(space_group: int) -> Mapping[str, NDArray[np.float64]]:
    """Return for each Wyckoff letter the maps (R | t) from (x, y, z) to its atoms, shape (atoms, 3, 4)."""
    return {
        position.letter: np.stack([operation.affine_matrix[:3] for operation in position.ops])
        for position in _group(space_group)
    }


@cache
def _covalent_radius(element: str) -> float:
    from ase.data import atomic_numbers, covalent_radii

    # ASE has no radius beyond curium, and says 0.2.
    radius = float(covalent_radii[atomic_numbers[element]])
    return radius if radius > 0.25 else float(covalent_radii[atomic_numbers["Cm"]])


# --- Symmetry of what was built


def has_operations(crystal: Crystal, space_group: int) -> bool:
    """Say whether all operations of a space group, in its standard setting, are symmetries of a crystal.

    The cell must be the conventional one. If so, the crystal's own space group is this one or a supergroup.
    """
    from scipy.spatial import cKDTree

    general = max(position_operations(space_group).values(), key=len)
    rotations, translations = general[:, :, :3], general[:, :, 3]
    metric = crystal.lattice @ crystal.lattice.T
    turned = rotations.transpose(0, 2, 1) @ metric @ rotations
    if np.abs(turned - metric).max() > _SAME_PLACE * metric.max():
        return False
    species = np.array(crystal.species)
    for element in sorted(set(crystal.species)):
        # Rounding up to 1 would lie outside of the periodic box.
        own = crystal.frac_coords[species == element] % 1.0 % 1.0
        images = (np.einsum("oij,nj->oni", rotations, own) + translations[:, None]).reshape(-1, 3) % 1.0 % 1.0
        distances, _ = cKDTree(own, boxsize=1.0).query(images)
        if not (distances < _SAME_PLACE).all():
            return False
    return True


def is_supergroup(found: int, wanted: int) -> bool:
    """Say whether a space group of type `found` can contain one of type `wanted`, or is of that type.

    From the maximal translationengleiche and klassengleiche subgroups as PyXtal tabulates them.

    Raises:
        ValueError: no such space group.
    """
    for group in (found, wanted):
        if group not in range(1, SPACE_GROUPS + 1):
            raise ValueError(f"no space group {group!r}; give one of 1 … {SPACE_GROUPS}")
    return found == wanted or wanted in _subgroups(found)


@cache
def _subgroups(space_group: int) -> frozenset[int]:
    seen, left = set(), [space_group]
    while left:
        group = left.pop()
        left += sorted(_maximal_subgroups(group) - seen)
        seen |= _maximal_subgroups(group)
    return frozenset(seen)


@cache
def _maximal_subgroups(space_group: int) -> frozenset[int]:
    group = _group(space_group)
    tables = (group.get_max_t_subgroup(), group.get_max_k_subgroup())
    return frozenset(int(number) for table in tables for number in table["subgroup"])


def _symmetry(crystal: Crystal, symprec_angstrom: float) -> SpglibDataset | None:
    import spglib

    finite = np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()
    if not crystal.species or not finite:  # spglib may end the process on numbers that are none
        return None
    elements = sorted(set(crystal.species))
    numbers = [elements.index(symbol) for symbol in crystal.species]
    try:
        return spglib.get_symmetry_dataset(
            (crystal.lattice, crystal.frac_coords, numbers), symprec=symprec_angstrom
        )
    except Exception:  # depending on its version, spglib raises or returns None
        return None


def _primitive(crystal: Crystal) -> Crystal:
    """Return the primitive standard cell."""
    import spglib

    elements = sorted(set(crystal.species))
    numbers = [elements.index(symbol) for symbol in crystal.species]
    cell = spglib.standardize_cell(
        (crystal.lattice, crystal.frac_coords, numbers), to_primitive=True, symprec=_EXACT_SYMPREC_ANGSTROM
    )
    if cell is None:
        raise _NotBuilt("spglib finds no primitive cell")
    lattice, coords, types = cell
    return Crystal(crystal.id, tuple(elements[kind] for kind in types), lattice, coords)


def _check(crystal: Crystal, gene: WyckoffGene, symprec_angstrom: float) -> tuple[int, str]:
    """Return space group and gene that spglib finds."""
    try:
        own = gene_of_crystal(crystal, symprec_angstrom)
    except NoGene as error:
        raise _NotBuilt(f"spglib: {error}") from None
    if not is_supergroup(own.space_group, gene.space_group):
        raise _NotBuilt(f"spglib finds space group {own.space_group}, no supergroup of {gene.space_group}")
    return own.space_group, str(own)


# --- The best of the realisations


def best_realisation(energies_ev_per_atom: ArrayLike) -> int | None:
    """Return the place of the lowest energy, the first of equal ones; None where all are NaN."""
    energies = np.asarray(energies_ev_per_atom, dtype=np.float64)
    return int(np.nanargmin(energies)) if np.isfinite(energies).any() else None


def rank_realisations(
    realisations: Mapping[str, Sequence[Crystal]],
    calculator: Calculator,
    limits: RelaxationSettings | None = None,
    log: Log = log_to_stderr,
) -> pd.DataFrame:
    """Return one energy of every realisation, and which one is the best of its gene.

    Args:
        realisations: crystals by candidate id.
        calculator: of `matwheel.validation.potentials.make_calculator`.
        limits: of forces and energies; a realisation beyond them, as when atoms fall into a hole of the
            potential, is never chosen.

    Returns:
        Columns: id, realisation (place in the list), energy_ev_per_atom,
        largest_force_ev_per_angstrom, problem (why it cannot be chosen, else empty), chosen.
        NaN where the potential raised an error.
    """
    limits = limits or RelaxationSettings()
    progress = Progress("realisations of genes", len(realisations), log)
    rows: list[dict[str, object]] = []
    for done, (candidate, crystals) in enumerate(realisations.items(), start=1):
        points = [_single_point(crystal, calculator, limits) for crystal in crystals]
        best = best_realisation([nan if problem else energy for energy, _, problem in points])
        for place, (energy, force, problem) in enumerate(points):
            rows.append(
                {
                    "id": candidate,
                    "realisation": place,
                    "energy_ev_per_atom": energy,
                    "largest_force_ev_per_angstrom": force,
                    "problem": problem,
                    "chosen": place == best,
                }
            )
        progress.report(done)
    return pd.DataFrame(rows, columns=list(RANKING_COLUMNS)).astype(RANKING_COLUMNS)


def _single_point(
    crystal: Crystal, calculator: Calculator, limits: RelaxationSettings
) -> tuple[float, float, str]:
    try:
        atoms = to_atoms(crystal)
        atoms.calc = calculator
        energy = float(atoms.get_potential_energy()) / len(atoms)
        force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    except Exception as error:  # one bad realisation must not end the batch
        return nan, nan, f"{type(error).__name__}: {error}"
    return energy, force, initial_problem(energy, force, limits)


def chosen_crystals(results: Iterable[GeneRealisations], ranking: pd.DataFrame) -> list[Crystal]:
    """Return the chosen realisation of each gene that has one, under the id of its candidate."""
    chosen = ranking[ranking["chosen"]]
    place = dict(zip(chosen["id"], chosen["realisation"].astype(int), strict=True))
    crystals = []
    for result in results:
        if result.candidate_id in place:
            best = result.crystals[place[result.candidate_id]]
            crystals.append(Crystal(result.candidate_id, best.species, best.lattice, best.frac_coords))
    return crystals


def outcome_table(results: Sequence[GeneRealisations]) -> pd.DataFrame:
    """Return a row per gene: id, gene, status, reason, realisations, how many of them have exactly the
    space group and the gene asked for, seconds.
    """
    return pd.DataFrame(
        {
            "id": [result.candidate_id for result in results],
            "gene": [str(result.gene) for result in results],
            "status": [result.status for result in results],
            "reason": [result.reason for result in results],
            "realisations": [len(result.crystals) for result in results],
            "with_space_group": [result.space_groups.count(result.gene.space_group) for result in results],
            "with_gene": [result.genes.count(str(result.gene)) for result in results],
            "seconds": [result.seconds for result in results],
        }
    )


def build_verdicts(
    results: Sequence[GeneRealisations],
    settings: GeneCrystalSettings,
    ranking: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return verdicts of the screen 'build', one per gene.

    'pass' with the energy of the chosen realisation (eV/atom), or without a ranking with the number of
    realisations; 'fail' where no crystal was built, or the potential finds all of them absurd; 'error' where
    the time was up, or the potential gave no energy.
    """
    by_gene = {} if ranking is None else dict(iter(ranking.groupby("id", sort=False)))
    rows = []
    for result in results:
        verdict, value, reason = _verdict(result, by_gene.get(result.candidate_id), ranking is not None)
        rows.append((result.candidate_id, SCREEN, verdict, value, nan, reason, settings.placement))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:7]))
    table["tool_version"] = f"pyxtal {version('pyxtal')}"
    table["seconds"] = [result.seconds for result in results]
    return table[list(COLUMNS)].astype(verdict_table([]).dtypes.to_dict())


def _verdict(result: GeneRealisations, points: pd.DataFrame | None, ranked: bool) -> tuple[str, float, str]:
    if result.status != BUILT:
        return ERROR if result.status == TIMED_OUT else FAIL, nan, result.reason
    if not ranked:
        return PASS, float(len(result.crystals)), ""
    if points is None:
        return ERROR, nan, "no realisation was ranked"
    if points["chosen"].any():
        return PASS, float(points.loc[points["chosen"], "energy_ev_per_atom"].iloc[0]), ""
    measured = points["energy_ev_per_atom"].notna().any()
    return FAIL if measured else ERROR, nan, str(points["problem"].iloc[0])
