"""The workflow used from a folder that is no clone: as a module, and with a config of that folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from default_settings import default_settings
from plan import TRAINING_SETS, job_counts
from tiny_project import REGISTRY, ROOT, snakemake, write_tiny_dataset

MODULE = """
module matwheel:
    snakefile: "{project}/workflow/Snakefile"
    config: {config}

use rule * from matwheel{renamed}
"""
DEFAULTS = default_settings()
TRAINED = len(TRAINING_SETS) * len(DEFAULTS["predictors"])  # predictors of one split
SETTINGS = {
    "chapters": ["matwheel"],
    "datasets": ["tiny"],
    "dataset_registry": "tiny_datasets.yaml",
    "split": {"runs": 1},
    "funnel": {"runs": []},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data and a registry of its own, and nothing else."""
    write_tiny_dataset(tmp_path)
    (tmp_path / "tiny.yaml").unlink()
    return tmp_path


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    done = snakemake(folder, "-n", *arguments, config="")
    assert done.returncode == 0, done.stdout + done.stderr
    return job_counts(done.stdout)


def test_a_module_makes_results_in_its_own_folder_once(folder: Path) -> None:
    (folder / "Snakefile").write_text(MODULE.format(project=ROOT, config=SETTINGS, renamed=""))
    target = "results/data/tiny/random/seed0/split.json"
    done = snakemake(folder, "--", target, config="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / target).exists()
    assert not (ROOT / "results/data/tiny").exists()
    assert "Nothing to be done" in snakemake(folder, "-n", "--", target, config="").stdout
    # What the config of the module says counts, and what it does not say is as shipped.
    assert planned(folder, "--", "results/table2.csv")["train_predictor"] == TRAINED
    # What came with the project is found from here.
    assert planned(folder, "--", "results/report.html")["write_report"] == 1


def test_a_module_whose_rules_are_renamed(folder: Path) -> None:
    (folder / "Snakefile").write_text(
        MODULE.format(
            project=ROOT, config={**SETTINGS, "chapters": ["matwheel", "phonon"]}, renamed=" as mw_*"
        )
    )
    counts = planned(folder, "--", "results/phonon/bands.svg")
    # Of the compounds that came with the project.
    assert counts["mw_compute_force_constants"] == len(DEFAULTS["phonon"]["compounds"])


# As snakedeploy writes it, with the clone's path before the name of its rules (config/README.md).
DEPLOYED = """
configfile: "config/config.yaml"

module deployed:
    snakefile:
        "{project}/workflow/Snakefile"
    config:
        config

use rule * from deployed
"""


def test_a_deployed_folder_has_copies_of_the_settings(folder: Path) -> None:
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    (folder / "workflow").mkdir()
    (folder / "workflow/Snakefile").write_text(DEPLOYED.format(project=ROOT))
    chapter = folder / "config/chapters/matwheel.yaml"
    chapter.write_text(chapter.read_text().replace("runs: [0]", "runs: []"))
    config = ("--config", "datasets=[tiny]", "dataset_registry=tiny_datasets.yaml", "chapters=[matwheel]")
    counts = planned(folder, *config, "--", "results/table2.csv", "results/report.html")
    assert counts["train_predictor"] == TRAINED * DEFAULTS["split"]["runs"]
    assert "relax_candidates" not in planned(folder, *config, "--", "results/report.html")


def test_a_config_of_the_folder_says_only_what_differs(folder: Path) -> None:
    (folder / "config").mkdir()
    settings = {**SETTINGS, "dataset_registry": "config/datasets.yaml"}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings))
    shutil.move(folder / "tiny_datasets.yaml", folder / "config/datasets.yaml")
    counts = planned(folder, "-s", str(ROOT / "workflow/Snakefile"))
    assert counts["train_predictor"] == TRAINED
    assert (
        "relax_candidates" not in counts
    )  # funnel.runs of config.yaml, not that of config/chapters/matwheel.yaml


def test_the_small_case_that_ships_is_planned_to_its_end() -> None:
    counts = planned(ROOT, "--directory", ".test", "-F")
    assert counts["table2"] == counts["draw_table2"] == 1
    assert sum(counts.values()) < 60
    assert (
        yaml.safe_load((ROOT / ".test/config/datasets.yaml").read_text())["dielectric40"]["target"]
        == (REGISTRY["tiny"]["target"])
    )


@pytest.mark.parametrize(
    ("chapters", "words"),
    [
        (["matwheel", "matgam"], "chapters.1 is 'matgam'; give one of matwheel, perturb, matgan"),
        ("matgan", "chapters is 'matgan'; give a list"),
    ],
)
def test_wrong_chapters_are_refused(folder: Path, chapters: object, words: str) -> None:
    (folder / "Snakefile").write_text(
        MODULE.format(project=ROOT, config={**SETTINGS, "chapters": chapters}, renamed="")
    )
    done = snakemake(folder, "-n", config="")
    assert done.returncode == 1 and words in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("chapter", "rule"),
    [
        ("matwheel", "table2"),
        ("perturb", "table_perturbed"),
        ("matgan", "matgan_report"),
        ("wycryst", "collect_gene_funnels"),
        ("phonon", "draw_displacements"),
    ],
)
def test_each_chapter_is_planned_without_the_others(chapter: str, rule: str) -> None:
    done = snakemake(ROOT, "-n", "-F", "--config", f"chapters=[{chapter}]", config="")
    assert done.returncode == 0, done.stdout + done.stderr
    planned = set(job_counts(done.stdout))
    assert rule in planned
    for file in (ROOT / "workflow/rules/chapters").glob("*.smk"):
        rules = set(re.findall(r"^ *rule (\w+):", file.read_text(encoding="utf-8"), re.MULTILINE))
        assert file.stem == chapter or not rules & planned, f"of chapter {file.stem}"
