"""All screens of genes at once: what is known of each gene, and every verdict on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.chapters.wycryst.gene_screens import (
    PROPERTY_WINDOW,
    charge_neutrality,
    electronegativity,
    gene_validity,
    novel_formula,
    novel_gene,
    one_anion,
    property_window,
    score_screen,
    unique_gene,
)
from matwheel.compositions.charge_balance import CompositionSettings
from matwheel.verdicts import PASS, join_verdicts
from matwheel.wyckoff.gene_targets import PropertyWindow, Target
from matwheel.wyckoff.wyckoff_genes import GeneArrays
from matwheel.wyckoff.wyckoff_permutations import canonical_keys
from matwheel.wyckoff.wyckoff_positions import pyxtal_version

if TYPE_CHECKING:
    from matwheel.chapters.wycryst.gene_boosting import GenePredictors
    from matwheel.composition_models.formula_synthesizability import FormulaScore

JUDGE = "trees on genes"


@dataclass(frozen=True, eq=False)
class GeneReferences:
    """What a new gene must not be.

    Attributes:
        keys: canonical keys of known crystals and of the training rows.
        formulas: reduced formulas of known materials and of the training rows.
    """

    keys: NDArray[np.uint64]
    formulas: Collection[str]


def judge_genes(
    ids: Sequence[str],
    arrays: GeneArrays,
    predictors: GenePredictors,
    score: FormulaScore | None,
    *,
    element_numbers: Collection[int],
    largest_atoms: int,
) -> pd.DataFrame:
    """Return what independent models say of each gene.

    Args:
        arrays: genes, impossible ones among them; those have no predictions.
        predictors: formation energy, band gap, probability of a metal.
        score: of synthesizability; None where there is no data for one.

    Returns:
        Columns id, space_group, key, possible, formation_energy_ev_per_atom, band_gap_ev, metal_probability,
        synthesizability (NaN where there is none), in the given order.
    """
    verdicts = gene_validity(ids, arrays, numbers_of_elements=element_numbers, largest_atoms=largest_atoms)
    possible = verdicts["verdict"].eq(PASS).to_numpy()
    frame = pd.DataFrame(
        {
            "id": list(ids),
            "space_group": arrays.space_group.astype(np.int64),
            "key": canonical_keys(arrays),
            "possible": possible,
        }
    )
    good = arrays[possible]
    predicted = predictors.predict(good) if len(good) else pd.DataFrame()
    for name in ("formation_energy_ev_per_atom", "band_gap_ev", "metal_probability"):
        frame[name] = np.nan
        if len(good):
            frame.loc[possible, name] = predicted[name].to_numpy()
    frame["synthesizability"] = np.nan
    if score is not None and len(good):
        frame.loc[possible, "synthesizability"] = score.score_counts(good.counts())
    return frame


def screen_genes(
    judged: pd.DataFrame,
    arrays: GeneArrays,
    target: Target,
    references: GeneReferences,
    *,
    element_numbers: Collection[int],
    largest_atoms: int,
    composition: CompositionSettings,
    thresholds: Mapping[str, float],
    anions: Mapping[str, Any],
    score: FormulaScore | None,
) -> pd.DataFrame:
    """Return the verdicts of all screens of genes; each gene gets every one.

    Args:
        judged: from `judge_genes`.
        target: windows of the properties; its space groups are judged with them.
        element_numbers, largest_atoms: of `gene_validity`.
        thresholds: 'synthesizability' (from above) and 'metal' (from below; without it that screen is left
            out).
        anions: keywords of `one_anion`.
        score: None leaves the screen of synthesizability out.

    Returns:
        A verdict table by candidate, screens in the order of the funnel.
    """
    ids = list(judged["id"])
    keys = judged["key"].to_numpy()
    values = {name: judged[name].to_numpy() for name in (*target.windows, "space_group")}
    windows: dict[str, PropertyWindow | Sequence[float | None]]
    windows = {**target.windows, "space_group": target.space_groups}
    version = f"pyxtal {pyxtal_version()}"
    tables = [
        gene_validity(ids, arrays, numbers_of_elements=element_numbers, largest_atoms=largest_atoms),
        unique_gene(ids, keys, tool_version=version),
        charge_neutrality(ids, arrays, composition),
        electronegativity(ids, arrays, composition),
        property_window(ids, values, windows, screen=PROPERTY_WINDOW, tool=JUDGE),
    ]
    if score is not None:
        tables.append(
            score_screen(
                ids, "synthesizability", judged["synthesizability"], thresholds["synthesizability"],
                passes_above=True, tool=score.name, tool_version=score.version,
            )
        )  # fmt: skip
    if "metal" in thresholds:
        tables.append(
            score_screen(
                ids, "metal", judged["metal_probability"], thresholds["metal"], passes_above=False, tool=JUDGE
            )
        )
    tables += [
        one_anion(ids, arrays, **anions),
        novel_gene(ids, keys, references.keys),
        novel_formula(ids, arrays, references.formulas),
    ]
    return join_verdicts(tables, ids)
