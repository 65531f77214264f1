"""False-negative audit: how many real materials each screen would have killed.

A screen is worth using only if it lets real materials through. The audit takes the verdicts of crystals that
are known to exist, each judged by every screen whatever the others said.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd

from matwheel.core.proportions import share_columns
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, verdict_matrix

COLUMNS = (
    "screen", "judged", "killed", "undecided", "error", "not_judged", "killed_share", "killed_low",
    "killed_high", "lost_share", "lost_low", "lost_high", "killed_alone", "examples",
)  # fmt: skip
ALL_SCREENS = "all screens"
_EXAMPLES = 3


def false_negatives(
    verdicts: pd.DataFrame, candidate_ids: Sequence[str], screens: Sequence[str]
) -> pd.DataFrame:
    """Count the real materials that each screen would have killed.

    Args:
        verdicts: verdict table of real crystals, every crystal through every screen.
        screens: screens to audit. Novelty against a set that holds the crystals rejects them rightly, so it
            does not belong here.

    Returns:
        One row per screen, then one for all of them together, columns `COLUMNS`. killed: the screen failed a
        real material; lost: it did not pass it (killed, undecided or in error); both as shares of `judged`,
        with 95 % Wilson intervals. killed_alone: no other of the screens failed it. For all screens together,
        a crystal is killed when any screen failed it, undecided, in error or not judged (in this order) when
        none did. examples: the first few killed, with the reason given.
    """
    matrix = verdict_matrix(verdicts[verdicts["screen"].isin(screens)], candidate_ids)
    grid = matrix.reindex(columns=list(screens)).to_numpy(dtype=object)
    reasons = verdicts.set_index(["candidate_id", "screen"])["reason"]
    fails = (grid == FAIL).sum(axis=1)
    rows = []
    for column, screen in enumerate(screens):
        here = grid[:, column]
        killed = here == FAIL
        examples = "; ".join(
            f"{candidate_ids[i]}: {reasons[(candidate_ids[i], screen)] or 'no reason given'}"
            for i in np.flatnonzero(killed)[:_EXAMPLES]
        )
        rows.append((screen, *_figures(here), int((killed & (fails == 1)).sum()), examples))
    together = np.full(len(candidate_ids), None, dtype=object)
    if len(screens):
        together[(grid == PASS).all(axis=1)] = PASS
    for verdict in (ERROR, UNDECIDED, FAIL):
        together[(grid == verdict).any(axis=1)] = verdict
    rows.append((ALL_SCREENS, *_figures(together), int((together == FAIL).sum()), ""))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _figures(column: np.ndarray) -> tuple[float, ...]:
    killed, undecided, error, passed = (
        int((column == verdict).sum()) for verdict in (FAIL, UNDECIDED, ERROR, PASS)
    )
    judged = killed + undecided + error + passed
    shares = (share_columns("", count, judged).values() for count in (killed, judged - passed))
    return (judged, killed, undecided, error, len(column) - judged, *chain(*shares))
