"""Energies above the hull and formation energies against Materials Project's own.

    OMP_NUM_THREADS=1 python benchmarks/hull.py MIRROR [--folder FOLDER] [--rows 1000]
    OMP_NUM_THREADS=1 python benchmarks/hull.py MIRROR --potential 7net-0 --crystals 60

MIRROR is a folder with the tables of Materials Project crystals; the archives come from there, from FOLDER or
from PyPI. FOLDER keeps the archive's phases between runs (they take minutes). The anion rule is that of
Materials Project's data (`no_check`), so that only the reference data differ. Prints, for rows drawn at
random:

1. the distance to the reference hull against e_above_hull. The tested material is taken out (its id, and the
   archive's row of the same formula that is nearest in energy, if within 50 meV/atom), and the distance is
   clipped at 0 as Materials Project's own is;
2. with --potential: formation energies of single points on the mirror's crystals against Materials Project's,
   and the distances of these energies to the reference hull and to the potential's own hull.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from matwheel.compositions.formulas import element_counts
from matwheel.crystals.table import crystals_of_table, read_table, write_table
from matwheel.datasets.sources import SourceBytes, read_wheel_member
from matwheel.hull.elemental_references import (
    ELEMENTAL_ARCHIVE,
    elemental_energies,
    elemental_references_of_archive,
    formation_energy,
)
from matwheel.hull.energy_corrections import anion_rule_shift, composition_of, corrected_energy
from matwheel.hull.hull import ReferenceHull, potential_phases
from matwheel.hull.reference_phases import (
    PHASE_ARCHIVE,
    carried_anion_rule,
    formula_of,
    mirror_frame,
    phases_of_archive,
    phases_of_mirror,
    read_mirror_tables,
    reduced_counts,
    reference_phases,
    system_of,
)
from matwheel.hull.reference_structures import (
    read_structure_archive,
    reference_energies,
    reference_structures,
)
from matwheel.potentials.potentials import make_calculator, potential_card

PUBLISHED = "no_check"
SAME_MATERIAL_EV_PER_ATOM = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mirror", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/matwheel-hull-benchmark"))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--potential")
    parser.add_argument("--crystals", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    archives = [arguments.mirror, arguments.folder]
    references = elemental_energies(
        elemental_references_of_archive(read_wheel_member(ELEMENTAL_ARCHIVE, archives))
    )
    reads = read_mirror_tables([arguments.mirror])
    table = pd.concat([mirror_frame(read).assign(rule=carried_anion_rule(read)) for read in reads])
    table = table.drop_duplicates("material_id")
    table["counts"] = [element_counts(formula) for formula in table["cell_formula"]]
    sample = table.sample(min(arguments.rows, len(table)), random_state=arguments.seed)
    sample["formation_energy_per_atom"] += [
        anion_rule_shift(composition_of(reduced_counts(row.counts)), PUBLISHED, carried=row.rule)
        for row in sample.itertuples(index=False)
    ]
    path = arguments.folder / f"archive_{PUBLISHED}.parquet"
    read = read_wheel_member(PHASE_ARCHIVE, archives)
    if not path.is_file():
        write_table(phases_of_archive(read, references, anion_rule=PUBLISHED), path)
    archive, mirror = read_table(path), phases_of_mirror(reads, anion_rule=PUBLISHED)
    if arguments.potential:
        hull = Hull(reference_phases([archive, mirror]))
        reads += read_structure_archive(archives)
        check_potential(sample.head(arguments.crystals), arguments.potential, reads, references, hull)
        return
    for name, tables in (
        ("archive alone", [archive]),
        ("mirror alone", [mirror]),
        ("archive and mirror", [archive, mirror]),
        ("the same, archive not moved to MP2020", [as_published(archive, read), mirror]),
    ):
        check_hull(name, reference_phases(tables), sample)


def as_published(archive: pd.DataFrame, read: SourceBytes) -> pd.DataFrame:
    """Return the archive's phases with the energies that it carries, those of the scheme of 2019."""
    energies = pd.read_csv(io.BytesIO(read.content), keep_default_na=False)["target"].to_numpy()
    rows = archive["id"].str.removeprefix("matbench-").astype(int) - 1
    return archive.assign(formation_energy_ev_per_atom=energies[rows])


def check_hull(name: str, phases: pd.DataFrame, sample: pd.DataFrame) -> None:
    hull = Hull(phases)
    found, refused, lonely = [], 0, 0
    started = time.process_time()
    for row in sample.itertuples(index=False):
        exclude = hull.ids_of_material(row.material_id, row.counts, row.formation_energy_per_atom)
        result = hull.energy_above_hull(row.counts, row.formation_energy_per_atom, exclude=exclude)
        refused += bool(result.missing_elements)
        lonely += len(row.counts) > 1 and not result.missing_elements and not result.compounds
        found.append(max(0.0, result.e_above_hull_ev_per_atom))
    seconds = time.process_time() - started
    report(f"{name}, {len(phases)} phases", np.array(found), sample["e_above_hull"].to_numpy(dtype=float))
    each = 1000 * seconds / len(sample)
    print(f"    refused {refused}, no reference compound {lonely}; {each:.1f} CPU-ms each")


