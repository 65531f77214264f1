"""What a large run would need, computed from measured unit costs and the number of jobs in its plan.

    python benchmarks/scaling.py [--gpus 4 40 400] [--gpu-speedup 10] [--cores-per-gpu 8]

Reads docs/results/scaling/unit_costs.csv (CPU seconds per job and per unit of each rule) and jobs.csv
(jobs of each rule, by `benchmarks/dag.py --jobs-csv`). No schedule is quicker than what is busiest or
the longest chain of jobs, and one that never leaves a slot idle while a job could start takes no longer
than their sum (after Graham, Bell System Technical Journal 45, 1563, 1966). `--gpu-speedup` is how many
times as fast a GPU is as one core of the machine that the costs were measured on: an assumption until it
is measured.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results" / "scaling"
HOUR = 3600.0


@dataclass(frozen=True)
class Cluster:
    """Assumptions on the machines.

    Attributes:
        gpu_speedup: how many times as fast as one core a GPU does the work of a rule that has one.
        gpu_work_factor: how many times the measured work rules with a GPU do (larger budgets).
        cores_per_gpu: CPU cores beside each GPU.
        most_jobs: jobs that the profile lets run at a time (`jobs`).
        job_start_s: seconds that a submitted job holds its slot beyond its work: two Snakemake processes read
            the workflow, the batch system starts and clears the job.
        head_cores: cores of the head node, on which the light rules run.
        local_start_s: seconds that a job on the head node takes beyond its work: one reading of the workflow.
        head_s_per_job: seconds of the one process that submits, per job: plan, scheduling, submission.
    """

    gpu_speedup: float
    gpu_work_factor: float
    cores_per_gpu: int
    most_jobs: float
    job_start_s: float
    head_cores: int
    local_start_s: float
    head_s_per_job: float


def costs_of_rules(costs: pd.DataFrame, jobs: pd.DataFrame) -> pd.DataFrame:
    """Return per rule the jobs, CPU seconds of all and of the largest job, and disk.

    Raises:
        ValueError: a rule of the plan has no cost, or a cost no rule.
    """
    table = costs.merge(jobs, on="rule", how="outer", indicator=True)
    strangers = table.loc[table["_merge"] != "both", "rule"].tolist()
    if strangers:
        raise ValueError(f"not in both unit_costs.csv and jobs.csv: {', '.join(strangers)}")
    table["cpu_s"] = table["jobs"] * table["cpu_s_per_job"] + table["units"] * table["cpu_s_per_unit"]
    table["longest_s"] = table["cpu_s_per_job"] + table["units_of_largest_job"] * table["cpu_s_per_unit"]
    table["disk_gb"] = table["jobs"] * table["disk_mb_per_job"].fillna(0) / 1000
    return table.sort_values("cpu_s", ascending=False, ignore_index=True)


def projection(table: pd.DataFrame, gpus: int, cluster: Cluster) -> dict[str, float]:
    """Return the hours that each kind of slot is busy, the longest chain, and the bounds on the wall time."""
    on_gpu, on_cpu, on_head = (table["device"] == device for device in ("gpu", "cpu", "head"))
    speed = on_gpu.map({True: cluster.gpu_speedup / cluster.gpu_work_factor, False: 1.0})
    start = on_head.map({True: cluster.local_start_s, False: cluster.job_start_s})
    busy = table["cpu_s"] / speed + table["jobs"] * start
    gpu_hours = busy[on_gpu].sum() / gpus / HOUR
    core_hours = busy[on_cpu].sum() / (gpus * cluster.cores_per_gpu) / HOUR
    limit_hours = busy[~on_head].sum() / cluster.most_jobs / HOUR
    head_hours = busy[on_head].sum() / cluster.head_cores / HOUR
    process_hours = table["jobs"].sum() * cluster.head_s_per_job / HOUR
    chain_hours = (table["longest_s"] / speed + start)[table["chain"] == "yes"].sum() / HOUR
    parts = {
        "GPUs busy": gpu_hours,
        "cores busy": core_hours,
        f"{cluster.most_jobs:g} jobs at a time": limit_hours,
        "head node busy": head_hours,
        "head process": process_hours,
        "longest chain": chain_hours,
    }
    return {
        "GPUs": gpus,
        "cores": gpus * cluster.cores_per_gpu,
        **parts,
        "at least": max(parts.values()),
        "at most": sum(parts.values()),
    }


def main() -> None:
    """Print the cost of each rule and the projection."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, nargs="+", default=[4, 40, 400])
    parser.add_argument("--gpu-speedup", type=float, default=10.0)
    parser.add_argument("--gpu-work-factor", type=float, default=1.0)
    parser.add_argument("--cores-per-gpu", type=int, default=8)
    parser.add_argument("--most-jobs", type=float, default=100)
    parser.add_argument("--job-start-s", type=float, default=11.0)
    parser.add_argument("--head-cores", type=int, default=2)
    parser.add_argument("--local-start-s", type=float, default=2.7)
    parser.add_argument("--head-s-per-job", type=float, default=0.11)
    options = vars(parser.parse_args())
    numbers = options.pop("gpus")
    cluster = Cluster(**options)
    table = costs_of_rules(pd.read_csv(FOLDER / "unit_costs.csv"), pd.read_csv(FOLDER / "jobs.csv"))
    shown = table.assign(cpu_hours=table["cpu_s"] / HOUR)[
        ["rule", "device", "jobs", "cpu_hours", "longest_s", "memory_mb", "disk_gb"]
    ]
    print(shown.round(2).to_markdown(index=False))
    submitted = table["jobs"][table["device"] != "head"].sum()
    print(
        f"\n{table['jobs'].sum():,} jobs, {table['cpu_s'].sum() / HOUR:.0f} CPU hours, of these "
        f"{table['cpu_s'][table['device'] == 'gpu'].sum() / HOUR:.1f} of rules with a GPU; "
        f"{submitted * cluster.job_start_s / HOUR:.0f} slot hours to start the {submitted:,} submitted; "
        f"{table['disk_gb'].sum():.0f} GB\n"
    )
    rows = [projection(table, gpus, cluster) for gpus in numbers]
    print(pd.DataFrame(rows).round(2).to_markdown(index=False))


if __name__ == "__main__":
    main()
