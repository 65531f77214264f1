"""A training that is broken off at a checkpoint, as by kill -9, for tests that go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matwheel.training import training_loop
from matwheel.training.checkpoints import TrainingCheckpoint


class Interrupted(Exception):
    """Stands for a killed process."""


class BreaksOff(TrainingCheckpoint):
    """Saves as usual, then ends the process after the given number of saves."""

    def __init__(self, path: str | Path, fingerprint: str, *, saves: int) -> None:
        super().__init__(path, fingerprint)
        self._left = saves

    def save(self, state: dict[str, Any]) -> None:
        """Save, and break off when it was the last time."""
        super().save(state)
        self._left -= 1
        if not self._left:
            raise Interrupted


def checkpoint_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the clock of the loop so fast that a checkpoint is due after each step."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 30.0
            return self.now

    monkeypatch.setattr(training_loop, "time", Clock())