def report(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    valid = np.isfinite(ours)
    ours, theirs = ours[valid], theirs[valid]
    error = np.abs(ours - theirs)
    sides = [np.mean((ours <= limit) == (theirs <= limit)) for limit in (0.025, 0.1)]
    print(
        f"{name}: n {valid.sum()}, mean error {1000 * error.mean():.1f} meV/atom, median "
        f"{1000 * np.median(error):.1f}, within 25 meV {np.mean(error <= 0.025):.1%} (too low "
        f"{np.mean(theirs - ours > 0.025):.1%}, too high {np.mean(ours - theirs > 0.025):.1%}), same side of "
        f"25 meV {sides[0]:.1%}, of 100 meV {sides[1]:.1%}"
    )


class Hull(ReferenceHull):
    """A reference hull that can find the tested material among its phases."""

    def __init__(self, phases: pd.DataFrame) -> None:
        super().__init__(phases)
        archive = phases[phases["source"] == "matbench"]
        self._archive = dict(tuple(archive.groupby("formula")))

    def ids_of_material(self, name: str, counts: Mapping[str, int], energy: float) -> set[str]:
        ids, twins = {str(name)}, self._archive.get(formula_of(counts))
        if twins is not None:
            off = (twins["formation_energy_ev_per_atom"] - energy).abs()
            if off.min() <= SAME_MATERIAL_EV_PER_ATOM:
                ids.add(str(twins.loc[off.idxmin(), "id"]))
        return ids


def check_potential(
    sample: pd.DataFrame,
    potential: str,
    reads: Sequence[SourceBytes],
    references: Mapping[str, float],
    reference_hull: Hull,
) -> None:
    card = potential_card(potential)
    systems = {system_of(counts) for counts in sample["counts"]}
    structures = reference_structures(systems, reads=reads)
    started = time.process_time()
    energies = reference_energies(structures, make_calculator(potential))
    seconds = time.process_time() - started
    own_hull = ReferenceHull(potential_phases(structures, energies, card, references, anion_rule=PUBLISHED))
    published = sample.set_index("material_id")
    raw = dict(zip(energies["id"], energies["energy_ev_per_atom"], strict=True))
    rows = []
    for crystal in crystals_of_table(structures[structures["id"].isin(published.index)]):
        counts, truth = crystal.element_counts, published.loc[crystal.id]
        corrected = corrected_energy(crystal, raw[crystal.id], card.energy_kind, PUBLISHED)
        formation = formation_energy(counts, corrected, references)
        own = own_hull.energy_above_hull(counts, formation, exclude={crystal.id})
        excluded = reference_hull.ids_of_material(
            crystal.id, counts, float(truth["formation_energy_per_atom"])
        )
        dft = reference_hull.energy_above_hull(counts, formation, exclude=excluded)
        known = own_hull.formulas_of_system(counts)
        lacking = any(formula not in known for formula, _ in dft.competitors)
        theirs = float(truth["e_above_hull"])
        off = formation - float(truth["formation_energy_per_atom"])
        rows.append((crystal.id, formula_of(counts), off, theirs, dft, own, lacking))
    found = pd.DataFrame(rows, columns=["id", "formula", "off", "theirs", "dft", "own", "lacking"])
    off = found["off"].abs()
    print(
        f"formation energies, {card.name} ({card.version}), n {len(off)}: mean error "
        f"{1000 * off.mean():.1f} meV/atom, median {1000 * off.median():.1f}, mean signed "
        f"{1000 * found['off'].mean():+.1f}, largest {1000 * off.max():.0f}; {len(structures)} reference "
        f"structures of {len(systems)} systems, {seconds:.0f} CPU-s"
    )
    print(found.sort_values("off", key=np.abs)[["id", "formula", "off"]].tail(5).to_string(index=False))
    for name in ("dft", "own"):
        distances = np.array([result.e_above_hull_ev_per_atom for result in found[name]])
        report(
            f"{card.name} on {'the reference' if name == 'dft' else 'its own'} hull",
            np.maximum(0.0, distances),
            found["theirs"].to_numpy(),
        )
    both = found[~found["own"].map(lambda result: bool(result.missing_elements))]
    low = both[["dft", "own"]].map(lambda result: result.e_above_hull_ev_per_atom <= 0.1)
    print(
        f"the two hulls disagree at 100 meV: {np.mean(low['dft'] != low['own']):.1%} of {len(both)}; "
        f"a competitor has no structure: {found['lacking'].mean():.1%}; own hull refused: "
        f"{len(found) - len(both)}"
    )


if __name__ == "__main__":
    main()
