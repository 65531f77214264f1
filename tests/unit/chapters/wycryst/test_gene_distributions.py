"""Generated genes beside training rows: medians, distances, shares, diversity, novelty, elements."""

from __future__ import annotations

from collections import Counter
from math import exp, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.wycryst.gene_distributions import (
    DIVERSITY_COLUMNS,
    NOVELTY_COLUMNS,
    PROPERTY_COLUMNS,
    JudgedGenes,
    KnownCrystals,
    diversity_table,
    novelty_table,
    property_distributions,
    risk_ratio,
)
from matwheel.core.errors import InputError
from matwheel.core.proportions import proportion
from matwheel.generators.null_genes import substituted_genes
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import gene_arrays, genes_of_arrays, parse_gene

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
GENES = [parse_gene(text) for text in TABLE["gene"]]
ARRAYS = gene_arrays(GENES)
ENERGY, GAP = "formation_energy_ev_per_atom", "band_gap_ev"
TARGET = Target("condition_1", {ENERGY: [None, -0.5], GAP: [0.1, 4.0]}, (100, 230))


def judged(rows):
    """Rows of the table as genes, a key per different gene."""
    texts = sorted(set(TABLE["gene"]))
    keys = np.array([texts.index(TABLE["gene"][row]) for row in rows], dtype=np.uint64)
    properties = {name: TABLE[name].to_numpy()[rows] for name in (ENERGY, GAP)}
    return JudgedGenes(ARRAYS[np.array(rows)], keys, properties)


RNG = np.random.default_rng(0)
SETS = {
    "training": judged(list(range(60))),
    "unconditional": judged(list(RNG.integers(60, size=300))),
    "conditional": judged([0, 1, 2, *RNG.choice(np.flatnonzero(TARGET.rows_inside(TABLE)), size=200)]),
}


def test_medians_distances_and_shares():
    table = property_distributions(SETS, TARGET)
    assert tuple(table.columns) == PROPERTY_COLUMNS
    assert list(table["property"]) == [ENERGY, GAP, "space_group", "all"] * 3
    for row in table.to_dict("records"):
        frame, base = SETS[row["set"]].table(), SETS["unconditional"].table()
        if row["property"] == "all":
            inside, base_inside = TARGET.rows_inside(frame), TARGET.rows_inside(base)
            assert np.isnan(row["median"]) and np.isnan(row["wasserstein"])
        else:
            own, other = frame[row["property"]], base[row["property"]]
            low, high = {ENERGY: (-np.inf, -0.5), GAP: (0.1, 4.0), "space_group": (100, 230)}[row["property"]]
            inside, base_inside = own.between(low, high), other.between(low, high)
            assert row["median"] == pytest.approx(own.median())
            assert [row["quartile_1"], row["quartile_3"]] == pytest.approx(
                own.quantile([0.25, 0.75]).tolist()
            )
            # The distance is the area between the two distribution functions.
            grid = np.sort(np.concatenate([own, other]))
            gaps = [
                abs((own <= start).mean() - (other <= start).mean()) * width
                for start, width in zip(grid, np.diff(grid), strict=False)
            ]
            assert row["wasserstein"] == pytest.approx(sum(gaps), abs=1e-12)
        wilson = proportion(int(inside.sum()), len(frame))
        assert row["genes"] == row["judged"] == len(frame)
        figures = [row["inside"], row["share"], row["share_low"], row["share_high"]]
        assert figures == pytest.approx([wilson["count"], wilson["value"], wilson["low"], wilson["high"]])
        if row["set"] == "unconditional":
            assert np.isnan(row["enrichment"])
        else:
            assert row["enrichment"] == pytest.approx(inside.mean() / base_inside.mean())
            assert row["enrichment_low"] < row["enrichment"] < row["enrichment_high"]


def test_unknown_values_are_outside_and_counted():
    energies = [-1.0, np.nan, -1.0, 0.0]
    genes = JudgedGenes(ARRAYS[:4], np.arange(4, dtype=np.uint64), {ENERGY: energies, GAP: [np.nan] * 4})
    target = Target("t", {ENERGY: [None, -0.5]}, (1, 230))
    table = property_distributions({"u": genes}, target, baseline="u", properties=[GAP]).set_index("property")
    assert table.loc[ENERGY, ["genes", "judged", "inside", "share"]].tolist() == [4, 3, 2, 0.5]
    assert table.loc["all", ["judged", "inside"]].tolist() == [3, 2]
    assert (
        table.loc[GAP, "judged"] == 0
        and np.isnan(table.loc[GAP, "median"])
        and np.isnan(table.loc[GAP, "share"])
    )


