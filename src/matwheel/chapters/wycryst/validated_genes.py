"""What validation found, as rows to learn from in the next round."""

from __future__ import annotations

import numpy as np
import pandas as pd

from matwheel.core.table_rows import named_rows
from matwheel.verdicts import ROUNDING_EV_PER_ATOM
from matwheel.wyckoff.gene_rows import COLUMNS, GENE_PROPERTIES, PARTS
from matwheel.wyckoff.wyckoff_genes import parse_gene


def validated_rows(
    genes: pd.DataFrame,
    hull: pd.DataFrame,
    verdicts: pd.DataFrame,
    origin: str,
    largest_e_above_hull_ev_per_atom: float,
) -> pd.DataFrame:
    """Return validated candidates as rows of a gene table, with the potential's labels.

    They are the relaxed crystals within the limit above both hulls that phonons did not find unstable, as the
    dataset's own rows are within its limit. Formation energy and energy above hull are the potential's. The
    band gap is empty: only a judge of genes has a number for it, and what draws genes must not learn its own
    judge's. `origin` marks the rows.

    Args:
        genes: from `matwheel.chapters.wycryst.relaxed_genes.relaxed_genes`.
        hull: columns id, formation_energy_ev_per_atom, e_above_hull_dft_ev_per_atom,
            e_above_hull_potential_ev_per_atom.
        origin: what the rows are marked with, e.g. 'round1'.
        largest_e_above_hull_ev_per_atom: above the DFT reference hull and the potential's own.
    """
    energies = hull.set_index("id")
    said = verdicts.pivot(index="candidate_id", columns="screen", values="verdict")
    rows = []
    for row in named_rows(genes[genes["gene"] != ""]):
        if row.id not in energies.index:
            continue
        energy = energies.loc[row.id]
        heights = [energy["e_above_hull_dft_ev_per_atom"], energy["e_above_hull_potential_ev_per_atom"]]
        # NaN is no validated energy.
        largest = largest_e_above_hull_ev_per_atom + ROUNDING_EV_PER_ATOM
        if not all(height <= largest for height in heights):
            continue
        if "phonons" in said and said["phonons"].get(row.id) == "fail":
            continue
        gene = parse_gene(row.gene)
        rows.append(
            (
                row.id, row.gene, gene.formula, gene.space_group, energy["formation_energy_ev_per_atom"],
                np.nan, heights[0], PARTS[0], origin,
            )
        )  # fmt: skip
    # Without types, the columns of no rows would turn those of the table that they are appended to.
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"space_group": np.int64, **dict.fromkeys(GENE_PROPERTIES, float)}
    )


def extended_table(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a gene table with validated rows appended to its training part.

    A row whose gene or formula is already there is left out: a formula of the validation or test part must
    not be learnt from, and a known gene has its label.
    """
    new = rows[~rows["gene"].isin(table["gene"]) & ~rows["formula"].isin(table["formula"])]
    new = new.drop_duplicates("gene").sort_values("id", kind="stable")
    return pd.concat([table, new], ignore_index=True)
