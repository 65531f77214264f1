"""A script's work is done by the code that was planned, or not at all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from matwheel.core.errors import InputError
from matwheel.runs import code_version, recorded_code
from matwheel.runs.recorded_code import PLANNED, PlannedCode, recorded, refuse_another_library

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small clone whose library counts as the one that runs."""
    for name, text in {
        "workflow/scripts/fit.py": "from matwheel.models import fit\nfit()\n",
        "src/matwheel/__init__.py": "",
        "src/matwheel/models.py": "import numpy\ndef fit():\n    from matwheel.late import late\n",
        "src/matwheel/late.py": "late = 1\n",
        "src/matwheel/by_name.py": "VALUE = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(recorded_code, "refuse_another_library", lambda root: None)
    monkeypatch.delenv(PLANNED, raising=False)
    return tmp_path


def plan(clone: Path, environment: dict[str, str], *, is_main_process: bool = True) -> PlannedCode:
    return PlannedCode(
        clone / "src", clone / "workflow/scripts", is_main_process=is_main_process, environment=environment
    )


def run(clone: Path, planned: str, meanwhile: Callable[[], object] = lambda: None) -> str:
    """Run the script's work and return its log; SystemExit passes."""
    code_version.library_version.cache_clear()
    with recorded(clone / "workflow/scripts/fit.py", planned, clone / "log") as log:
        log("at work")
        meanwhile()
    return (clone / "log").read_text()


def test_code_that_was_planned_runs(clone: Path) -> None:
    planned = plan(clone, {}).code("fit", "matwheel.by_name")
    assert re.fullmatch(r"\w{16}\.\w{8} matwheel\.by_name", planned)
    assert run(clone, planned).endswith(" at work\n")
    late = clone / "src/matwheel/late.py"
    assert run(clone, planned, lambda: late.write_text("# comment\nlate = (1)\n")).endswith(" at work\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/matwheel/late.py", "late = 2\n"),
        ("src/matwheel/by_name.py", "VALUE = 2\n"),
        ("workflow/scripts/fit.py", "pass\n"),
        ("src/matwheel/late.py", None),
        ("src/matwheel/late.py", "late = (\n"),
        ("src/matwheel/late.py", b"late = '\xe4'\n"),
    ],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_other_code_is_refused_in_one_line(
    clone: Path, name: str, text: str | bytes | None, when: str
) -> None:
    planned = plan(clone, {}).code("fit", "matwheel.by_name")

    def change() -> None:
        if text is None:
            (clone / name).unlink()
        else:
            (clone / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    if when == "before":
        change()
    with pytest.raises(SystemExit) as ended:
        run(clone, planned, change if when == "meanwhile" else lambda: None)
    assert ended.value.code == 1
    *before, line = (clone / "log").read_text().splitlines()
    assert len(before) == (when == "meanwhile")
    assert "error: fit: its code is not what this job " in line
    assert f"(planned {planned[:16]}, here " in line and "start snakemake again" in line


def test_an_error_of_the_work_is_not_covered_by_one_of_the_code(clone: Path) -> None:
    def fail() -> None:
        (clone / "src/matwheel/late.py").write_text("late = 2\n")
        raise InputError("data.csv: no column id")

    with pytest.raises(SystemExit):
        run(clone, plan(clone, {}).code("fit"), fail)
    assert "no column id" in (clone / "log").read_text().splitlines()[-1]


def test_an_upgrade_while_a_run_is_going_is_refused(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    planned = plan(clone, environment).code("fit")
    monkeypatch.setenv(PLANNED, environment[PLANNED])
    monkeypatch.setattr(code_version, "version", lambda name: "another")
    with pytest.raises(SystemExit):
        run(clone, planned)
    line = (clone / "log").read_text().splitlines()[-1]
    assert "its libraries have other versions than planned" in line and f"{sys.prefix} was changed" in line
    # Jobs in an environment of their own, as Snakemake makes them for conda, say so and go on.
    said = {**json.loads(environment[PLANNED]), "environment": "/another/place"}
    monkeypatch.setenv(PLANNED, json.dumps(said))
    assert "this job's environment is" in run(clone, planned)


def test_jobs_on_other_nodes_take_the_main_process_s_word(clone: Path) -> None:
    environment: dict[str, str] = {}
    main = plan(clone, environment)
    planned = main.code("fit", "matwheel.by_name")
    main.refuse_another("the settings", {"seed": 1})
    (clone / "src/matwheel/late.py").write_text("late = 2\n")
    job = plan(clone, environment, is_main_process=False)
    assert job.code("fit", "matwheel.by_name") == planned
    assert job.code("fit") != main.code("fit")  # what nobody planned is hashed as it is there
    job.refuse_another("the settings", {"seed": 1})
    job.refuse_another("what nobody planned", 1)
    with pytest.raises(InputError, match=r"the settings: not what .* \(planned \w{16}, here \w{16}\); start"):
        job.refuse_another("the settings", {"seed": 2})
    # A run that is started now plans anew; so does a second one in the same process.
    assert plan(clone, environment).code("fit", "matwheel.by_name") != planned
    # Without a word, as where an executor hands on no variables, a job finds what lies there.
    assert plan(clone, {}, is_main_process=False).code("fit") == plan(clone, {}).code("fit")


def test_a_workflow_that_is_a_module_twice_has_settings_twice(clone: Path) -> None:
    environment: dict[str, str] = {}
    for seed in (1, 2):
        plan(clone, environment).refuse_another("the settings", {"seed": seed})
    for seed in (1, 2):
        plan(clone, environment, is_main_process=False).refuse_another("the settings", {"seed": seed})


def test_the_library_of_another_clone_is_refused(tmp_path: Path) -> None:
    refuse_another_library(ROOT / "src")
    with pytest.raises(InputError, match=f"the workflow is that of {tmp_path}, but Python took"):
        refuse_another_library(tmp_path / "src")


def test_a_script_of_another_clone_ends_before_its_work(tmp_path: Path) -> None:
    """As where something in an environment comes before PYTHONPATH."""
    script = tmp_path / "clone/workflow/scripts/fit.py"
    program = f"""
from matwheel.runs.recorded_code import recorded
with recorded({str(script)!r}, "0123456789abcdef.01234567", {str(tmp_path / "log")!r}):
    print("at work")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "use one clone per process" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_does_its_work_as_recorded(script: Path) -> None:
    text = script.read_text()
    work = text.split("\nwith recorded(__file__, snakemake.params.code, snakemake.log[0])")
    assert len(work) == 2 and "snakemake." not in work[0].split("\ndef ")[0]
