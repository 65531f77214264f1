"""Answers to what users ask, each with the figures it rests on; which is better is said by one rule.

See `matwheel.statistics.paired_statistics.with_decisions`; of fewer than five splits nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from matwheel.candidates.false_negatives import ALL_SCREENS
from matwheel.candidates.ranking import METASTABLE, STABLE
from matwheel.chapters.matwheel.table2 import BASELINES
from matwheel.core.table_rows import groups, records
from matwheel.report.blocks import BAD, GOOD, OPEN, PLAIN, Card, in_digits
from matwheel.statistics.paired_statistics import (
    FEWEST_SPLITS,
    FIRST,
    OTHER_FAMILY,
    SECOND,
    TOO_FEW,
    UNDECIDED,
    corrected_t_test,
    with_decisions,
)

UNSEEN = "no difference shown"


def training_cards(
    contrasts: pd.DataFrame,
    titles: Mapping[str, str],
    units: Mapping[str, str],
    *,
    question: str,
    method: str,
    section: str,
) -> list[Card]:
    """Answer, for every dataset and predictor, whether further training rows lower the test error.

    Args:
        contrasts: table of `paired_contrasts`; its `better` decides.
        titles: dataset → words.
        units: dataset → unit of its target.
        method: training set compared with its reference.
    """
    cards = []
    family = contrasts["p_corrected_t"].notna().sum()
    for row in records(contrasts[contrasts["method"] == method]):
        unit = f" {units[row['dataset']]}" if units.get(row["dataset"]) else ""
        about = f"{titles.get(row['dataset'], row['dataset'])}, {row['scheme']} splits, {row['predictor']}"
        answer = {FIRST: "helps", SECOND: "harms", UNDECIDED: UNSEEN}.get(row["better"], row["better"])
        tone = {FIRST: GOOD, SECOND: BAD}.get(row["better"], OPEN)
        evidence = _too_few(row["splits"])
        if row["better"] != TOO_FEW:
            evidence = (
                f"{row['contrast']}: test MAE {_signed(row['mean_difference'])}{unit}, 95 % interval "
                f"{_signed(row['interval_low'])} to {_signed(row['interval_high'])}, {row['splits']} splits, "
                f"p = {in_digits(row['p_corrected_t_holm'], 2)} (Holm, {family} contrasts); "
                f"{in_digits(row['minimum_detectable_difference'], 2)} would be seen 4 times in 5"
            )
        cards.append(Card(about, question, answer, tone, evidence, section))
    return cards


def baseline_cards(scores: pd.DataFrame, titles: Mapping[str, str], units: Mapping[str, str]) -> list[Card]:
    """Say which predictor has the lowest test error on all real training rows, if splits can tell.

    The best one is named where it is better than every other by `with_decisions`; the family are these
    comparisons, of all datasets and schemes.

    Args:
        scores: table of `run_scores` with test_to_train, test rows over training rows of a split.
        titles: dataset → words.
        units: dataset → unit of its target.
    """
    real = scores[scores["training_set"] == "F"]
    places = {key: part for key, part in groups(real, ["dataset", "scheme"])}
    errors = {
        key: part.pivot(index="seed", columns="predictor", values="mae") for key, part in places.items()
    }
    compared = with_decisions(
        pd.DataFrame(
            [
                _against_the_best(errors[key], other, part["test_to_train"].mean()) | {"place": key}
                for key, part in places.items()
                for other in errors[key].mean().sort_values(kind="stable").index[1:]
            ],
            columns=["place", "other", "splits", "mean_difference", "p_corrected_t"],
        )
    )
    cards = []
    for (dataset, scheme), table in errors.items():
        means = table.mean().sort_values(kind="stable")
        own = compared[[place == (dataset, scheme) for place in compared["place"]]]
        best = means.index[0]
        words = set(own["better"]) or {TOO_FEW}
        answer = best if words == {FIRST} else TOO_FEW if TOO_FEW in words else "no clear winner"
        tone = OPEN if answer != best else BAD if best in BASELINES else GOOD
        evidence = _too_few(len(table))
        if answer != TOO_FEW:
            unit = f" {units[dataset]}" if units.get(dataset) else ""
            shown = ", ".join(f"{name} {in_digits(mean, 3)}" for name, mean in means.items())
            pairs = ", ".join(
                f"{best} − {row['other']} {_signed(row['mean_difference'])} "
                f"(p = {in_digits(row['p_corrected_t_holm'], 2)})"
                for row in records(own)
            )
            evidence = (
                f"test MAE {shown}{unit}; means over {len(table)} splits; {pairs}; "
                f"corrected t-test, Holm over {len(compared)} comparisons"
            )
        about = f"{titles.get(dataset, dataset)}, {scheme} splits"
        cards.append(Card(about, "Which predictor is best on real rows?", answer, tone, evidence, "table2"))
    return cards


def _against_the_best(errors: pd.DataFrame, other: str, test_to_train: float) -> dict[str, object]:
    """Return the paired difference of the predictor with the lowest mean error to another one, and its p."""
    best = errors.mean().sort_values(kind="stable").index[0]
    differences = (errors[best] - errors[other]).dropna()
    p = corrected_t_test(differences, test_to_train)[1] if len(differences) > 1 else float("nan")
    return {
        "other": other,
        "splits": len(differences),
        "mean_difference": differences.mean(),
        "p_corrected_t": p,
    }


def candidate_cards(rates: pd.DataFrame, candidates: pd.DataFrame, title: str) -> list[Card]:
    """Say how many candidates of a set passed every screen, and the rate among those fully measured.

    Args:
        rates: table of `sun_rates` of the set.
    """
    stable, metastable = ((candidates["verdict"] == verdict).sum() for verdict in (STABLE, METASTABLE))
    rate = rates[(rates["metric"] == "M.S.U.N.D.") & (rates["hull"] == "both")].iloc[0]
    answer = f"{stable + metastable} of {len(candidates)}"
    best = candidates[candidates["verdict"].isin([STABLE, METASTABLE])]["formula"].head(3)
    evidence = (
        f"{stable} stable, {metastable} metastable"
        + (f" ({', '.join(best)} first)" if len(best) else "")
        + "; near both hulls, unique, novel, dynamically stable: "
        + f"{rate['count']} of {rate['measured']} measured"
    )
    if rate["measured"]:
        evidence += f", 95 % interval {_percent(rate['rate_low'])} to {_percent(rate['rate_high'])}"
    tone = GOOD if len(best) else OPEN if rate["not_judged"] or rate["undecided"] else BAD
    return [Card(title, "Which candidates survive every screen?", answer, tone, evidence, "candidates")]


def false_negative_cards(audit: pd.DataFrame, titles: Mapping[str, str]) -> list[Card]:
    """Say how many real crystals the screens reject: what a rejected candidate is worth.

    A rejected crystal is always known, one that passed only when a budget let it through all screens. So with
    crystals not judged to the end the share of all is a lower bound, and is called one.
    """
    cards = []
    for row in records(audit[audit["screen"] == ALL_SCREENS]):
        dataset = row["set"].split("/")[1]
        crystals = row["judged"] + row["not_judged"]
        evidence = f"{row['killed']} of {crystals} fail at least one screen"
        if row["not_judged"]:
            answer = f"at least {_percent(row['killed'] / crystals)} of them"
            evidence += f"; {row['not_judged']} were not judged to the end"
        else:
            answer = f"{_percent(row['killed_share'])} of them"
            evidence += f", 95 % interval {_percent(row['killed_low'])} to {_percent(row['killed_high'])}"
        about = f"real crystals of {titles.get(dataset, dataset)}"
        cards.append(Card(about, "Do the screens reject real materials?", answer, PLAIN, evidence, "trust"))
    return cards


def leakage_cards(audit: pd.DataFrame, titles: Mapping[str, str]) -> list[Card]:
    """Say how much of the test rows the training rows share, means over the runs."""
    cards = []
    shared = audit[(audit["part"] == "test") & (audit["against"] == "train")]
    for (dataset, scheme), part in groups(shared, ["dataset", "scheme"]):
        means = part.groupby("check", sort=False)["fraction"].mean()
        formula = means.get("same formula", float("nan"))
        shares = [f"{str(check).removeprefix('same ')} {_percent(share)}" for check, share in means.items()]
        cards.append(
            Card(
                f"{titles.get(dataset, dataset)}, {scheme} splits",
                "How much of the test score is leakage?",
                f"{_percent(formula)} share a formula",
                PLAIN,
                f"test rows that share with training rows: {', '.join(shares)}",
                "trust",
            )
        )
    return cards


def composition_cards(table: pd.DataFrame) -> list[Card]:
    """Show the held-out recovery of the GAN beside that of the null generator that finds most.

    Every generator is trained once on one division of the formulas, so that nothing is said of which is
    better: the intervals are those of the held-out rows only.

    Args:
        table: Table 1 of the chapter, one row per formula set and generator.
    """
    cards = []
    for formula_set, part in table.groupby("formula_set", sort=False):
        own = part[part["generator"] == "matgan"].iloc[0]
        nulls = part[part["generator"] != "matgan"]
        if not len(nulls):
            continue
        most = nulls.iloc[int(nulls["held_out_recovery"].argmax())]
        cards.append(
            Card(
                f"compositions of {formula_set}",
                "Does the GAN find more held-out formulas than substitution of elements and other nulls?",
                TOO_FEW,
                OPEN,
                f"in one training on one division {_percent(own['held_out_recovery'])} "
                f"({_percent(own['held_out_recovery_low'])} to {_percent(own['held_out_recovery_high'])}) "
                f"beside {_percent(most['held_out_recovery'])} of {most['generator']}, at "
                f"{in_digits(int(own['samples']))} samples each",
                "compositions",
            )
        )
    return cards


def gene_cards(yields: pd.DataFrame) -> list[Card]:
    """Say how many relaxed crystals of each source of genes are stable; each was trained or drawn once.

    Args:
        yields: table of `matwheel.chapters.wycryst.gene_yields`, one row per set.
    """
    rows = records(yields)
    if not rows:
        return []
    texts = [
        f"{row['set']}: {row['stable']} of {row['relaxed']} ({_percent(row['stable_of_relaxed_low'])} to "
        f"{_percent(row['stable_of_relaxed_high'])})"
        for row in rows
    ]
    first = rows[0]
    return [
        Card(
            first["set"],
            "How many new crystals from genes are stable?",
            f"{first['stable']} of {first['relaxed']} relaxed",
            OPEN,
            f"{'; '.join(texts)}. Which source yields more: {TOO_FEW}",
            "genes",
        )
    ]


def configuration_cards(contrasts: pd.DataFrame, target: str, unit: str) -> list[Card]:
    """Say whether thermal configurations teach more than random ones, at the largest size, on thermal rows.

    Args:
        contrasts: table of `matwheel.chapters.phonon.configuration_transfer`; its `better` decides.
    """
    cards = []
    family = contrasts[contrasts["family"] != OTHER_FAMILY]
    here = family[(family["target"] == target) & (family["test_set"] == "thermal")]
    for row in records(here):
        words = {FIRST: "yes", SECOND: "no, the other way round", UNDECIDED: UNSEEN}
        evidence = _too_few(row["seeds"])
        if row["better"] != TOO_FEW:
            evidence = (
                f"test MAE {_signed(row['mean_difference'])} {unit} with {row['size']} rows, 95 % interval "
                f"{_signed(row['interval_low'])} to {_signed(row['interval_high'])}, {row['seeds']} seeds, "
                f"p = {in_digits(row['p_corrected_t_holm'], 2)} (Holm, {len(family)} contrasts)"
            )
        cards.append(
            Card(
                f"{target.removesuffix('_ev').replace('_', ' ')} of displaced configurations",
                "Do thermal displacements teach more than "
                f"{row['reference_training_set'].replace('_', ' ')} ones?",
                words.get(row["better"], row["better"]),
                {FIRST: GOOD, SECOND: BAD}.get(row["better"], OPEN),
                evidence,
                "configurations",
            )
        )
    return cards


def _too_few(splits: int) -> str:
    return f"{splits} of at least {FEWEST_SPLITS} splits"


def _signed(value: float) -> str:
    text = in_digits(value, 2)
    return f"+{text}" if value > 0 else text


def _percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{in_digits(round(100 * float(share), 1))} %"
