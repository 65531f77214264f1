"""Cost of the plan: reading the workflow, building the DAG, scheduling it, seeing that nothing is to be done.

A temporary project has as many datasets of a user's own as asked for, each a copy of the 40 crystals of the
tests, and otherwise the default configuration. No job does its work: jobs are scheduled by `--touch` on files
of `--kilobytes` each that stand in for the results. Snakemake sleeps 0.1 s in every touched job; here not.

    python benchmarks/dag.py [--datasets 20] [--runs 5] [--schedulers greedy ilp]
    python benchmarks/dag.py --datasets 50 --configfile OVERLAY.yaml --schedulers --jobs-csv FILE

The second form plans another configuration and writes how many jobs each rule has.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workflow"))
from tiny_project import copy_project, environment, pending_outputs, write_tiny_dataset

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
WITHOUT_SLEEP = [
    sys.executable,
    "-c",
    "from snakemake.executors.touch import Executor; Executor.SLEEPING_TIME = 0; "
    "from snakemake.cli import main; main()",
]
CONFIG = "many.yaml"
PLAN = ["-n", "--quiet", "rules"]
# The peak memory that Linux reports of a process is at least what the process that started it held by then.
# Our caller may be large (a pytest worker that has loaded torch), so a small process stands between.
ACCOUNTANT = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(status)
"""
FIRST_JOB = re.compile(r"^Execute \d+ jobs")


@dataclass(frozen=True)
class Cost:
    """What one command took; `first_job_s` is None where no job started."""

    what: str
    jobs: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    first_job_s: float | None = None
    jobs_of_rules: dict[str, int] = field(default_factory=dict, repr=False)


def make_project(folder: Path, datasets: int, runs: int, overlay: Path | None = None) -> Path:
    """Copy the project and give it a registry with many datasets and a config that asks for all of them."""
    project = copy_project(folder / "project")
    write_tiny_dataset(project)
    rows = (project / "tiny.csv").read_bytes()
    registry = yaml.safe_load((project / "config" / "datasets.yaml").read_text())
    names = [f"dataset_{number}" for number in range(datasets)]
    for name in names:
        (project / f"{name}.csv").write_bytes(rows)
        target = {"column": "dielectric", "name": "dielectric constant"}
        registry[name] = {"title": name, "target": target, "path": f"{name}.csv"}
    (project / "many_datasets.yaml").write_text(yaml.safe_dump(registry))
    config: dict[str, object] = {
        "dataset_registry": "many_datasets.yaml",
        "datasets": names,
        "split": {"runs": runs},
    }
    if overlay is not None:
        config |= {"split": {"runs": runs}, **yaml.safe_load(overlay.read_text())}
    (project / CONFIG).write_text(yaml.safe_dump(config))
    return project


def measure(project: Path, what: str, *arguments: str, command: list[str] = SNAKEMAKE) -> Cost:
    """Run one command in the project; CPU and peak memory are those of its process and all it waited for."""
    started = time.monotonic()
    first_job = None
    lines = []
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", ACCOUNTANT, *command, *arguments, "--configfile", CONFIG],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in child.stdout:
        lines.append(line)
        if first_job is None and FIRST_JOB.match(line):
            first_job = time.monotonic() - started
    status = child.wait()
    wall = time.monotonic() - started
    cpu, peak_mb = map(float, lines.pop().split())
    output = "".join(lines)
    if status:
        raise SystemExit(f"{what} failed:\n{output[-4000:]}")
    total = re.search(r"^total +(\d+)$", output, re.MULTILINE)
    if total is None and "--list-rules" not in arguments and "Nothing to be done" not in output:
        raise SystemExit(f"{what}: neither a plan nor nothing to be done:\n{output[-4000:]}")
    jobs = int(total[1]) if total else 0
    stats = output.split("Job stats:")[-1].split("total ")[0] if total else ""
    rules = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}
    return Cost(what, jobs, wall, cpu, peak_mb, first_job, rules)


def write_results(project: Path, kilobytes: int) -> int:
    """Write a file for every output of the plan; return how many there are."""
    paths = sorted(pending_outputs(project, CONFIG))
    for number, name in enumerate(paths):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(f"{number:07}\n" * (125 * kilobytes))  # no two alike
        else:  # directory(...)
            path.mkdir(exist_ok=True)
    return len(paths)


def touch_results(project: Path) -> None:
    """Give all result files new times in an order that contradicts the order they are made in.

    Snakemake knows folders by the time of a hidden file only, so those stay as they are.
    """
    paths = sorted(path for path in (project / "results").rglob("[!.]*") if path.is_file())
    now = time.time()
    for number, path in enumerate(paths):
        os.utime(path, (now + number * 1e-3,) * 2)


def main() -> None:
    """Print what each command takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--schedulers", nargs="*", default=["greedy", "ilp"])
    parser.add_argument("--slots", type=int, default=100, help="jobs that may run at a time")
    parser.add_argument("--kilobytes", type=int, default=100, help="size of every file of results")
    parser.add_argument("--configfile", type=Path, help="settings that differ from the default configuration")
    parser.add_argument("--jobs-csv", type=Path, help="write the number of jobs of each rule here")
    arguments = parser.parse_args()
    slots = ["--cores", str(arguments.slots)]
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), arguments.datasets, arguments.runs, arguments.configfile)

        def add(*names: str, command: list[str] = SNAKEMAKE) -> None:
            costs.append(measure(project, *names, command=command))
            print(costs[-1], file=sys.stderr, flush=True)

        add("read the workflow", "--list-rules")
        add("plan", *PLAN)
        add("plan, SLURM profile", *PLAN, "--workflow-profile", "profiles/slurm")
        if arguments.schedulers:
            print(f"{write_results(project, arguments.kilobytes)} files of results", file=sys.stderr)
        for scheduler in arguments.schedulers:
            touch = ["--touch", "--forceall", "--scheduler", scheduler, *slots]
            add(f"schedule and touch, {scheduler}", *touch, command=WITHOUT_SLEEP)
        if arguments.schedulers:
            add("nothing to be done", *PLAN)
            touch_results(project)
            add("nothing to be done, by checksums of all files", *PLAN)
    if arguments.jobs_csv:
        rules = costs[1].jobs_of_rules
        pd.DataFrame({"rule": list(rules), "jobs": list(rules.values())}).to_csv(
            arguments.jobs_csv, index=False
        )
    table = pd.DataFrame([asdict(cost) for cost in costs]).drop(columns="jobs_of_rules")
    print(table.round(1).to_string(index=False, na_rep="-"))


if __name__ == "__main__":
    main()
