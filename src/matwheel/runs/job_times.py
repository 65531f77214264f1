"""What the jobs of a run took, by rule, from the benchmark files that Snakemake wrote beside their logs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

COLUMNS = ("stage", "rule", "jobs", "wall_hours", "cpu_hours", "longest_job_hours", "peak_memory_mb")
OTHER_STAGE = "other"


def job_times(logs: Path, stage_of_rule: Mapping[str, str]) -> pd.DataFrame:
    """Return what the jobs of each rule took, with the columns `COLUMNS`, the most CPU time first.

    A job that ran again counts once, with its last time. What Snakemake could not measure counts as zero.

    Args:
        logs: folder with a benchmark file `{rule}/**/*.tsv` for each job.
        stage_of_rule: rule → stage.
    """
    rows = []
    for folder in sorted(path for path in logs.glob("*") if path.is_dir()):
        measured = [pd.read_csv(path, sep="\t", na_values=["-"]) for path in sorted(folder.rglob("*.tsv"))]
        if not measured:
            continue
        jobs = pd.concat(measured, ignore_index=True)
        rows.append(
            (
                stage_of_rule.get(folder.name, OTHER_STAGE),
                folder.name,
                len(jobs),
                jobs["s"].sum() / 3600,
                jobs["cpu_time"].sum() / 3600,
                jobs["s"].max() / 3600,
                jobs["max_rss"].max(),
            )
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["cpu_hours", "rule"], ascending=[False, True]).reset_index(drop=True)
