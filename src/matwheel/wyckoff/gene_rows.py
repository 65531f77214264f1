"""Rows of gene tables: genes with their properties, and drawn genes; what models read and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.wyckoff.wyckoff_genes import (
    GeneArrays,
    WyckoffGene,
    gene_arrays,
    genes_of_arrays,
    parse_gene,
    read_gene,
)

PARTS = ("train", "validation", "test")
GENE_PROPERTIES = ("formation_energy_ev_per_atom", "band_gap_ev", "e_above_hull_ev_per_atom")
COLUMNS = ("id", "gene", "formula", "space_group", *GENE_PROPERTIES, "part", "origin")


def labels_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return formation energy (eV/atom) and band gap (eV) of a gene table, (n, 2), NaN where unknown."""
    return table[list(GENE_PROPERTIES[:2])].to_numpy(dtype=np.float64)


def genes_of_table(table: pd.DataFrame) -> list[WyckoffGene]:
    """Return the genes of a gene table, in row order.

    Raises:
        InputError: a row holds no gene, by its id.
    """
    genes = []
    for name, text in zip(table["id"], table["gene"], strict=True):
        try:
            genes.append(parse_gene(text))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    return genes


def part_of_table(table: pd.DataFrame, part: str) -> tuple[list[WyckoffGene], NDArray[np.float64]]:
    """Return the genes and labels of one part of a gene table."""
    rows = table[table["part"] == part]
    return genes_of_table(rows), labels_of(rows)


def drawn_table(
    arrays: GeneArrays, prefix: str, columns: Mapping[str, Sequence[Any] | NDArray[Any]] | None = None
) -> pd.DataFrame:
    """Return drawn genes as a table: id, gene, space_group and further columns; some may be impossible."""
    return pd.DataFrame(
        {
            "id": [f"{prefix}-{number:06d}" for number in range(len(arrays))],
            "gene": list(map(str, genes_of_arrays(arrays))),
            "space_group": arrays.space_group.astype(np.int64),
            **(columns or {}),
        }
    )


def arrays_of_drawn(table: pd.DataFrame) -> GeneArrays:
    """Return the genes of a table, possible or not, as arrays, in row order."""
    return gene_arrays([read_gene(text) for text in table["gene"]])
