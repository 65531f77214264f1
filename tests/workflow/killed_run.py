"""A run that SIGKILL ends at an exactly defined moment, whatever the speed of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tiny_project import environment

SITE = Path(__file__).parent / "killed_run_site"


def run_until_killed(
    project: Path, final: str, *targets: str, number: int = 1, clock_leaps_in: str = "no script"
) -> None:
    """Start the workflow; the whole run is killed just before a file gets its final name.

    Args:
        final: that file, relative to the project; its temporary file is whole at the moment.
        number: which of the renames in one process, e.g. 3 for the third checkpoint of a training.
        clock_leaps_in: a script in which each look at the clock finds a checkpoint due.
    """
    witness = project / "killed_before"
    witness.unlink(missing_ok=True)
    settings = {
        "PYTHONPATH": f"{SITE}{os.pathsep}{project / 'src'}",
        "KILL_BEFORE": str(project / final),
        "KILL_AT_RENAME": str(number),
        "KILL_CLOCK_LEAPS_IN": clock_leaps_in,
        "KILL_WITNESS": str(witness),
    }
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", "--", *targets]
    # Its own process group, as of a terminal: the test must survive.
    with (project / "killed.log").open("w+") as output:
        status = subprocess.run(
            command,
            cwd=project,
            env=environment(project) | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=False,
        ).returncode
        output.seek(0)
        assert witness.exists(), f"nothing was renamed to {final} {number} times:\n{output.read()}"
        assert status == -signal.SIGKILL, f"Snakemake ended by itself:\n{output.read()}"
