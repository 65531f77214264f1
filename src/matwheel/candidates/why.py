"""The history of one candidate, as a person would want to read it: `matwheel why ID` prints it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from matwheel.candidates.funnel import deciding_screens, in_funnel_order
from matwheel.candidates.ranking import in_words, judge_candidate, rows_by_screen
from matwheel.core.errors import InputError
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED

MARKS = {PASS: "✓", FAIL: "✗", UNDECIDED: "?", ERROR: "!"}
NOT_DONE_MARK = "·"
UNITS = {
    "relaxation": "eV/Å",
    "unique_relaxed": "eV/atom",
    "hull_dft": "eV/atom",
    "hull_potential": "eV/atom",
    "hull": "eV/atom",
    "phonons": "THz",
}
"""Units of value and threshold, where a screen always judges the same figure."""

_ENDED = {FAIL: "rejected it", UNDECIDED: "was undecided", ERROR: "could not judge it"}
_WIDTH = 110
_NAME_WIDTH = 19


def history(
    candidate_id: str,
    verdicts: pd.DataFrame,
    crystal_row: Mapping[str, Any] | pd.Series | None = None,
    extras: Mapping[str, str] | None = None,
    *,
    screens: Sequence[str] | None = None,
) -> str:
    """Return what is known of a candidate and what each screen said of it.

    Args:
        crystal_row: its row of the crystal table (formula, species, space_group; condition, generator,
            generation_seed where it has them).
        extras: further lines of the head, label → text.
        screens: the screens that decide, in funnel order; the default is `deciding_screens` of the table.

    Returns:
        Lines of text: head, overall verdict, then every screen with its mark (✓ pass, ✗ fail, ? undecided,
        ! could not be judged, · not done), the value against the threshold with units, the reason and the
        tool; those of `screens` first, the others in funnel order.

    Raises:
        InputError: no verdict on that candidate; the nearest ids are named.
    """
    judged = rows_by_screen(verdicts[verdicts["candidate_id"] == candidate_id]).get(candidate_id)
    if judged is None:
        raise InputError(unknown_id(candidate_id, verdicts["candidate_id"]))
    # Those that decide in the order of their funnel, which a set of genes has of its own; then the others.
    known = list(dict.fromkeys([*(screens or ()), *in_funnel_order(verdicts["screen"])]))
    deciding = list(screens) if screens is not None else deciding_screens(known)
    judgement = judge_candidate(judged, deciding)
    lines = [candidate_id]
    lines += [_wrapped(f"{label}: {text}", "  ") for label, text in _head(crystal_row, extras)]
    lines += ["", _wrapped(f"{judgement.overall.upper()}: {judgement.reason}", "  "), ""]
    ended = ""
    left_out: list[tuple[str, str]] = []
    for screen in known:
        row = judged.get(screen)
        if row is None:
            left_out.append((screen, ended or "left out by a budget or not run yet"))
            continue
        lines += _not_done(left_out)
        left_out = []
        said = _said(row)
        if screen not in deciding and screen != judgement.decided_by:
            said = f"{said} (for information; does not decide)".strip()
        elif not ended and row["verdict"] != PASS:
            ended = f"{in_words(screen)} {_ENDED[row['verdict']]}"
        lines.append(_screen_line(MARKS[row["verdict"]], in_words(screen), said))
    lines += _not_done(left_out)
    return "\n".join(lines) + "\n"


def _screen_line(mark: str, name: str, said: str) -> str:
    return _wrapped(said, f"  {mark} {name:<{_NAME_WIDTH}} ", " " * (_NAME_WIDTH + 5)).rstrip()


def _not_done(left_out: Sequence[tuple[str, str]]) -> list[str]:
    """Return one line per reason for screens in a row that were not done."""
    return [
        _screen_line(NOT_DONE_MARK, "not done", f"{', '.join(in_words(name) for name, _ in group)}: {why}")
        for why, group in groupby(left_out, key=lambda one: one[1])
    ]


def unknown_id(candidate_id: str, known_ids: Sequence[str] | pd.Series, where: str = "") -> str:
    """Return the message for an id that is not there, with the nearest ones."""
    distinct = sorted(set(known_ids))
    near = get_close_matches(candidate_id, distinct, n=5, cutoff=0.5) or distinct[:3]
    suggestion = f"; nearest: {', '.join(near)}" if near else "; there are no candidates at all"
    return f"no candidate {candidate_id!r}{f' in {where}' if where else ''}{suggestion}"


def _head(
    crystal_row: Mapping[str, Any] | pd.Series | None, extras: Mapping[str, str] | None
) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    row = {} if crystal_row is None else dict(crystal_row)
    if row.get("formula"):
        atoms = f", {len(row['species'])} atoms in the cell" if row.get("species") is not None else ""
        lines.append(("crystal", f"{row['formula']}{atoms}, {_space_group(row.get('space_group'))}"))
    origin = []
    if row.get("generator"):
        origin.append(f"made by {row['generator']}")
    if _given(row.get("generation_seed")):
        origin.append(f"generation seed {int(row['generation_seed'])}")
    if _given(row.get("condition")):
        origin.append(f"asked for a property of {float(row['condition']):.4g}")
    if origin:
        lines.append(("origin", ", ".join(origin)))
    return lines + [(label, text) for label, text in (extras or {}).items() if text]


def _space_group(number: Any) -> str:
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    if not _given(number) or not 1 <= int(number) <= 230:
        return "no space group found"
    return f"space group {sg_symbol_from_int_number(int(number))} ({int(number)})"


def _given(value: Any) -> bool:
    return value is not None and not (np.ndim(value) == 0 and bool(pd.isna(value)))


def _said(row: Mapping[str, Any]) -> str:
    """Return value against threshold, reason and tool of one verdict."""
    unit = UNITS.get(row["screen"], "")
    if row["screen"] == "structure" and row["verdict"] == PASS:  # a failure's figure is in its reason
        unit = "Å, smallest distance"
    value, threshold = float(row["value"]), float(row["threshold"])
    figure = ""
    if not np.isnan(value):
        figure = f"{value:.4g}"
        if not np.isnan(threshold):
            sign = "=" if value == threshold else "<" if value < threshold else ">"
            figure += f" {sign} {threshold:.4g}"
        figure += f" {unit}" if unit else ""
    tool = " ".join(part for part in (row["tool"], _short(row["tool_version"])) if part)
    said = "; ".join(part for part in (figure, row["reason"]) if part)
    return f"{said} [{tool}]".strip() if tool else said


def _short(tool_version: str) -> str:
    """Return a version; of a long hash the first digits."""
    return tool_version if len(tool_version) <= 24 else tool_version[:12]


def _wrapped(text: str, first: str, rest: str | None = None) -> str:
    rest = f"{first}  " if rest is None else rest
    return textwrap.fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False,
    ) or first  # fmt: skip
