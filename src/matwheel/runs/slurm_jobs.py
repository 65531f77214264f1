"""Jobs that a killed run left in SLURM, and commands that have patience with a scheduler."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from matwheel.core.errors import InputError

# Names that the SLURM executor gives the jobs of a run: the prefix in profiles/slurm/config.yaml and a UUID.
_NAME_OF_RUN = re.compile(r"matwheel_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SECONDS_BETWEEN_QUERIES = 2.0


def jobs_of_project(listing: str, project: Path) -> list[str]:
    """Return the ids of the jobs that runs of this workflow in a folder submitted.

    Args:
        listing: lines `id|name|folder`, as squeue writes them; a folder may contain the separator.
        project: the folder; symbolic links do not matter.
    """
    jobs = [line.split("|", 2) for line in listing.splitlines() if line.count("|") >= 2]
    return [
        job
        for job, name, folder in jobs
        if _NAME_OF_RUN.fullmatch(name) and Path(folder).resolve() == project.resolve()
    ]


def left_jobs(project: Path) -> list[str]:
    """Return the ids of the user's jobs, pending or running, that runs in this folder submitted.

    Raises:
        InputError: SLURM is not installed here or does not answer.
    """
    return jobs_of_project(
        _asked(["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%j|%Z"]), project
    )


def cancel(jobs: Sequence[str], project: Path, *, timeout_seconds: float = 600) -> None:
    """Cancel jobs and wait until none of the folder is left, since a job may still write while it ends.

    Raises:
        InputError: SLURM does not answer, or jobs are still there after the timeout.
    """
    _asked(["scancel", *jobs])
    limit = time.monotonic() + timeout_seconds
    while left := left_jobs(project):
        if time.monotonic() > limit:
            raise InputError(
                f"SLURM jobs {', '.join(left)} were cancelled but are still there after "
                f"{timeout_seconds:.0f} s; see squeue for the reason, then try again"
            )
        time.sleep(_SECONDS_BETWEEN_QUERIES)


def prefer_commands(folder: Path) -> None:
    """Let this process and those it starts find the commands of a folder before others of that name."""
    os.environ["PATH"] = f"{folder.resolve()}{os.pathsep}{os.environ['PATH']}"


def _asked(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise InputError(
            f"{command[0]} is not installed here; `matwheel resume` is for runs on a SLURM cluster, "
            "elsewhere run snakemake again"
        ) from None
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"{command[0]} failed, so nothing was started: {error.stderr.strip()}; "
            "try again when SLURM answers"
        ) from None
