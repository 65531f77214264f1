"""Generators of compositions: what each offers, and all of them by name.

A new one is one module and one line here. The modules are reached by name only, as in
`matwheel.generators.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from matwheel.errors import InputError
from matwheel.progress import Log

if TYPE_CHECKING:
    from matwheel.checkpoints import TrainingCheckpoint

# name: (module, class)
COMPOSITION_GENERATORS: dict[str, tuple[str, str]] = {
    "matgan": ("matwheel.generators.matgan.generator", "MatGAN"),
    "uniform": ("matwheel.generators.null_compositions", "UniformCompositions"),
    "stoichiometry": ("matwheel.generators.null_compositions", "StoichiometryCompositions"),
    "substitution": ("matwheel.generators.null_compositions", "SubstitutionCompositions"),
    "enumeration": ("matwheel.generators.null_compositions", "EnumeratedCompositions"),
}


class CompositionGenerator(Protocol):
    """A distribution over compositions, learnt from known ones."""

    name: str

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an unfitted generator: its defaults with single settings changed.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        ...

    def fit(
        self,
        counts: NDArray[np.uint8],
        elements: Sequence[str],
        *,
        validation_counts: NDArray[np.uint8],
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = ...,
    ) -> dict[str, Any]:
        """Learn from reduced compositions, shape (n, elements); return a JSON-able report without timings.

        The validation rows may choose between states of the training; they are not learnt from. Interrupted
        with a `checkpoint` and called again with the same arguments, it ends with the same bits.

        Raises:
            InputError: no compositions, or one that the representation cannot hold.
            FloatingPointError: the loss is not finite; the message names the step.
        """
        ...

    def sample(self, n: int, *, seed: int, log: Log = ...) -> NDArray[np.uint8]:
        """Draw compositions, shape (n, elements): not reduced, and some may have one element or none."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the fitted generator to one file: whole or not at all."""
        ...

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a generator written by `save`."""
        ...


def make_composition_generator(name: str, settings: Mapping[str, Any] | None = None) -> CompositionGenerator:
    """Return an unfitted generator of compositions; `settings` change single defaults.

    Raises:
        InputError: unknown generator, unknown setting or a value out of range.
    """
    return _class_of(name).from_settings(settings or {})


def load_composition_generator(name: str, path: str | Path) -> CompositionGenerator:
    """Return the fitted generator `name` that was saved to `path`.

    Raises:
        InputError: unknown generator.
    """
    return _class_of(name).load(path)


def _class_of(name: str) -> Any:
    if name not in COMPOSITION_GENERATORS:
        raise InputError(
            f"unknown generator of compositions {name!r}; choose one of {', '.join(COMPOSITION_GENERATORS)}"
        )
    module, class_name = COMPOSITION_GENERATORS[name]
    return getattr(import_module(module), class_name)
