"""The synthesizability of formulas, learnt from which have been reported."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from matwheel.composition_models.formula_synthesizability import (
    FormulaScore,
    FormulaScoreSettings,
    read_synthesizability_labels,
)
from matwheel.compositions.composition_features import magpie_features_of_counts
from matwheel.compositions.formulas import ELEMENTS, formula_counts, reduce_counts
from matwheel.compositions.magpie import FEATURE_NAMES
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.datasets.formula_sets import formula_texts
from matwheel.screening.synthesizability import SynthesizabilityScore, synthesizability_verdicts

SETTINGS = FormulaScoreSettings(trees=30, largest_leaves=15)
LISTED_SHARE = 0.6
USED = [symbol for symbol in ELEMENTS[:60] if symbol not in ("He", "Ne", "Ar", "Kr", "Xe")]


def silent(message: str) -> None:
    pass


def makeable(counts: np.ndarray) -> np.ndarray:
    """The planted rule: formulas of a large enough difference in electronegativity can be made."""
    ionic = magpie_features_of_counts(counts, ELEMENTS)[:, FEATURE_NAMES.index("Electronegativity range")]
    return ionic > 1.4


def drawn_counts(rows: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    counts = np.zeros((rows, len(ELEMENTS)), dtype=np.int32)
    for row in counts:
        size = generator.integers(2, 4)
        chosen = generator.choice(len(USED), size=size, replace=False)
        row[[ELEMENTS.index(USED[place]) for place in chosen]] = generator.integers(1, 5, size=size)
    return np.unique(reduce_counts(counts), axis=0)


def planted(rows: int = 2500, seed: int = 0) -> pd.DataFrame:
    """Formulas of which a random share of the makeable ones is listed, and longer ones that all are."""
    counts = drawn_counts(rows, seed)
    possible = makeable(counts)
    listed = possible & (np.random.default_rng(seed + 1).random(len(counts)) < LISTED_SHARE)
    table = pd.DataFrame(
        {
            "formula": formula_texts(counts, ELEMENTS),
            "listed": listed,
            "e_above_hull_ev_per_atom": np.where(possible, 0.0, 0.2),
        }
    )
    longer = pd.DataFrame({"formula": ["LiNaKRbO2", "LiNaKRbS2"], "listed": [True, True]})
    return pd.concat([table, longer], ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> tuple[FormulaScore, dict]:
    return FormulaScore.fit(planted(), SETTINGS, seed=1, log=silent)


def crystal(name: str, *species: str) -> Crystal:
    return Crystal(name, species, 4 * np.eye(3), np.zeros((len(species), 3)))


def test_label_frequency_and_makeable_formulas_are_recovered(fitted):
    score, report = fitted
    assert report["label_frequency"] == score.label_frequency == pytest.approx(LISTED_SHARE, abs=0.06)
    new = drawn_counts(800, 99)
    values, possible = score.score_counts(new), makeable(new)
    assert (values[possible] >= 0.4).mean() > 0.9 and (values[~possible] >= 0.4).mean() < 0.1
    assert np.abs(score.probability(new)[possible].mean() - LISTED_SHARE) < 0.08


def test_report(fitted):
    score, report = fitted
    json.dumps(report, allow_nan=False)
    assert report["numbers_of_elements"] == [2, 3] and report["version"] == score.version
    assert report["formulas"] == len(planted()) - 2  # four elements: all listed, so nothing to learn
    across, within = report["by_chemical_system"], report["by_formula"]
    assert across["rows"] == report["formulas"] and within["rows"] < 0.4 * across["rows"]
    # A perfect judge of what is makeable cannot tell which makeable formulas are listed: a tie with those.
    table = planted()[: report["formulas"]]
    ceiling = 1 - 0.5 * makeable(formula_counts(table["formula"].tolist()))[~table["listed"]].mean()
    for part in (across, within):
        assert ceiling - 0.1 < part["auc"] < ceiling + 0.03
        assert part["brier"] < 0.75 * part["brier_of_constant"]
    recalls = [row["recall_of_positives"] for row in report["thresholds"]]
    assert recalls == sorted(recalls, reverse=True) and recalls[3] > 0.9
    assert all(
        row["share_of_others"] >= row["share_of_others_by_probability"] for row in report["thresholds"]
    )


def test_same_seed_same_score_and_saved_the_same(fitted, tmp_path):
    score, report = fitted
    new = drawn_counts(200, 5)
    again, same = FormulaScore.fit(planted().sample(frac=1, random_state=3), SETTINGS, seed=1, log=silent)
    assert same == report and np.array_equal(again.score_counts(new), score.score_counts(new))
    score.save(tmp_path / "score.npz")
    loaded = FormulaScore.from_settings({"path": tmp_path / "score.npz"})
    assert np.array_equal(loaded.score_counts(new), score.score_counts(new))
    assert (loaded.name, loaded.version) == (score.name, score.version)
    other, _ = FormulaScore.fit(planted(), SETTINGS, seed=2, log=silent)
    assert other.version != score.version
    with pytest.raises(InputError, match=r"none\.npz is missing"):
        FormulaScore.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match="holds no formula score"):
        FormulaScore.load(tmp_path / "text.npz")
    for wrong in ({}, {"path": "a", "threshold": 1}):
        with pytest.raises(InputError, match="the one setting is path"):
            FormulaScore.from_settings(wrong)


def test_where_it_has_no_score(fitted):
    score, _ = fitted
    formulas = ["NaCl", "XeF2", "LiNaKRbO2", "Na", "Na2Cl2"]
    counts = np.vstack([formula_counts(formulas), np.zeros((1, len(ELEMENTS)), dtype=int)])
    values = score.score_counts(counts)
    assert np.isnan(values).tolist() == [False, True, True, True, False, True]
    assert values[0] == values[4]  # not reduced, but the same formula
    assert np.array_equal(score.score_counts(counts[:1]), values[:1])
    assert score.score_counts(counts[:0]).shape == (0,)
    with pytest.raises(InputError, match="give whole numbers of shape"):
        score.score_counts(counts[:, :85])
    with pytest.raises(RuntimeError):
        FormulaScore().score_counts(counts)


def test_scores_of_crystals(fitted):
    score, _ = fitted
    assert isinstance(score, SynthesizabilityScore)
    crystals = [crystal("salt", "Na", "Cl"), crystal("gas", "Xe", "F", "F"), crystal("heavy", "Ts", "O")]
    values = score.score(crystals)
    assert np.isnan(values).tolist() == [False, True, True] and score.score([]).shape == (0,)
    assert values[0] == score.score_counts(formula_counts(["NaCl"]))[0]
    verdicts = synthesizability_verdicts(crystals, score, 0.4)
    assert [verdict.verdict for verdict in verdicts] == ["pass", "error", "error"]
    assert verdicts[0].tool == "formula_reported" and verdicts[0].tool_version == score.version


def test_stability_is_learnt_without_correction():
    settings = FormulaScoreSettings(kind="stability", trees=30, largest_leaves=15)
    score, report = FormulaScore.fit(planted(), settings, seed=1, log=silent)
    new = drawn_counts(400, 7)
    assert score.label_frequency == 1 and score.name == "formula_stability"
    assert np.array_equal(score.score_counts(new), score.probability(new))
    assert ((score.score_counts(new) > 0.5) == makeable(new)).mean() > 0.95
    assert report["by_chemical_system"]["auc"] > 0.97


def test_training_set_is_cut_at_random():
    settings = FormulaScoreSettings(trees=5, largest_training_set=600)
    _, report = FormulaScore.fit(planted(), settings, seed=1, log=silent)
    assert report["formulas"] == 600


def test_wrong_labels_and_settings():
    table = planted(400)
    with pytest.raises(InputError, match="0 positive formulas, at least 10"):
        FormulaScore.fit(table.assign(listed=False), SETTINGS, seed=1, log=silent)
    twice = pd.concat([table, table.iloc[:1]])
    with pytest.raises(InputError, match="occurs twice"):
        FormulaScore.fit(twice, SETTINGS, seed=1, log=silent)
    for wrong in ({"kind": "icsd"}, {"folds": 1}, {"trees": 0}, {"features_per_split": 2.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            FormulaScoreSettings.from_mapping(wrong)
    with pytest.raises(InputError, match="depth is 3; there is no such setting"):
        FormulaScoreSettings.from_mapping({"depth": 3})


HEADER = "material_id,composition,ehull_pred_n0,ehull_target\n"
ENTRIES = (
    HEADER + "mp-1,NaCl,0,0.02\nmp-2,Cl2Na2,0,0.01\nmp-3,NaN,0,0.3\nmp-4,Al4O6,0,0\nmp-5,H2(SO4)1,0,0.1\n"
)
LISTED = "mp-2 NaCl\nmp-9 Al2O3\nmp-10 KBr\n"


def files(folder, listed: str = LISTED, entries: str = ENTRIES):
    listed_path, entries_path = folder / "listed.txt.gz", folder / "entries.csv"
    listed_path.write_bytes(gzip.compress(listed.encode()))
    entries_path.write_text(entries)
    return listed_path, entries_path


def test_labels_of_reduced_formulas(tmp_path):
    table = read_synthesizability_labels(*files(tmp_path))
    rows = {
        tuple(formula_counts([row.formula])[0].nonzero()[0]): (row.listed, row.e_above_hull_ev_per_atom)
        for row in table.itertuples()
    }
    place = {symbol: column for column, symbol in enumerate(ELEMENTS)}

    def row(*symbols: str) -> tuple[bool, float]:
        return rows[tuple(sorted(place[symbol] for symbol in symbols))]

    assert len(table) == 5 and table["formula"].is_monotonic_increasing
    assert row("Na", "Cl") == (True, 0.01)
    assert row("Na", "N") == (False, 0.3)  # sodium nitride, no missing value
    assert row("Al", "O") == (True, 0.0) and row("H", "S", "O") == (False, 0.1)
    assert row("K", "Br")[0] and np.isnan(row("K", "Br")[1])


@pytest.mark.parametrize(
    ("listed", "entries", "message"),
    [
        ("mp-2 NaCl\nmp-9\n", ENTRIES, r"listed\.txt\.gz, row 2: 1 values"),
        ("mp-2 NaCl\nmp-2 KBr\n", ENTRIES, r"listed\.txt\.gz, row 2: 'mp-2' stands in row 1 already"),
        ("mp-2 NaCl\nmp-9 Qq2\n", ENTRIES, r"listed\.txt\.gz, row 2: .*'Qq'"),
        ("", ENTRIES, r"listed\.txt\.gz has no entries"),
        (LISTED, HEADER + "mp-1,NaCl,0,0\nmp-2,,0,0\n", r"entries\.csv, row 3: .*empty formula"),
        (LISTED, HEADER + "mp-1,NaCl,0,low\n", r"entries\.csv, row 2: ehull_target 'low' is no energy"),
        (LISTED, "material_id,formula\n", "no column 'composition'"),
        (LISTED, "", r"entries\.csv is no table"),
    ],
)
def test_wrong_files_are_named_with_their_row(tmp_path, listed, entries, message):
    with pytest.raises(InputError, match=message):
        read_synthesizability_labels(*files(tmp_path, listed, entries))


def test_missing_and_broken_files(tmp_path):
    listed, entries = files(tmp_path)
    with pytest.raises(InputError, match=r"nothing\.csv is missing; put the file there, or leave"):
        read_synthesizability_labels(listed, tmp_path / "nothing.csv")
    listed.write_bytes(listed.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"listed\.txt\.gz cannot be read"):
        read_synthesizability_labels(listed, entries)
