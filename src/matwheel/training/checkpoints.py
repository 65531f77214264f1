"""Checkpoints from which an interrupted training goes on to the same bits.

A file: the format's name, the training's fingerprint, a hash of what follows, then torch's own bytes. Torch
itself notices little: of 200 bits turned over or files cut off, 59 came back as other weights without a word.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from matwheel.core.errors import one_line
from matwheel.core.files import atomic_path, sha256_of_content, sha256_of_file
from matwheel.core.progress import Log, log_to_stderr

_FORMAT = b"matwheel checkpoint 2"


class _Unusable(Exception):
    """A checkpoint that is not gone on from; the message says why."""


class TrainingCheckpoint:
    """The state of one training, kept in `path` while it runs, and the one before beside it.

    `fingerprint` names everything that the training depends on (settings, data, seed, code); a
    checkpoint with another fingerprint is ignored, so changed settings never resume old weights.
    The state holds tensors, numbers, strings, lists and dicts only.
    """

    def __init__(self, path: str | Path, fingerprint: str) -> None:
        self.path, self.fingerprint = Path(path), fingerprint
        self._previous = self.path.with_name(f".previous-{self.path.name}")

    def load(self, log: Log = log_to_stderr) -> dict[str, Any] | None:
        """Return what was saved last; where that is damaged, what was saved before; else None.

        Args:
            log: gets a line about what is there and not used.
        """
        faults = []
        for path in (self.path, self._previous):
            try:
                state = self._read(path)
            except FileNotFoundError:
                continue
            except _Unusable as fault:
                faults.append(f"{path} {fault}")
                continue
            if faults:
                log(f"checkpoint {faults[0]}; the training goes on from the one before")
            return state
        if faults:
            log(f"checkpoint {' and '.join(faults)}; the training starts anew")
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            kind, fingerprint, digest, content = path.read_bytes().split(b"\n", 3)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise _Unusable(f"is damaged ({one_line(error)})") from None
        if kind != _FORMAT or digest != _digest(fingerprint, content):
            raise _Unusable("is damaged (its bytes are not those that were written)")
        if fingerprint != self.fingerprint.encode():
            raise _Unusable("is one of other settings, data or code")
        try:
            # A job that is submitted again may have no GPU; and the generator's state belongs on the CPU.
            state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise _Unusable(f"cannot be read by torch {torch.__version__} ({one_line(error)})") from None
        return dict(state)

    def save(self, state: dict[str, Any]) -> None:
        """Save `state` in place of what was saved before, which is kept beside it."""
        content = io.BytesIO()
        torch.save(state, content)
        fingerprint = self.fingerprint.encode()
        digest = _digest(fingerprint, content.getbuffer())
        with atomic_path(self.path, keep_previous=self._previous) as temporary, temporary.open("wb") as file:
            file.write(b"\n".join((_FORMAT, fingerprint, digest, b"")))
            file.write(content.getbuffer())

    def remove(self) -> None:
        """Delete the checkpoint: the training has ended and its model is written."""
        self._previous.unlink(missing_ok=True)
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

    def load(self, log: Log = log_to_stderr) -> dict[str, Any] | None:
        return (self._whole.load(log) or {}).get(self._name)

    def save(self, state: dict[str, Any]) -> None:
        self._whole.save((self._whole.load() or {}) | {self._name: state})


def _digest(fingerprint: bytes, content: bytes | memoryview) -> bytes:
    digest = sha256(fingerprint + b"\n")
    digest.update(content)
    return digest.hexdigest().encode()


def fingerprint(settings: Mapping[str, Any], input_files: Iterable[str | Path]) -> str:
    """Return a name for a training: a hash of its settings and of the content of its inputs."""
    return sha256_of_content(
        {"settings": dict(settings), "inputs": [sha256_of_file(path) for path in input_files]}
    )
