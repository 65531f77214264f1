"""What a newcomer gets wrong ends before any training, with one message that names the remedy."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from tiny_project import TINY, copy_project, snakemake, write_tiny_dataset

from matwheel.errors import InputError
from matwheel.run_lock import take_run_lock


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predcitor": {}}, ["predcitor"]),
        ({"predictor_settings": {"cgcnn": {"stepz": 3}}}, ["stepz"]),
        ({"generator": {"samples": 12, "settings": {"latent": 3}}}, ["latent"]),
        ({"predictors": ["oracle"]}, ["predictors", "oracle", "cgcnn"]),
        ({"screen": {"require": ["structure", "luck"]}}, ["screen.require", "luck", "further"]),
        ({"datasets": ["tinny"]}, ["tinny", "tiny_datasets.yaml", "tiny"]),
        ({"split": {"runs": -1}}, ["-1", "runs"]),
        ({"split": {"runs": 6}, "split.schemes": []}, ["split.schemes"]),
        ({"split": {"runs": 6, "schemes": ["chang2022"]}}, ["chang2022", "five"]),
        ({"split": {"fractions": {"train": 0.9}}}, ["fractions", "1"]),
        ({"conditions": {"method": "target"}}, ["targets"]),
    ],
)
def test_wrong_config(project: Path, changes: dict, words: list[str]) -> None:
    with_config(project, **changes)
    said = refusal(project, "-n")
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"\n\Z", '\nbad,"data_nothing\n_cell_length_a x\n",3.0\n', ["tiny.csv", "row 41", "CIF"]),
        (r",[\d.]+\n\Z", ",n/a\n", ["tiny.csv", "row 40", "dielectric"]),
        (r",[\d.]+\n\Z", ",high\n", ["tiny.csv", "row 40", "'high'", "not a number"]),
        (r"dielectric", "permittivity", ["tiny.csv", "dielectric", "permittivity"]),
        (r"(?s)\A.*\Z", "", ["tiny.csv", "empty"]),
    ],
)
def test_wrong_rows(project: Path, pattern: str, replacement: str, words: list[str]) -> None:
    file = project / "tiny.csv"
    changed = re.sub(pattern, replacement, file.read_text(), count=1)
    assert changed != file.read_text()
    file.write_text(changed)
    said = refusal(project)
    assert all(word in said for word in words), said


def test_too_few_labelled_rows(project: Path) -> None:
    with_config(project, split={"runs": 1, "labelled_fraction": 0.02})
    said = refusal(project)
    assert "labelled_fraction" in said


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


# The hooks of the workflow around a rule that runs until it is released; without the imports of the others.
WAITING = """
import os, sys
from pathlib import Path
from snakemake.exceptions import WorkflowError
ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))
include: "workflow/rules/hooks.smk"
rule wait_for_release:
    output: touch("results/released")
    shell: "touch waiting; while [ ! -e release ]; do sleep .1; done"
"""


def test_a_run_holds_the_lock_as_long_as_it_lives(project: Path) -> None:
    (project / "Snakefile").write_text(WAITING)
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
