"""Null generators of compositions: what chance, or a change of one element, gives with no learning at all.

Every figure of a learnt generator stands beside theirs at the same number of samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, product
from math import comb, gcd
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.settings import WrongSetting, settings

if TYPE_CHECKING:
    from matwheel.training.checkpoints import TrainingCheckpoint

MOST_ATOMS = 8
_PIECE = 200_000
_FEISTEL_ROUNDS = 6


@settings
class UniformSettings:
    """Settings of `UniformCompositions`."""

    fewest_elements: Annotated[int, Field(ge=1, le=20)] = 2
    """Fewest elements of a composition."""
    most_elements: Annotated[int, Field(ge=1, le=20)] = 5
    """Most elements of a composition."""
    most_atoms: Annotated[int, Field(ge=1, le=255)] = MOST_ATOMS
    """Most atoms of one element."""

    def __post_init__(self) -> None:
        _check_numbers(self)


@settings
class StoichiometrySettings:
    """Settings of `StoichiometryCompositions`."""

    element_weights: Literal["uniform", "frequency"] = "frequency"
    """Elements by their 'frequency' in training rows, or 'uniform' over those that occur."""


@settings
class SubstitutionSettings:
    """Settings of `SubstitutionCompositions`."""

    element_weights: Literal["uniform", "frequency"] = "uniform"
    """The new element is drawn 'uniform' over the columns or by 'frequency' in training rows."""


@settings
class EnumerationSettings:
    """Settings of `EnumeratedCompositions`."""

    fewest_elements: Annotated[int, Field(ge=1, le=3)] = 2
    """Fewest elements of a composition."""
    most_elements: Annotated[int, Field(ge=1, le=3)] = 3
    """Most elements of a composition; four make 7.7 billion of 85 elements, too many to go through."""
    most_atoms: Annotated[int, Field(ge=1, le=255)] = MOST_ATOMS
    """Most atoms of one element."""

    def __post_init__(self) -> None:
        _check_numbers(self)


class _NullGenerator:
    """What the null generators have in common: they keep the elements and, where they need them, the rows."""

    name: ClassVar[str]
    settings_class: ClassVar[type]
    needs_rows: ClassVar[bool] = True

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings or self.settings_class()
        self.elements: tuple[str, ...] = ()
        self._columns = np.zeros((0, 0), dtype=np.int64)
        self._amounts = np.zeros((0, 0), dtype=np.uint8)
        self._sizes = np.zeros(0, dtype=np.int64)
        self._frequency = np.zeros(0, dtype=np.float64)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an unfitted generator: its defaults with single settings changed.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        return cls(cls.settings_class(**settings))

    def fit(
        self,
        counts: NDArray[np.uint8],
        elements: Sequence[str],
        *,
        validation_counts: NDArray[np.uint8],
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Keep what is drawn from: the training rows and how many of them hold each element.

        Args:
            counts: reduced compositions, shape (n, elements); a generator that learns nothing from them takes
                their elements only.
            elements: symbols of the columns.
            validation_counts: not used.
            seed: not used.
            checkpoint: not used.
            log: not used.

        Raises:
            InputError: no compositions, one without elements, or one with every element.
        """
        counts = np.asarray(counts)
        if counts.ndim != 2 or counts.shape[1] != len(elements) or not len(elements):
            raise InputError(
                f"counts have shape {counts.shape}, not (compositions, {len(elements)} elements)"
            )
        self.elements = tuple(elements)
        if self.needs_rows:
            self._keep_rows(counts)
        return {"generator": self.name, "rows": len(counts), "elements": len(elements)}

    def _keep_rows(self, counts: NDArray[np.integer]) -> None:
        if not len(counts):
            raise InputError("no training compositions to draw from; the training part of the set is empty")
        sizes = (counts > 0).sum(axis=1)
        for row in np.flatnonzero((sizes == 0) | (sizes == counts.shape[1])):
            raise InputError(
                f"training composition {row + 1} holds {sizes[row]} of {counts.shape[1]} elements"
            )
        rows, columns = np.nonzero(counts)
        starts = np.cumsum(sizes) - sizes
        places = np.arange(len(rows)) - np.repeat(starts, sizes)
        self._sizes = sizes.astype(np.int64)
        self._columns = np.full((len(counts), sizes.max()), -1, dtype=np.int64)
        self._amounts = np.zeros((len(counts), sizes.max()), dtype=np.uint8)
        self._columns[rows, places] = columns
        self._amounts[rows, places] = counts[rows, columns]
        self._frequency = (counts > 0).sum(axis=0).astype(np.float64)

    def sample(self, n: int, *, seed: int, log: Log = log_to_stderr) -> NDArray[np.uint8]:
        """Draw compositions, shape (n, elements), not reduced; about a million per second.

        Raises:
            InputError: n below 0, an unfitted generator, or too few elements to draw from.
        """
        self._check(n)
        generator = np.random.default_rng(seed)
        counts = np.zeros((n, len(self.elements)), dtype=np.uint8)
        for start in range(0, n, _PIECE):
            self._draw(counts[start : start + _PIECE], generator)
        return counts

    def _check(self, n: int) -> None:
        if n < 0:
            raise InputError(f"{n} compositions asked for; give a number of at least 0")
        if not self.elements:
            raise InputError(f"generator {self.name} is not fitted; call fit first")

    def _draw(self, counts: NDArray[np.uint8], generator: np.random.Generator) -> None:
        """Fill rows of zeros."""
        raise NotImplementedError

    def _weights(self) -> NDArray[np.float64]:
        """Return the weight of each element in draws."""
        if self.settings.element_weights == "frequency":
            return self._frequency
        return np.ones(len(self.elements))

    def save(self, path: str | Path) -> None:
        """Write the fitted generator to one file: whole or not at all; same content, same bytes."""
        described = {
            "name": self.name,
            "elements": self.elements,
            "settings": {item.name: getattr(self.settings, item.name) for item in fields(self.settings)},
        }
        # Through an open file, as numpy would add .npz to the name.
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                described=np.array(json.dumps(described, sort_keys=True)),
                columns=self._columns,
                amounts=self._amounts,
                sizes=self._sizes,
                frequency=self._frequency,
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a generator written by `save`.

        Raises:
            InputError: the file holds another generator.
        """
        with np.load(path, allow_pickle=False) as file:
            described = json.loads(str(file["described"]))
            if described["name"] != cls.name:
                raise InputError(f"{path} holds the generator {described['name']}, not {cls.name}")
            generator = cls.from_settings(described["settings"])
            generator.elements = tuple(described["elements"])
            generator._columns, generator._amounts = file["columns"], file["amounts"]
            generator._sizes, generator._frequency = file["sizes"], file["frequency"]
        return generator


class UniformCompositions(_NullGenerator):
    """Compositions by chance: number of elements, elements and atoms each drawn evenly."""

    name = "uniform"
    settings_class = UniformSettings
    needs_rows = False

    def _draw(self, counts: NDArray[np.uint8], generator: np.random.Generator) -> None:
        settings = self.settings
        sizes = generator.integers(settings.fewest_elements, settings.most_elements + 1, size=len(counts))
        columns = distinct_columns(sizes, np.ones(len(self.elements)), generator)
        amounts = generator.integers(1, settings.most_atoms + 1, size=columns.shape).astype(np.uint8)
        _place(counts, sizes, columns, amounts)


class StoichiometryCompositions(_NullGenerator):
    """Stoichiometries of training rows with elements drawn anew, by frequency and without repetition."""

    name = "stoichiometry"
    settings_class = StoichiometrySettings

    def _draw(self, counts: NDArray[np.uint8], generator: np.random.Generator) -> None:
        rows = generator.integers(len(self._sizes), size=len(counts))
        sizes = self._sizes[rows]
        weights = np.where(self._frequency > 0, self._weights(), 0.0)
        columns = distinct_columns(sizes, weights, generator)
        # Frequent elements are drawn first and amounts stand by column, so one of them has to be shuffled.
        order = np.where(np.arange(columns.shape[1]) < sizes[:, None], generator.random(columns.shape), 2.0)
        amounts = np.take_along_axis(
            self._amounts[rows, : columns.shape[1]], np.argsort(order, axis=1), axis=1
        )
        _place(counts, sizes, columns, amounts)


class SubstitutionCompositions(_NullGenerator):
    """Training rows with one of their elements, each as likely, replaced by one that they do not hold."""

    name = "substitution"
    settings_class = SubstitutionSettings

    def _draw(self, counts: NDArray[np.uint8], generator: np.random.Generator) -> None:
        rows = generator.integers(len(self._sizes), size=len(counts))
        columns = self._columns[rows]
        replaced = (generator.random(len(rows)) * self._sizes[rows]).astype(np.int64)
        cumulative = np.cumsum(self._weights())
        waiting = np.arange(len(rows))
        new = np.empty(len(rows), dtype=np.int64)
        _check_choice(self._weights(), self._sizes[rows] + 1)
        while len(waiting):
            new[waiting] = _weighted(cumulative, len(waiting), generator)
            waiting = waiting[(columns[waiting] == new[waiting, None]).any(axis=1)]
        columns[np.arange(len(rows)), replaced] = new
        _place(counts, self._sizes[rows], columns, self._amounts[rows])


class EnumeratedCompositions(_NullGenerator):
    """All compositions of two or three elements, each once, in random order."""

    name = "enumeration"
    settings_class = EnumerationSettings
    needs_rows = False

    def sample(self, n: int, *, seed: int, log: Log = log_to_stderr, first: int = 0) -> NDArray[np.uint8]:
        """Draw reduced compositions without replacement, shape (n, elements).

        The order depends on the seed alone: with the same seed, pieces that begin at `first` = 0, n, 2 n, ...
        have no composition in common.

        Raises:
            InputError: more are asked for than there are, n or first below 0, or an unfitted generator.
        """
        self._check(n)
        blocks = list(self._blocks())
        total = sum(block.size for block in blocks)
        if first < 0 or first + n > total:
            raise InputError(
                f"{n} compositions after the first {first} asked for; there are {total} of "
                f"{self.settings.fewest_elements} to {self.settings.most_elements} of {len(self.elements)} "
                "elements"
            )
        drawn = shuffled(np.arange(first, first + n), total, seed=seed)
        counts = np.zeros((n, len(self.elements)), dtype=np.uint8)
        begin = 0
        for block in blocks:
            rows = np.flatnonzero((drawn >= begin) & (drawn < begin + block.size))
            block.write(drawn[rows] - begin, counts, rows)
            begin += block.size
        return counts

    def _blocks(self) -> Iterator[_Block]:
        for size in range(self.settings.fewest_elements, self.settings.most_elements + 1):
            yield _Block.of(len(self.elements), size, self.settings.most_atoms)

    def pieces(self, rows: int = _PIECE) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield all compositions in order, in pieces of at most `rows`, each with its number of elements.

        Raises:
            InputError: an unfitted generator.
        """
        self._check(0)
        for size, block in enumerate(self._blocks(), self.settings.fewest_elements):
            for start in range(0, block.size, rows):
                numbers = np.arange(start, min(start + rows, block.size))
                counts = np.zeros((len(numbers), len(self.elements)), dtype=np.uint8)
                block.write(numbers, counts, np.arange(len(numbers)))
                yield size, counts


