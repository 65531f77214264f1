"""How near are crystals built from genes of real crystals to those crystals, and what does building cost?

    OMP_NUM_THREADS=1 python benchmarks/gene_crystals.py CRYSTALS.parquet [--genes 60] [--free] [--relax]

CRYSTALS is a crystal table. Of it --training crystals give volumes and shapes of cells, and --genes others of
other formulas, with 3 to 12 atoms in the primitive cell, give genes to build. The single-point energy of the
best realisation is compared with that of the real crystal: for PyXtal's way with its own shapes of cells and
with those of the training crystals, and for this project's way with few realisations and with the default;
--only names one of them. With --relax both crystals are relaxed; --free leaves out genes without free
coordinates.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from matwheel.compositions.formulas import formula_counts
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table, reduced_formula
from matwheel.potentials.potentials import make_calculator
from matwheel.potentials.relaxation import RelaxationSettings, relax
from matwheel.wyckoff.gene_crystals import GeneCrystalSettings, realise_genes
from matwheel.wyckoff.gene_placement import PYXTAL
from matwheel.wyckoff.gene_ranking import chosen_crystals, rank_realisations
from matwheel.wyckoff.lattice_shapes import lattice_shapes
from matwheel.wyckoff.volume_estimate import fit_volume_estimate
from matwheel.wyckoff.wyckoff_genes import NoGene, WyckoffGene, gene_arrays, gene_of_crystal

POTENTIAL = "7net-0"
WAYS = {
    "pyxtal, own shapes, 8": (GeneCrystalSettings(PYXTAL, realisations=8), False),
    "pyxtal, known shapes, 8": (GeneCrystalSettings(PYXTAL, realisations=8), True),
    "spread, PyXtal's shapes, 8": (GeneCrystalSettings(realisations=8), False),
    "spread, known shapes, 8": (GeneCrystalSettings(realisations=8), True),
    "spread, default": (GeneCrystalSettings(), True),
}


def formula_of(crystals: Sequence[Crystal]) -> list[str]:
    return [reduced_formula(crystal) for crystal in crystals]


def genes_to_build(
    crystals: Sequence[Crystal], number: int, free: bool
) -> tuple[list[Crystal], list[WyckoffGene]]:
    chosen, genes = [], []
    for crystal in crystals:
        try:
            gene = gene_of_crystal(crystal)
        except NoGene:
            continue
        if 3 <= gene.atoms_in_primitive_cell <= 12 and (gene.free_coordinates or not free):
            chosen.append(crystal)
            genes.append(gene)
        if len(genes) == number:
            break
    return chosen, genes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--genes", type=int, default=60)
    parser.add_argument("--training", type=int, default=6000)
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--relax", action="store_true")
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    frame = read_table(arguments.table)
    order = np.random.default_rng(arguments.seed).permutation(len(frame))
    crystals = crystals_of_table(frame.iloc[order[: 4 * arguments.training]])
    training, rest = crystals[: arguments.training], crystals[arguments.training :]
    formulas = formula_of(training)
    known = set(formulas)
    rest = [crystal for crystal, own in zip(rest, formula_of(rest), strict=True) if own not in known]
    real, genes = genes_to_build(rest, arguments.genes, arguments.free)
    estimate = fit_volume_estimate(
        formula_counts(formulas), [c.volume_angstrom3 / len(c.species) for c in training]
    )
    shapes = lattice_shapes(training)
    volumes = estimate.volume_angstrom3_per_atom(gene_arrays(genes).counts())
    true_volumes = np.array([c.volume_angstrom3 / len(c.species) for c in real])
    print(f"{len(genes)} genes; volume off by {np.median(np.abs(volumes / true_volumes - 1)):.1%} (median)")

    calculator = make_calculator(POTENTIAL)
    ids = [crystal.id for crystal in real]
    points = rank_realisations({c.id: [c] for c in real}, calculator, log=lambda _: None)
    reference = dict(zip(points["id"], points["energy_ev_per_atom"], strict=True))
    if arguments.relax:
        relaxed_energy = energies_relaxed(real, calculator)
    for name, (settings, with_shapes) in WAYS.items():
        if arguments.only not in (None, name):
            continue
        started = time.process_time()
        known_shapes = shapes if with_shapes else None
        results = realise_genes(ids, genes, volumes, settings, 0, known_shapes, lambda _: None)
        built = time.process_time()
        crystals_by_id = {r.candidate_id: r.crystals for r in results if r.crystals}
        ranking = rank_realisations(crystals_by_id, calculator, log=lambda _: None)
        ranked = time.process_time()
        best = ranking[ranking["chosen"]]
        above = (best["energy_ev_per_atom"] - best["id"].map(reference)).to_numpy()
        total = sum(len(result.crystals) for result in results)
        with_group = sum(result.space_groups.count(result.gene.space_group) for result in results)
        with_gene = sum(result.genes.count(str(result.gene)) for result in results)
        seconds = np.array([result.seconds for result in results])
        shares = ", ".join(f"{(above < limit).mean():.0%} below {limit}" for limit in (0.1, 0.3))
        print(
            f"{name}: {dict(Counter(result.status for result in results))}, {len(best)} ranked\n"
            f"    energy above the real crystal's: median {np.median(above):.3f} eV/atom, {shares}\n"
            f"    {total} crystals, {with_group / total:.1%} with the gene's group, "
            f"{with_gene / total:.1%} with the gene\n"
            f"    CPU-s: building {built - started:.1f}, ranking {ranked - built:.1f}; wall time to build "
            f"a gene: median {np.median(seconds):.3f} s, 99 % {np.quantile(seconds, 0.99):.2f} s, "
            f"most {seconds.max():.2f} s",
            flush=True,
        )
        for reason, count in Counter(result.reason for result in results if not result.crystals).most_common(
            5
        ):
            print(f"    {count} × {reason[:150]}")
        if arguments.relax:
            energies = energies_relaxed(chosen_crystals(results, ranking), calculator)
            above = np.array([energies[i] - relaxed_energy[i] for i in energies if i in relaxed_energy])
            shares = ", ".join(f"{(above < limit).mean():.0%} below {limit}" for limit in (0.02, 0.1))
            print(
                f"    relaxed ({len(above)} of {len(real)}): median {np.median(above):.3f} eV/atom above the "
                f"real crystal, {shares}",
                flush=True,
            )


def energies_relaxed(crystals: Sequence[Crystal], calculator) -> dict[str, float]:
    table = relax(crystals, calculator, RelaxationSettings(), lambda _: None)
    table = table[table["status"].isin(["converged", "not_converged"])]
    return dict(zip(table["id"], table["energy_ev_per_atom"], strict=True))


if __name__ == "__main__":
    main()
