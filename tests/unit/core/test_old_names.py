"""Modules by the names that they had before they lay in rooms."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matwheel.core.old_names import new_names

ROOT = Path(__file__).resolve().parents[3]
PATTERN = re.compile(
    rf"\b({'|'.join(map(re.escape, sorted(new_names(), key=len, reverse=True)))})\b(?![\w/])"
)


def test_every_old_name_is_that_of_a_module() -> None:
    for old, new in new_names().items():
        path = ROOT / "src" / Path(*new.split("."))
        assert path.with_suffix(".py").is_file(), f"{old} → {new}"
        gone = ROOT / "src" / Path(*old.split("."))
        assert not gone.with_suffix(".py").exists(), f"{old} is there"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("matwheel.validation.relaxation", "matwheel.potentials.relaxation"),
        ("matwheel.crystals.registry", "matwheel.datasets.registry"),
        ("matwheel.crystals.dataset", "matwheel.datasets.dataset"),
        ("matwheel.evaluation.candidates", "matwheel.candidates.ranking"),
        ("matwheel.screening.verdicts", "matwheel.verdicts"),
        ("matwheel.run_lock", "matwheel.runs.run_lock"),
    ],
)
def test_an_old_name_gives_the_very_module(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is {new} now"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(new)
    assert found.__name__ == new and found.__spec__ is not None and found.__spec__.name == new
    sys.modules.pop(old)


def test_all_ways_to_import() -> None:
    program = (
        "from matwheel.validation import atoms, relaxation\n"
        "from matwheel.validation.relaxation import RelaxationSettings\n"
        "import matwheel.crystals.registry as registry\n"
        "import matwheel.potentials.relaxation, matwheel.datasets.registry\n"
        "assert relaxation is matwheel.potentials.relaxation and registry is matwheel.datasets.registry\n"
        "assert RelaxationSettings is matwheel.potentials.relaxation.RelaxationSettings\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "matwheel.validation.atoms is matwheel.potentials.atoms now" in done.stderr


@pytest.mark.parametrize(
    "name", ["matwheel.validation.nothing", "matwheel.crystals.nothing", "matwheel.nothing"]
)
def test_a_name_that_never_was_is_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=re.escape(name)):
        importlib.import_module(name)


def test_the_project_uses_no_old_name() -> None:
    files = [path for part in ("src", "workflow", "benchmarks", "tests") for path in (ROOT / part).rglob("*")]
    own = {ROOT / "src/matwheel/core/old_names.py", Path(__file__).resolve()}
    for path in files:
        if path.suffix in (".py", ".smk") and path not in own:
            found = PATTERN.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path}: {found and found.group(0)}"
