"""The ranked list of candidates: one row per crystal with every figure that a chemist asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from matwheel.candidates.funnel import HULL_SCREENS, STABLE_EV_PER_ATOM, deciding_screens
from matwheel.core.table_rows import records
from matwheel.verdicts import ERROR, FAIL, PASS, ROUNDING_EV_PER_ATOM, UNDECIDED

STABLE, METASTABLE, PASSED = "stable", "metastable", "passed"
UNFINISHED, REJECTED = "unfinished", "rejected"
OVERALL = (STABLE, METASTABLE, PASSED, UNDECIDED, UNFINISHED, ERROR, REJECTED)
"""Overall verdicts, the best first.

stable: passed every screen and not above any hull that was computed; metastable: passed every screen and
within the threshold of the hull; passed: passed every screen of a funnel without a hull; undecided: no screen
failed it, one was too close to call; unfinished: nothing against it so far, but not every screen was run;
error: no screen failed it, one could not judge it; rejected: a screen failed it.
"""

COLUMNS = (
    "rank", "id", "dataset", "formula", "space_group", "known_as", "condition", "predicted_property",
    "e_hull_dft_ev_per_atom", "e_hull_potential_ev_per_atom", "lowest_frequency_thz", "hull_verdict",
    "dynamical_verdict", "verdict", "screens_passed", "reason", "cif",
)  # fmt: skip
PHONON_SCREEN = "phonons"
# What screens of novelty say of a crystal that is known, from the most to the least that is known of it.
_KNOWN = (
    re.compile(r"^(?:is|relaxes to) (?P<what>.+ of \S+)$"),
    re.compile(r"^the (?P<what>gene) is known in (?P<where>.+)$"),
    re.compile(r"^(?P<what>formula \S+) is known in "),
)
_BULKY = ["species", "lattice", "frac_coords"]


@dataclass(frozen=True, eq=False)
class JudgedCandidates:
    """One set of candidates with what is known of them.

    Attributes:
        dataset: name of the dataset or of the imported file.
        crystals: crystal table (id, formula, space_group; condition where it was asked for); candidates
            that never became a crystal may be missing.
        screens: screens of the funnel, in order; the default is `deciding_screens` of what was judged.
        predicted: id → property by the predictor, in the units of the dataset.
        relaxed_space_groups: id → space-group number after relaxation.
        cif_archive: zip archive with `{id}.cif`; empty where there is none.
        archived: ids in that archive; None for all crystals.
        stable_ev_per_atom: largest energy above hull of a stable crystal, under every hull.
    """

    dataset: str
    crystals: pd.DataFrame
    verdicts: pd.DataFrame
    screens: Sequence[str] | None = None
    predicted: Mapping[str, float] = field(default_factory=dict)
    relaxed_space_groups: Mapping[str, int] = field(default_factory=dict)
    cif_archive: str = ""
    archived: frozenset[str] | None = None
    stable_ev_per_atom: float = STABLE_EV_PER_ATOM


@dataclass(frozen=True)
class OverallJudgement:
    """What all screens together say of one candidate.

    Attributes:
        overall: one of `OVERALL`.
        reason: one line: what rejected it, or what is open, or by what it is stable.
        decided_by: the screen that decided; empty where all passed.
        passed: screens passed in a row from the first on.
    """

    overall: str
    reason: str
    decided_by: str
    passed: int


def judge_candidate(
    verdicts: Mapping[str, Mapping[str, Any]],
    screens: Sequence[str],
    *,
    stable_ev_per_atom: float = STABLE_EV_PER_ATOM,
) -> OverallJudgement:
    """Return the overall verdict of one candidate.

    The first failed screen rejects it. Without one, the first screen that it did not pass says what it is.
    One that passed all is undecided when both hulls together (screen `hull`) did not pass it.

    Args:
        verdicts: screen → its row of the verdict table (verdict, value, threshold, reason), of one candidate.
        screens: the screens that decide, in funnel order.
        stable_ev_per_atom: largest energy above hull of a stable crystal, under every hull.
    """
    said = [verdicts.get(screen, {}).get("verdict") for screen in screens]
    passed = next((place for place, verdict in enumerate(said) if verdict != PASS), len(said))
    blamed = said.index(FAIL) if FAIL in said else passed
    if blamed < len(said):
        screen = screens[blamed]
        blaming = said[blamed]
        if blaming is None:
            left = [screen for screen, verdict in zip(screens, said, strict=True) if verdict is None]
            return OverallJudgement(
                UNFINISHED, f"not judged: {', '.join(map(in_words, left))}", screen, passed
            )
        reason = str(verdicts[screen].get("reason") or "") or "no reason given"
        overall = {FAIL: REJECTED, ERROR: ERROR, UNDECIDED: UNDECIDED}[blaming]
        return OverallJudgement(overall, f"{in_words(screen)}: {reason}", screen, passed)
    both = verdicts.get("hull", {})
    if both and both["verdict"] != PASS:
        reason = str(both["reason"]) or "the hulls disagree"
        return OverallJudgement(UNDECIDED, f"hull: {reason}", "hull", passed)
    energies = {
        words: energy
        for screen, words in (("hull_dft", "DFT"), ("hull_potential", "potential"))
        if not np.isnan(energy := _value(verdicts.get(screen, {})))
    }
    if not energies:
        return OverallJudgement(PASSED, "passed every screen; no energy above hull", "", passed)
    stable = max(energies.values()) <= stable_ev_per_atom + ROUNDING_EV_PER_ATOM
    heights = ", ".join(f"{energy:.3f} ({words})" for words, energy in energies.items())
    untested = "" if PHONON_SCREEN in screens else "; dynamical stability not tested"
    return OverallJudgement(
        STABLE if stable else METASTABLE,
        f"passed every screen; {heights} eV/atom above the hull{untested}",
        "",
        passed,
    )


def candidates_table(sets: Sequence[JudgedCandidates]) -> pd.DataFrame:
    """Rank the candidates of one or several sets.

    First by overall verdict in the order of `OVERALL`; within it the lowest energy above the DFT reference
    hull first (unknown last), then who passed more screens in a row, then dataset and id. So the survivors of
    every screen stand on top, and the order depends on nothing but the verdicts.

    Returns:
        Columns `COLUMNS`: rank (1 is best); space_group as a number, after relaxation where that is known;
        known_as as `known_as` gives it;
        condition (the property that was asked for; NaN where none was); predicted_property in the units of
        the dataset; energies in eV/atom; lowest phonon frequency in THz (imaginary ones negative);
        hull_verdict and dynamical_verdict (pass, fail, undecided, error, or empty: not judged); verdict (one
        of `OVERALL`) with its reason; screens_passed: how many of the deciding ones in a row from the first;
        cif: 'archive.zip/id.cif', or empty.
    """
    rows: list[dict[str, Any]] = []
    for one in sets:
        rows += _rows_of_set(one)
    return ranked([pd.DataFrame(rows, columns=list(COLUMNS[1:]))])


def ranked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables of `candidates_table` and rank them anew, by the same rule."""
    frame = pd.concat(tables, ignore_index=True).drop(columns="rank", errors="ignore")
    place = frame["verdict"].map(OVERALL.index)
    frame = frame.astype({"id": str, "dataset": str})  # a CSV makes numbers of ids that look so
    frame = (
        frame.assign(_class=place.astype(int))
        .sort_values(
            ["_class", "e_hull_dft_ev_per_atom", "screens_passed", "dataset", "id"],
            ascending=[True, True, False, True, True],
            na_position="last",
            kind="stable",
        )
        .reset_index(drop=True)
    )
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    numbers = [
        "condition", "predicted_property", "e_hull_dft_ev_per_atom", "e_hull_potential_ev_per_atom",
        "lowest_frequency_thz",
    ]  # fmt: skip
    whole = dict.fromkeys(["space_group", "screens_passed"], "Int64")
    return frame[list(COLUMNS)].astype({**dict.fromkeys(numbers, float), **whole})


