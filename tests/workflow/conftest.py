"""A tiny real run of the whole workflow, made once, and copies of it that tests may edit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_project import PARTS, RESULTS, copy_project, snakemake, write_tiny_dataset


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny run; shared by the test processes, never edited."""
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    project = (shared or tmp_path_factory.mktemp("finished")) / "tiny-run"
    with FileLock(f"{project}.lock"):
        if not (project / "finished").exists():
            copy_project(project)
            write_tiny_dataset(project)
            done = snakemake(project)
            assert done.returncode == 0, done.stdout + done.stderr
            (project / "finished").touch()
    return project


@pytest.fixture
def editable(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, with everything that Snakemake remembers."""
    parts = (*PARTS, *RESULTS, "tiny.csv", "tiny.yaml", "tiny_datasets.yaml")
    return copy_project(tmp_path / "project", finished, parts)
