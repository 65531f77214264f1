"""Dynamical stability by two potentials: the first decides, and the second can only take its verdict away.

Where both decide and differ the crystal is undecided; a second potential that cannot decide changes nothing,
and one that decides does not help a first that could not. So nothing undecided becomes a pass or a fail.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import pandas as pd

from matwheel.potentials.potentials import PotentialCard
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict
from matwheel.vibrations.phonon_judgement import frequency_text
from matwheel.vibrations.phonon_results import phonon_verdicts

_WORDS = {PASS: "stable", FAIL: "unstable", UNDECIDED: "could not decide", ERROR: "could not judge"}
_COLUMNS = ("verdict", "lowest_frequency_thz", "reason")


def with_second_opinion(
    first: pd.DataFrame, second: pd.DataFrame, first_card: PotentialCard, second_card: PotentialCard
) -> tuple[pd.DataFrame, list[Verdict]]:
    """Return the first potential's phonons beside the second opinion, and the verdicts of both together.

    Args:
        first: table of `phonon_table`.
        second: the same crystals in the same order by the second potential.
        first_card, second_card: the potentials.

    Returns:
        `first` with the columns second_potential, second_verdict, second_lowest_frequency_thz and
        second_reason, and `join_opinions` of each row.

    Raises:
        ValueError: the tables are not of the same crystals.
    """
    opinions = {f"second_{name}": second[name].to_numpy() for name in _COLUMNS}
    verdicts = [
        join_opinions(one, other, first_card, second_card)
        for one, other in zip(
            phonon_verdicts(first, first_card), phonon_verdicts(second, second_card), strict=True
        )
    ]
    return first.assign(second_potential=second_card.name, **opinions), verdicts


def join_opinions(
    first: Verdict, second: Verdict, first_card: PotentialCard, second_card: PotentialCard
) -> Verdict:
    """Return what two potentials say together of one crystal; value and threshold are the first's.

    Raises:
        ValueError: the verdicts are on different crystals.
    """
    if first.candidate_id != second.candidate_id:
        raise ValueError(f"opinions on {first.candidate_id!r} and on {second.candidate_id!r}")
    second_said = f"{second_card.name}: {_said(second)}"
    if {first.verdict, second.verdict} == {PASS, FAIL}:
        verdict = UNDECIDED
        reason = f"the potentials disagree: {first_card.name}: {_said(first)}; {second_said}"
    else:
        verdict = first.verdict
        reason = "; ".join(part for part in (first.reason, f"second opinion, {second_said}") if part)
    return replace(
        first,
        verdict=verdict,
        reason=reason,
        tool=f"{first.tool} and {second_card.name}",
        tool_version=f"{first.tool_version}, {second.tool_version}",
        seconds=first.seconds + second.seconds,
    )


def _said(verdict: Verdict) -> str:
    """Return a verdict of phonons in words, with its lowest frequency and its reason."""
    figure = f"lowest mode {frequency_text(verdict.value)} THz" if isfinite(verdict.value) else ""
    figure = "" if figure in verdict.reason else figure
    return ", ".join(part for part in (_WORDS[verdict.verdict], figure, verdict.reason) if part)
