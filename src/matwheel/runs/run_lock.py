"""One run at a time in a folder: a lock of the operating system, which dies with its process."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TextIO

from matwheel.core.errors import InputError


def take_run_lock(project: Path) -> TextIO:
    """Lock a project folder for as long as the returned file stays open.

    Raises:
        InputError: another process holds the lock.
    """
    path = project / ".snakemake" / "run.lock"
    path.parent.mkdir(exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise InputError(
            f"{project.resolve()}: another run is working in this folder; wait for it or stop it first"
        ) from None
    return lock
