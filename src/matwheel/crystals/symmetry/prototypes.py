"""Structural prototypes: crystals that differ only in their elements share a label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pandas as pd

from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import crystals_of_table, space_group

SYMPREC_ANGSTROM = 0.1


def prototype_label(crystal: Crystal, symprec_angstrom: float = SYMPREC_ANGSTROM) -> tuple[str, bool]:
    """Return a crystal's prototype label, and whether it is only the fallback.

    The label is pymatgen's protostructure by spglib (AFLOW style: anonymous formula, Pearson symbol,
    space group, Wyckoff letters) without its elements and in the one order of letters that does not
    depend on their names, e.g. 'AB2_hP3_164_a_d'. Where symmetry detection fails, the fallback is space
    group and anonymous formula.
    """
    from pymatgen.analysis.prototypes import (
        get_protostructure_label_from_spglib,
        get_prototype_from_protostructure,
    )
    from pymatgen.core import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            protostructure = get_protostructure_label_from_spglib(
                to_structure(crystal), raise_errors=True, init_symprec=symprec_angstrom
            )
            return str(get_prototype_from_protostructure(protostructure)), False
        except Exception:
            # spglib and the label's bookkeeping fail in many ways on odd cells; one never stops a split.
            anonymous = Composition(crystal.element_counts).anonymized_formula
            return f"{anonymous}_spacegroup{space_group(crystal, symprec_angstrom)}", True


def prototype_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return columns id, prototype, fallback of a crystal table, in row order (8 ms per crystal)."""
    crystals: Sequence[Crystal] = crystals_of_table(table)
    labels = [prototype_label(crystal, SYMPREC_ANGSTROM) for crystal in crystals]
    return pd.DataFrame(
        {
            "id": list(table["id"]),
            "prototype": [label for label, _ in labels],
            "fallback": [fallback for _, fallback in labels],
        }
    )
