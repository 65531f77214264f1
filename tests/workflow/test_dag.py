"""The dry run of every configuration: its job counts, its time, and Snakemake's own checks."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from tiny_project import ROOT, copy_project, snakemake

PER_RUN = {
    "split_dataset": 1,
    "train_predictor": 6,
    "train_baselines": 1,
    "take_real_labels": 1,
    "pseudo_label": 1,
    "sample_conditions": 2,
    "train_generator": 2,
    "generate_crystals": 2,
    "screen_generated": 2,
    "evaluate_generators": 1,
}
PER_DATASET = {
    "fetch_dataset": 1,
    "build_graphs": 1,
    "find_duplicates": 1,
    "label_prototypes": 1,
    "audit_splits": 1,
    "collect_generator_cards": 1,
}
ONCE = {"table2": 1, "draw_table2": 1, "all": 1}


def job_counts(text: str) -> dict[str, int]:
    stats = text.split("Job stats:")[1]
    return {
        name: int(count)
        for name, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)
        if name != "total"
    }


def expected_counts(datasets: int, runs: int) -> dict[str, int]:
    counts = {name: count * datasets * runs for name, count in PER_RUN.items()}
    counts |= {name: count * datasets for name, count in PER_DATASET.items()}
    return counts | ONCE


@pytest.mark.parametrize(
    ("config", "datasets", "runs"),
    [("", 2, 5), ("config/quickstart.yaml", 1, 2), ("config/paper.yaml", 2, 5)],
)
def test_dry_run(tmp_path: Path, config: str, datasets: int, runs: int) -> None:
    project = copy_project(tmp_path / "project")
    started = time.monotonic()
    done = snakemake(project, "-n", config=config)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr) == expected_counts(datasets, runs)
    assert seconds < 15, "the plan of the default workflow takes 2-3 s on an idle machine"


def test_dry_run_with_the_slurm_profile(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "-n", "--workflow-profile", "profiles/slurm", config="")
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr) == expected_counts(2, 5)


def test_every_scheme_has_a_plan(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    arguments = ["-n", "--config", "split={schemes: [random, formula, prototype, chang2022]}"]
    done = snakemake(project, *arguments, config="")
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr)["split_dataset"] == 2 * 5 * 4


def test_lint(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "--lint", config="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_drawn_rule_graph_is_the_workflow(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "--rulegraph", "mermaid-js", config="")
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(id\d+)\["?(\w+)"?\]', done.stdout))
    edges = {(names[one], names[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    drawn = re.findall(r"^ +(\w+) --> (\w+)$", (ROOT / "docs/rulegraph.md").read_text(), re.MULTILINE)
    assert edges
    assert set(drawn) == edges
