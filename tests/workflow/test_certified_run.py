"""`results/certificate.json` of a finished run, what verifies it, and when it is written again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from plan import TRAINING_SETS
from tiny_project import pending_outputs, snakemake

from matwheel.command_line.cli import main

CERTIFICATE = "results/certificate.json"


def test_a_run_is_certified_verified_and_certified_anew(
    editable: Path, capsys: pytest.CaptureFixture
) -> None:
    done = snakemake(editable, CERTIFICATE)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE))
    assert ran <= {"write_report", "certify"}
    graph = {one["@id"]: one for one in json.loads((editable / CERTIFICATE).read_text())["@graph"]}
    assert {"table2.csv", "report.html", "data/tiny/crystals.parquet"} <= set(graph)
    assert {
        "#input/tiny.csv",
        "#input/tiny.yaml",
        "#input/tiny_datasets.yaml",
        "#input/config/config.yaml",
    } <= set(graph)
    assert graph["#rule/train_predictor/jobs"]["value"] == len(TRAINING_SETS)
    assert json.loads(graph["#configuration"]["text"])["datasets"] == ["tiny"]
    assert main(["verify", str(editable / "results")]) == 0, capsys.readouterr().out
    assert pending_outputs(editable, target=CERTIFICATE) == set()

    table = editable / "results" / "table2.csv"
    table.write_text(table.read_text().replace("cgcnn", "cgcn"))
    capsys.readouterr()
    assert main(["verify", str(editable / "results")]) == 1
    assert "✗ changed: table2.csv" in capsys.readouterr().out
    assert CERTIFICATE in pending_outputs(editable, target=CERTIFICATE)