def test_the_interval_of_a_ratio_covers_it():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        one, base = generator.binomial(400, 0.3), generator.binomial(500, 0.1)
        _, low, high = risk_ratio(one, 400, base, 500)
        covered += low <= 3.0 <= high
    assert 925 <= covered <= 975
    assert all(map(np.isnan, risk_ratio(0, 10, 3, 10) + risk_ratio(3, 10, 0, 10)))
    assert risk_ratio(5, 5, 5, 5) == (1.0, 1.0, 1.0)


def test_diversity_counts_what_is_distinct():
    table = diversity_table(SETS).set_index("set")
    assert ("set", *table.columns) == DIVERSITY_COLUMNS
    for name, genes in SETS.items():
        listed = genes_of_arrays(genes.arrays)
        groups = Counter(gene.space_group for gene in listed)
        entropy = -sum(n / len(listed) * log(n / len(listed)) for n in groups.values())
        row = table.loc[name]
        assert row["genes"] == len(listed) and row["distinct_genes"] == len(set(map(str, listed)))
        assert row["distinct_formulas"] == len({gene.formula for gene in listed})
        assert row["distinct_chemical_systems"] == len({frozenset(gene.elements) for gene in listed})
        assert row["distinct_space_groups"] == len(groups)
        assert row["space_group_entropy_nats"] == pytest.approx(entropy)
        assert row["effective_space_groups"] == pytest.approx(exp(entropy))
        assert row["distinct_formulas_share"] == row["distinct_formulas"] / row["genes"]
    single = diversity_table({"one": judged([0, 0])}).iloc[0]
    assert single["effective_space_groups"] == 1 and str(single["space_group_entropy_nats"]) == "0.0"


def test_novelty_counts_distinct_genes_and_formulas():
    made = substituted_genes(ARRAYS, 100, seed=0)
    both = gene_arrays([*genes_of_arrays(made), *GENES[:20], *GENES[:20]])
    listed = genes_of_arrays(both)
    texts = sorted({str(gene) for gene in [*listed, *GENES]})
    sets = {"made": JudgedGenes(both, np.array([texts.index(str(gene)) for gene in listed], dtype=np.uint64))}
    known = KnownCrystals(ARRAYS.counts(), np.array([texts.index(str(g)) for g in GENES], dtype=np.uint64))
    table = novelty_table(sets, {"training": known, "icsd": KnownCrystals(ARRAYS.counts())})
    assert tuple(table.columns) == NOVELTY_COLUMNS
    assert list(zip(table["reference"], table["what"], strict=True)) == [
        ("training", "gene"), ("training", "formula"), ("icsd", "formula"),
    ]  # fmt: skip
    for row in table.to_dict("records"):
        name = str if row["what"] == "gene" else lambda gene: gene.formula
        distinct = {name(gene) for gene in listed}
        novel = distinct - {name(gene) for gene in GENES}
        assert (row["genes"], row["novel"]) == (len(distinct), len(novel)) and 0 < len(novel) < len(distinct)
        assert row["share_low"] < row["share"] == len(novel) / len(distinct) < row["share_high"]


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="baseline 'other'"):
        property_distributions(SETS, TARGET, baseline="other")
    with pytest.raises(InputError, match="no values of e_above"):
        property_distributions(SETS, TARGET, properties=["e_above_hull_ev_per_atom"])
    with pytest.raises(InputError, match="no genes"):
        property_distributions({**SETS, "empty": judged_nothing()}, TARGET)
    with pytest.raises(InputError, match="keys for 60 genes"):
        JudgedGenes(ARRAYS, np.zeros(3, dtype=np.uint64))
    with pytest.raises(InputError, match=GAP):
        JudgedGenes(ARRAYS, np.zeros(60, dtype=np.uint64), {GAP: [1.0]})


def judged_nothing():
    return JudgedGenes(ARRAYS[:0], np.zeros(0, dtype=np.uint64), {ENERGY: [], GAP: []})
