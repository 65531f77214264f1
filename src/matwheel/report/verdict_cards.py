"""Answers to what users ask, each with the figures it rests on; no answer is firmer than its interval."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from matwheel.evaluation.candidates import METASTABLE, STABLE
from matwheel.evaluation.contrasts import TEST_TO_TRAIN
from matwheel.evaluation.false_negatives import ALL_SCREENS
from matwheel.evaluation.paired_statistics import corrected_t_interval
from matwheel.evaluation.table2 import BASELINES
from matwheel.report.blocks import BAD, GOOD, OPEN, PLAIN, Card, in_digits

SIGNIFICANCE = 0.05


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

    'helps' and 'harms' ask for an interval without zero and a corrected t-test below 0.05 after Holm's
    correction; an interval alone 'leans'.

    Args:
        contrasts: table of `paired_contrasts`.
        titles: dataset → words.
        units: dataset → unit of its target.
        question: what the card asks.
        method: training set compared with its reference.
        section: anchor of the section with the figures.
    """
    cards = []
    for row in contrasts[contrasts["method"] == method].to_dict("records"):
        low, high, p = row["interval_low"], row["interval_high"], row["p_corrected_t_holm"]
        unit = f" {units[row['dataset']]}" if units.get(row["dataset"]) else ""
        about = f"{titles.get(row['dataset'], row['dataset'])}, {row['scheme']} splits, {row['predictor']}"
        if pd.isna(low):
            answer, tone = "cannot be told yet", OPEN
            evidence = str(row["note"]) if not pd.isna(row["note"]) else "too few splits for an interval"
        else:
            sign = "helps" if high < 0 else "harms" if low > 0 else ""
            certain = not pd.isna(p) and p < SIGNIFICANCE
            answer = (sign if certain else f"leans to: {sign}") if sign else "no difference seen"
            tone = {"helps": GOOD, "harms": BAD, "": OPEN}[sign]
            evidence = (
                f"{row['contrast']}: test MAE {_signed(row['mean_difference'])}{unit}, 95 % interval "
                f"{_signed(low)} to {_signed(high)}, {row['splits']} splits, p = {in_digits(p, 2)} (Holm); "
                f"a difference of {in_digits(row['minimum_detectable_difference'], 2)} could have been seen"
            )
        cards.append(Card(about, question, answer, tone, evidence, section))
    return cards


def baseline_cards(scores: pd.DataFrame, titles: Mapping[str, str], units: Mapping[str, str]) -> list[Card]:
    """Say which predictor has the lowest test error on all real training rows, if splits can tell.

    The best one is named where the 95 % interval of its paired difference to the next, by the corrected
    standard error over splits, is below zero.

    Args:
        scores: table of `run_scores`.
        titles: dataset → words.
        units: dataset → unit of its target.
    """
    cards = []
    for (dataset, scheme), part in scores[scores["training_set"] == "F"].groupby(
        ["dataset", "scheme"], sort=True
    ):
        errors = part.pivot(index="seed", columns="predictor", values="mae")
        means = errors.mean().sort_values(kind="stable")
        unit = f" {units[dataset]}" if units.get(dataset) else ""
        evidence = (
            "test MAE "
            + ", ".join(f"{name} {in_digits(mean, 3)}" for name, mean in means.items())
            + f"{unit}; means over {len(errors)} splits"
        )
        best, *others = means.index
        answer, tone = "cannot be told yet", OPEN
        differences = (errors[best] - errors[others[0]]).dropna() if others else []
        if len(differences) > 1:
            low, high = corrected_t_interval(differences, TEST_TO_TRAIN)
            answer = best if high < 0 else "no clear winner"
            tone = (BAD if best in BASELINES else GOOD) if high < 0 else OPEN
            evidence += (
                f"; {best} − {others[0]}: {_signed(differences.mean())}, 95 % interval {_signed(low)} to "
                f"{_signed(high)}"
            )
        about = f"{titles.get(dataset, dataset)}, {scheme} splits"
        cards.append(Card(about, "Which predictor is best on real rows?", answer, tone, evidence, "table2"))
    return cards


