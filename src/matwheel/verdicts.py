"""Verdicts: what each screen said of each candidate, and why. Every count is an aggregation of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan

import pandas as pd

PASS, FAIL, UNDECIDED, ERROR = "pass", "fail", "undecided", "error"
VERDICTS = (PASS, FAIL, UNDECIDED, ERROR)
ROUNDING_EV_PER_ATOM = 1e-6
"""Energies above a hull are equal within it: differences of sums, by a linear program solved to 1e-7."""


@dataclass(frozen=True)
class Verdict:
    """What one screen said of one candidate.

    Attributes:
        candidate_id: id of the crystal.
        screen: name of the screen, e.g. 'charge_neutrality'.
        verdict: 'pass', 'fail', 'undecided' (measured, but too close to call or two methods disagree) or
            'error' (could not be measured).
        value: the figure that was judged, in the units of `threshold`; NaN where there is none.
        threshold: what the value was compared with; NaN where there is none.
        reason: one sentence for a person; empty for a plain pass.
        tool: what measured it, e.g. 'smact14' or '7net-0'.
        tool_version: version of the tool, or a hash of its weights or data.
        seconds: wall time spent; the only column that differs between two runs.
    """

    candidate_id: str
    screen: str
    verdict: str
    value: float = nan
    threshold: float = nan
    reason: str = ""
    tool: str = ""
    tool_version: str = ""
    seconds: float = nan

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.candidate_id}: verdict {self.verdict!r}, not {', '.join(VERDICTS)}")


COLUMNS = tuple(Verdict.__dataclass_fields__)
_NUMBERS = ("value", "threshold", "seconds")


def verdict_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Return verdicts as a table with the columns `COLUMNS`, in the given order."""
    frame = pd.DataFrame([asdict(verdict) for verdict in verdicts], columns=list(COLUMNS))
    return frame.astype({name: float if name in _NUMBERS else str for name in COLUMNS})


def join_verdicts(tables: Sequence[pd.DataFrame], candidate_ids: Sequence[str]) -> pd.DataFrame:
    """Return one table of several: by candidate in the order of `candidate_ids`, then as the tables come.

    Raises:
        ValueError: a verdict names a candidate that is not listed, or a screen judged a candidate twice.
    """
    frame = pd.concat([verdict_table([]), *tables], ignore_index=True)
    position = {candidate: place for place, candidate in enumerate(candidate_ids)}
    strangers = sorted(set(frame["candidate_id"]) - set(position))
    if strangers:
        raise ValueError(f"verdict on {strangers[0]!r}, which is not among the candidates")
    twice = frame[frame.duplicated(["candidate_id", "screen"])]
    if len(twice):
        raise ValueError(f"{twice.iloc[0]['candidate_id']} has two verdicts of {twice.iloc[0]['screen']}")
    order = frame["candidate_id"].map(position).sort_values(kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def verdict_matrix(table: pd.DataFrame, candidate_ids: Sequence[str]) -> pd.DataFrame:
    """Return the verdicts with a row per candidate and a column per screen; None where not judged."""
    screens = list(dict.fromkeys(table["screen"]))
    matrix = table.pivot(index="candidate_id", columns="screen", values="verdict")
    matrix = matrix.reindex(index=list(candidate_ids), columns=screens).astype(object)
    return matrix.where(matrix.notna(), None)  # type: ignore[call-overload]  # pandas-stubs forgets None


def survivors(table: pd.DataFrame, candidate_ids: Sequence[str], screens: Sequence[str]) -> list[str]:
    """Return the candidates that passed every one of `screens`, in the given order."""
    passed = table[table["verdict"].eq(PASS) & table["screen"].isin(screens)]
    counts = passed.groupby("candidate_id")["screen"].nunique()
    return [candidate for candidate in candidate_ids if counts.get(candidate, 0) == len(set(screens))]
