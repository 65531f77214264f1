"""Novelty: which crystals are not already in a reference set, as structures and as formulas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from matwheel.core.processes import map_in_order
from matwheel.core.table_rows import named_rows
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.screening.reference_sets import FORMULAS, ReferenceSet
from matwheel.screening.uniqueness import (
    MATCHER,
    comparable,
    formulas_and_errors,
    matcher_version,
    same_structure,
)
from matwheel.verdicts import ERROR, FAIL, PASS, UNDECIDED, Verdict

SCREEN_PREFIX = "novel_"
RELAXED_SCREEN = "novel_relaxed"


def novelty(crystals: Sequence[Crystal], training: Sequence[Crystal], *, processes: int = 1) -> pd.DataFrame:
    """Compare each crystal with the training crystals of its reduced formula.

    A crystal that cannot be compared counts as novel and says why.

    Args:
        crystals: crystals, of any kind.
        processes: how many processes share the formulas; the result is the same for any number.

    Returns:
        Columns id, formula_novel (bool), structure_novel (bool), known_as (id of the first equal training
        crystal, empty where novel), comparable (bool), error, in the given order.
    """
    formulas, errors = formulas_and_errors(crystals)
    members: dict[str, list[int]] = defaultdict(list)
    for i, (formula, fault) in enumerate(zip(formulas, errors, strict=True)):
        if not fault:
            members[formula].append(i)
    known: dict[str, list[Crystal]] = defaultdict(list)
    known_formulas = set()
    for crystal in training:
        formula = reduced_formula(crystal)
        known_formulas.add(formula)
        if formula in members:
            known[formula].append(crystal)
    tasks = [([crystals[i] for i in rows], known[formula]) for formula, rows in members.items()]
    costs = [len(new) + len(old) + 3.0 * len(new) * len(old) for new, old in tasks]
    matches, compared = [""] * len(crystals), [False] * len(crystals)
    for rows, found in zip(members.values(), map_in_order(_known_as, tasks, costs, processes), strict=True):
        for i, (match, is_comparable, fault) in zip(rows, found, strict=True):
            matches[i], compared[i], errors[i] = match, is_comparable, fault
    return pd.DataFrame(
        {
            "id": [crystal.id for crystal in crystals],
            "formula_novel": [formula not in known_formulas for formula in formulas],
            "structure_novel": [not match for match in matches],
            "known_as": matches,
            "comparable": compared,
            "error": errors,
        }
    ).astype({"formula_novel": bool, "structure_novel": bool, "comparable": bool})


def novelty_verdicts(
    crystals: Sequence[Crystal], reference: ReferenceSet, *, processes: int = 1
) -> list[Verdict]:
    """Judge each crystal by whether a reference set holds it; the screen is `novel_<name of the set>`.

    A set of structures fails a crystal that equals one of its own, and names it. A set of formulas only knows
    formulas: it fails a crystal whose formula it lists, which may still be a new structure, so that screen
    informs and is no condition of novelty.

    Returns:
        One verdict per crystal, in the given order; 'error' for a crystal that cannot be compared,
        'undecided' for one that equals none of those it could be compared with, but not all were.
    """
    screen = SCREEN_PREFIX + reference.name
    if reference.kind == FORMULAS:
        return [_formula_verdict(crystal, reference, screen) for crystal in crystals]
    return _structure_verdicts(crystals, reference, screen, "is", processes)


def novel_relaxed_verdicts(
    crystals: Sequence[Crystal], reference: ReferenceSet, *, processes: int = 1
) -> list[Verdict]:
    """Judge relaxed crystals by whether they relaxed to one of a reference set of structures.

    The reference crystals are compared as they are, not relaxed by the same potential: the difference is
    small beside the tolerance of the matcher.

    Args:
        crystals: relaxed crystals; only converged ones belong here.
        reference: the set of structures that decides on novelty before relaxation too.

    Returns:
        One verdict per crystal, in the given order, as `novelty_verdicts` gives them.

    Raises:
        ValueError: a set of formulas, of which relaxation changes nothing.
    """
    if reference.kind == FORMULAS:
        raise ValueError(
            f"reference set {reference.name} has formulas only, which relaxation does not change"
        )
    return _structure_verdicts(crystals, reference, RELAXED_SCREEN, "relaxes to", processes)


def _structure_verdicts(
    crystals: Sequence[Crystal], reference: ReferenceSet, screen: str, words: str, processes: int
) -> list[Verdict]:
    formulas, _ = formulas_and_errors(crystals)  # `novelty` says what is wrong with those without
    table = novelty(crystals, reference.crystals_of(formulas), processes=processes)
    verdicts = []
    for row in named_rows(table):
        if row.known_as:
            verdict, reason = FAIL, f"{words} {row.known_as} of {reference.name}"
        elif not row.comparable:
            verdict, reason = ERROR, f"not comparable: {row.error}"
        elif row.error:
            verdict, reason = UNDECIDED, f"not compared with all of {reference.name}: {row.error}"
        else:
            verdict, reason = PASS, ""
        verdicts.append(
            Verdict(
                row.id, screen, verdict, reason=reason,
                tool=MATCHER, tool_version=f"{matcher_version()}, {_digest(reference)}",
            )
        )  # fmt: skip
    return verdicts


def _digest(reference: ReferenceSet) -> str:
    return f"{reference.name} {reference.sha256[:16]}"


def _formula_verdict(crystal: Crystal, reference: ReferenceSet, screen: str) -> Verdict:
    digest = _digest(reference)
    try:
        formula = reduced_formula(crystal)
    except Exception as error:  # a broken crystal is a result, not the end of the batch
        return Verdict(crystal.id, screen, ERROR, reason=f"no formula: {error}", tool_version=digest)
    if not formula:
        verdict, reason = ERROR, "no formula: no atoms"
    elif formula in reference.formulas:
        verdict, reason = FAIL, f"formula {formula} is known in {reference.name}; structure not compared"
    else:
        verdict, reason = PASS, ""
    return Verdict(crystal.id, screen, verdict, reason=reason, tool="reduced formula", tool_version=digest)


def _known_as(task: tuple[Sequence[Crystal], Sequence[Crystal]]) -> list[tuple[str, bool, str]]:
    """Return for each crystal of one formula its known equal, whether it is comparable, and the error."""
    crystals, known = task
    items, references = comparable(crystals), comparable(known)
    broken = next((item for item in references if item.reduced is None), None)
    result = []
    for item in items:
        match, error = "", item.error
        if item.reduced is not None:
            for reference in references:
                try:
                    if same_structure(reference, item):
                        match = reference.id
                        break
                except Exception as problem:  # counted as different, with the reason
                    error = error or f"{reference.id}: {type(problem).__name__}: {problem}"
            if broken is not None and not match:
                error = error or f"{broken.id}: {broken.error}"
        result.append((match, item.reduced is not None, error))
    return result
