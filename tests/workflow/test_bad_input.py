"""What a newcomer gets wrong ends before any training, with one message that names the remedy."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tiny_project import REGISTRY, TINY, copy_project, snakemake, write_tiny_dataset

from matwheel.core.errors import InputError
from matwheel.runs.run_lock import take_run_lock


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = copy_project(tmp_path / "project")
    write_tiny_dataset(project)
    return project


def refusal(project: Path, *arguments: str, config: str = "tiny.yaml") -> str:
    """Run, expect a refusal before any training, and return what was said."""
    done = snakemake(project, *arguments, config=config)
    assert done.returncode != 0
    assert not list(project.glob("results/matwheel/**/*.pt"))
    assert not list(project.glob("results/**/.partial-*"))
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    return said


def with_config(project: Path, **changes: object) -> None:
    (project / "tiny.yaml").write_text(yaml.safe_dump({**TINY, **changes}))


# One of each place that refuses; the wrong settings themselves are in tests/unit/configuration.
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predcitor": {}}, ["config: predcitor is {}; there is no such setting; did you mean predictors?"]),
        ({"chapters": 5}, ["config: chapters is 5; give a list"]),
        (
            {"datasets": ["tinny"]},
            ["config: datasets.0 is 'tinny'; tiny_datasets.yaml has no such", "did you mean tiny?"],
        ),
        (
            {"validate": {"born_charges": "nowhere"}},
            ["validate.born_charges", "nowhere", "name one with files"],
        ),
    ],
)
def test_wrong_config(project: Path, changes: dict, words: list[str]) -> None:
    with_config(project, **changes)
    said = refusal(project, "-n")
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("validate={relax_at_most: ten}", "config: validate.relax_at_most is 'ten'; give a whole number"),
        (
            "dataset_registry=nowhere.yaml",
            "config: dataset_registry is 'nowhere.yaml', which cannot be read",
        ),
        ("imported={mine: 'both \"quotes\" of it''s name'}", "config: imported, given with --config, holds"),
    ],
)
def test_wrong_setting_of_the_command_line(project: Path, setting: str, fault: str) -> None:
    said = refusal(project, "-n", "--config", setting)
    assert fault in said, said


def test_numbers_inside_settings_of_the_command_line_are_numbers(project: Path) -> None:
    """They reach the rules, and the jobs, which read the command line again."""
    settings = ["validate={relax_at_most: 10}", "generator={samples: 5e2}", "split={labelled_fraction: 0.4}"]
    done = snakemake(project, "-n", "--config", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = "results/data/tiny/random/seed0"
    done = snakemake(project, f"{folder}/labelled.json", "--config", settings[2])
    assert done.returncode == 0, done.stdout + done.stderr
    split, labelled = (
        json.loads((project / folder / name).read_text()) for name in ("split.json", "labelled.json")
    )
    assert len(labelled["labelled"]) == round(0.4 * len(split["train"]))


@pytest.mark.parametrize("name", ["my {tiny} set #2.csv", "folder {x}/it's.csv"])
def test_a_dataset_in_a_file_of_any_name_is_read_and_edits_are_seen(project: Path, name: str) -> None:
    path = project / name
    path.parent.mkdir(exist_ok=True)
    (project / "tiny.csv").rename(path)
    (project / "tiny_datasets.yaml").write_text(yaml.safe_dump({"tiny": {**REGISTRY["tiny"], "path": name}}))
    table = "results/data/tiny/crystals.parquet"
    done = snakemake(project, table)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in snakemake(project, "-n", table).stdout
    path.write_text(path.read_text().rstrip("\n") + "1\n")  # a further digit of the last target
    os.utime(path, (1, 1))
    assert "fetch tiny" in snakemake(project, "-n", table).stdout


def test_a_wrong_entry_of_the_registry_is_named_with_its_file(project: Path) -> None:
    entry = {"path": "tiny.csv", "titel": "t"}
    (project / "tiny_datasets.yaml").write_text(yaml.safe_dump({"tiny": entry}))
    said = refusal(project, "-n")
    assert "tiny_datasets.yaml: tiny.titel is 't'; there is no such setting; did you mean title?" in said


MISSING = "jarvis2d_exfoliation cannot be had from here: no mirror folder (mirror) has the file"


def test_a_plan_warns_of_what_cannot_be_had_without_a_mirror(project: Path) -> None:
    datasets = ["jarvis2d_exfoliation", "mp_poly_total"]
    with_config(
        project, datasets=datasets, dataset_registry="config/datasets.yaml", mirror_folders=["mirror"]
    )
    done = snakemake(project, "-n", "results/table2.csv")
    assert done.returncode == 0 and done.stderr.count(MISSING) == 1, done.stdout + done.stderr
    for words in ("jarvis2d_exfoliation.json.gz", "jarvis_dft_2d.json.gz (from https://", "sha256 69943"):
        assert words in done.stderr
    # The command can be typed as it stands.
    command = re.search("Without: snakemake --cores 2 (.*)", done.stderr)[1]
    assert command == "--configfile tiny.yaml --config 'datasets=[mp_poly_total]' -- results/table2.csv"
    done = snakemake(project, "-n", *shlex.split(command), config="")
    assert done.returncode == 0 and MISSING not in done.stderr, done.stderr
    # What needs no dataset is not bothered; nor is who placed matminer's file by hand.
    assert MISSING not in snakemake(project, "-n", "results/references/phases.parquet").stderr
    (project / "mirror").mkdir()
    (project / "mirror/jarvis_dft_2d.json.gz").write_bytes(b"placed")
    assert MISSING not in snakemake(project, "-n", "results/table2.csv").stderr


def test_without_a_mirror_and_another_dataset_there_is_no_command(project: Path) -> None:
    one = ["jarvis2d_exfoliation"]
    with_config(project, datasets=one, dataset_registry="config/datasets.yaml", mirror_folders=["mirror"])
    said = snakemake(project, "-n", "results/table2.csv").stderr
    assert MISSING in said and "No other dataset is configured" in said and "Without:" not in said


def test_too_few_labelled_rows(project: Path) -> None:
    with_config(project, split={"runs": 1, "labelled_fraction": 0.02})
    said = refusal(project, "-n")
    assert "labelled_fraction" in said


def test_a_dataset_is_looked_at_before_the_plan(project: Path) -> None:
    """What is looked for is in tests/unit/datasets/test_dataset_look.py."""
    file = project / "tiny.csv"
    table = pd.read_csv(file, dtype=str)
    table.loc[[1, 3, 5], "dielectric"] = "?"
    table.to_csv(file, index=False)
    said = refusal(project, "-n")
    assert "3 of 40 rows cannot be used" in said and all(f"row {row} (id" in said for row in (2, 4, 6))
    table.loc[[1, 3, 5], "dielectric"] = ["3.0", "4e6", "5.0"]
    table.to_csv(file, index=False)
    done = snakemake(project, "-n")
    assert done.returncode == 0, done.stderr
    assert "warning: tiny.csv: target dielectric is 4e+06 (row 4, id" in done.stderr
    assert "over 1000 times the typical" in done.stderr and "leave 8 labelled ones" in done.stderr


def test_no_source_answers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    overlay = {
        "mirror_folders": ["resources/mirror"],
        "matgan": {"sets": []},
        "wycryst": {"tasks": []},
        "phonon": {"compounds": []},
        "perturbation": {"predictors": []},
    }
    overlay["datasets"] = ["jarvis2d_exfoliation"]
    (project / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    said = refusal(project, config="overlay.yaml")
    for words in (
        "resources/mirror",
        "jarvis2d_exfoliation.json.gz",
        "sha256",
        "datasets=[names",
    ):
        assert words in said, said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_write_permission(project: Path) -> None:
    (project / "results").mkdir()
    (project / "results").chmod(0o500)
    said = refusal(project)
    assert "ermission" in said


def test_results_is_a_file(project: Path) -> None:
    """Stands in for a folder that cannot be written, also for root."""
    (project / "results").write_text("not a folder")
    assert "results" in refusal(project)


def test_two_runs_in_one_folder(project: Path) -> None:
    with take_run_lock(project):
        assert "another run" in refusal(project)


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


# The hooks of the workflow around a rule that runs until it is released; without the imports of the others.
WAITING = """
import errno, fcntl, os, sys
from pathlib import Path
from snakemake.exceptions import WorkflowError
ROOT, NAMED_AT_THE_END = Path(workflow.basedir), []
sys.path.insert(0, str(ROOT / "src"))
def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")
if os.path.exists("no locks"):
    fcntl.flock = no_locks
include: "workflow/rules/hooks.smk"
rule wait_for_release:
    output: touch("results/released")
    shell: "touch waiting; while [ ! -e release ]; do sleep .1; done"
"""


@pytest.mark.parametrize("supported", [True, False])
def test_a_run_holds_the_lock_as_long_as_it_lives(
    project: Path, monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    """Also where the file system has no locks."""
    (project / "Snakefile").write_text(WAITING)
    if not supported:
        (project / "no locks").touch()
        monkeypatch.setattr(fcntl, "flock", no_locks)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(snakemake, project, config="")
        try:
            while not (project / "waiting").exists():
                assert not run.done(), run.result().stderr
                time.sleep(0.1)
            with pytest.raises(InputError, match="another run"):
                take_run_lock(project)
        finally:
            (project / "release").touch()
        assert run.result().returncode == 0, run.result().stderr
    take_run_lock(project).close()
