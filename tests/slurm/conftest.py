"""A real SLURM cluster for the time of a test; needs root. Run by `make slurm-test` only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from slurm_cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that is stopped at the end, also of a test that failed."""
    running = Cluster(tmp_path / "matwheel-nodes")
    try:
        running.control("up")
        yield running
    finally:
        running.control("down")
