"""One run at a time in a folder, also where the file system has no locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matwheel.core.errors import InputError
from matwheel.runs.run_lock import take_run_lock

OWNER = Path(".snakemake/run.owner")


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a file system that knows no `flock`, as Lustre without its mount option."""

    def flock(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)
    return tmp_path


def write_owner(project: Path, **facts: object) -> Path:
    path = project / OWNER
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts))
    return path


def test_one_run_at_a_time(project: Path) -> None:
    with take_run_lock(project):
        with pytest.raises(
            InputError, match=f"another run .*process {os.getpid()} on {socket.gethostname()}"
        ):
            take_run_lock(project)
        with pytest.raises(InputError, match="another run"):  # the refused one released nothing
            take_run_lock(project)
    lock = take_run_lock(project)
    lock.close()
    lock.close()
    assert not list((project / ".snakemake").glob("run.owner*"))


def test_a_killed_run_holds_nothing(project: Path) -> None:
    program = f"""
import errno, fcntl, time
from pathlib import Path
def flock(*_): raise OSError(errno.ENOLCK, "no locks")
fcntl.flock = flock
from matwheel.runs.run_lock import take_run_lock
lock = take_run_lock(Path({str(project)!r}))
print("locked", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match=f"process {process.pid} "):
            take_run_lock(project)
        process.send_signal(signal.SIGKILL)
    take_run_lock(project).close()


def test_a_process_that_has_the_number_of_a_killed_one_holds_nothing(project: Path) -> None:
    write_owner(project, host=socket.gethostname(), process=os.getpid(), started=1.0)
    take_run_lock(project).close()


def test_a_run_on_another_host_is_believed(project: Path) -> None:
    path = write_owner(project, host="node17", process=1, started=1.0)
    with pytest.raises(InputError, match=f"process 1 on node17 .*if it has ended, delete {path}"):
        take_run_lock(project)
    assert path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}'])
def test_a_damaged_owner_is_no_dead_end(project: Path, text: str) -> None:
    path = write_owner(project)
    path.write_text(text)  # as another process may have begun to write it
    with pytest.raises(InputError, match=f"if it has ended, delete {path}"):
        take_run_lock(project)
    os.utime(path, (time.time() - 60,) * 2)
    take_run_lock(project).close()


def test_of_several_that_find_a_dead_owner_one_gets_the_lock(project: Path) -> None:
    for _ in range(20):
        write_owner(project, host=socket.gethostname(), process=2**22 - 1, started=1.0)
        with ThreadPoolExecutor(8) as pool:
            attempts = [pool.submit(take_run_lock, project) for _ in range(8)]
        taken = [attempt.result() for attempt in attempts if attempt.exception() is None]
        assert len(taken) == 1
        taken[0].close()


def test_a_removal_that_was_killed_holds_nothing(project: Path) -> None:
    guard = write_owner(project, host=socket.gethostname(), process=2**22 - 1).with_suffix(".removal")
    guard.touch()
    with pytest.raises(InputError, match="another run"):
        take_run_lock(project)
    os.utime(guard, (time.time() - 60,) * 2)
    os.utime(project / OWNER, (time.time() - 60,) * 2)
    take_run_lock(project).close()


def test_with_locks_there_is_no_file_to_leave_behind(tmp_path: Path) -> None:
    with take_run_lock(tmp_path), pytest.raises(InputError, match="another run is working"):
        take_run_lock(tmp_path)
    assert not (tmp_path / OWNER).exists()
