"""Tables of Wyckoff genes with properties: what the MPVAE learns from, one row per gene."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from math import nan
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field

from matwheel.core.errors import InputError
from matwheel.core.progress import Log, Progress, log_to_stderr
from matwheel.core.settings import Count, ShareBelowOne, Tolerance, WrongSetting, settings
from matwheel.crystals.table import crystals_of_table, space_group
from matwheel.wyckoff.gene_rows import COLUMNS, GENE_PROPERTIES, PARTS
from matwheel.wyckoff.wyckoff_genes import MOST_ELEMENTS, NoGene, gene_arrays, gene_of_crystal, parse_gene
from matwheel.wyckoff.wyckoff_permutations import canonical_gene, canonical_keys

DATASET = "dataset"
STRICT_SYMPREC_ANGSTROM = 0.01


def _sorted(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))


@settings
class GeneTableSettings:
    """Which crystals become rows (the filters of WyCryst) and how they are divided."""

    source_files: Annotated[str, Field(min_length=1)] = "mp20_*"
    """Pattern of the mirror's files whose crystals are taken; both properties are known in mp20_* only."""
    element_numbers: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_ELEMENTS)], ...],
        Field(min_length=1, strict=False),
        AfterValidator(_sorted),
    ] = (3,)
    """How many elements a crystal may have; 3 only in the paper."""
    largest_atoms: Count = 20
    """Atoms of its primitive cell at most."""
    largest_e_above_hull_ev_per_atom: float = 0.1
    """A crystal this far above the hull or further is left out; one whose distance is unknown is kept."""
    largest_formation_energy_ev_per_atom: float = 1.0
    """A crystal above is left out."""
    symprec_angstrom: Tolerance = 0.1
    """Tolerance of the space group."""
    validation_share: ShareBelowOne = 0.1
    """Share of the formulas that choose a state; what is left is for training."""
    test_share: ShareBelowOne = 0.1
    """Share of the formulas that are only scored."""

    def __post_init__(self) -> None:
        if self.validation_share + self.test_share >= 1:
            raise WrongSetting(
                f"give less than 1 - validation_share ({1 - self.validation_share:g})", "test_share"
            )


def known_genes(crystals: pd.DataFrame, symprec_angstrom: float, log: Log = log_to_stderr) -> pd.DataFrame:
    """Return the canonical gene of every crystal that has one (200 per second).

    Args:
        log: receives progress, and why a crystal has none.

    Returns:
        Columns id, gene (text), space_group, key (the same for all descriptions of one crystal), in row
        order.
    """
    rows = []
    progress = Progress("genes of crystals", len(crystals), log)
    for number, crystal in enumerate(crystals_of_table(crystals), start=1):
        # Crystals of more elements than a gene has are common and no fault.
        if len(set(crystal.species)) <= MOST_ELEMENTS:
            try:
                rows.append((crystal.id, canonical_gene(gene_of_crystal(crystal, symprec_angstrom))))
            except (NoGene, InputError) as fault:
                log(f"{crystal.id} has no gene: {fault}")
        progress.report(number)
    genes = [gene for _, gene in rows]
    return pd.DataFrame(
        {
            "id": [name for name, _ in rows],
            "gene": list(map(str, genes)),
            "space_group": np.array([gene.space_group for gene in genes], dtype=np.int64),
            "key": canonical_keys(gene_arrays(genes)),
        }
    )