def candidate_cards(rates: pd.DataFrame, candidates: pd.DataFrame, title: str) -> list[Card]:
    """Say how many candidates of a set passed every screen, and the rate among those fully measured.

    Args:
        rates: table of `sun_rates` of the set.
        candidates: its ranked candidates.
        title: of the set.
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
    for row in audit[audit["screen"] == ALL_SCREENS].to_dict("records"):
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
    for (dataset, scheme), part in shared.groupby(["dataset", "scheme"], sort=True):
        means = part.groupby("check", sort=False)["fraction"].mean()
        formula = means.get("same formula", float("nan"))
        shares = [f"{check.removeprefix('same ')} {_percent(share)}" for check, share in means.items()]
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


def composition_cards(table: pd.DataFrame, model: str = "matgan") -> list[Card]:
    """Compare the held-out recovery of the GAN with the best null generator, interval against interval.

    Args:
        table: Table 1 of the chapter, one row per formula set and generator.
        model: name of the GAN among the generators.
    """
    cards = []
    for formula_set, part in table.groupby("formula_set", sort=False):
        own = part[part["generator"] == model].iloc[0]
        nulls = part[part["generator"] != model]
        if not len(nulls):
            continue
        best = nulls.loc[nulls["held_out_recovery"].idxmax()]
        better = own["held_out_recovery_low"] > best["held_out_recovery_high"]
        worse = own["held_out_recovery_high"] < best["held_out_recovery_low"]
        cards.append(
            Card(
                f"compositions of {formula_set}",
                "Does the GAN find more held-out formulas than substitution of elements and other nulls?",
                "yes" if better else "no, fewer" if worse else "no difference seen",
                GOOD if better else BAD if worse else OPEN,
                f"{_percent(own['held_out_recovery'])} ({_percent(own['held_out_recovery_low'])} to "
                f"{_percent(own['held_out_recovery_high'])}) against "
                f"{_percent(best['held_out_recovery'])} of {best['generator']}, at "
                f"{in_digits(int(own['samples']))} samples each",
                "compositions",
            )
        )
    return cards


def gene_cards(yields: pd.DataFrame) -> list[Card]:
    """Say how many relaxed crystals of each source of genes are stable.

    Args:
        yields: table of `matwheel.evaluation.gene_yields`, one row per set.
    """
    rows = yields.to_dict("records")
    if not rows:
        return []
    texts = [
        f"{row['set']}: {row['stable']} of {row['relaxed']} ({_percent(row['stable_of_relaxed_low'])} to "
        f"{_percent(row['stable_of_relaxed_high'])})"
        for row in rows
    ]
    first = rows[0]
    others = [row["stable_of_relaxed_high"] for row in rows[1:] if row["relaxed"]]
    beats = bool(others) and first["stable_of_relaxed_low"] > max(others)
    tone = GOOD if beats else OPEN
    answer = f"{first['stable']} of {first['relaxed']} relaxed" + (", more than the nulls" if beats else "")
    return [
        Card(
            first["set"],
            "How many new crystals from genes are stable?",
            answer,
            tone,
            "; ".join(texts),
            "genes",
        )
    ]


def configuration_cards(contrasts: pd.DataFrame, target: str, unit: str) -> list[Card]:
    """Say whether thermal configurations teach more than random ones, at the largest size, on thermal rows.

    As in `training_cards` an interval alone leans; 'yes' and 'no' ask for a corrected t-test below 0.05 too.

    Args:
        contrasts: table of `matwheel.evaluation.configuration_transfer`.
        target: label that is looked at.
        unit: of that label.
    """
    cards = []
    here = contrasts[
        (contrasts["method"] == "distance_network")
        & (contrasts["reference_method"] == "distance_network")
        & (contrasts["training_set"] == "thermal")
        & (contrasts["target"] == target)
        & (contrasts["test_set"] == "thermal")
    ]
    for reference, part in here.groupby("reference_training_set", sort=False):
        row = part.loc[part["size"].idxmax()]
        low, high = row["interval_low"], row["interval_high"]
        if pd.isna(low):
            answer, tone = "cannot be told", OPEN
        else:
            sign = "yes" if high < 0 else "no, the other way round" if low > 0 else ""
            certain = row["p_corrected_t"] < SIGNIFICANCE
            answer = (sign if certain else f"leans to: {sign}") if sign else "no difference seen"
            tone = GOOD if high < 0 else BAD if low > 0 else OPEN
        cards.append(
            Card(
                f"{target.removesuffix('_ev').replace('_', ' ')} of displaced configurations",
                f"Do thermal displacements teach more than {reference.replace('_', ' ')} ones?",
                answer,
                tone,
                f"test MAE {_signed(row['mean_difference'])} {unit} with {row['size']} rows, 95 % interval "
                f"{_signed(low)} to {_signed(high)}, {row['seeds']} seeds, "
                f"p = {in_digits(row['p_corrected_t'], 2)}",
                "configurations",
            )
        )
    return cards


def _signed(value: float) -> str:
    text = in_digits(value, 2)
    return f"+{text}" if value > 0 else text


def _percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{in_digits(round(100 * float(share), 1))} %"
