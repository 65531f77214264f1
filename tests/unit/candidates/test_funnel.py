from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from matwheel.candidates.false_negatives import ALL_SCREENS, false_negatives
from matwheel.candidates.funnel import (
    deciding_screens,
    draw_funnel,
    funnel_counts,
    in_funnel_order,
    sun_rates,
)
from matwheel.verdicts import VERDICTS, Verdict, verdict_table

SCREENS = [
    "structure",
    "charge_neutrality",
    "unique",
    "novel_training",
    "unique_relaxed",
    "novel_relaxed",
    "hull_dft",
    "hull_potential",
    "phonons",
]
NEW = ("unique", "novel_training", "unique_relaxed", "novel_relaxed")


def random_table(seed, candidates=None, screens=SCREENS):
    """Verdicts at random, some missing; energies around the thresholds, some exactly on them."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 40)) if candidates is None else candidates
    ids = [f"c{i:03d}" for i in generator.permutation(n)]
    chances = generator.dirichlet([6, 2, 1, 1])
    verdicts = []
    for screen in screens:
        missing = generator.choice([0.0, 0.2])
        for candidate in ids:
            if generator.random() >= missing:
                value = nan
                if screen.startswith("hull") and generator.random() < 0.9:
                    value = float(generator.choice([-0.05, 0.0, 1e-12, 0.04, 0.1, 0.3]))
                verdicts.append(Verdict(candidate, screen, str(generator.choice(VERDICTS, p=chances)), value))
    order = generator.permutation(len(verdicts))
    return verdict_table([verdicts[i] for i in order]), ids


def wilson(count, n):
    """Roots of (p̂ - p)² = z² p (1 - p) / n: another way to the same interval."""
    z, share = 1.959963984540054, count / n
    low, high = sorted(np.roots([1 + z**2 / n, -(2 * share + z**2 / n), share**2]).real)
    return max(0.0, low), min(1.0, high)


@pytest.mark.parametrize("seed", range(40))
def test_the_funnel_equals_a_walk_of_each_candidate_through_the_screens(seed):
    table, ids = random_table(seed)
    generator = np.random.default_rng(seed + 1000)
    screens = [str(name) for name in generator.permutation(SCREENS)[: generator.integers(1, 10)]]
    said = {(row.candidate_id, row.screen): row.verdict for row in table.itertuples()}
    expected = {screen: dict.fromkeys((*VERDICTS, None), 0) for screen in screens}
    possible = dict.fromkeys(screens, 0)
    for candidate in ids:
        alive, maybe = True, True
        for screen in screens:
            verdict = said.get((candidate, screen))
            maybe = maybe and verdict != "fail"
            possible[screen] += maybe
            if alive:
                expected[screen][verdict] += 1
                alive = verdict == "pass"
    counts = funnel_counts(table, ids, screens).set_index("screen")
    assert list(counts.index) == screens
    for screen, row in counts.iterrows():
        wanted = expected[screen]
        assert [row["passed"], row["failed"], row["undecided"], row["error"], row["not_judged"]] == [
            wanted[verdict] for verdict in ("pass", "fail", "undecided", "error", None)
        ]
        assert row["entered"] == sum(wanted.values()) - wanted[None]
        assert row["alive"] == wanted["pass"] and row["candidates"] == len(ids)
        assert row["share"] == pytest.approx(wanted["pass"] / len(ids))
        assert row["share_at_most"] == pytest.approx(possible[screen] / len(ids))
        assert (row["share_low"], row["share_high"]) == pytest.approx(
            wilson(wanted["pass"], len(ids)), abs=1e-6
        )
        if row["entered"]:
            assert row["pass_rate"] == pytest.approx(wanted["pass"] / row["entered"])
            assert (row["pass_rate_low"], row["pass_rate_high"]) == pytest.approx(
                wilson(wanted["pass"], row["entered"]), abs=1e-6
            )
        else:
            assert isnan(row["pass_rate"])


def test_a_funnel_of_nothing_and_a_screen_listed_twice():
    empty = funnel_counts(verdict_table([]), [], ["structure"])
    assert empty.loc[0, "entered"] == 0 and isnan(empty.loc[0, "share"])
    with pytest.raises(ValueError, match="structure"):
        funnel_counts(verdict_table([]), ["a"], ["structure", "structure"])
    with pytest.raises(ValueError, match="'a'"):
        funnel_counts(verdict_table([]), ["a", "a"], ["structure"])


def known_of(said, values, candidate, hulls, threshold, dynamical):
    """What a person would conclude of one candidate: yes, no, or why it is open."""
    answers = []
    for screen in ("structure", "charge_neutrality", *NEW, *dynamical):
        verdict = said.get((candidate, screen), "not_judged")
        answer = {"pass": "yes", "fail": "no"}.get(verdict, verdict)
        answers.append("no" if screen == "structure" and verdict == "error" else answer)
    energies = []
    for hull in hulls:
        value = values.get((candidate, hull), nan)
        verdict = said.get((candidate, hull), "not_judged")
        if not isnan(value):
            energies.append("yes" if value <= threshold + 1e-9 else "no")
        else:
            energies.append("error" if verdict in ("pass", "fail") else verdict)
    if set(energies) == {"yes", "no"}:
        answers.append("undecided")
    else:
        answers += [answer for answer in energies if answer not in ("yes", "no")] or energies[:1]
    for answer in ("no", "not_judged", "error", "undecided"):
        if answer in answers:
            return answer, set(answers) <= {"yes", "no"}
    return "yes", True


@pytest.mark.parametrize("seed", range(40))
def test_sun_counts_equal_what_is_known_of_each_candidate(seed):
    table, ids = random_table(seed, candidates=30)
    said = {(row.candidate_id, row.screen): row.verdict for row in table.itertuples()}
    values = {(row.candidate_id, row.screen): row.value for row in table.itertuples()}
    rates = sun_rates(table, ids, SCREENS)
    assert len(rates) == 12
    for row in rates.to_dict("records"):
        hulls = ["hull_dft", "hull_potential"] if row["hull"] == "both" else [row["hull"]]
        threshold = 0.1 if row["metric"].startswith("M") else 0.0
        dynamical = ("phonons",) if row["metric"].endswith("D.") else ()
        known = [known_of(said, values, candidate, hulls, threshold, dynamical) for candidate in ids]
        answers = [answer for answer, _ in known]
        names = {"yes": "count", "no": "rejected", "undecided": "undecided", "error": "error",
                 "not_judged": "not_judged"}  # fmt: skip
        assert {name: row[name] for name in names.values()} == {
            name: answers.count(answer) for answer, name in names.items()
        }
        assert row["candidates"] == 30 and row["measured"] == sum(measured for _, measured in known)
        assert row["share_at_least"] == pytest.approx(row["count"] / 30)
        assert row["share_at_most"] == pytest.approx(1 - row["rejected"] / 30)
        assert row["share_low"] <= row["share_at_least"] <= row["share_at_most"] <= row["share_high"]
        if row["measured"]:
            assert row["rate"] == pytest.approx(row["count"] / row["measured"])
            assert (row["rate_low"], row["rate_high"]) == pytest.approx(
                wilson(row["count"], row["measured"]), abs=1e-6
            )
    metastable = rates[rates["metric"] == "M.S.U.N."]["count"].to_numpy()
    assert (metastable >= rates[rates["metric"] == "S.U.N."]["count"].to_numpy()).all()


def test_a_budget_that_left_candidates_out_is_seen_and_corrected():
    ids = [f"{i:04d}" for i in range(1000)]
    verdicts = [Verdict(i, "structure", "pass" if int(i) < 400 else "fail") for i in ids]
    verdicts += [Verdict(i, name, "pass") for i in ids[:400] for name in NEW]
    # 100 of the 400 survivors were relaxed, 20 of them are on the hull.
    verdicts += [Verdict(i, "hull_dft", "pass", value=-0.01 if int(i) < 20 else 0.4) for i in ids[:100]]
    rates = sun_rates(verdict_table(verdicts), ids, ["structure", "unique"], hull_screens=["hull_dft"])
    row = rates.iloc[0]
    assert (row["count"], row["measured"], row["not_judged"], row["rejected"]) == (20, 100, 300, 680)
    assert row["rate"] == 0.2 and row["share_at_least"] == 0.02 and row["share_at_most"] == 0.32
    assert row["share_estimate"] == pytest.approx(0.4 * 0.2)
    assert 0.045 < row["share_estimate_low"] < 0.08 < row["share_estimate_high"] < 0.13
    # Nobody left out: the estimate is the plain share with Wilson's interval.
    whole = verdict_table([*verdicts, *(Verdict(i, "hull_dft", "fail", value=0.4) for i in ids[100:])])
    row = sun_rates(whole, ids, ["structure", "unique"], hull_screens=["hull_dft"]).iloc[0]
    assert row["share_estimate"] == row["share_at_least"] == row["share_at_most"] == 0.02
    assert (row["share_estimate_low"], row["share_estimate_high"]) == pytest.approx(
        wilson(20, 1000), abs=1e-6
    )
    # Nobody relaxed at all: no estimate, and the bounds say all that is known.
    row = sun_rates(whole[~whole["screen"].eq("hull_dft")], ids, ["structure"]).iloc[0]
    assert isnan(row["share_estimate"]) and row["share_at_least"] == 0 and row["share_at_most"] == 0.4


def test_the_intervals_of_the_corrected_share_cover_the_truth():
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(50):
        ids = [str(i) for i in range(200)]
        valid, stable = generator.random(200) < 0.6, generator.random(200) < 0.3
        relaxed = generator.permutation(np.flatnonzero(valid))[:60]
        verdicts = [Verdict(i, "structure", "pass" if valid[int(i)] else "fail") for i in ids]
        verdicts += [Verdict(i, name, "pass") for i in ids for name in NEW]
        verdicts += [Verdict(ids[i], "hull_dft", "pass", value=-1.0 if stable[i] else 1.0) for i in relaxed]
        row = sun_rates(verdict_table(verdicts), ids, ["structure"], hull_screens=["hull_dft"]).iloc[0]
        covered += row["share_estimate_low"] <= 0.18 <= row["share_estimate_high"]
    assert covered >= 0.88 * 50


def test_rates_have_bounds_and_a_selection_is_not_extrapolated():
    """Phonons go to the nearest to the hull: what they say of those does not hold for the others."""
    ids = [str(i) for i in range(20)]
    verdicts = [Verdict(i, screen, "pass") for i in ids for screen in ("structure", *NEW)]
    verdicts += [Verdict(i, "hull_dft", "pass", value=-0.01) for i in ids]
    said = ["pass"] * 4 + ["fail"] * 2 + ["undecided"] * 4
    phonons = [Verdict(i, "phonons", verdict) for i, verdict in zip(ids, said, strict=False)]
    rates = sun_rates(verdict_table([*verdicts, *phonons]), ids, ["structure"], hull_screens=["hull_dft"])
    row = rates.set_index(["metric", "hull"]).loc[("S.U.N.D.", "hull_dft")]
    assert row["rate"] == pytest.approx(4 / 6)
    assert (row["rate_at_least"], row["rate_at_most"]) == pytest.approx((4 / 10, 8 / 10))
    assert isnan(row["share_estimate"]) and isnan(row["share_estimate_low"])
    assert row["share_at_least"] == 4 / 20 and row["share_at_most"] == 18 / 20
    rest = [Verdict(i, "phonons", "fail") for i in ids[10:]]
    whole = sun_rates(
        verdict_table([*verdicts, *phonons, *rest]), ids, ["structure"], hull_screens=["hull_dft"]
    )
    assert whole.set_index(["metric", "hull"]).loc[("S.U.N.D.", "hull_dft"), "share_estimate"] == 4 / 20


def test_layers_are_metastable_by_their_own_threshold():
    verdicts = [Verdict(name, screen, "pass") for name in ("bulk", "layer") for screen in ("structure", *NEW)]
    verdicts += [
        Verdict(name, hull, verdict, value=0.15, threshold=threshold)
        for name, verdict, threshold in (("bulk", "fail", 0.1), ("layer", "pass", 0.2))
        for hull in ("hull_dft", "hull_potential")
    ]
    rates = sun_rates(verdict_table(verdicts), ["bulk", "layer"], ["structure"]).set_index(["metric", "hull"])
    assert rates.loc[("M.S.U.N.", "both"), ["count", "rejected"]].tolist() == [1, 1]
    assert "≤ 0.1 or 0.2 eV/atom" in rates.loc[("M.S.U.N.", "both"), "meaning"]


def test_a_hull_that_agrees_only_with_itself_is_undecided():
    verdicts = [Verdict("a", name, "pass") for name in ("structure", *NEW, "phonons")]
    verdicts += [
        Verdict("a", "hull_dft", "pass", value=0.0, threshold=0.1),
        Verdict("a", "hull_potential", "pass", value=0.06, threshold=0.1),
    ]
    rates = sun_rates(verdict_table(verdicts), ["a"], ["structure"]).set_index(["metric", "hull"])
    assert rates.loc[("S.U.N.", "hull_dft"), "count"] == 1
    assert rates.loc[("S.U.N.", "hull_potential"), "rejected"] == 1
    assert rates.loc[("S.U.N.", "both"), "undecided"] == 1
    assert rates.loc[("M.S.U.N.D.", "both"), "count"] == 1


def test_another_choice_of_hull_is_counted_beside_the_usual_one():
    verdicts = [Verdict(name, screen, "pass") for name in "abc" for screen in ("structure", *NEW)]

    def hulls(energies):
        return [
            Verdict(name, hull, "pass", value=value)
            for name, value in energies.items()
            for hull in ("hull_dft", "hull_potential")
        ]

    usual = verdict_table([*verdicts, *hulls({"a": -0.1, "b": 0.05, "c": 0.3})])
    other = verdict_table([*hulls({"a": 0.2, "b": 0.05}), Verdict("c", "hull_dft", "undecided")])
    rates = sun_rates(usual, list("abc"), ["structure"], other_choices={"no_check": other})
    plain = sun_rates(usual, list("abc"), ["structure"])
    assert rates.columns[-1] == "meaning"
    assert rates.drop(columns=["count_no_check", "rate_no_check"]).equals(plain)
    row = rates.set_index(["metric", "hull"])
    assert (row.loc[("S.U.N.", "both"), "count"], row.loc[("M.S.U.N.", "both"), "count"]) == (1, 2)
    assert row.loc[("S.U.N.", "both"), "count_no_check"] == 0
    assert row.loc[("M.S.U.N.", "both"), "count_no_check"] == 1
    assert row.loc[("M.S.U.N.", "both"), "rate_no_check"] == 0.5  # c is undecided there
    same = sun_rates(usual, list("abc"), ["structure"], other_choices={"same": usual})
    assert (same["count_same"] == same["count"]).all()
    assert same["rate_same"].equals(same["rate"].rename("rate_same"))


@pytest.mark.parametrize("screen", ["unique_relaxed", "novel_relaxed", "unique", "novel_training"])
def test_sun_asks_for_uniqueness_and_novelty_before_and_after_relaxation(screen):
    def rate_with(verdict):
        said = dict.fromkeys(("structure", *NEW), "pass") | {screen: verdict}
        verdicts = [Verdict("a", name, is_so) for name, is_so in said.items() if is_so]
        verdicts += [Verdict("a", hull, "pass", value=-0.01) for hull in ("hull_dft", "hull_potential")]
        rates = sun_rates(verdict_table(verdicts), ["a"], ["structure"])
        return rates.set_index(["metric", "hull"]).loc[("S.U.N.", "both")]

    assert rate_with("pass")["count"] == 1 and screen.replace("_", " ") in rate_with("pass")["meaning"]
    assert rate_with("fail")["rejected"] == rate_with("undecided")["undecided"] == 1
    assert rate_with(None)["not_judged"] == 1


def test_order_and_deciding_screens():
    relaxed = ["hull", "novel_relaxed", "relaxation", "unique_relaxed", "novel_mp", "unique", "symmetry"]
    assert in_funnel_order(relaxed) == deciding_screens(relaxed) == [
        "unique", "novel_mp", "symmetry", "relaxation", "unique_relaxed", "novel_relaxed", "hull",
    ]  # fmt: skip
    screens = ["phonons", "hull", "novel_training", "hull_dft", "structure", "own", "novel_formula", "parse"]
    assert in_funnel_order([*screens, "hull"]) == [
        "parse", "structure", "novel_training", "novel_formula", "hull_dft", "hull", "phonons", "own",
    ]  # fmt: skip
    assert deciding_screens(screens) == ["parse", "structure", "novel_training", "hull", "phonons", "own"]
    assert deciding_screens(["hull_dft"]) == ["hull_dft"]


def test_the_figure_has_the_same_bytes_each_time(tmp_path):
    table, ids = random_table(3, candidates=200)
    counts = {
        "one set": funnel_counts(table, ids, SCREENS),
        "another": funnel_counts(table, ids, SCREENS[:3]),
    }
    draw_funnel(counts, tmp_path / "a.svg")
    draw_funnel(counts, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert len((tmp_path / "a.svg").read_bytes()) > 10_000
    with pytest.raises(ValueError, match="empty"):
        draw_funnel({}, tmp_path / "c.svg")


@pytest.mark.parametrize("seed", range(20))
def test_false_negatives_equal_counts_by_hand(seed):
    table, ids = random_table(seed)
    audit = false_negatives(table, ids, SCREENS).set_index("screen")
    said = {(row.candidate_id, row.screen): row.verdict for row in table.itertuples()}
    for screen in SCREENS:
        verdicts = [said[candidate, screen] for candidate in ids if (candidate, screen) in said]
        row = audit.loc[screen]
        assert row["judged"] == len(verdicts) and row["not_judged"] == len(ids) - len(verdicts)
        assert [row["killed"], row["undecided"], row["error"]] == [
            verdicts.count(verdict) for verdict in ("fail", "undecided", "error")
        ]
        alone = [
            candidate
            for candidate in ids
            if [name for name in SCREENS if said.get((candidate, name)) == "fail"] == [screen]
        ]
        assert row["killed_alone"] == len(alone)
        if verdicts:
            lost = len(verdicts) - verdicts.count("pass")
            assert row["killed_share"] == pytest.approx(row["killed"] / len(verdicts))
            assert row["lost_share"] == pytest.approx(lost / len(verdicts))
            assert (row["lost_low"], row["lost_high"]) == pytest.approx(wilson(lost, len(verdicts)), abs=1e-6)
    together = audit.loc[ALL_SCREENS]
    assert together["killed"] == sum(
        any(said.get((candidate, name)) == "fail" for name in SCREENS) for candidate in ids
    )
    survived = sum(all(said.get((candidate, name)) == "pass" for name in SCREENS) for candidate in ids)
    assert together["judged"] - together["killed"] - together["undecided"] - together["error"] == survived


def test_the_audit_names_who_was_killed_and_why():
    table = verdict_table(
        [Verdict("NaCl", "structure", "fail", reason="atoms 0.3 Å apart"), Verdict("Si", "structure", "pass")]
    )
    audit = false_negatives(table, ["NaCl", "Si", "MgO"], ["structure"])
    assert audit.loc[0, "examples"] == "NaCl: atoms 0.3 Å apart"
    assert (audit.loc[0, "judged"], audit.loc[0, "not_judged"]) == (2, 1)
    assert isinstance(audit, pd.DataFrame) and audit["screen"].tolist() == ["structure", ALL_SCREENS]