def gene_table(
    crystals: pd.DataFrame, genes: pd.DataFrame, settings: GeneTableSettings, *, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the genes of crystals with their properties, divided by formula.

    Of crystals with one gene the lowest above the hull stands for all. No formula is in two parts.

    Args:
        crystals: crystal table with the columns `GENE_PROPERTIES`, as far as it has them.
        genes: their genes, from `known_genes`, by the column id.

    Returns:
        A table with the columns `COLUMNS`, sorted by id; and a report: what was left out and why, and how
        many space groups differ between 0.01 Å and the tolerance.

    Raises:
        InputError: no crystal is left.
    """
    frame, genes = crystals.reset_index(drop=True), genes.set_index("id")
    for name in GENE_PROPERTIES:
        if name not in frame:
            frame[name] = nan
    lost: dict[str, int] = {}

    def keep(chosen: pd.Series, reason: str) -> None:
        nonlocal frame
        lost[reason] = int((~chosen).sum())
        frame = frame[chosen.to_numpy()].reset_index(drop=True)

    if "source_file" in frame:
        keep(frame["source_file"].map(lambda name: fnmatch(name, settings.source_files)), "other file")
    keep(frame["species"].map(lambda s: len(set(s)) in settings.element_numbers), "number of elements")
    # An unknown energy rules nothing out.
    above = frame["e_above_hull_ev_per_atom"]
    keep(~(above >= settings.largest_e_above_hull_ev_per_atom), "too far above the hull")
    energy = frame["formation_energy_ev_per_atom"]
    keep(~(energy > settings.largest_formation_energy_ev_per_atom), "formation energy too high")
    found = frame["id"].map(genes["gene"].to_dict())
    keep(found.notna(), "no symmetry found")
    changed, of = _changed_space_groups(frame, genes["space_group"]), len(frame)
    known = [parse_gene(text) for text in found.dropna()]
    small = pd.Series([g.atoms_in_primitive_cell <= settings.largest_atoms for g in known], dtype=bool)
    keep(small, "too many atoms")
    known = [gene for gene, chosen in zip(known, small, strict=True) if chosen]
    if not known:
        raise InputError(f"no crystal passes the filters ({lost}); widen the settings of the gene table")
    table = pd.DataFrame(
        {
            "id": frame["id"],
            "gene": list(map(str, known)),
            "formula": [gene.formula for gene in known],
            "space_group": [gene.space_group for gene in known],
            **{name: frame[name].astype(float) for name in GENE_PROPERTIES},
            "key": canonical_keys(gene_arrays(known)),
        }
    )
    table = table.sort_values(["e_above_hull_ev_per_atom", "id"], na_position="last", kind="stable")
    lost["gene occurs again"] = int(table["key"].duplicated().sum())
    table = table.drop_duplicates("key").drop(columns="key").sort_values("id", kind="stable")
    table["part"] = parts_by_formula(table["formula"], settings, seed=seed)
    table["origin"] = DATASET
    report = {
        "rows": len(table),
        "rows_with_band_gap_above_0": int((table["band_gap_ev"] > 0).sum()),
        "space_groups": int(table["space_group"].nunique()),
        "left_out": lost,
        "space_group_changes": {
            "strict_symprec_angstrom": STRICT_SYMPREC_ANGSTROM,
            "symprec_angstrom": settings.symprec_angstrom,
            "changed": changed,
            "of": of,
        },
    }
    return table[list(COLUMNS)].reset_index(drop=True), report


def check_band_gaps(table: pd.DataFrame) -> None:
    """Check that a gene table has something to fine-tune on, before anything is trained.

    Raises:
        InputError: no row of the training part has a band gap above 0.
    """
    if not (table["part"].eq(PARTS[0]) & (table["band_gap_ev"] > 0)).any():
        raise InputError(
            f"none of the {len(table)} genes has a band gap above 0 in the training part, so nothing can be "
            "fine-tuned; give crystals with band gaps, or other filters"
        )


def _changed_space_groups(frame: pd.DataFrame, groups: pd.Series) -> int:
    """Return how many crystals have another space group at the strict tolerance than in `groups`, by id."""
    strict = [space_group(crystal, STRICT_SYMPREC_ANGSTROM) for crystal in crystals_of_table(frame)]
    return int((frame["id"].map(groups.to_dict()) != pd.Series(strict, frame.index)).sum())


def parts_by_formula(
    formulas: Sequence[str] | pd.Series, settings: GeneTableSettings, *, seed: int
) -> list[str]:
    """Return the part of each row; rows of one formula are in one part. The first formulas go to training."""
    distinct = sorted(set(formulas))
    order = np.random.default_rng(seed).permutation(len(distinct))
    test = int(settings.test_share * len(distinct))
    validation = int(settings.validation_share * len(distinct))
    part = {}
    for place, index in enumerate(order):
        name = PARTS[2] if place < test else PARTS[1] if place < test + validation else PARTS[0]
        part[distinct[index]] = name
    return [part[formula] for formula in formulas]
