"""What a funnel of genes yields: how many candidates are validated, of how many genes, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from matwheel.core.proportions import share_columns
from matwheel.verdicts import PASS, ROUNDING_EV_PER_ATOM, UNDECIDED

_HULLS = ("e_above_hull_dft_ev_per_atom", "e_above_hull_potential_ev_per_atom")


@dataclass(frozen=True, eq=False)
class GeneFunnel:
    """The tables of one set of genes that went through the funnel.

    Attributes:
        name: e.g. 'denovo by mpvae, round1'.
        screens: the required screens up to relaxation and what is asked of relaxed crystals, without hull and
            phonons.
        genes: the drawn genes; column id, and predicted_formation_energy_ev_per_atom where a model drew them.
        relaxed_genes: from `matwheel.chapters.wycryst.relaxed_genes.relaxed_genes`.
        hull: columns id, formation_energy_ev_per_atom and the energies above both hulls.
    """

    name: str
    screens: Sequence[str]
    genes: pd.DataFrame
    verdicts: pd.DataFrame
    relaxed_genes: pd.DataFrame
    hull: pd.DataFrame

    def near_hull(self, largest_ev_per_atom: float) -> set[str]:
        """Return the ids within a limit above both hulls; a candidate without an energy is not."""
        energies = self.hull.set_index("id")[list(_HULLS)].to_numpy(dtype=np.float64)
        near = (energies <= largest_ev_per_atom + ROUNDING_EV_PER_ATOM).all(axis=1)  # NaN is not
        return set(self.hull["id"].to_numpy()[near])


def gene_yields(funnels: Sequence[GeneFunnel], largest_e_above_hull_ev_per_atom: float) -> pd.DataFrame:
    """Count what each funnel yields.

    A candidate counts as `near_hull` when it passed every required screen before and after relaxation and
    lies within the limit above both hulls, as `stable` when phonons found it dynamically stable too, and as
    `undecided` when they could not decide. Genes that the budget left out are in none of these, so the share
    of all genes is a lower bound; `of_relaxed` is the share of the relaxed ones.

    Returns:
        A row per funnel: set, genes, passed_gene_screens, built, relaxed, symmetry_kept, near_hull,
        with_phonons, stable, undecided; stable_of_relaxed with its 95 % Wilson interval, NaN where
        nothing relaxed; clock_hours: wall time of all screens by the verdicts' own clocks, without drawing,
        training, ranking and reference energies, and longer on a busy machine; stable_per_clock_hour. Times
        differ between two runs; nothing else does.
    """
    rows = []
    for funnel in funnels:
        said = funnel.verdicts.pivot(index="candidate_id", columns="screen", values="verdict")
        said = said.reindex(funnel.genes["id"])
        asked = [screen for screen in funnel.screens if screen in said]
        # A required screen that judged nobody let nobody through.
        complete = len(asked) == len(funnel.screens)
        passed = set(said.index[(said[asked] == PASS).all(axis=1)]) if complete else set()
        before = [screen for screen in asked if screen in _gene_screens(funnel.verdicts)]
        near = passed & funnel.near_hull(largest_e_above_hull_ev_per_atom)
        phonons = said["phonons"] if "phonons" in said else pd.Series(None, index=said.index, dtype=object)
        stable = {name for name in near if phonons.get(name) == PASS}
        relaxed = set(funnel.relaxed_genes["id"])
        hours = float(funnel.verdicts["seconds"].fillna(0.0).sum()) / 3600
        rows.append(
            {
                "set": funnel.name,
                "genes": len(funnel.genes),
                "passed_gene_screens": int((said[before] == PASS).all(axis=1).sum()),
                "built": int(said["build"].eq(PASS).sum()) if "build" in said else 0,
                "relaxed": len(relaxed),
                "symmetry_kept": int(funnel.relaxed_genes["kept"].isin(["same", "higher"]).sum()),
                "near_hull": len(near),
                "with_phonons": sum(isinstance(phonons.get(name), str) for name in near),
                "stable": len(stable),
                "undecided": sum(phonons.get(name) == UNDECIDED for name in near),
                **share_columns("stable_of_relaxed", len(stable), len(relaxed)),
                "clock_hours": hours,
                "stable_per_clock_hour": len(stable) / hours if hours else np.nan,
            }
        )
    return pd.DataFrame(rows)


def with_genes(candidates: pd.DataFrame, funnels: Sequence[GeneFunnel]) -> pd.DataFrame:
    """Return ranked candidates with what is known of their genes, and without those that no screen reached.

    Added: gene (asked for), relaxed_gene, kept, band_gap_ev and formation_energy_ev_per_atom (predicted for
    the relaxed gene), validated_formation_energy_ev_per_atom (the potential's). Only candidates that became a
    relaxed crystal are listed; `verdicts.parquet` has the others.
    """
    tables = []
    for funnel in funnels:
        relaxed = funnel.relaxed_genes.rename(columns={"gene": "relaxed_gene", "asked": "gene"})
        validated = funnel.hull[["id", "formation_energy_ev_per_atom"]].rename(
            columns={"formation_energy_ev_per_atom": "validated_formation_energy_ev_per_atom"}
        )
        columns = ["id", "gene", "relaxed_gene", "kept", "band_gap_ev", "formation_energy_ev_per_atom"]
        tables.append(relaxed[columns].merge(validated, on="id", how="left"))
    return candidates.merge(pd.concat(tables, ignore_index=True), on="id", how="inner").drop(
        columns=["condition", "predicted_property"]
    )


def energy_pairs(funnels: Sequence[GeneFunnel]) -> pd.DataFrame:
    """Return the formation energies that the model predicted and that validation found, eV/atom.

    Returns:
        Columns id, set, predicted, validated; candidates of the model only, by set and id.
    """
    tables = [pd.DataFrame({"id": [], "set": [], "predicted": [], "validated": []})]
    for funnel in funnels:
        name = "predicted_formation_energy_ev_per_atom"
        if name in funnel.genes:
            pairs = funnel.genes[["id", name]].merge(
                funnel.hull[["id", "formation_energy_ev_per_atom"]], on="id", how="inner"
            )
            pairs = pairs.rename(columns={name: "predicted", "formation_energy_ev_per_atom": "validated"})
            tables.append(pairs.assign(set=funnel.name))
    return pd.concat(tables, ignore_index=True)


def _gene_screens(verdicts: pd.DataFrame) -> Mapping[str, None]:
    """Return the screens before a crystal is built, in their order."""
    screens = list(dict.fromkeys(verdicts["screen"]))
    return dict.fromkeys(screens[: screens.index("build")] if "build" in screens else screens)