def count_compositions(elements: int, n_elements: int, most_atoms: int = MOST_ATOMS) -> int:
    """Return the number of reduced compositions of exactly `n_elements` of `elements` elements."""
    _check_most_atoms(most_atoms)
    return comb(elements, n_elements) * _reduced_amounts(n_elements, most_atoms)


def shuffled(numbers: NDArray[np.int64], total: int, *, seed: int) -> NDArray[np.int64]:
    """Return where a random permutation of 0 ... total - 1 sends some of them, without making all of it.

    A Feistel network over the next power of four; a number that leaves the range is sent on until it is back
    (Black & Rogaway, CT-RSA 2002, "cycle walking").

    Args:
        numbers: shape (n,), each from 0 to total - 1.
        total: how many there are.
        seed: of the permutation.
    """
    half = np.uint64(max(1, ((total - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = np.random.default_rng(seed).integers(2**64, size=_FEISTEL_ROUNDS, dtype=np.uint64)
    sent = numbers.astype(np.uint64)
    walking = np.arange(len(sent))
    while len(walking):
        left, right = sent[walking] >> half, sent[walking] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right + key) & mask)
        sent[walking] = (left << half) | right
        walking = walking[sent[walking] >= total]
    return sent.astype(np.int64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64-bit words with their bits mixed (the last step of SplitMix64; Steele et al., OOPSLA 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def distinct_columns(
    sizes: NDArray[np.integer], weights: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw columns one after another, each by the weights of those that the row does not hold yet.

    Args:
        sizes: number of columns of each row, shape (rows,).
        weights: of the columns, not negative, any sum.
        generator: of the draws.

    Returns:
        Shape (rows, largest size); -1 beyond the size of a row.

    Raises:
        InputError: a row needs more columns than have a weight.
    """
    _check_choice(weights, sizes)
    cumulative = np.cumsum(weights)
    columns = np.full((len(sizes), int(sizes.max(initial=0))), -1, dtype=np.int64)
    for place in range(columns.shape[1]):
        waiting = np.flatnonzero(sizes > place)
        # A repeated draw is made again: the others keep their weights relative to one another.
        while len(waiting):
            drawn = _weighted(cumulative, len(waiting), generator)
            repeated = (columns[waiting, :place] == drawn[:, None]).any(axis=1)
            columns[waiting[~repeated], place] = drawn[~repeated]
            waiting = waiting[repeated]
    return columns


@dataclass(frozen=True, eq=False)
class _Block:
    """Reduced compositions of one number of elements, numbered: which elements, shape (a, k), and amounts."""

    columns: NDArray[np.int64]
    amounts: NDArray[np.uint8]

    @classmethod
    def of(cls, elements: int, size: int, most_atoms: int) -> Self:
        amounts = [item for item in product(range(1, most_atoms + 1), repeat=size) if gcd(*item) == 1]
        if size > elements:
            raise InputError(f"{size} of {elements} elements cannot be chosen; give more elements")
        chosen = np.array(list(combinations(range(elements), size)), dtype=np.int64)
        return cls(chosen, np.array(amounts, dtype=np.uint8))

    @property
    def size(self) -> int:
        return len(self.columns) * len(self.amounts)

    def write(self, numbers: NDArray[np.int64], counts: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        which, amount = np.divmod(numbers, len(self.amounts))
        counts[rows[:, None], self.columns[which]] = self.amounts[amount]


def _weighted(cumulative: NDArray[np.float64], n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    drawn = np.searchsorted(cumulative, generator.random(n) * cumulative[-1], side="right")
    # Rounding may reach the sum itself; the last column with a weight is then meant.
    return np.minimum(drawn, np.searchsorted(cumulative, cumulative[-1], side="left"))


def _place(
    counts: NDArray[np.uint8],
    sizes: NDArray[np.integer],
    columns: NDArray[np.int64],
    amounts: NDArray[np.uint8],
) -> None:
    rows, places = np.nonzero(np.arange(columns.shape[1]) < sizes[:, None])
    counts[rows, columns[rows, places]] = amounts[rows, places]


def _check_choice(weights: NDArray[np.float64], sizes: NDArray[np.integer]) -> None:
    available, needed = int(np.count_nonzero(weights)), int(np.max(sizes, initial=0))
    if needed > available:
        raise InputError(
            f"a composition needs {needed} different elements and {available} are there; widen the elements"
        )


def _check_numbers(settings: UniformSettings | EnumerationSettings) -> None:
    if settings.fewest_elements > settings.most_elements:
        raise WrongSetting(f"give at most most_elements ({settings.most_elements})", "fewest_elements")


def _check_most_atoms(most_atoms: int) -> None:
    if not 1 <= most_atoms <= 255:
        raise InputError(f"most_atoms is {most_atoms}; give a whole number from 1 to 255")


def _reduced_amounts(n_elements: int, most_atoms: int) -> int:
    """Return the number of tuples of 1 to `most_atoms` whose greatest common divisor is 1.

    Inclusion and exclusion: of the multiples of d = 1, 2, ... those of larger d are taken away.
    """
    exactly: dict[int, int] = {}
    for divisor in range(most_atoms, 0, -1):
        multiples = (most_atoms // divisor) ** n_elements
        exactly[divisor] = multiples - sum(exactly[d] for d in range(2 * divisor, most_atoms + 1, divisor))
    return exactly[1]
