"""What every crystal generator offers; the workflow knows generators only through this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from numpy.typing import ArrayLike

from matwheel.core.progress import Log
from matwheel.crystals.crystal import Crystal
from matwheel.training.checkpoints import TrainingCheckpoint


class Generator(Protocol):
    """A model of crystals given one number, the condition."""

    name: str
    sampling_report: dict[str, Any]
    """What the last call of `sample` did (JSON-able), empty before it."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an unfitted generator: its defaults with single settings changed.

        `settings["device"]` is always allowed; a generator that runs on the CPU only is deaf to it.

        Raises:
            InputError: unknown setting or a value out of range.
        """
        ...

    def fit(
        self,
        crystals: Sequence[Crystal],
        labels: ArrayLike,
        *,
        validation_crystals: Sequence[Crystal] = (),
        validation_labels: ArrayLike = (),
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = ...,
    ) -> dict[str, Any]:
        """Learn from crystals and their labels, shape (n,); return a JSON-able report without timings.

        Interrupted with a `checkpoint` and called again with the same arguments, it ends with the same bits.

        Raises:
            ValueError: no crystals, or one that cannot be used; the message names it.
            FloatingPointError: the loss is not finite; the message names the step.
        """
        ...

    def sample(
        self,
        conditions: ArrayLike,
        *,
        seed: int,
        id_prefix: str,
        log: Log = ...,
    ) -> list[Crystal]:
        """Return one crystal per condition, shape (n,); crystal i has the id f"{id_prefix}-{i:05d}".

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
