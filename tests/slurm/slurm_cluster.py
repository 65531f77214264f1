"""The test cluster, what it says of its jobs, and runs of the workflow on it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tiny_project import environment

SCRIPT = Path(__file__).with_name("cluster.sh")
# A cluster of seconds: the profile's 20 s between status queries would only be waited for.
PATIENCE = ("--slurm-init-seconds-before-status-checks", "5")
# Lines of the profile that fit cluster.sh; accounts and QOS would need accounting.
NAMES_OF_THE_SITE = (
    "slurm_partition: cpu", "constraint: avx512", "slurm_partition: gpu", "gpu_model: a100",
    "constraint: gpu80gb",
)  # fmt: skip
# Clocks, the only contents that differ between two runs (docs/architecture.md): a column of verdict tables,
# and the one table that computes rates from it.
CLOCK_COLUMN, TABLE_OF_CLOCKS = "seconds", "wycryst/yields.csv"
# `make quickstart` ends with them; they tell times and the machine.
OF_THE_RUN = {"report.html", "certificate.json"}


@dataclass(frozen=True)
class Job:
    """A job as SLURM remembers it: what it asked for, where it ran, how it ended."""

    id: int
    rule: str
    comment: str
    state: str
    reason: str
    partition: str
    node: str
    cpus: int
    megabytes: int
    gpus: int
    gpu_model: str
    feature: str
    minutes: int
    folder: str


@dataclass(frozen=True)
class Cluster:
    """The cluster whose files lie in a folder."""

    folder: Path

    def control(self, action: str) -> None:
        """Run cluster.sh: up, down, controller-up, controller-down."""
        subprocess.run([str(SCRIPT), action, str(self.folder)], check=True)

    def jobs(self) -> list[Job]:
        """Return all jobs since the cluster was started."""
        listing = asked("scontrol", "--oneliner", "show", "job")
        return [_job(line) for line in listing.splitlines() if line.startswith("JobId=")]


def asked(*command: str) -> str:
    """Return the output of a command that must succeed."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _job(line: str) -> Job:
    said = dict(re.findall(r"(\S+?)=(\S*)", line))
    gpus = re.fullmatch(r"gres:gpu:(?:(\w+):)?(\d+)", said.get("TresPerJob", ""))
    comment = said.get("Comment", "")
    return Job(
        int(said["JobId"]),
        rule=comment.removeprefix("rule_").split("_wildcards_")[0],
        comment=comment,
        state=said["JobState"],
        reason=said["Reason"],
        partition=said["Partition"],
        node=said["NodeList"],
        cpus=int(said["NumCPUs"]),
        megabytes=int(re.search(r"mem=(\d+)M", said["TRES"])[1]),
        gpus=int(gpus[2]) if gpus else 0,
        gpu_model=gpus[1] or "" if gpus else "",
        feature=said["Features"],
        minutes=_minutes(said["TimeLimit"]),
        folder=said["WorkDir"],
    )


def _minutes(limit: str) -> int:
    """Minutes of SLURM's [days-]hours:minutes:seconds."""
    if limit == "UNLIMITED":
        return 0
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = clock.split(":")
    return (int(days or 0) * 24 + int(hours)) * 60 + int(minutes)


def name_the_site(project: Path) -> None:
    """Uncomment names in a project's SLURM profile, as a user would whose cluster has them."""
    profile = project / "profiles/slurm/config.yaml"
    text = profile.read_text()
    for name in NAMES_OF_THE_SITE:
        assert text.count(f"# {name}\n") == 1, name
        text = text.replace(f"# {name}\n", f"{name}\n")
    profile.write_text(text)


def ask_for_too_little(project: Path, rule: str, megabytes: int) -> None:
    """Make a rule's first request smaller than what it takes; like every other it grows with the attempt."""
    profile = project / "profiles/slurm/config.yaml"
    text = profile.read_text()
    line = f"  {rule}: *gpu\n"
    assert line in text
    profile.write_text(text.replace(line, f"  {rule}: {{ <<: *gpu, mem_mb: {megabytes} * attempt }}\n"))


def command_of_run(config: str, target: str = "") -> list[str]:
    """The command that a user types, with shorter waits."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *PATIENCE]
    return [*command, "--configfile", config, *(["--", target] if target else [])]


@contextmanager
def running(project: Path, command: list[str]) -> Iterator[subprocess.Popen]:
    """A run in the background, its words in run.log; whatever happens it is ended."""
    with (project / "run.log").open("a") as log:
        process = subprocess.Popen(command, cwd=project, env=environment(project), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], object], what: str, timeout_seconds: float = 600) -> float:
    """Wait until a condition holds; return for how many seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_seconds, f"in {timeout_seconds:.0f} s not: {what}"
        time.sleep(0.5)
    return time.monotonic() - started


def differing_files(one: Path, other: Path) -> list[str]:
    """Files of two results folders that are not the same in both, clocks and what tells of the run apart."""
    names = {
        path.relative_to(folder).as_posix()
        for folder in (one, other)
        for path in folder.rglob("*")
        if path.is_file()
    }
    compared = names - {TABLE_OF_CLOCKS, *OF_THE_RUN}
    return sorted(name for name in compared if not _is_same(one / name, other / name))


def _is_same(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return False
    if one.read_bytes() == other.read_bytes():
        return True
    if one.suffix != ".parquet":
        return False
    tables = [pd.read_parquet(path) for path in (one, other)]
    if not all(CLOCK_COLUMN in table for table in tables):
        return False
    one_table, other_table = (table.drop(columns=CLOCK_COLUMN) for table in tables)
    return one_table.equals(other_table)
