"""A run killed with SIGKILL goes on to the same bytes when it is started again."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_run import run_until_killed
from tiny_project import copy_project, snakemake, write_tiny_dataset

TARGET = "results/table2.csv"
RUN = "results/matwheel/tiny/random/seed0"
MODEL, GENERATED = f"{RUN}/cgcnn/F/model.pt", f"{RUN}/full/generated.parquet"
# What is made by the jobs that are killed, without the rest of the table.
TRAINED = (MODEL, GENERATED)


def files_of(project: Path) -> set[Path]:
    return {path.relative_to(project) for path in project.glob("results/matwheel/**/*") if path.is_file()}


def checkpoint_before(model: Path) -> Path:
    """Return the last whole checkpoint of a training that was killed before the next one had its name."""
    return model.with_name(f".previous-{model.name}.checkpoint")


@pytest.mark.parametrize("targets", [TRAINED, pytest.param((TARGET,), marks=pytest.mark.slow)])
def test_killed_runs_end_in_the_bytes_of_an_undisturbed_one(
    finished: Path, tmp_path: Path, targets: tuple[str, ...]
) -> None:
    killed = copy_project(tmp_path / "killed")
    write_tiny_dataset(killed)
    logs = {
        name: killed / f"logs/{name}/tiny/random/seed0" for name in ("train_predictor", "train_generator")
    }

    # Five of ten steps of the predictor are behind, and the sixth checkpoint is not in place.
    run_until_killed(killed, f"{MODEL}.checkpoint", MODEL, number=6, clock_leaps_in="train_predictor")
    assert checkpoint_before(killed / MODEL).exists() and not (killed / MODEL).exists()
    # Eight steps of the generator's first stage, the end of that stage, and one step of four of the second.
    generator = f"{RUN}/full/generator.pt"
    run_until_killed(killed, f"{generator}.checkpoint", *targets, number=11, clock_leaps_in="train_generator")
    assert checkpoint_before(killed / generator).exists() and not (killed / generator).exists()
    run_until_killed(killed, GENERATED, *targets)
    assert (killed / generator).exists() and not (killed / GENERATED).exists()
    done = snakemake(killed, *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training: resumed at step 5 of 10" in (logs["train_predictor"] / "cgcnn/F.log").read_text()
    assert "decoder: resumed at step 1" in (logs["train_generator"] / "full.log").read_text()

    if targets == (TARGET,):
        assert files_of(killed) == files_of(finished)
    tables = ("results/table2_contrasts.csv", "results/table2_scores.csv") if TARGET in targets else ()
    for file in (*targets, *tables, *sorted(files_of(killed))):
        assert (killed / file).read_bytes() == (finished / file).read_bytes(), file
    assert not list(killed.glob("results/**/*.checkpoint"))
    assert not list(killed.glob("results/**/.partial-*"))
