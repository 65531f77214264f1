"""One run at a time in a folder: a lock of the operating system, which dies with its process.

Where the file system has none (Lustre without its mount option, some network shares), a file that names the
process and its host; of a process that has ended on the same host it holds nothing.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from matwheel.core.errors import InputError

_SECONDS_TO_WRITE = 10.0  # after which a file that is not whole was left by a killed process
_SAME_START_SECONDS = 2.0  # the clock that a start is read from may be set in between


class RunLock:
    """A lock that is held until it is closed or its process ends."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release
        atexit.register(self.close)

    def close(self) -> None:
        """Let another run begin."""
        if self._release is not None:
            self._release()
        self._release = None
        atexit.unregister(self.close)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def take_run_lock(project: Path) -> RunLock:
    """Lock a project folder until what is returned is closed.

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
        raise _held(project, "") from None
    except OSError:  # not supported here
        lock.close()
        return _own(project, path.with_suffix(".owner"))
    return RunLock(lock.close)


def _held(project: Path, by: str) -> InputError:
    return InputError(
        f"{project.resolve()}: another run is working in this folder{by}; wait for it or stop it first"
    )


def _own(project: Path, path: Path) -> RunLock:
    """Make a file that names this process, in the place of a dead one's."""
    try:
        if path.exists():
            _remove_of_the_dead(project, path)
        _create(path)
    except FileExistsError:  # somebody was faster
        raise _held(project, "") from None
    process = os.getpid()

    def release() -> None:
        if os.getpid() == process:  # and not a fork of it
            path.unlink(missing_ok=True)

    return RunLock(release)


def _create(path: Path) -> None:
    facts = {"host": socket.gethostname(), "process": os.getpid(), "started": psutil.Process().create_time()}
    with path.open("x") as file:
        json.dump(facts, file)


def _remove_of_the_dead(project: Path, path: Path) -> None:
    """Remove the file of a process that has ended.

    Raises:
        InputError: it is alive, or on another host.
        FileExistsError: another process is removing it.
    """
    # One at a time, so that none removes what a faster one has just written.
    guard = path.with_suffix(".removal")
    if guard.exists() and _age_seconds(guard) > _SECONDS_TO_WRITE:  # its process was killed
        guard.unlink(missing_ok=True)
    guard.open("x").close()
    try:
        if by := _living_owner(path):
            raise _held(project, f" ({by}; if it has ended, delete {path})")
        path.unlink(missing_ok=True)
    finally:
        guard.unlink()


def _living_owner(path: Path) -> str:
    """Say who holds the lock, empty where its process has ended."""
    try:
        facts = json.loads(path.read_text())
        host, process, started = str(facts["host"]), int(facts["process"]), float(facts["started"])
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError):
        return "one that has just begun" if _age_seconds(path) < _SECONDS_TO_WRITE else ""
    if host == socket.gethostname() and not _is_running(process, started):
        return ""
    return f"process {process} on {host} since {time.strftime('%Y-%m-%d %H:%M', time.localtime(started))}"


def _is_running(process: int, started: float) -> bool:
    try:
        return abs(psutil.Process(process).create_time() - started) < _SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return False


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
