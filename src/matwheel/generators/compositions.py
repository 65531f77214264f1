"""Generators of compositions: what each offers, and all of them by name.

A new one is one module and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from matwheel.core.progress import Log
from matwheel.core.registries import Registry, registered

if TYPE_CHECKING:
    from matwheel.training.checkpoints import TrainingCheckpoint

# name: (module, class)
COMPOSITION_GENERATORS: Registry[tuple[str, str]] = {
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
        """Draw compositions, shape (n, elements): not reduced, and some may have one element or none.

        A generator with settings that only sampling reads (`parted_settings.SAMPLING_SETTINGS`) takes them as
        a mapping, `settings`.
        """
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
    return registered(COMPOSITION_GENERATORS, name, "generator of compositions").from_settings(settings or {})


def load_composition_generator(name: str, path: str | Path) -> CompositionGenerator:
    """Return the fitted generator `name` that was saved to `path`.

    Raises:
        InputError: unknown generator.
    """
    return registered(COMPOSITION_GENERATORS, name, "generator of compositions").load(path)
