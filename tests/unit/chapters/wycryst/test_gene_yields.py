"""Yields of funnels of genes, against planted verdicts that are counted by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from matwheel.candidates.ranking import COLUMNS as CANDIDATE_COLUMNS
from matwheel.chapters.wycryst.gene_yields import GeneFunnel, energy_pairs, gene_yields, with_genes
from matwheel.verdicts import Verdict, verdict_table

SCREENS = ["gene_validity", "novel_gene", "build", "relaxation", "symmetry_kept"]
LIMIT = 0.1
# Verdicts of `SCREENS` in their order (p pass, f fail, e error, - none), energies above both hulls, phonons.
PLANTED = {
    "stable": ("ppppp", 0.02, 0.03, "pass"),
    "undecided": ("ppppp", 0.0, 0.1, "undecided"),  # the limit itself is near
    "unstable": ("ppppp", 0.05, 0.05, "fail"),
    "no-budget-for-phonons": ("ppppp", 0.05, 0.05, None),
    "phonons-broke": ("ppppp", 0.05, 0.05, "error"),
    "far-by-the-potential": ("ppppp", 0.05, 0.11, "pass"),
    "far-by-dft": ("ppppp", 0.11, 0.05, "pass"),
    "no-potential-energy": ("ppppp", 0.05, np.nan, "pass"),
    "other-gene": ("ppppf", 0.0, 0.0, "pass"),
    "known": ("pf---", None, None, None),
    "no-budget": ("pp---", None, None, None),
    "not-built": ("ppf--", None, None, None),
    "not-relaxed": ("pppe-", None, None, None),
}
WORDS = {"p": "pass", "f": "fail", "e": "error"}
SECONDS = 36.0


def planted(name="planted", rows=PLANTED, predicted=True) -> GeneFunnel:
    verdicts, relaxed, hull = [], [], []
    for candidate, (letters, dft, potential, phonons) in rows.items():
        said = [
            (screen, WORDS[letter])
            for screen, letter in zip(SCREENS, letters, strict=True)
            if letter in WORDS
        ]
        said += [("phonons", phonons)] if phonons else []
        verdicts += [Verdict(candidate, screen, verdict, seconds=SECONDS) for screen, verdict in said]
        if letters[4] != "-":
            kept = "same" if letters[4] == "p" else "other"
            relaxed.append((candidate, "225 Na:a Cl:b", "225 Cl:a Na:b", kept, -1.9, 5.0))
            hull.append((candidate, -2.0, dft, potential))
    genes = pd.DataFrame({"id": list(rows), "gene": "225 Na:a Cl:b"})
    if predicted:
        genes["predicted_formation_energy_ev_per_atom"] = np.arange(len(rows)) / -10
    columns = ["id", "gene", "asked", "kept", "formation_energy_ev_per_atom", "band_gap_ev"]
    energies = [
        "formation_energy_ev_per_atom",
        "e_above_hull_dft_ev_per_atom",
        "e_above_hull_potential_ev_per_atom",
    ]
    return GeneFunnel(
        name,
        SCREENS,
        genes,
        verdict_table(verdicts),
        pd.DataFrame(relaxed, columns=columns),
        pd.DataFrame(hull, columns=["id", *energies]),
    )


def one_yield(funnel: GeneFunnel) -> dict:
    (row,) = gene_yields([funnel], LIMIT).to_dict("records")
    return row


def test_planted_candidates_are_counted():
    row = one_yield(planted())
    counts = {
        "set": "planted",
        "genes": 13,
        "passed_gene_screens": 12,  # all but the known one
        "built": 10,
        "relaxed": 9,
        "symmetry_kept": 8,
        "near_hull": 5,
        "with_phonons": 4,
        "stable": 1,
        "undecided": 1,
    }
    assert {name: row[name] for name in counts} == counts


def test_of_relaxed_is_a_share_with_its_interval():
    row = one_yield(planted())
    interval = binomtest(1, 9).proportion_ci(method="wilson")
    figures = [row[f"stable_of_relaxed{end}"] for end in ("", "_low", "_high")]
    assert figures == pytest.approx([1 / 9, interval.low, interval.high])


def test_time_is_that_of_all_verdicts():
    funnel = planted()
    row = one_yield(funnel)
    # 9 relaxed of 5 screens, 2 + 2 + 3 + 4 verdicts on the others, 8 of phonons
    assert len(funnel.verdicts) == 64
    assert row["clock_hours"] == pytest.approx(64 * SECONDS / 3600)
    assert row["stable_per_clock_hour"] == pytest.approx(1 / row["clock_hours"])
    funnel.verdicts["seconds"] = np.nan
    row = one_yield(funnel)
    assert row["clock_hours"] == 0 and np.isnan(row["stable_per_clock_hour"])


@pytest.mark.parametrize("left_out", ["no-budget", "no-budget-for-phonons"])
def test_what_the_budget_left_out_is_neither_stable_nor_undecided(left_out):
    rows = dict.fromkeys(["stable", "undecided", left_out])
    with_it, without = (
        one_yield(planted(rows={name: PLANTED[name] for name in names}))
        for names in (rows, [name for name in rows if name != left_out])
    )
    assert with_it["genes"] == without["genes"] + 1
    for name in ("stable", "undecided", "with_phonons"):
        assert with_it[name] == without[name]


def test_without_any_phonons_nothing_is_stable():
    row = one_yield(planted(rows={name: (*own[:3], None) for name, own in PLANTED.items()}))
    assert (row["near_hull"], row["with_phonons"], row["stable"], row["undecided"]) == (5, 0, 0, 0)
    assert row["stable_of_relaxed"] == row["stable_of_relaxed_low"] == 0 < row["stable_of_relaxed_high"]
    assert row["stable_per_clock_hour"] == 0


def test_without_any_relaxed_crystal_the_share_is_unknown():
    names = ("known", "no-budget", "not-built", "not-relaxed")
    for chosen in (names, names[:2]):
        row = one_yield(planted(rows={name: PLANTED[name] for name in chosen}))
        assert (row["relaxed"], row["near_hull"], row["stable"]) == (0, 0, 0)
        assert row["genes"] == len(chosen) and row["passed_gene_screens"] == len(chosen) - 1
        assert all(np.isnan(row[f"stable_of_relaxed{end}"]) for end in ("", "_low", "_high"))


def test_a_required_screen_that_judged_nobody_lets_nobody_through():
    funnel = planted()
    funnel.verdicts.drop(funnel.verdicts.index[funnel.verdicts["screen"] == "symmetry_kept"], inplace=True)
    row = one_yield(funnel)
    assert (row["near_hull"], row["stable"], row["built"]) == (0, 0, 10)


def test_each_set_has_its_row_whatever_stands_beside_it():
    few = planted("few", {"stable": PLANTED["stable"]})
    table = gene_yields([planted(), few], LIMIT)
    assert table["set"].tolist() == ["planted", "few"]
    assert table.iloc[1].to_dict() == one_yield(few)


def test_near_hull_asks_both_hulls():
    near = planted().near_hull(LIMIT)
    assert near == {"stable", "undecided", "unstable", "no-budget-for-phonons", "phonons-broke", "other-gene"}
    assert planted().near_hull(-1.0) == set()


def test_near_hull_is_near_within_the_rounding_of_the_hull_as_in_its_verdict():
    rows = {"at": ("ppppp", LIMIT + 1e-7, LIMIT, "pass"), "above": ("ppppp", LIMIT + 1e-5, LIMIT, "pass")}
    assert planted(rows=rows).near_hull(LIMIT) == {"at"}


def candidates(*ids: str) -> pd.DataFrame:
    frame = pd.DataFrame({name: [np.nan] * len(ids) for name in CANDIDATE_COLUMNS})
    return frame.assign(id=ids, rank=range(1, len(ids) + 1))


def test_candidates_get_what_is_known_of_their_genes():
    first = planted("a", {name: PLANTED[name] for name in ("stable", "known")})
    second = planted("b", {"other-gene": PLANTED["other-gene"], "unstable": PLANTED["unstable"]})
    second.hull.drop(second.hull.index[second.hull["id"] == "unstable"], inplace=True)
    table = with_genes(candidates("other-gene", "known", "stable", "unstable"), [first, second])
    assert table["id"].tolist() == [
        "other-gene",
        "stable",
        "unstable",
    ]  # by rank; no crystal of the known one
    assert table["rank"].tolist() == [1, 3, 4]
    assert table["kept"].tolist() == ["other", "same", "same"]
    assert set(table["gene"]) == {"225 Cl:a Na:b"} and set(table["relaxed_gene"]) == {"225 Na:a Cl:b"}
    assert set(table["band_gap_ev"]) == {5.0} and set(table["formation_energy_ev_per_atom"]) == {-1.9}
    validated = table["validated_formation_energy_ev_per_atom"]
    assert validated[:2].tolist() == [-2.0, -2.0] and np.isnan(validated[2])
    assert not {"condition", "predicted_property"} & set(table.columns)


def test_energies_are_paired_by_candidate_where_a_model_predicted_them():
    pairs = energy_pairs([planted("null", predicted=False), planted("model")])
    assert set(pairs["set"]) == {"model"} and set(pairs["validated"]) == {-2.0}
    assert pairs["id"].tolist() == list(PLANTED)[:9]
    assert pairs["predicted"].tolist() == [place / -10 for place in range(9)]
    assert energy_pairs([planted(predicted=False)]).empty