def rows_by_screen(verdicts: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Return a verdict table as candidate → screen → row, both in the order of the table."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for row in records(verdicts):
        result.setdefault(row["candidate_id"], {})[row["screen"]] = row
    return result


def known_as(verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return which known crystal, gene or formula a candidate is, e.g. 'mp-22862 of mp'; empty where novel.

    Args:
        verdicts: screen → its row of the verdict table, of one candidate.
    """
    reasons = [
        str(row["reason"])
        for screen, row in verdicts.items()
        if screen.startswith("novel_") and row["verdict"] == FAIL
    ]
    for pattern in _KNOWN:
        for reason in reasons:
            if found := pattern.match(reason):
                return " of ".join(found.groupdict().values())
    return ""


def in_words(screen: str) -> str:
    """Return the name of a screen as words, e.g. 'charge neutrality'."""
    return screen.replace("_", " ")


def _rows_of_set(one: JudgedCandidates) -> list[dict[str, Any]]:
    judged = rows_by_screen(one.verdicts)
    judged_by = one.verdicts["screen"].tolist()
    screens = list(one.screens) if one.screens is not None else deciding_screens(judged_by)
    crystals = {row["id"]: row for row in records(one.crystals.drop(columns=_BULKY, errors="ignore"))}
    rows = []
    for candidate in dict.fromkeys([*crystals, *judged]):
        crystal, verdicts = crystals.get(candidate, {}), judged.get(candidate, {})
        judgement = judge_candidate(verdicts, screens, stable_ev_per_atom=one.stable_ev_per_atom)
        hull = next((verdicts[name] for name in ("hull", *HULL_SCREENS) if name in verdicts), {})
        archived = bool(one.cif_archive) and (
            candidate in crystals if one.archived is None else candidate in one.archived
        )
        rows.append(
            {
                "id": candidate,
                "dataset": one.dataset,
                "formula": crystal.get("formula", ""),
                "space_group": one.relaxed_space_groups.get(candidate, crystal.get("space_group")),
                "known_as": known_as(verdicts),
                "condition": crystal.get("condition", np.nan),
                "predicted_property": one.predicted.get(candidate, np.nan),
                "e_hull_dft_ev_per_atom": _value(verdicts.get("hull_dft", {})),
                "e_hull_potential_ev_per_atom": _value(verdicts.get("hull_potential", {})),
                "lowest_frequency_thz": _value(verdicts.get(PHONON_SCREEN, {})),
                "hull_verdict": hull.get("verdict", ""),
                "dynamical_verdict": verdicts.get(PHONON_SCREEN, {}).get("verdict", ""),
                "verdict": judgement.overall,
                "screens_passed": judgement.passed,
                "reason": judgement.reason,
                "cif": f"{one.cif_archive}/{candidate}.cif" if archived else "",
            }
        )
    return rows


def _value(row: Mapping[str, Any]) -> float:
    return float(row.get("value", np.nan))
