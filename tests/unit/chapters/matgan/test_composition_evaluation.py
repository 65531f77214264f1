"""Evaluation of compositions against brute force over formulas and sets; tables and figures of it."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.matgan.composition_figures import (
    draw_distributions,
    draw_recovery,
    draw_recovery_curve,
    draw_uniqueness,
    draw_validity,
)
from matwheel.chapters.matgan.composition_report import write_composition_report
from matwheel.chapters.matgan.composition_tables import (
    PAPER_TABLE1,
    TRAINING_ROWS,
    recovery_curve_table,
    recovery_table,
    table1,
    table2,
    uniqueness_table,
    validity_table,
)
from matwheel.chapters.matgan.compositions import (
    BALANCED,
    NEUTRAL,
    PARTS,
    CompositionEvaluation,
    evaluate_compositions,
    evaluation_table,
    uniqueness_grid,
)
from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.composition_keys import KeyIndex, reduced_keys
from matwheel.compositions.composition_samples import counts_of_parquet
from matwheel.compositions.formulas import MATGAN_ELEMENTS, reduce_counts
from matwheel.core.errors import InputError
from matwheel.core.files import write_csv
from matwheel.datasets.formula_sets import count_matrix, formula_texts
from matwheel.figures.figures import save_figure

ELEMENTS = ("Li", "Na", "O", "Cl", "Fe", "Cu")
RULES = {
    "plain": CompositionSettings("smact14", alloys_pass=False),
    "default": CompositionSettings("icsd24_consensus3"),
}


def random_counts(n, seed, *, most=3, elements=6, chance=0.45):
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, most + 1, size=(n, elements)) * (generator.random((n, elements)) < chance)
    return counts.astype(np.uint8)


def formula_set(counts, seed=0):
    counts = np.unique(reduce_counts(counts), axis=0)
    counts = counts[(counts > 0).sum(axis=1) >= 2]
    parts = np.random.default_rng(seed).choice(PARTS, size=len(counts), p=[0.7, 0.1, 0.2])
    return pd.DataFrame({"formula": formula_texts(counts, ELEMENTS), "counts": list(counts), "part": parts})


def evaluated(counts, own, others=None, step=137, name="matgan", formula_set_name="icsd"):
    pieces = (counts[start : start + step] for start in range(0, len(counts), step))
    return evaluate_compositions(
        pieces, ELEMENTS, own, others, formula_set=formula_set_name, generator=name, rules=RULES
    )


OWN = formula_set(random_counts(150, 1))
OTHERS = {"mp": formula_set(random_counts(200, 2)), "oqmd": formula_set(random_counts(300, 3), seed=1)}
SAMPLES = random_counts(1500, 4)


def test_keys_are_equal_when_reduced_compositions_are():
    counts = random_counts(4000, 0, most=8, elements=85, chance=0.03)
    keys, sizes = reduced_keys(counts, MATGAN_ELEMENTS)
    texts = formula_texts(reduce_counts(counts))
    by_text, by_key = {}, {}
    for text, key in zip(texts, map(tuple, keys.tolist()), strict=True):
        assert by_text.setdefault(text, key) == key
        assert by_key.setdefault(key, text) == text
    assert np.array_equal(sizes, (counts > 0).sum(axis=1))
    assert not keys[sizes == 0].any()
    shuffled = np.random.default_rng(0).permutation(85)
    again = reduced_keys(counts[:, shuffled].astype(np.int32), [MATGAN_ELEMENTS[i] for i in shuffled])
    assert np.array_equal(again.keys, keys)


def test_keys_have_no_common_bits_to_speak_of():
    counts = np.unique(reduce_counts(random_counts(3000, 5, most=8, chance=0.4)), axis=0)
    keys = reduced_keys(counts, ELEMENTS).keys
    for half in keys.T:
        assert len(np.unique(half)) == len(counts)
        bits = (half[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
        assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.05


def test_counts_that_cannot_be_are_refused_by_row():
    counts = np.zeros((3, 6), dtype=np.int64)
    counts[1, :2] = 256, 1
    with pytest.raises(InputError, match=r"row 2: .* above 255 when reduced"):
        reduced_keys(counts, ELEMENTS)
    counts[1, :2] = 512, 256
    assert reduced_keys(counts, ELEMENTS).n_elements[1] == 2
    counts[2, 0] = -1
    with pytest.raises(InputError, match="row 3: an amount is negative"):
        reduced_keys(counts, ELEMENTS)
    with pytest.raises(InputError, match="not whole numbers"):
        reduced_keys(counts.astype(float), ELEMENTS)


def test_the_index_is_a_dictionary_of_first_places():
    keys = np.random.default_rng(0).integers(0, 40, size=(3000, 2)).astype(np.uint64)
    index, places = KeyIndex(), {}
    for start in range(0, 3000, 171):
        piece = keys[start : start + 171]
        found, is_new = index.add(piece)
        for key, place, new in zip(map(tuple, piece.tolist()), found.tolist(), is_new.tolist(), strict=True):
            assert new == (key not in places)
            assert places.setdefault(key, len(places)) == place
    assert len(index) == len(places)
    asked = np.array([[0, 99], *list(places)[:50]], dtype=np.uint64)
    assert index.find(asked).tolist() == [-1, *range(50)]
    assert index.add(keys[:0])[0].shape == (0,)


def brute_force(counts, own, others):
    """The same figures from Python sets of formulas."""
    texts = formula_texts(reduce_counts(counts), ELEMENTS)
    sizes = (counts > 0).sum(axis=1)
    drawn = {text for text, size in zip(texts, sizes, strict=True) if size >= 2}
    known = set(own["formula"])
    by_part = {part: set(own.loc[own["part"] == part, "formula"]) for part in PARTS}
    firsts = [
        {text for text, size in zip(texts[:n], sizes, strict=False) if size >= 2}
        for n in uniqueness_grid(len(counts))
    ]
    return {
        "unique": len(drawn),
        "new": len(drawn - known),
        "recovered": {part: (len(rows & drawn), len(rows)) for part, rows in by_part.items()},
        "confirmed": {
            name: (len((drawn - known) & set(table["formula"])), len(set(table["formula"]) - known))
            for name, table in others.items()
        },
        "curve": [len(first) for first in firsts],
        "recovery_curve": [tuple(len(rows & first) for rows in by_part.values()) for first in firsts],
    }


@pytest.mark.parametrize("step", [1, 137, 5000])
def test_figures_are_those_of_brute_force_however_the_samples_are_cut(step):
    result = evaluated(SAMPLES, OWN, OTHERS, step)
    expected = brute_force(SAMPLES, OWN, OTHERS)
    assert (result.n, result.unique, result.new) == (len(SAMPLES), expected["unique"], expected["new"])
    assert {part: result.recovered(part) for part in PARTS} == expected["recovered"]
    assert {item.by: (item.confirmed, item.candidates) for item in result.confirmed} == expected["confirmed"]
    assert [unique for _, unique in result.uniqueness] == expected["curve"]
    assert list(result.recovery_curve) == expected["recovery_curve"] and sum(result.recovery_curve[-1]) > 0
    assert [n for n, _ in result.uniqueness] == uniqueness_grid(len(SAMPLES))
    assert sum(result.n_elements) == len(SAMPLES) and result.n_elements[0] > 0 and result.n_elements[1] > 0
    assert result.unique_by_elements[:2] == result.new_by_elements[:2] == (0, 0)
    assert result.element_samples == tuple((SAMPLES > 0).sum(axis=0).tolist())
    training = count_matrix(OWN, "train")
    assert result.element_training_rows == tuple((training > 0).sum(axis=0).tolist())
    for item in result.recovery:
        rows = OWN[(OWN["part"] == item.part)]
        assert item.n == sum((row > 0).sum() == item.n_elements for row in rows["counts"])
    assert result == evaluated(SAMPLES, OWN, OTHERS, 700)


def test_validity_counts_all_samples_and_no_single_elements():
    result = evaluated(SAMPLES, OWN)
    compounds = (SAMPLES > 0).sum(axis=1) >= 2
    texts = np.array(formula_texts(reduce_counts(SAMPLES), ELEMENTS))
    for item in result.validity:
        verdict = charge_balance(SAMPLES, ELEMENTS, RULES[item.rule])
        assert item.n == len(SAMPLES)
        assert item.neutral == (verdict.neutral & compounds).sum() < verdict.neutral.sum()
        assert item.balanced == (verdict.balanced & compounds).sum()
        assert item.unique_neutral == len(set(texts[verdict.neutral & compounds]))
        assert item.unique_balanced == len(set(texts[verdict.balanced & compounds]))
    assert [item.oxidation_table for item in result.validity] == ["smact14", "icsd24_consensus3"]
    training = count_matrix(OWN, "train")
    assert result.training_validity == evaluated(training, OWN).validity


def test_an_evaluation_survives_json():
    result = evaluated(SAMPLES, OWN, OTHERS)
    assert CompositionEvaluation.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_samples_from_parquet_in_pieces(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "samples.parquet"
    column = pa.FixedSizeListArray.from_arrays(pa.array(SAMPLES.ravel()), len(ELEMENTS))
    pq.write_table(pa.table({"counts": column}), path)
    pieces = list(counts_of_parquet(path, ELEMENTS, chunk_rows=400))
    assert [len(piece) for piece in pieces] == [400, 400, 400, 300]
    assert np.array_equal(np.concatenate(pieces), SAMPLES) and pieces[0].dtype == np.uint8
    with pytest.raises(InputError, match="not 2 counts in every row"):
        list(counts_of_parquet(path, ("Na", "Cl")))
    with pytest.raises(InputError, match="has no column 'amounts'"):
        list(counts_of_parquet(path, ELEMENTS, column="amounts"))
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(counts_of_parquet(tmp_path / "absent.parquet", ELEMENTS))


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(InputError, match="icsd, generator matgan: no samples"):
        evaluated(SAMPLES[:0], OWN)
    with pytest.raises(InputError, match="no training rows"):
        evaluated(SAMPLES, OWN.assign(part="held_out"))
    with pytest.raises(InputError, match="part 'test' is none of"):
        evaluated(SAMPLES, OWN.assign(part="test"))
    with pytest.raises(InputError, match="formula set mp has 85 elements and the samples 6"):
        foreign = pd.DataFrame({"counts": [np.ones(85, dtype=np.uint8)]})
        evaluated(SAMPLES, OWN, {"mp": foreign})


def test_the_grid_rises_and_holds_the_papers_numbers():
    grid = uniqueness_grid(2_000_000)
    assert grid[0] == 1 and grid[-1] == 2_000_000 and {340_000, 100_000, 1_000} <= set(grid)
    assert all(one < two for one, two in pairwise(grid))
    assert uniqueness_grid(7) == [1, 2, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def evaluations():
    null = evaluated(random_counts(900, 9, chance=0.7), OWN, OTHERS, name="uniform")
    return [evaluated(SAMPLES, OWN, OTHERS), null]


def test_tables_have_the_papers_numbers_beside_the_generators_own(evaluations):
    first = table1(evaluations)
    gan, null = first.iloc[0], first.iloc[1]
    assert gan["held_out_recovery"] == pytest.approx(np.divide(*evaluations[0].recovered("held_out")))
    assert gan["held_out_recovery_low"] < gan["held_out_recovery"] < gan["held_out_recovery_high"]
    assert gan["paper_held_out_recovery"] == PAPER_TABLE1["icsd"]["held_out"]
    assert np.isnan(null["paper_held_out_recovery"]) and np.isnan(null["paper_new_samples"])
    recovered = sum(gan[f"{part}_recovered"] for part in PARTS)
    assert gan["samples_minus_recovered"] == gan["samples"] - recovered
    assert (
        gan["unique_samples"] - gan["new_samples"] == recovered
    )  # every own composition drawn is of one part
    second = table2(evaluations)
    assert second["confirmed_by"].tolist() == ["mp", "oqmd"] * 2
    assert (
        second["paper_confirmed"].tolist()[:2] == [13_126, 2_349]
        and second["paper_confirmed"][2:].isna().all()
    )


def test_the_papers_new_samples_are_all_samples_minus_the_recovered():
    rows = {"oqmd": (251_368, 27_929), "mp": (57_530, 6_392), "icsd": (25_323, 2_813)}
    for name, (training, held_out) in rows.items():
        paper = PAPER_TABLE1[name]
        recovered = paper["train"] * training + paper["held_out"] * held_out
        assert paper["new"] == pytest.approx(2_000_000 - recovered, abs=5)


def test_validity_and_curves_as_tables(evaluations):
    validity = validity_table(evaluations)
    assert validity["source"].tolist() == [TRAINING_ROWS] * 2 + ["matgan"] * 2 + ["uniform"] * 2
    assert validity[f"paper_{NEUTRAL}"].isna().all()  # the paper's rule is not among these
    for test in (NEUTRAL, BALANCED):
        assert (validity[f"{test}_low"] <= validity[test]).all()
        assert (validity[test] <= validity[f"{test}_high"]).all()
    curve = uniqueness_table(evaluations)
    assert (curve["share"] <= 1).all() and curve["paper_share"].isna().all()
    rising = recovery_curve_table(evaluations)
    for (_, part), rows in rising[rising["generator"] == "matgan"].groupby(["formula_set", "part"]):
        assert (rows["recovered"].diff().dropna() >= 0).all() and (rows["recovery_high"] <= 1).all()
        assert tuple(rows[["recovered", "rows"]].iloc[-1]) == evaluations[0].recovered(part)
    recovery = recovery_table(evaluations)
    binary = recovery[(recovery["n_elements"] == 2) & (recovery["part"] == "held_out")].iloc[0]
    assert binary["paper_recovery"] == 0.827
    tidy = evaluation_table(evaluations[0])
    assert not tidy.duplicated(["metric", "group"]).any()
    shares = tidy[tidy["n"] > 0]
    assert ((shares["low"] <= shares["value"]) & (shares["value"] <= shares["high"])).all()
    found = tidy.set_index(["metric", "group"])["count"]
    assert found["recovery_held_out", ""] == evaluations[0].recovered("held_out")[0]
    assert found["new", ""] == evaluations[0].new


def test_figures_show_every_generator_and_are_the_same_bytes(evaluations, tmp_path):
    validity = validity_table(evaluations)
    figures = {
        "validity": lambda: draw_validity(validity, "plain"),
        "uniqueness": lambda: draw_uniqueness(uniqueness_table(evaluations)),
        "recovery": lambda: draw_recovery(recovery_table(evaluations)),
        "recovery_curve": lambda: draw_recovery_curve(recovery_curve_table(evaluations)),
        "distributions": lambda: draw_distributions(evaluations),
    }
    for name, draw in figures.items():
        for number in (1, 2):
            save_figure(draw(), tmp_path / f"{name}{number}.svg")
        assert (tmp_path / f"{name}1.svg").read_bytes() == (tmp_path / f"{name}2.svg").read_bytes()
    rising = recovery_curve_table(evaluations)
    drawn = figures["recovery_curve"]().axes[1].lines[0].get_xydata()
    expected = rising[(rising["generator"] == "matgan") & (rising["part"] == "held_out")]
    expected = expected[expected["samples"] >= 100]
    assert drawn == pytest.approx(expected[["samples", "recovery"]].to_numpy()) and len(drawn) > 3
    bars = figures["validity"]().axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == [TRAINING_ROWS, "matgan", "uniform"]
    lengths = sorted(patch.get_width() for patch in bars.patches)
    expected = validity[validity["rule"] == "plain"]
    assert lengths == pytest.approx(sorted([*expected[NEUTRAL], *expected[BALANCED]]))
    with pytest.raises(ValueError, match="empty table"):
        draw_validity(validity, "no such rule")
    with pytest.raises(ValueError, match="one formula set"):
        draw_distributions([])


def test_a_single_set_has_a_table_without_rows_that_can_be_read_and_reported(tmp_path):
    own = formula_set(random_counts(60, 4))
    table = table2([evaluated(random_counts(50, 5), own)])
    assert table.empty
    write_csv(table, tmp_path / "table2.csv")
    assert "confirmed_by" in pd.read_csv(tmp_path / "table2.csv").columns
    write_composition_report(
        tmp_path / "report", tables=[tmp_path / "table2.csv"], figures=[], cards=[], provenance=[]
    )
    assert "(no rows)" in (tmp_path / "report" / "README.md").read_text()
