"""A tiny project of a user's own: real crystals, small budgets; and how the tests run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import yaml
from pymatgen.io.cif import CifWriter

from matwheel.crystals.crystal import to_structure
from matwheel.crystals.table import crystals_of_table, read_table

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config", "profiles", "workflow", "src", "resources", "envs", "README.md")
RESULTS = ("results", "logs", ".snakemake")
TINY = {
    "datasets": ["tiny"],
    "dataset_registry": "tiny_datasets.yaml",
    "split": {"runs": 1, "labelled_fraction": 0.3},
    "predictors": ["cgcnn"],
    "judge": "cgcnn",
    "funnel": {"runs": []},
    "matgan": {"sets": []},
    "wycryst": {"tasks": []},
    "phonon": {"compounds": []},
    "perturbation": {"predictors": []},
    "predictor_settings": {"cgcnn": {"steps": 10}},
    "generator": {"samples": 12, "settings": {"autoencoder_steps": 8, "decoder_steps": 4, "prior_steps": 10}},
}
REGISTRY = {
    "tiny": {
        "title": "Dielectric constants of 40 crystals",
        "target": {"column": "dielectric", "name": "dielectric constant"},
        "path": "tiny.csv",
    }
}


def copy_project(destination: Path, source: Path = ROOT, parts: tuple[str, ...] = PARTS) -> Path:
    """Copy the project (with modification times) so that a test may change it."""
    destination.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if (source / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source / part, destination / part, ignore=ignore, dirs_exist_ok=True)
        elif (source / part).exists():
            shutil.copy2(source / part, destination / part)
    return destination


def clone_with_results(destination: Path, finished: Path) -> Path:
    """Copy a finished project as a user does who clones it and brings the results over with `cp -a`.

    The project's files get new times, results and the user's own files keep theirs, and what Snakemake
    remembers stays behind.
    """
    for part in PARTS:
        target = destination / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (finished / part).is_dir():
            shutil.copytree(finished / part, target, copy_function=shutil.copy)
        else:
            shutil.copy(finished / part, target)
    return copy_project(destination, finished, ("results", "tiny.csv", "tiny.yaml", "tiny_datasets.yaml"))


def write_tiny_dataset(project: Path) -> None:
    """Give a project a user's own dataset: a CSV with CIFs, a registry entry, a config."""
    frame = read_table(ROOT / "tests" / "data" / "poly40.parquet")
    cifs = [str(CifWriter(to_structure(crystal))) for crystal in crystals_of_table(frame)]
    frame.assign(cif=cifs, dielectric=frame["target"])[["id", "cif", "dielectric"]].to_csv(
        project / "tiny.csv", index=False
    )
    (project / "tiny_datasets.yaml").write_text(yaml.safe_dump(REGISTRY))
    (project / "tiny.yaml").write_text(yaml.safe_dump(TINY))


def environment(project: Path) -> dict[str, str]:
    """Make a subprocess use the project's own copy of the library."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1", "PATH": path}


def snakemake(project: Path, *arguments: str, config: str = "tiny.yaml") -> subprocess.CompletedProcess:
    """Run snakemake in a project; standard output and error come back as text."""
    given = ["--cores", "2", *arguments, *(["--configfile", config] if config else [])]
    starter = _starter()
    assert starter.stdin and starter.stdout
    with TemporaryDirectory() as folder, _ONE_AT_A_TIME:
        outputs = [f"{folder}/{name}" for name in ("stdout", "stderr")]
        run = {
            "arguments": given,
            "folder": str(project),
            "environment": environment(project),
            "outputs": outputs,
        }
        print(json.dumps(run), file=starter.stdin, flush=True)
        status = int(starter.stdout.readline())
        return subprocess.CompletedProcess(given, status, *(Path(path).read_text() for path in outputs))


_ONE_AT_A_TIME = Lock()


@cache
def _starter() -> subprocess.Popen[str]:
    """Return the process that starts Snakemake for this one; it ends when its standard input does."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("started_snakemake.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=alone | {"OMP_NUM_THREADS": "1"},
        text=True,
    )


def pending_outputs(project: Path, config: str = "tiny.yaml", target: str = "") -> set[str]:
    """Return the outputs that a run would make again, by the plan of `snakemake --summary`."""
    done = snakemake(project, "--summary", *([target] if target else []), config=config)
    assert done.returncode == 0, done.stderr
    header, *lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    plan = header.index("plan")
    return {line[0] for line in lines if line[plan] != "no update"}
