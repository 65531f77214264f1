"""What became of a gene when its crystal relaxed, and the band gap that is predicted for what it became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matwheel.chapters.wycryst.gene_funnel import JUDGE
from matwheel.chapters.wycryst.gene_screens import property_window
from matwheel.core.errors import InputError
from matwheel.core.table_rows import named_rows
from matwheel.crystals.crystal import Crystal
from matwheel.verdicts import ERROR, FAIL, PASS, Verdict, join_verdicts, verdict_table
from matwheel.wyckoff.gene_targets import PropertyWindow, Target
from matwheel.wyckoff.wyckoff_genes import NoGene, gene_arrays, gene_of_crystal, parse_gene
from matwheel.wyckoff.wyckoff_permutations import canonical_gene
from matwheel.wyckoff.wyckoff_positions import wyckoff_positions

if TYPE_CHECKING:
    from matwheel.chapters.wycryst.gene_boosting import GenePredictors

SYMMETRY_KEPT, BAND_GAP = "symmetry_kept", "band_gap"
SAME, HIGHER, OTHER, LOST = "same", "higher", "other", "lost"
"""The relaxed crystal has the gene it was built from; a space group of more operations; another gene or a
group of as many or fewer operations; no gene at all."""


def relaxed_genes(
    crystals: Sequence[Crystal], asked: Mapping[str, str], predictors: GenePredictors, symprec_angstrom: float
) -> pd.DataFrame:
    """Return the gene of each relaxed crystal, what became of the one asked for, and predicted properties.

    Args:
        crystals: relaxed crystals, by the id of their candidate.
        asked: id → text of the gene that the crystal was built from.
        predictors: judge of the band gap and formation energy of the relaxed gene.

    Returns:
        Columns id, gene (of the relaxed crystal; empty where there is none), asked, kept (one of `SAME`,
        `HIGHER`, `OTHER`, `LOST`), space_group, space_group_asked, formation_energy_ev_per_atom,
        band_gap_ev (predicted; NaN where there is no gene), in the given order.
    """
    rows, found = [], []
    for crystal in crystals:
        wanted = canonical_gene(parse_gene(asked[crystal.id]))
        try:
            gene = canonical_gene(gene_of_crystal(crystal, symprec_angstrom))
        except (NoGene, InputError):
            gene = None
        if gene is None:
            kept = LOST
        elif gene == wanted:
            kept = SAME
        else:
            more = _point_operations(gene.space_group) > _point_operations(wanted.space_group)
            kept = HIGHER if more else OTHER
        found.append(gene)
        group = gene.space_group if gene else 0
        rows.append((crystal.id, str(gene or ""), str(wanted), kept, group, wanted.space_group))
    columns = ["id", "gene", "asked", "kept", "space_group", "space_group_asked"]
    frame = pd.DataFrame(rows, columns=columns)
    known = {place: gene for place, gene in enumerate(found) if gene is not None}
    for name in ("formation_energy_ev_per_atom", "band_gap_ev"):
        frame[name] = np.nan
    if known:
        predicted = predictors.predict(gene_arrays(list(known.values())))
        for name in ("formation_energy_ev_per_atom", "band_gap_ev"):
            frame.loc[list(known), name] = predicted[name].to_numpy()
    return frame


def relaxed_gene_verdicts(genes: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Return verdicts of `SYMMETRY_KEPT` (the same gene, or more symmetry) and `BAND_GAP` (in the window).

    Args:
        genes: from `relaxed_genes`.
        target: its window of the band gap; without one every predicted gap passes.
    """
    words = {
        SAME: "",
        HIGHER: "relaxed to higher symmetry",
        OTHER: "relaxed to another gene",
        LOST: "no space group is found after relaxation",
    }
    kept = verdict_table(
        Verdict(
            row.id,
            SYMMETRY_KEPT,
            {SAME: PASS, HIGHER: PASS, OTHER: FAIL, LOST: ERROR}[row.kept],
            row.space_group,
            row.space_group_asked,
            words[row.kept] + (f": {row.gene}, asked {row.asked}" if row.kept in (HIGHER, OTHER) else ""),
            "spglib",
            version("spglib"),
        )
        for row in named_rows(genes)
    )
    window = target.windows.get("band_gap_ev", PropertyWindow(None, None))
    gaps = property_window(
        list(genes["id"]), {"band_gap_ev": genes["band_gap_ev"]}, {"band_gap_ev": window},
        screen=BAND_GAP, tool=JUDGE,
    )  # fmt: skip
    return join_verdicts([kept, gaps], list(genes["id"]))


def _point_operations(space_group: int) -> int:
    """Return the order of the point group: atoms of the general position in the primitive cell."""
    positions = wyckoff_positions()
    return int(positions.multiplicity[space_group].max() // positions.centring[space_group])
