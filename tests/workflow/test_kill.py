"""A run killed with SIGKILL goes on with the same command to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny_project import TINY, copy_project, environment, snakemake, write_tiny_dataset

LONGER = {
    **TINY,
    "predictor_settings": {"cgcnn": {"steps": 120}},
    "generator": {
        "samples": 12,
        "settings": {"autoencoder_steps": 40, "decoder_steps": 20, "prior_steps": 60},
    },
}
TARGET = "results/table2.csv"
RUN = "results/matwheel/tiny/random/seed0"
# What is made by the jobs that are killed, without the rest of the table.
TRAINED = (f"{RUN}/cgcnn/F/model.pt", f"{RUN}/full/generated.parquet")


def project_with_longer_training(folder: Path) -> Path:
    project = copy_project(folder)
    write_tiny_dataset(project)
    (project / "tiny.yaml").write_text(yaml.safe_dump(LONGER))
    return project


def kill_when(project: Path, pattern: str, text: str, *targets: str, timeout_seconds: float = 240) -> None:
    """Start the workflow; SIGKILL its whole process group when a log that matches says `text`."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", "--", *targets]
    with (project / "killed.log").open("a") as output:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=environment(project),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        limit = time.monotonic() + timeout_seconds
        try:
            while not any(text in log.read_text() for log in project.glob(pattern)):
                assert process.poll() is None, "the run ended before it could be killed"
                assert time.monotonic() < limit, f"no log {pattern} said {text!r}"
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("targets", [TRAINED, pytest.param((TARGET,), marks=pytest.mark.slow)])
def test_killed_runs_end_in_the_bytes_of_an_undisturbed_one(tmp_path: Path, targets: tuple[str, ...]) -> None:
    undisturbed = project_with_longer_training(tmp_path / "undisturbed")
    assert snakemake(undisturbed, *targets).returncode == 0
    killed = project_with_longer_training(tmp_path / "killed")
    kill_when(killed, "logs/train_predictor/**/cgcnn/F.log", "step", *targets)
    assert not list(killed.glob("results/**/cgcnn/F/model.pt"))
    kill_when(killed, "logs/train_generator/**/full.log", "step", *targets)
    kill_when(killed, "logs/generate_crystals/**/full.log", "generate", *targets)
    assert not list(killed.glob("results/**/full/generated.parquet"))
    done = snakemake(killed, *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = ("results/table2_contrasts.csv", "results/table2_scores.csv") if TARGET in targets else ()
    for file in (*targets, *tables):
        assert (killed / file).read_bytes() == (undisturbed / file).read_bytes(), file
    for file in sorted(undisturbed.glob("results/matwheel/**/*")):
        if file.is_file():
            assert (killed / file.relative_to(undisturbed)).read_bytes() == file.read_bytes(), file
    assert not list(killed.glob("results/**/*.checkpoint"))
    assert not list(killed.glob("results/**/.partial-*"))
