"""Kills a run from inside, just before a file gets its final name.

Python imports this module at its start in every process of a run that has this folder on PYTHONPATH. Which
file, and which of its renames, is said by the environment: see `killed_run.py`.
"""

import itertools
import os
import signal
import subprocess  # noqa: F401 - imported before the clock leaps, so that its time limits are real ones
import sys
import threading  # noqa: F401
import time
from pathlib import Path

FINAL_NAME, WITNESS = os.environ["KILL_BEFORE"], Path(os.environ["KILL_WITNESS"])
left = int(os.environ["KILL_AT_RENAME"])


def kill_the_run(event: str, arguments: tuple) -> None:
    """End all processes of the run, Snakemake's included, when the rename is the one that was asked for."""
    global left
    if event != "os.rename" or os.path.abspath(arguments[1]) != FINAL_NAME:
        return
    left -= 1
    if left == 0:
        WITNESS.touch()
        os.killpg(0, signal.SIGKILL)


sys.addaudithook(kill_the_run)
if sys.orig_argv[-1].endswith(f".{os.environ['KILL_CLOCK_LEAPS_IN']}.py"):
    # Checkpoints are due every 20 s; a clock that leaps makes one due at each step.
    time.monotonic = itertools.count(0, 100).__next__
