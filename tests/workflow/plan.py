"""The plan of a run: its jobs, told by the files that they make, and the settings that it was made for."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from default_settings import default_settings
from tiny_project import ROOT, snakemake

Places = set[tuple[str, ...]]
TRAINING_SETS = ["F", "GF", "F_GF", "S", "GS", "S_GS"]
"""Columns of Table 2; a G stands for generated crystals."""
SUPERVISIONS = ["full", "semi"]


@dataclass(frozen=True)
class Plan:
    """Files that a run would make, by the rule that makes them."""

    settings: dict[str, Any]
    files: dict[str, list[str]]

    def places(self, rule: str, pattern: str) -> Places:
        """Return what stands at the wildcards of one output of a rule: one tuple per job.

        Args:
            rule: the rule.
            pattern: its output, with {} for a part of a path, {*} for several.
        """
        expression = re.escape(pattern).replace(r"\{\*\}", "(.+)").replace(r"\{\}", "([^/]+)")
        matches = [re.fullmatch(expression, file) for file in self.files.get(rule, [])]
        found = [match.groups() for match in matches if match]
        assert len(found) == len(set(found)), f"{rule} has a job twice"
        return set(found)

    def sets(self, rule: str, file: str) -> set[str]:
        """Return the candidate sets for which a rule makes a file."""
        return {name for (name,) in self.places(rule, f"results/{{*}}/{file}")}


def merged(base: Any, change: Any) -> Any:
    """Lay settings over others, as snakemake does."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


def plan_of(project: Path, config: str = "", changes: dict[str, Any] | None = None) -> Plan:
    """Plan a project that has made nothing yet.

    Args:
        project: a copy of the project.
        config: an overlay among its files.
        changes: further settings, laid over it.
    """
    settings = default_settings()
    for overlay in (yaml.safe_load((ROOT / config).read_text()) if config else {}, changes or {}):
        settings = merged(settings, overlay)
    given = [config] if config else []
    if changes:
        (project / "changes.yaml").write_text(yaml.safe_dump(changes))
        given.append("changes.yaml")
    arguments = ["--summary", *(["--configfile", *given] if given else [])]
    done = snakemake(project, *arguments, config="")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("results/")]
    files = defaultdict(list)
    for file, _, rule, *_ in rows:
        files[rule].append(file)
    assert len({row[0] for row in rows}) == len(rows) > 0, "a file is made twice"
    return Plan(settings, dict(files))


def each(*parts: Any) -> Places:
    """Return all combinations of wildcards as texts; a text stands for itself."""
    choices = [[part] if isinstance(part, str) else part for part in parts]
    return {tuple(map(str, one)) for one in product(*choices)}


def job_counts(text: str) -> dict[str, int]:
    """Return the number of jobs of each rule that a dry run tells."""
    stats = text.split("Job stats:")[1]
    counts = re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)
    return {name: int(count) for name, count in counts if name != "total"}
