"""The quickstart on a cluster: partitions and requests of its jobs, and the bytes of a local run."""

from __future__ import annotations

import os
from pathlib import Path

from declared_requests import declared_rules
from slurm_cluster import Cluster, Job, command_of_run, differing_files, name_the_site, running, wait_for
from tiny_project import copy_project, snakemake

CONFIG = "config/quickstart.yaml"
# The folder of a quickstart that has been run locally with the same code, to spare another one.
LOCAL_RUN = os.environ.get("MATWHEEL_LOCAL_QUICKSTART")


def test_the_quickstart_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    name_the_site(project)
    with running(project, command_of_run(CONFIG)) as run:
        wait_for(lambda: run.poll() is not None, "the run ends", 4 * 3600)
        assert run.returncode == 0, (project / "run.log").read_text()[-5000:]

    check_requests(project, cluster.jobs())

    local = Path(LOCAL_RUN) if LOCAL_RUN else copy_project(tmp_path / "local")
    if not LOCAL_RUN:
        done = snakemake(local, config=CONFIG)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (local / "results/table2.csv").is_file()
    assert differing_files(project / "results", local / "results") == []


def check_requests(project: Path, jobs: list[Job]) -> None:
    """Check that every submitted job of a finished run asked for what its rule says, where it belongs."""
    rules = declared_rules(project)
    assert {job.state for job in jobs} == {"COMPLETED"}
    for job in jobs:
        rule = rules[job.rule]
        partition, gpus = ("gpu", 1) if rule.uses_gpu else ("cpu", 0)
        assert not rule.is_local
        assert (job.partition, job.node, job.gpus) == (partition, f"{partition}1", gpus), job
        assert (job.cpus, job.megabytes, job.minutes) == (rule.cpus, rule.megabytes, rule.minutes), job
    ran = {path.relative_to(project / "logs").parts[0] for path in project.glob("logs/**/*.tsv")}
    assert {job.rule for job in jobs} == {name for name in ran if not rules[name].is_local}
