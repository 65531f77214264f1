"""Generated genes beside training rows and one another: properties, diversity, novelty, elements.

Conditional generation is worth what it changes: how much more often its genes are inside the target than
unconditional ones, and what that costs in diversity. Properties are predictions that the caller gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from matwheel.chapters.wycryst.gene_screens import reduced_formula_keys
from matwheel.core.errors import InputError
from matwheel.core.proportions import share_columns
from matwheel.wyckoff.gene_rows import arrays_of_drawn
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import GeneArrays
from matwheel.wyckoff.wyckoff_permutations import canonical_keys
from matwheel.wyckoff.wyckoff_positions import SPACE_GROUPS

SPACE_GROUP = "space_group"
ALL_WINDOWS = "all"
_Z_95 = 1.959963984540054

PROPERTY_COLUMNS = (
    "target", "set", "property", "window", "genes", "judged", "median", "quartile_1", "quartile_3",
    "wasserstein", "inside", "share", "share_low", "share_high", "enrichment", "enrichment_low",
    "enrichment_high",
)  # fmt: skip
DIVERSITY_COLUMNS = (
    "set", "genes", "distinct_genes", "distinct_genes_share", "distinct_formulas",
    "distinct_formulas_share", "distinct_chemical_systems", "distinct_chemical_systems_share",
    "distinct_space_groups", "space_group_entropy_nats", "effective_space_groups",
)  # fmt: skip
NOVELTY_COLUMNS = ("set", "reference", "what", "genes", "novel", "share", "share_low", "share_high")


@dataclass(frozen=True, eq=False)
class JudgedGenes:
    """Genes of one origin with what is known of them.

    Attributes:
        arrays: the genes; invalid ones may be among them, but have to hold an atom.
        keys: the same number for all descriptions of one crystal, uint64, shape (n,).
        properties: property → predicted values, shape (n,), in the unit of its name; NaN where unknown.
    """

    arrays: GeneArrays
    keys: NDArray[np.uint64]
    properties: Mapping[str, ArrayLike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.arrays)
        if np.shape(self.keys) != (n,):
            raise InputError(f"{np.shape(self.keys)} keys for {n} genes; give one per gene")
        properties = {name: np.asarray(own, dtype=np.float64) for name, own in self.properties.items()}
        for name, own in properties.items():
            if own.shape != (n,):
                raise InputError(f"{name}: values of shape {own.shape} for {n} genes; give one per gene")
        object.__setattr__(self, "properties", properties)

    def table(self) -> pd.DataFrame:
        """Return the properties and the space group as columns, a row per gene."""
        return pd.DataFrame({**self.properties, SPACE_GROUP: self.arrays.space_group.astype(np.int64)})


def judged_genes(table: pd.DataFrame, properties: Sequence[str]) -> JudgedGenes:
    """Return the genes of a table with the columns gene, `properties` and perhaps key.

    Genes without atoms are left out; where there is no key, the canonical one is computed.
    """
    arrays = arrays_of_drawn(table)
    filled = np.any(arrays.counts(), axis=1)
    keys = table["key"].to_numpy(dtype=np.uint64) if "key" in table else canonical_keys(arrays)
    values = {name: table[name].to_numpy(dtype=np.float64)[filled] for name in properties}
    return JudgedGenes(arrays[filled], keys[filled], values)


def property_distributions(
    sets: Mapping[str, JudgedGenes],
    target: Target,
    *,
    baseline: str = "unconditional",
    properties: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compare the properties of several sets of genes with one target.

    Args:
        sets: name → genes, e.g. of 'training', 'unconditional' and 'conditional'.
        target: what the conditional ones should be.
        baseline: the set that the others are compared with.
        properties: those described; the ones of the target's windows where not given. The space group and a
            row 'all' (inside every window and the space groups) always follow.

    Returns:
        Columns `PROPERTY_COLUMNS`, a row per set and property. `judged` genes have a known value, of which
        median, quartiles and `wasserstein` (first Wasserstein distance to the baseline, in the unit of the
        property) are made. `share` = inside / genes, so an unknown value counts as outside; 95 % Wilson
        interval. `enrichment` is the share divided by that of the baseline, with the 95 % interval of the
        logarithm of a ratio (Katz et al., Biometrics 34, 469, 1978); NaN where a count is zero.

    Raises:
        InputError: no such baseline, an empty set, or a set without a property that is needed.
    """
    from scipy.stats import wasserstein_distance

    if baseline not in sets:
        raise InputError(f"baseline {baseline!r} is none of the sets {', '.join(sets)}; name one of them")
    names = list(dict.fromkeys([*(target.windows if properties is None else properties), *target.windows]))
    tables = {name: _complete_table(name, genes, names) for name, genes in sets.items()}
    rows = []
    for name, table in tables.items():
        for which in [*names, SPACE_GROUP, ALL_WINDOWS]:
            inside, window = _inside(table, target, which)
            described: dict[str, object] = {"judged": int(_known(table, target, which).sum())}
            if which != ALL_WINDOWS:
                values = table[which].dropna().to_numpy(dtype=np.float64)
                reference = tables[baseline][which].dropna().to_numpy(dtype=np.float64)
                if len(values):
                    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
                    described |= {"median": middle, "quartile_1": low, "quartile_3": high}
                if len(values) and len(reference):
                    described["wasserstein"] = wasserstein_distance(values, reference)
            row = {"target": target.name, "set": name, "property": which, "window": window} | described
            row |= {"genes": len(table)}
            if window:
                row |= {"inside": int(inside.sum())}
                row |= share_columns("share", int(inside.sum()), len(table))
                base = _inside(tables[baseline], target, which)[0]
                ratio = risk_ratio(int(inside.sum()), len(table), int(base.sum()), len(base))
                row |= dict(zip(PROPERTY_COLUMNS[-3:], ratio, strict=True)) if name != baseline else {}
            rows.append(row)
    frame = pd.DataFrame(rows, columns=list(PROPERTY_COLUMNS))
    return frame.astype({name: float for name in PROPERTY_COLUMNS[6:]})


