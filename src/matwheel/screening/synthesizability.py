"""Synthesizability: a screen that any score can be plugged into.

A new score is one module and one line here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.registries import Registry, registered
from matwheel.crystals.crystal import Crystal
from matwheel.verdicts import ERROR, FAIL, PASS, Verdict

SCREEN = "synthesizability"
NO_SCORE = "none"
THRESHOLD = 0.5

# name: (module, class)
SCORES: Registry[tuple[str, str]] = {
    "formula": ("matwheel.composition_models.formula_synthesizability", "FormulaScore")
}


@runtime_checkable
class SynthesizabilityScore(Protocol):
    """How likely each crystal can be made.

    Attributes:
        version: its version, or a hash of its weights and data.
    """

    name: str
    version: str

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> SynthesizabilityScore:
        """Return the score; an unknown setting raises `InputError`."""
        ...

    def score(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return a number in [0, 1] per crystal, shape (n,), higher for easier; NaN where it has none.

        The score of a crystal depends on that crystal only, and is the same at every call.
        """
        ...


def make_score(name: str, settings: Mapping[str, Any] | None = None) -> SynthesizabilityScore | None:
    """Return the score `name`; None for 'none', which judges nothing.

    Raises:
        InputError: unknown score or setting.
    """
    if name == NO_SCORE:
        return None
    return registered(SCORES, name, "synthesizability score").from_settings(settings or {})


def synthesizability_verdicts(
    crystals: Sequence[Crystal], score: SynthesizabilityScore | None, threshold: float = THRESHOLD
) -> list[Verdict]:
    """Judge each crystal by its score: it passes from `threshold` on.

    A score that fails on the whole batch, or answers with other than one number in [0, 1] or NaN per crystal,
    is asked for each crystal alone, so that one crystal costs only its own verdict.

    Returns:
        One verdict per crystal, in the given order; 'error' where there is no value. None at all without a
        score.

    Raises:
        InputError: the threshold is not within 0 … 1.
    """
    if score is None:
        return []
    if not 0 <= threshold <= 1:
        raise InputError(f"synthesizability screen: threshold {threshold} is not within 0 … 1")
    started = time.perf_counter()
    try:
        values, faults = _values(score, crystals), [""] * len(crystals)
    except Exception:  # one strange crystal must not end the batch
        values, faults = _one_by_one(score, crystals)
    seconds = (time.perf_counter() - started) / max(1, len(crystals))
    verdicts = []
    for crystal, value, fault in zip(crystals, values, faults, strict=True):
        if np.isnan(value):
            verdict, reason = ERROR, fault or f"{score.name} has no value for it"
        elif value >= threshold:
            verdict, reason = PASS, ""
        else:
            verdict, reason = FAIL, f"{score.name} {value:.2f} is below {threshold:g}"
        verdicts.append(
            Verdict(
                crystal.id, SCREEN, verdict, float(value), threshold, reason,
                tool=score.name, tool_version=score.version, seconds=seconds,
            )
        )  # fmt: skip
    return verdicts


def _values(score: SynthesizabilityScore, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    values = np.asarray(score.score(crystals), dtype=np.float64)
    if values.shape != (len(crystals),):
        raise ValueError(f"{score.name} gave values of shape {values.shape} for {len(crystals)} crystals")
    wrong = values[~(np.isnan(values) | ((values >= 0) & (values <= 1)))]
    if len(wrong):
        raise ValueError(f"{score.name} gave {wrong[0]:g}, which is not within 0 … 1")
    return values


def _one_by_one(
    score: SynthesizabilityScore, crystals: Sequence[Crystal]
) -> tuple[NDArray[np.float64], list[str]]:
    values, faults = np.full(len(crystals), np.nan), [""] * len(crystals)
    for i, crystal in enumerate(crystals):
        try:
            values[i] = _values(score, [crystal])[0]
        except Exception as error:
            faults[i] = f"{type(error).__name__}: {error}"
    return values, faults
