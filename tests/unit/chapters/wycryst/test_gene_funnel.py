"""All screens of genes at once: every gene gets every verdict, impossible ones among them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from matwheel.chapters.wycryst.gene_boosting import GeneBoostingSettings, GenePredictors
from matwheel.chapters.wycryst.gene_funnel import JUDGE, GeneReferences, judge_genes, screen_genes
from matwheel.chapters.wycryst.gene_screens import (
    GENE_VALIDITY,
    NOVEL_FORMULA,
    NOVEL_GENE,
    ONE_ANION,
    PROPERTY_WINDOW,
    UNIQUE_GENE,
)
from matwheel.compositions.charge_balance import CompositionSettings
from matwheel.compositions.formulas import ELEMENTS
from matwheel.screening.composition_validity import CHARGE_NEUTRALITY, ELECTRONEGATIVITY
from matwheel.verdicts import COLUMNS
from matwheel.wyckoff.gene_targets import Target
from matwheel.wyckoff.wyckoff_genes import gene_arrays, parse_gene, read_gene
from matwheel.wyckoff.wyckoff_permutations import canonical_keys

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
PREDICTIONS = ("formation_energy_ev_per_atom", "band_gap_ev", "metal_probability")
SCREENS = [
    GENE_VALIDITY,
    UNIQUE_GENE,
    CHARGE_NEUTRALITY,
    ELECTRONEGATIVITY,
    PROPERTY_WINDOW,
    "synthesizability",
    "metal",
    ONE_ANION,
    NOVEL_GENE,
    NOVEL_FORMULA,
]
GENES = {
    "perovskite": "221 Ba:a Ti:b O:c",
    "shifted": "221 Ba:b Ti:a O:d",  # the same from another origin
    "half-Heusler": "216 Li:a Zn:b P:c",
    "crowded": "221 Ba:a Ti:b2 O:c",  # a fixed position taken twice
    "foreign": "1 Ba:a Ti:b O:c",  # P1 has no b
    "empty": "225",
    "binary": "225 Na:a Cl:b",
    "chlorofluoride": "129 Ba:c Cl:c F:a",
    "charged": "216 Ba:a Li:b F:c",
    "hexagonal": "194 Sr:a Ca:c Zn:d",
}
IDS = list(GENES)
ARRAYS = gene_arrays([read_gene(text) for text in GENES.values()])
IMPOSSIBLE = ["crowded", "foreign", "empty", "binary"]  # a binary is none of the three elements asked for
LIMITS = {"element_numbers": (3,), "largest_atoms": 20}
TARGET = Target(
    "wide", {"formation_energy_ev_per_atom": (None, 10.0), "band_gap_ev": (0.0, None)}, (150, 230)
)
NOTHING_KNOWN = GeneReferences(np.zeros(0, dtype=np.uint64), ())


class ShareOfOxygen:
    """A score of formulas that can be told by hand."""

    name, version = "share of oxygen", "1"

    def score_counts(self, counts):
        return counts[:, ELEMENTS.index("O")] / counts.sum(axis=1)


def silent(message: str) -> None:
    pass


@pytest.fixture(scope="module")
def predictors() -> GenePredictors:
    settings = GeneBoostingSettings(trees=4, calibration_folds=2)
    arrays = gene_arrays([parse_gene(text) for text in TABLE["gene"]])
    labels = (TABLE[name].to_numpy() for name in PREDICTIONS[:2])
    return GenePredictors.fit(arrays, *labels, settings, seed=0, log=silent)


@pytest.fixture(scope="module")
def judged(predictors) -> pd.DataFrame:
    return judge_genes(IDS, ARRAYS, predictors, ShareOfOxygen(), **LIMITS)


def screened(judged, arrays=ARRAYS, **changes) -> pd.DataFrame:
    chosen = {
        "target": TARGET,
        "references": NOTHING_KNOWN,
        "composition": CompositionSettings(),
        "thresholds": {"synthesizability": 0.5, "metal": 0.5},
        "anions": {},
        "score": ShareOfOxygen(),
        **LIMITS,
    } | changes
    return screen_genes(judged, arrays, **chosen)


def said(verdicts: pd.DataFrame, screen: str, column: str = "verdict") -> dict:
    return verdicts[verdicts["screen"] == screen].set_index("candidate_id")[column].to_dict()


def test_possible_genes_are_judged_as_if_they_were_alone(judged, predictors):
    possible = [name not in IMPOSSIBLE for name in IDS]
    assert judged["id"].tolist() == IDS and judged["possible"].tolist() == possible
    assert judged["space_group"].tolist() == [int(text.split()[0]) for text in GENES.values()]
    assert np.array_equal(judged["key"], canonical_keys(ARRAYS))
    assert judged["key"][0] == judged["key"][1] and judged["key"].nunique() == len(IDS) - 1
    alone = predictors.predict(ARRAYS[np.array(possible)])
    for name in PREDICTIONS:
        assert np.array_equal(judged.loc[possible, name], alone[name])
    scores = dict(zip(IDS, judged["synthesizability"], strict=True))
    assert scores["perovskite"] == 0.6 and scores["half-Heusler"] == 0.0


def test_impossible_genes_have_no_predictions(judged):
    impossible = judged[judged["id"].isin(IMPOSSIBLE)]
    assert impossible[[*PREDICTIONS, "synthesizability"]].isna().to_numpy().all()
    assert judged[[*PREDICTIONS, "synthesizability"]].dropna()["band_gap_ev"].size == len(IDS) - len(
        IMPOSSIBLE
    )


def test_every_gene_gets_every_screen_in_the_order_of_the_funnel(judged):
    verdicts = screened(judged)
    assert list(verdicts.columns) == list(COLUMNS)
    assert verdicts["candidate_id"].tolist() == [name for name in IDS for _ in SCREENS]
    assert verdicts["screen"].tolist() == SCREENS * len(IDS)
    again = screened(judged)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), verdicts.drop(columns="seconds"))


def test_without_a_score_its_screen_is_left_out(predictors):
    judged = judge_genes(IDS, ARRAYS, predictors, None, **LIMITS)
    assert judged["synthesizability"].isna().all()
    verdicts = screened(judged, score=None)
    assert list(dict.fromkeys(verdicts["screen"])) == [name for name in SCREENS if name != "synthesizability"]


def test_impossible_genes_are_errors_where_properties_are_asked_for_and_the_batch_goes_on(judged):
    verdicts = screened(judged)
    valid = said(verdicts, GENE_VALIDITY)
    assert [name for name in IDS if valid[name] == "fail"] == IMPOSSIBLE
    for screen in (PROPERTY_WINDOW, "synthesizability", "metal"):
        verdict = said(verdicts, screen)
        assert [name for name in IDS if verdict[name] == "error"] == IMPOSSIBLE
    assert "taken 2 times" in said(verdicts, GENE_VALIDITY, "reason")["crowded"]
    assert said(verdicts, PROPERTY_WINDOW, "reason")["crowded"] == "no predicted formation energy"
    for screen in (CHARGE_NEUTRALITY, NOVEL_FORMULA):
        assert said(verdicts, screen)["empty"] == "error"


def test_a_batch_of_impossible_genes_and_one_of_none(predictors):
    rows = np.array([name in IMPOSSIBLE for name in IDS])
    for chosen in (rows, np.zeros_like(rows)):
        ids, arrays = list(np.array(IDS)[chosen]), ARRAYS[chosen]
        judged = judge_genes(ids, arrays, predictors, ShareOfOxygen(), **LIMITS)
        verdicts = screened(judged, arrays)
        assert len(judged) == chosen.sum() and len(verdicts) == len(SCREENS) * chosen.sum()
        assert set(said(verdicts, "metal").values()) <= {"error"}


def test_each_screen_says_what_the_gene_is(judged):
    verdicts = screened(judged)

    def failed(screen):
        return {name for name, verdict in said(verdicts, screen).items() if verdict == "fail"}

    assert failed(UNIQUE_GENE) == {"shifted"}
    assert failed(CHARGE_NEUTRALITY) == {"charged"}
    assert failed(ONE_ANION) == {"chlorofluoride"}
    assert failed("synthesizability") == {"half-Heusler", "chlorofluoride", "charged", "hexagonal"}
    # The target's space groups are judged with its properties.
    assert failed(PROPERTY_WINDOW) == {"chlorofluoride"}
    assert said(verdicts, PROPERTY_WINDOW, "value")["chlorofluoride"] == 129
    assert said(verdicts, PROPERTY_WINDOW, "threshold")["chlorofluoride"] == 150
    assert set(said(verdicts, PROPERTY_WINDOW, "tool").values()) == {JUDGE}
    assert not failed(NOVEL_GENE) | failed(NOVEL_FORMULA)


def test_windows_and_thresholds_part_the_predictions(judged):
    energy = judged.set_index("id")["formation_energy_ev_per_atom"].drop(IMPOSSIBLE)
    metal = judged.set_index("id")["metal_probability"].drop(IMPOSSIBLE)
    middle = (energy.min() + energy.max()) / 2
    threshold = (metal.min() + metal.max()) / 2
    assert energy.min() < middle < energy.max() and metal.min() < threshold < metal.max()
    verdicts = screened(
        judged,
        target=Target("low", {"formation_energy_ev_per_atom": (None, middle)}),
        thresholds={"synthesizability": -1.0, "metal": threshold},
    )
    for screen, passes in (
        (PROPERTY_WINDOW, energy <= middle),
        ("metal", metal < threshold),
        ("synthesizability", energy < np.inf),
    ):
        verdict = said(verdicts, screen)
        assert {name: verdict[name] for name in energy.index} == passes.map(
            {True: "pass", False: "fail"}
        ).to_dict()


def test_a_known_gene_is_known_by_every_description_of_it(judged):
    known = canonical_keys(gene_arrays([parse_gene(GENES["shifted"]), parse_gene("216 Li:d Zn:c P:a")]))
    verdicts = screened(judged, references=GeneReferences(known, ()))
    novel = said(verdicts, NOVEL_GENE)
    # Letters d, c, a are a, b, c from an origin at 3/4 3/4 3/4.
    assert [name for name in IDS if novel[name] == "fail"] == ["perovskite", "shifted", "half-Heusler"]
    assert set(said(verdicts, NOVEL_FORMULA).values()) == {"pass", "error"}


def test_the_same_letters_in_another_arrangement_are_new(judged):
    # Zinc, not phosphorus, has the place between the two others.
    other = canonical_keys(gene_arrays([parse_gene("216 Li:a Zn:c P:b")]))
    assert said(screened(judged, references=GeneReferences(other, ())), NOVEL_GENE)["half-Heusler"] == "pass"


def test_a_known_formula_in_any_spelling_is_known_whatever_the_gene(judged):
    verdicts = screened(judged, references=GeneReferences(NOTHING_KNOWN.keys, {"P2Li2Zn2", "BaO3Ti"}))
    known = [name for name, verdict in said(verdicts, NOVEL_FORMULA).items() if verdict == "fail"]
    assert known == ["perovskite", "shifted", "half-Heusler"]
    assert set(said(verdicts, NOVEL_GENE).values()) == {"pass"}


def test_settings_reach_their_screens(judged):
    verdicts = screened(judged, anions={"anions": ["O"], "most_anions": 0}, largest_atoms=3)
    lonely = said(verdicts, ONE_ANION)
    assert {name for name in IDS if lonely[name] == "fail"} == {"perovskite", "shifted", "crowded", "foreign"}
    assert said(verdicts, GENE_VALIDITY)["perovskite"] == "fail"
    assert said(verdicts, GENE_VALIDITY)["half-Heusler"] == "pass"
    metals = said(screened(judged, composition=CompositionSettings(alloys_pass=False)), ELECTRONEGATIVITY)
    assert metals["hexagonal"] != said(screened(judged), ELECTRONEGATIVITY)["hexagonal"]
