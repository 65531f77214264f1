"""Starts Snakemake again and again in processes that fork from this one, which has imported it and its like.

A third of what a plan costs are these imports. The project's own library is imported anew by each. Run as a
script by `tiny_project.py`: a line of standard input is a run, a line of standard output its exit status.
"""

import gc
import json
import os
import sys

# What every plan imports, and nothing of the project.
import gemmi  # noqa: F401
import jsonschema  # noqa: F401
import pandas  # noqa: F401
import pymatgen.core  # noqa: F401
import scipy.spatial  # noqa: F401
from snakemake.cli import main


def start(arguments: list[str], folder: str, environment: dict[str, str], outputs: list[str]) -> None:
    """Be `python -m snakemake` in a folder with an environment; standard output and error go to two files."""
    for descriptor, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = [folder, *environment["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["snakemake", *arguments]
    main()


gc.freeze()
for line in sys.stdin:
    child = os.fork()
    if not child:
        start(**json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
