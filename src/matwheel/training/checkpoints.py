"""Checkpoints from which an interrupted training goes on to the same bits."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from matwheel.core.files import atomic_path, sha256_of_content, sha256_of_file


class TrainingCheckpoint:
    """The state of one training, kept in `path` while it runs.

    `fingerprint` names everything that the training depends on (settings, data, seed, code); a
    checkpoint with another fingerprint is ignored, so changed settings never resume old weights.
    The state holds tensors, numbers, strings, lists and dicts only.
    """

    def __init__(self, path: str | Path, fingerprint: str) -> None:
        self.path, self.fingerprint = Path(path), fingerprint

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or None when there is none for this fingerprint, or a damaged one."""
        try:
            # A job that is submitted again may have no GPU; and the generator's state belongs on the CPU.
            saved = torch.load(self.path, weights_only=True, map_location="cpu")
        except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
            return None
        return saved["state"] if saved["fingerprint"] == self.fingerprint else None

    def save(self, state: dict[str, Any]) -> None:
        """Save `state` in place of what was saved before."""
        with atomic_path(self.path) as temporary:
            torch.save({"fingerprint": self.fingerprint, "state": state}, temporary)

    def remove(self) -> None:
        """Delete the checkpoint: the training has ended and its model is written."""
        self.path.unlink(missing_ok=True)
        # Of a process killed while it saved, when the rest of the training was too short to save again.
        self.path.with_name(f".partial-{self.path.name}").unlink(missing_ok=True)

    def stage(self, name: str) -> TrainingCheckpoint:
        """Return the checkpoint of one of several trainings whose states share this file."""
        return _Stage(self, name)


class _Stage(TrainingCheckpoint):
    def __init__(self, whole: TrainingCheckpoint, name: str) -> None:
        super().__init__(whole.path, whole.fingerprint)
        self._whole, self._name = whole, name

    def load(self) -> dict[str, Any] | None:
        return (self._whole.load() or {}).get(self._name)

    def save(self, state: dict[str, Any]) -> None:
        self._whole.save((self._whole.load() or {}) | {self._name: state})


def fingerprint(settings: Mapping[str, Any], input_files: Iterable[str | Path]) -> str:
    """Return a name for a training: a hash of its settings and of the content of its inputs."""
    return sha256_of_content(
        {"settings": dict(settings), "inputs": [sha256_of_file(path) for path in input_files]}
    )
