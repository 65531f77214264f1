"""One run of the tiny project, disturbed in every way, ends in the bytes of an undisturbed local run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from slurm_cluster import (
    PATIENCE,
    Cluster,
    Job,
    ask_for_too_little,
    asked,
    command_of_run,
    differing_files,
    name_the_site,
    running,
    wait_for,
)
from tiny_project import copy_project, environment, snakemake, write_tiny_dataset

TARGET = "results/table2.csv"
RESUME = [
    sys.executable,
    "-m",
    "matwheel.command_line.cli",
    "resume",
    *PATIENCE,
    "--configfile",
    "tiny.yaml",
    "--",
    TARGET,
]
TOO_LITTLE_MB = 500  # a training with the two Snakemake processes around it takes more
OUTAGE_SECONDS = 45
DRAINED_SECONDS = 20


@dataclass(frozen=True)
class DisturbedRun:
    """A run of the tiny project on the cluster."""

    cluster: Cluster
    project: Path
    process: subprocess.Popen

    def jobs(self, rule: str = "", state: str = "") -> list[Job]:
        """Return its jobs, of a rule and in a state if given."""
        ours = [job for job in self.cluster.jobs() if job.folder == str(self.project)]
        return [job for job in ours if rule in ("", job.rule) and state in ("", job.state)]

    def wait_for_job(self, rule: str = "", state: str = "RUNNING") -> Job:
        """Wait for such a job and return it."""
        wait_for(lambda: self.jobs(rule, state), f"a job {rule} is {state}")
        return self.jobs(rule, state)[0]

    def finished(self) -> int:
        """Return how many jobs Snakemake has seen to end well."""
        return (self.project / "run.log").read_text().count("Finished jobid")


def measure(what: str, condition: Callable[[], object], timeout_seconds: float = 600) -> None:
    """Wait for a recovery and say how long it took."""
    print(f"{what}: {wait_for(condition, what, timeout_seconds):.0f} s", flush=True)


def kill_for_memory(run: DisturbedRun) -> None:
    """Wait until a training that asked for too little is killed and comes again with more."""
    killed = run.wait_for_job("train_predictor", "FAILED")
    assert killed.megabytes == TOO_LITTLE_MB
    log = next(run.project.glob(f"logs/slurm/rule_train_predictor/*/{killed.id}.log"))
    assert "Exceeded job memory limit" in log.read_text()

    def submitted_with_more() -> bool:
        same = [job for job in run.jobs() if job.comment == killed.comment]
        return [job.megabytes for job in same] == [TOO_LITTLE_MB, 2 * TOO_LITTLE_MB]

    measure("killed for its memory → submitted with twice as much", submitted_with_more)


def cancel_a_job(run: DisturbedRun) -> None:
    """Cancel a training that runs, as somebody else might."""
    cancelled = run.wait_for_job("train_generator")
    asked("scancel", str(cancelled.id))
    measure(
        "job cancelled → submitted again",
        lambda: sum(job.comment == cancelled.comment for job in run.jobs()) == 2,
    )


def stop_the_scheduler(run: DisturbedRun, elsewhere: Path) -> None:
    """Stop slurmctld while a job runs, and submit another one while it does not answer."""
    run.wait_for_job()
    run.cluster.control("controller-down")
    finished = run.finished()
    submission = [
        run.project / "profiles/slurm/commands/sbatch",
        "--parsable",
        "--begin=now+1day",
        "--wrap=true",
    ]
    with subprocess.Popen(submission, cwd=elsewhere, stdout=subprocess.PIPE, text=True) as late:
        time.sleep(OUTAGE_SECONDS)
        assert late.poll() is None and run.process.poll() is None
        run.cluster.control("controller-up")
        measure("scheduler back → submission of the outage accepted", lambda: late.poll() is not None)
        assert late.returncode == 0
        asked("scancel", late.stdout.read().strip())
    measure("scheduler back → run sees a job that ended", lambda: run.finished() > finished)


def drain_a_node(run: DisturbedRun) -> None:
    """Take the GPU node out of service: its jobs wait, and start when it is back."""
    asked("scontrol", "update", "NodeName=gpu1", "State=DRAIN", "Reason=test")
    wait_for(
        lambda: not run.jobs(state="RUNNING") and run.jobs(state="PENDING"), "jobs wait for the drained node"
    )
    time.sleep(DRAINED_SECONDS)
    assert {job.partition for job in run.jobs(state="PENDING")} == {"gpu"}
    assert not run.jobs(state="RUNNING") and run.process.poll() is None
    asked("scontrol", "update", "NodeName=gpu1", "State=RESUME")
    measure("node back → job runs", lambda: run.jobs(state="RUNNING"))


def kill_snakemake(run: DisturbedRun) -> set[int]:
    """Kill the run where jobs are under way; return the ids of the jobs that go on without it."""
    run.wait_for_job()
    refused = subprocess.run(
        RESUME, cwd=run.project, env=environment(run.project), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1 and "another run is working" in refused.stderr
    run.wait_for_job()
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    left = {job.id for state in ("RUNNING", "PENDING") for job in run.jobs(state=state)}
    assert left
    return left


def test_a_disturbed_run_ends_in_the_bytes_of_a_local_one(cluster: Cluster, tmp_path: Path) -> None:
    project, local = (copy_project(tmp_path / name) for name in ("project", "local"))
    for folder in (project, local):
        write_tiny_dataset(folder)
    name_the_site(project)
    ask_for_too_little(project, "train_predictor", TOO_LITTLE_MB)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    with running(project, command_of_run("tiny.yaml", TARGET)) as process:
        run = DisturbedRun(cluster, project, process)
        kill_for_memory(run)
        cancel_a_job(run)
        stop_the_scheduler(run, elsewhere)
        drain_a_node(run)
        left = kill_snakemake(run)

    # A job of a run in another folder, which must not be touched.
    name = f"--job-name=matwheel_{uuid4()}"
    other = int(
        asked("sbatch", "--parsable", name, f"--chdir={elsewhere}", "--begin=now+1day", "--wrap=true")
    )
    with running(project, RESUME) as process:
        run = DisturbedRun(cluster, project, process)
        measure(
            "resume → jobs of the killed run cancelled",
            lambda: {job.state for job in run.jobs() if job.id in left} == {"CANCELLED"},
        )
        measure("resume → run ended", lambda: process.poll() is not None, 1800)
        assert process.returncode == 0, (project / "run.log").read_text()[-5000:]
    assert [job.state for job in cluster.jobs() if job.id == other] == ["PENDING"]
    ran = [job for job in run.jobs() if job.state != "CANCELLED"]
    sites = {(job.partition, job.node, job.gpus, job.gpu_model, job.feature) for job in ran}
    assert sites == {("cpu", "cpu1", 0, "", "avx512"), ("gpu", "gpu1", 1, "a100", "gpu80gb")}

    done = snakemake(local, TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (local / TARGET).is_file()
    assert differing_files(project / "results", local / "results") == []