def risk_ratio(count: int, n: int, base_count: int, base_n: int) -> tuple[float, float, float]:
    """Return (count / n) / (base_count / base_n) with its 95 % interval by Katz's logarithm.

    All NaN when a count is zero.
    """
    if not (count and base_count):
        return (np.nan, np.nan, np.nan)
    ratio = (count / n) / (base_count / base_n)
    error = np.sqrt(max(0.0, 1 / count - 1 / n + 1 / base_count - 1 / base_n))
    return ratio, float(ratio * np.exp(-_Z_95 * error)), float(ratio * np.exp(_Z_95 * error))


def diversity_table(sets: Mapping[str, JudgedGenes]) -> pd.DataFrame:
    """Count distinct genes, reduced formulas, chemical systems and space groups of each set.

    Shares are of all genes of a set; they fall with its size, so compare sets of one size.
    `space_group_entropy_nats` is Shannon's entropy −Σ p ln p of the space groups, and
    `effective_space_groups` its exponential: so many equally frequent groups have that entropy.

    Returns:
        Columns `DIVERSITY_COLUMNS`, a row per set.
    """
    rows = []
    for name, genes in sets.items():
        n = len(genes.arrays)
        counts = genes.arrays.counts()
        distinct = [
            len(np.unique(genes.keys)),
            len(np.unique(reduced_formula_keys(counts))),
            len(np.unique(reduced_formula_keys(counts > 0))),
        ]
        frequency = np.bincount(genes.arrays.space_group, minlength=SPACE_GROUPS + 1)
        shares = frequency[frequency > 0] / max(n, 1)
        entropy = float(-(shares * np.log(shares)).sum()) if n else np.nan
        # −0.0 of a single group is written as 0.
        entropy = abs(entropy)
        figures = [figure for number in distinct for figure in (number, number / n if n else np.nan)]
        rows.append((name, n, *figures, int((frequency > 0).sum()), entropy, float(np.exp(entropy))))
    return pd.DataFrame(rows, columns=list(DIVERSITY_COLUMNS))


@dataclass(frozen=True, eq=False)
class KnownCrystals:
    """What is known, to be new against.

    Attributes:
        counts: reduced compositions, shape (m, 103), columns by atomic number.
        keys: keys of the known genes, uint64, made as those of the generated ones; None for a reference of
            formulas only.
    """

    counts: NDArray[np.integer]
    keys: NDArray[np.uint64] | None = None


def novelty_table(sets: Mapping[str, JudgedGenes], references: Mapping[str, KnownCrystals]) -> pd.DataFrame:
    """Count the distinct genes and formulas of each set that a reference does not hold.

    Copies within a set count once, so a generator gains nothing from repeating a new gene.

    Args:
        sets: name → genes.
        references: name → known crystals, e.g. 'training' and 'all'.

    Returns:
        Columns `NOVELTY_COLUMNS`, with `what` 'gene' or 'formula': `genes` are the distinct ones, `share` =
        novel / genes with its 95 % Wilson interval; NaN in an empty set.
    """
    rows = []
    for name, genes in sets.items():
        formulas = np.unique(reduced_formula_keys(genes.arrays.counts()))
        for reference, known in references.items():
            kinds: list[tuple[str, NDArray[Any], NDArray[Any]]]
            kinds = [("formula", formulas, reduced_formula_keys(known.counts))]
            if known.keys is not None:
                kinds.insert(0, ("gene", np.unique(genes.keys), known.keys))
            for what, own, others in kinds:
                novel = int((~np.isin(own, np.unique(others))).sum())
                share = share_columns("share", novel, len(own)).values()
                rows.append((name, reference, what, len(own), novel, *share))
    return pd.DataFrame(rows, columns=list(NOVELTY_COLUMNS))


def _complete_table(name: str, genes: JudgedGenes, properties: Sequence[str]) -> pd.DataFrame:
    table = genes.table()
    missing = [which for which in properties if which not in table.columns]
    if missing:
        raise InputError(f"set {name} has no values of {', '.join(missing)}; predict them first")
    if not len(table):
        raise InputError(f"set {name} has no genes; leave it out")
    return table


def _inside(table: pd.DataFrame, target: Target, which: str) -> tuple[NDArray[np.bool_], str]:
    """Return which rows are inside one window or all, and the window in words; '' where there is none."""
    first, last = target.space_groups
    if which == ALL_WINDOWS:
        return target.rows_inside(table), "all windows"
    if which == SPACE_GROUP:
        return table[SPACE_GROUP].between(first, last).to_numpy(), f"{first} to {last}"
    if which not in target.windows:
        return np.zeros(len(table), dtype=bool), ""
    return target.windows[which].contains(table[which]), str(target.windows[which])


def _known(table: pd.DataFrame, target: Target, which: str) -> NDArray[np.bool_]:
    columns = [*target.windows, SPACE_GROUP] if which == ALL_WINDOWS else [which]
    return table[columns].notna().all(axis=1).to_numpy()
