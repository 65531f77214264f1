"""Crystals from Wyckoff genes: lattice shape and free coordinates are drawn, the volume is estimated.

A gene fixes the space group and the occupied positions, not the shape of the cell or the free coordinates.
Each realisation draws them anew, in one of two ways:

'spread' (default): of many draws, that in which the nearest atoms keep the largest distance, measured in sums
of covalent radii. The shape of the cell is that of a training crystal of the same space group.

'pyxtal': PyXtal's random crystal (Fredericks et al., Comput. Phys. Commun. 261, 107810, 2021), as WyCryst+
takes it: the first draw whose atoms keep PyXtal's smallest distances.

Of its realisations a gene keeps the one of lowest energy by a potential (wyckoff/gene_ranking.py). On real
genes with free coordinates that energy is nearer to the real crystal's by 'spread' than by 'pyxtal'
(benchmarks/gene_crystals.py).
Every crystal is checked against its gene: all operations of the space group must be symmetries of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Count, Positive, Seconds, Tolerance, settings
from matwheel.core.time_limits import hang_guard
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.symmetry.standard_cells import standard_cell
from matwheel.wyckoff.gene_placement import PLACEMENTS
from matwheel.wyckoff.lattice_shapes import LatticeShapes, NotBuilt
from matwheel.wyckoff.space_group_operations import has_operations, is_supergroup
from matwheel.wyckoff.wyckoff_genes import (
    SYMPREC_ANGSTROM,
    NoGene,
    WyckoffGene,
    fault_of_gene,
    gene_of_crystal,
)
from matwheel.wyckoff.wyckoff_positions import crystal_system

BUILT, NOT_BUILT = "built", "failed"
_FREE_IN_SHAPE = (5, 3, 2, 1, 1, 1, 0)  # parameters of the shape of a cell, by crystal system
_EXACT_SYMPREC_ANGSTROM = 1e-3


@settings
class GeneCrystalSettings:
    """How genes become crystals."""

    placement: Literal["spread", "pyxtal"] = "spread"
    """How atoms are placed, see the module."""
    realisations: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Most crystals per gene."""
    realisations_per_degree: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Crystals per free coordinate or free parameter of the cell's shape; a gene without any has one crystal.
    """
    draws: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Draws of shape and free coordinates per realisation of 'spread' (fewer in large cells); attempts of
    'pyxtal'.
    """
    smallest_distance_factor: Positive = 0.5
    """A crystal with two atoms nearer than this times the sum of their covalent radii is not built."""
    volume_factor: Positive = 1.0
    """The estimated volume is multiplied with it."""
    most_atoms: Count = 400
    """Largest number of atoms in the conventional cell."""
    symprec_angstrom: Tolerance = SYMPREC_ANGSTROM
    """Tolerance of the space group and gene that are recorded."""
    time_limit_seconds: Seconds = 600.0
    """Wall time per gene, a guard against a hang that ends the job: the limits above end the work within
    seconds, also on a busy machine.
    """


@dataclass(frozen=True, eq=False)
class GeneRealisations:
    """What became of one gene.

    Attributes:
        status: 'built' or 'failed'.
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


def realise_gene(
    candidate_id: str,
    gene: WyckoffGene,
    volume_angstrom3_per_atom: float,
    settings: GeneCrystalSettings,
    seed: int,
    shapes: LatticeShapes | None = None,
) -> GeneRealisations:
    """Return crystals of one gene; nothing that is wrong with it raises an error.

    The same arguments give the same crystals, whatever ran before.

    Args:
        volume_angstrom3_per_atom: of `VolumeEstimate`.
        seed: seed of all genes; each realisation derives its own from it and the candidate's id.
        shapes: shapes of training crystals to draw from; without them PyXtal draws shapes.

    Raises:
        Hung: the draws, whose number is limited, do not end.
    """
    started = time.monotonic()
    crystals: list[Crystal] = []
    space_groups: list[int] = []
    genes: list[str] = []
    reasons: list[str] = []
    guard = hang_guard(settings.time_limit_seconds, f"crystals of {candidate_id}", "build.time_limit_seconds")
    with guard:
        reason = _reason_to_refuse(gene, volume_angstrom3_per_atom, settings)
        reasons += [reason] if reason else []
        known = shapes.like(gene) if shapes is not None else np.zeros((0, 6))
        for realisation in range(0 if reason else _number_of_realisations(gene, settings)):
            generator = np.random.default_rng(derive_seed(seed, candidate_id, realisation))
            name = f"{candidate_id}-r{realisation}"
            try:
                crystal = _realise(name, gene, volume_angstrom3_per_atom, settings, generator, known)
                found, own = _check(crystal, gene, settings.symprec_angstrom)
            except NotBuilt as error:
                reasons.append(str(error))
                continue
            except Exception as error:  # of a library; one strange gene must not end the batch
                reasons.append(f"{type(error).__name__}: {error}")
                continue
            crystals.append(crystal)
            space_groups.append(found)
            genes.append(own)
    return GeneRealisations(
        candidate_id,
        gene,
        BUILT if crystals else NOT_BUILT,
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
    conventional = PLACEMENTS[settings.placement](
        name,
        gene,
        volume,
        known,
        generator,
        draws=settings.draws,
        smallest_distance_factor=settings.smallest_distance_factor,
    )
    if not has_operations(conventional, gene.space_group):
        raise NotBuilt(f"the crystal lacks operations of space group {gene.space_group}")
    primitive = standard_cell(conventional, _EXACT_SYMPREC_ANGSTROM, primitive=True)
    if primitive is None:
        raise NotBuilt("spglib finds no primitive cell")
    return primitive


def _check(crystal: Crystal, gene: WyckoffGene, symprec_angstrom: float) -> tuple[int, str]:
    """Return space group and gene that spglib finds."""
    try:
        own = gene_of_crystal(crystal, symprec_angstrom)
    except NoGene as error:
        raise NotBuilt(f"spglib: {error}") from None
    if not is_supergroup(own.space_group, gene.space_group):
        raise NotBuilt(f"spglib finds space group {own.space_group}, no supergroup of {gene.space_group}")
    return own.space_group, str(own)
