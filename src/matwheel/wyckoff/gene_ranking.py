"""The best of the crystals built from each Wyckoff gene, by the energy of a potential, and what to report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.crystals.crystal import Crystal
from matwheel.potentials.atoms import to_atoms
from matwheel.potentials.relaxation import RelaxationSettings, initial_problem
from matwheel.verdicts import COLUMNS, ERROR, FAIL, PASS, verdict_table
from matwheel.wyckoff.gene_crystals import BUILT, GeneRealisations

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

SCREEN = "build"
RANKING_COLUMNS = {
    "id": str,
    "realisation": int,
    "energy_ev_per_atom": float,
    "largest_force_ev_per_angstrom": float,
    "problem": str,
    "chosen": bool,
}


def best_realisation(energies_ev_per_atom: ArrayLike) -> int | None:
    """Return the place of the lowest energy, the first of equal ones; None where all are NaN."""
    energies = np.asarray(energies_ev_per_atom, dtype=np.float64)
    return int(np.nanargmin(energies)) if np.isfinite(energies).any() else None


def rank_realisations(
    realisations: Mapping[str, Sequence[Crystal]], calculator: Calculator, log: Log = log_to_stderr
) -> pd.DataFrame:
    """Return one energy of every realisation, and which one is the best of its gene.

    A realisation beyond the limits of a relaxation, as when atoms fall into a hole of the potential, is never
    chosen.

    Args:
        calculator: of `matwheel.potentials.potentials.make_calculator`.

    Returns:
        Columns: id, realisation (place in the list), energy_ev_per_atom,
        largest_force_ev_per_angstrom, problem (why it cannot be chosen, else empty), chosen.
        NaN where the potential raised an error.
    """
    limits = RelaxationSettings()
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


def build_verdicts(
    results: Sequence[GeneRealisations], ranking: pd.DataFrame | None = None, *, tool: str, tool_version: str
) -> pd.DataFrame:
    """Return verdicts of the screen 'build', one per gene.

    'pass' with the energy of the chosen realisation (eV/atom), or without a ranking with the number of
    realisations; 'fail' where no crystal was built, or the potential finds all of them absurd; 'error' where
    the time was up, or the potential gave no energy.

    Args:
        results: of `realise_genes`.
        ranking: of `rank_realisations`.
    """
    by_gene = {} if ranking is None else dict(iter(ranking.groupby("id", sort=False)))
    rows = []
    for result in results:
        verdict, value, reason = _verdict(result, by_gene.get(result.candidate_id), ranking is not None)
        rows.append((result.candidate_id, SCREEN, verdict, value, nan, reason, tool))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:7]))
    table["tool_version"] = tool_version
    table["seconds"] = [result.seconds for result in results]
    return table[list(COLUMNS)].astype(verdict_table([]).dtypes.to_dict())


def _verdict(result: GeneRealisations, points: pd.DataFrame | None, ranked: bool) -> tuple[str, float, str]:
    if result.status != BUILT:
        return FAIL, nan, result.reason
    if not ranked:
        return PASS, float(len(result.crystals)), ""
    if points is None:
        return ERROR, nan, "no realisation was ranked"
    if points["chosen"].any():
        return PASS, float(points.loc[points["chosen"], "energy_ev_per_atom"].iloc[0]), ""
    measured = points["energy_ev_per_atom"].notna().any()
    return FAIL if measured else ERROR, nan, str(points["problem"].iloc[0])
