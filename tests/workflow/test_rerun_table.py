"""The changes of `benchmarks/rerun_table.py` can be made, are right settings, and are taken back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from tiny_project import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from rerun_table import CHANGES, CONFIG, SETTINGS, beside, changed, make_project, merged, row_of

from matwheel.configuration.configuration import fault_of_configuration


def content(project: Path) -> dict[str, bytes]:
    own = [path for path in project.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    shipped = ("workflow", "config", "resources", "profiles", "envs")
    own = [path for path in own if path.relative_to(project).parts[0] not in shipped]
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in own}


def test_forty_changes_of_all_kinds_with_names_of_their_own() -> None:
    assert len({change.name for change in CHANGES}) == len(CHANGES) >= 40
    kinds = [change.kind for change in CHANGES]
    assert set(kinds) == {"setting", "threshold", "budget", "seed", "code", "data"}
    assert kinds.count("code") >= 10


def test_settings_are_right_ones_and_none_is_the_default() -> None:
    defaults: dict = {}
    for path in (ROOT / "config" / "config.yaml", *(ROOT / "config" / "chapters").glob("*.yaml")):
        defaults |= yaml.safe_load(path.read_text(encoding="utf-8"))
    base = merged(defaults, SETTINGS)
    assert fault_of_configuration(base) == ""
    for change in CHANGES:
        if change.settings:
            settings = merged(base, change.settings)
            assert settings != base and fault_of_configuration(settings) == "", change.name


def test_every_change_changes_the_project_and_is_taken_back(tmp_path: Path) -> None:
    project = make_project(tmp_path, ROOT)
    before = content(project)
    for change in CHANGES:
        with changed(project, change) as is_possible:
            assert is_possible, change.name
            assert content(project) != before, change.name
        assert content(project) == before, change.name
    with pytest.raises(KeyError), changed(project, CHANGES[0]):
        (project / CONFIG).unlink()
        raise KeyError
    assert content(project) == before


def test_an_earlier_table_stands_beside(tmp_path: Path) -> None:
    import pandas as pd

    tables = [
        pd.DataFrame([row_of(change, {"relax_candidates": jobs, "table2": 1}) for change in CHANGES[:3]])
        for jobs in (2, 1)
    ]
    tables[0][1:].to_csv(tmp_path / "before.csv", index=False)
    both = beside(tables[1], tmp_path / "before.csv")
    assert both["jobs"].tolist() == [2, 2, 2] and both["jobs_that_ask_a_potential"].tolist() == [1, 1, 1]
    assert both["jobs_before"].isna().tolist() == [True, False, False] and both["jobs_before"][1] == 3
