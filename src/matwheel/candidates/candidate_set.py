"""A set of candidates, and what the stages that screen and validate it must know: no more than stands here.

Chapters register families of sets; the generic stages read `sets[name]` and know no chapter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from matwheel.core.errors import InputError

FILE_OF_SCREEN = {
    "structure": "structure",
    "symmetry": "structure",
    "charge_neutrality": "composition",
    "electronegativity": "composition",
    "unique": "uniqueness",
    "novel_training": "novelty",
    "novel_mp": "novelty",
    "novel_formula": "novelty",
    "synthesizability": "synthesizability",
}
"""Built-in screen → file of verdicts that holds it, in the order of the funnel.

A screen of the config's `screen.further` has a file of its own name.
"""


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """One set of candidates.

    Attributes:
        name: its folder under the results.
        title: what tables call it.
        screens: each screen before any relaxation, in the order of the funnel, with the name of the file of
            verdicts that holds it.
        required: of these, the screens that a candidate must pass before it is relaxed.
        unique: the one that says which of several equal candidates stands for all.
        novel: screens of novelty that S.U.N. asks for: one before relaxation, then those after it.
        references: sets of known crystals or formulas that candidates are compared with, with their files.
        references_after: the same for relaxed candidates.
        relaxed_files: names of the files of verdicts on relaxed candidates, before the hull.
        required_after: further screens of relaxed candidates that must be passed.
        relaxation: settings of the relaxation.
        relax_at_most, phonons_at_most: candidates that get a relaxation, and phonons.
        size: says how many candidates there can be; None where nobody knows before they are made.
        predicted: file of a predicted property, or nothing.
    """

    name: str
    title: str
    screens: Mapping[str, str]
    required: Sequence[str]
    unique: str
    novel: Sequence[str]
    references: Mapping[str, Sequence[str]]
    references_after: Mapping[str, Sequence[str]]
    relax_at_most: int
    phonons_at_most: int
    relaxation: Mapping[str, Any] = field(default_factory=dict)
    relaxed_files: Sequence[str] = ("relaxation", "relaxed")
    required_after: Sequence[str] = ()
    predicted: Sequence[str] = ()
    size: Callable[[], int] | None = None

    def verdict_files(self, *later: str) -> list[str]:
        """Return the files of verdicts of the screens before relaxation, and those of `later` stages."""
        names = (*dict.fromkeys(self.screens.values()), *later)
        return [f"results/{self.name}/verdicts/{name}.parquet" for name in names]

    def shards_of(self, at_most: int, shard_size: int) -> range:
        """Return the shards of a stage that takes so many candidates; at least one, and none that is empty
        for want of candidates.
        """
        candidates = at_most if self.size is None else min(at_most, self.size())
        return range(max(1, ceil(candidates / shard_size)))

    @property
    def before_relaxation(self) -> list[str]:
        """Screens that a candidate must pass before it is relaxed to count in S.U.N."""
        asked = dict.fromkeys([*self.required, self.unique, self.novel[0]])
        return [name for name in asked if name in self.screens]

    @property
    def required_of_relaxed(self) -> list[str]:
        """Screens that a relaxed candidate must pass: what was required before holds after relaxation too."""
        pairs = ((self.unique, "unique_relaxed"), tuple(self.novel))
        again = [name for before, *after in pairs if before in self.required for name in after]
        return [*again, *self.required_after]

    @property
    def funnel(self) -> list[str]:
        """Screens that a candidate must pass in turn, from the first to dynamical stability."""
        relaxed = ["single_point", "relaxation", *self.required_of_relaxed]
        return [*self.required, *relaxed, "hull", "phonons"]


class CandidateSets:
    """Sets by name, made when they are asked for by the family that the name belongs to."""

    def __init__(self) -> None:
        self._families: dict[str, Callable[[str], CandidateSet]] = {}
        self._made: dict[str, CandidateSet] = {}

    def register(self, pattern: str, make: Callable[[str], CandidateSet]) -> None:
        """Add a family: a regular expression that the whole name matches, and what makes a set of a name."""
        self._families[pattern] = make

    @property
    def pattern(self) -> str:
        """A regular expression that the names of all families match, and no others."""
        return "|".join(self._families) or "(?!)"

    def __getitem__(self, name: str) -> CandidateSet:
        """Return a set.

        Raises:
            InputError: no family has such a name.
        """
        if name not in self._made:
            for pattern, make in self._families.items():
                if re.fullmatch(pattern, name):
                    self._made[name] = make(name)
                    break
            else:
                raise InputError(f"there is no set of candidates {name!r}; names match {self.pattern}")
        return self._made[name]
