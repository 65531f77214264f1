"""The certificate: what it says of a run, and what a verification finds when something changed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from matwheel.command_line.cli import main
from matwheel.core.errors import InputError
from matwheel.core.files import sha256_of_file, write_json
from matwheel.runs.certificate import (
    ADDED,
    CHANGED,
    CODE_CHANGED,
    EDITED,
    INPUT_CHANGED,
    INPUT_MISSING,
    MISSING,
    NAME,
    Run,
    certificate,
    read_certificate,
    result_files,
    verify,
)
from matwheel.runs.job_times import COLUMNS
from matwheel.runs.machine import git_state, machine_facts
from matwheel.runs.provenance import library_versions


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with results, inputs, code and a certificate of them."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("results/table2.csv", "mae\n1\n"), ("results/data/poly/crystals.parquet", "crystals"),
        ("results/matgan/report/README.md", "# report"), ("results/.partial-x.csv", "unfinished"),
        ("results/matwheel/generator.pt.checkpoint", "unfinished"), ("config/config.yaml", "seed: 1"),
        ("my.csv", "id,cif"), ("Snakefile", "rule all:"), ("src/matwheel/a.py", "A = 1"),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    times = pd.DataFrame([("predict", "train", 3, 0.5, 0.4, 0.2, 700.4)], columns=list(COLUMNS))
    run = Run(
        headlines=["table2.csv"],
        inputs=[Path("config/config.yaml"), Path("my.csv")],
        origins={"results/data/poly/provenance.json": {"origin": "PyPI archive", "sha256": "3faf"}},
        settings={"seed": 1, "screen": {"composition": {"oxidation_table": "smact14"}}},
        code=[Path("Snakefile"), Path("src/matwheel/a.py")],
        repository=git_state(tmp_path),
        versions=library_versions(),
        potentials={"relaxation": "7net-0 0.13"},
        machine=machine_facts(),
        times=times,
        written="2026-11-28T00:00:00+00:00",
    )
    write_json(certificate(run, tmp_path / "results"), tmp_path / "results" / NAME)
    return tmp_path


def findings(project: Path) -> list[tuple[str, str]]:
    content = read_certificate(project / "results" / NAME)
    return [(finding.kind, finding.path) for finding in verify(content, project / "results", project)]


def entity(project: Path, name: str) -> dict:
    graph = json.loads((project / "results" / NAME).read_text())["@graph"]
    return next(one for one in graph if one["@id"] == name)


def test_it_names_everything_that_a_reader_needs(project: Path) -> None:
    assert result_files(project / "results") == [
        "data/poly/crystals.parquet", "matgan/report/README.md", "table2.csv",
    ]  # fmt: skip
    file = entity(project, "table2.csv")
    assert file["sha256"] == sha256_of_file(project / "results/table2.csv")
    assert (file["contentSize"], file["description"]) == ("6", "headline result")
    action = entity(project, "#run")
    assert {one["@id"] for one in action["result"]} == set(result_files(project / "results"))
    assert {"#input/my.csv", "#input/config/config.yaml", "#configuration"} <= {
        one["@id"] for one in action["object"]
    }
    assert entity(project, "#seed")["value"] == 1
    assert entity(project, "#oxidation")["value"] == "smact14"
    assert entity(project, "#library/torch")["version"] == library_versions()["torch"]
    assert "3faf" in entity(project, "#origin/results/data/poly/provenance.json")["description"]
    assert entity(project, "#rule/train/CPU seconds")["value"] == 1440.0
    assert entity(project, "#machine/cores")["value"].isdigit()
    assert findings(project) == []


def test_it_is_a_crate_that_the_standard_s_own_package_reads(project: Path) -> None:
    (project / "results" / NAME).rename(project / "results" / "ro-crate-metadata.json")
    crate = ROCrate(project / "results")
    assert {one.id for one in crate.data_entities} == {
        "data/poly/crystals.parquet", "matgan/report/README.md", "table2.csv",
    }  # fmt: skip
    assert crate.root_dataset["mentions"][0]["instrument"]["name"] == "matwheel"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("results/table2.csv", "mae\n2\n", (CHANGED, "table2.csv")),
        ("results/table2.csv", None, (MISSING, "table2.csv")),
        ("results/new.csv", "x", (ADDED, "new.csv")),
        ("my.csv", "id,cif\n1,x", (INPUT_CHANGED, "my.csv")),
        ("my.csv", None, (INPUT_MISSING, "my.csv")),
        ("config/config.yaml", "seed: 2", (INPUT_CHANGED, "config/config.yaml")),
        ("src/matwheel/a.py", "A = 2", (CODE_CHANGED, "src/matwheel/a.py")),
        ("src/matwheel/a.py", None, (CODE_CHANGED, "src/matwheel/a.py")),
    ],
)
def test_what_changed_is_named(project: Path, path: str, text: str | None, expected: tuple[str, str]) -> None:
    (project / path).unlink(missing_ok=True)
    if text is not None:
        (project / path).write_text(text)
    assert findings(project) == [expected]


def test_an_edited_certificate_is_noticed(project: Path) -> None:
    path = project / "results" / NAME
    (project / "results/table2.csv").write_text("mae\n0\n")
    old, new = entity(project, "table2.csv")["sha256"], sha256_of_file(project / "results/table2.csv")
    path.write_text(path.read_text().replace(old, new))
    assert findings(project) == [(EDITED, NAME)]


def test_results_alone_are_verified_on_another_machine(project: Path, tmp_path: Path) -> None:
    (project / "results").rename(project / "copied")
    content = read_certificate(project / "copied" / NAME)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = verify(content, project / "copied", elsewhere)
    assert {finding.kind for finding in found} == {INPUT_MISSING} and not any(one.is_failure for one in found)


def test_the_command_ends_in_the_status_that_a_script_can_use(
    project: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["verify", "results"]) == 0
    assert "3 certified files: 0 differences, 0 notes" in capsys.readouterr().out
    (project / "results/new.csv").write_text("x")
    assert main(["verify"]) == 0 and main(["verify", "--strict"]) == 1
    (project / "results/table2.csv").write_text("mae\n9\n")
    assert main(["verify", "results"]) == 1
    out = capsys.readouterr().out
    assert "✗ changed: table2.csv (headline result)" in out and "· not certified: new.csv" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "there is no certificate"), ("{", "is no certificate"), ('{"@graph": []}', "it lacks")],
)
def test_a_missing_damaged_or_foreign_certificate_is_refused(
    project: Path, text: str | None, words: str, capsys: pytest.CaptureFixture
) -> None:
    path = project / "results" / NAME
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_certificate(path)
    assert main(["verify", "results"]) == 1
    assert "certificate.json" in capsys.readouterr().err


def test_a_folder_outside_git_has_an_unknown_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": "unknown", "date": "unknown", "changes": "unknown"}
