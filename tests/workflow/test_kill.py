"""A run killed with SIGKILL goes on with the same command to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def project_with_longer_training(folder: Path) -> Path:
    project = copy_project(folder)
    write_tiny_dataset(project)
    (project / "tiny.yaml").write_text(yaml.safe_dump(LONGER))
    return project


def kill_when(
    project: Path, pattern: str, text: str, timeout_seconds: float = 240, target: str = TARGET
) -> None:
    """Start the workflow; SIGKILL its whole process group when a log that matches says `text`."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", "--", target]
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


def test_killed_runs_end_in_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = project_with_longer_training(tmp_path / "undisturbed")
    assert snakemake(undisturbed, TARGET).returncode == 0
    killed = project_with_longer_training(tmp_path / "killed")
    kill_when(killed, "logs/train_predictor/**/cgcnn/F.log", "step")
    assert not list(killed.glob("results/**/cgcnn/F/model.pt"))
    kill_when(killed, "logs/train_generator/**/full.log", "step")
    kill_when(killed, "logs/generate_crystals/**/full.log", "generate")
    assert not list(killed.glob("results/**/full/generated.parquet"))
    done = snakemake(killed, TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    for file in (TARGET, "results/table2_contrasts.csv", "results/table2_scores.csv"):
        assert (killed / file).read_bytes() == (undisturbed / file).read_bytes(), file
    for file in sorted(undisturbed.glob("results/matwheel/**/*")):
        if file.is_file():
            assert (killed / file.relative_to(undisturbed)).read_bytes() == file.read_bytes(), file
    assert not list(killed.glob("results/**/*.checkpoint"))
    assert not list(killed.glob("results/**/.partial-*"))
