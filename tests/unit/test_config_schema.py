"""What is written of the configuration model is what the model says; each key has a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from default_settings import ROOT, default_settings

from matwheel.candidates.candidate_set import FILE_OF_SCREEN
from matwheel.configuration.__main__ import documents
from matwheel.configuration.configuration import Configuration
from matwheel.configuration.documents import json_schema
from matwheel.configuration.loop import Validate
from matwheel.configuration.registry import Registry

SCHEMA, REGISTRY_SCHEMA = json_schema(Configuration), json_schema(Registry)


def objects(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and schema of every mapping whose keys are known."""
    yield "top level", schema
    for name, part in schema["$defs"].items():
        yield name, part
        if "then" in part:
            yield f"{name}, then", part["then"]["properties"]["settings"]


OBJECTS = [*objects(SCHEMA), *objects(REGISTRY_SCHEMA)]


@pytest.mark.parametrize("path", documents(ROOT), ids=lambda path: path.name)
def test_what_is_written_of_the_model_is_fresh(path: Any) -> None:
    assert path.read_text(encoding="utf-8") == documents(ROOT)[path], "run python -m matwheel.configuration"


@pytest.mark.parametrize(("name", "part"), OBJECTS, ids=[name for name, _ in OBJECTS])
def test_every_key_is_described_and_others_are_refused(name: str, part: dict[str, Any]) -> None:
    definitions = {**SCHEMA["$defs"], **REGISTRY_SCHEMA["$defs"]}
    for key, item in part.get("properties", {}).items():
        text = item.get("description") or definitions[item["$ref"].rpartition("/")[2]]["description"]
        assert len(text) > 5, f"{name}.{key}"
    if "properties" in part and name != "PredictorSettings" and "patternProperties" not in part:
        assert part["additionalProperties"] is False
    # A predictor of a user's own has settings that no schema knows; it refuses others itself.
    assert SCHEMA["$defs"]["PredictorSettings"]["additionalProperties"]["type"] == "object"


def test_the_page_of_settings_has_every_key_with_its_default() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for _, part in objects(SCHEMA):
        for key, item in part.get("properties", {}).items():
            if "type" in item and item["type"] != "object":
                assert f"| `{key}` |" in page, key
    assert "| `relax_at_most` | `500` | a whole number from 1 to 100,000 |" in page
    assert "| `fmax_ev_per_angstrom` | `0.05` | a number above 0 | eV/Å |" in page


def test_screens_that_may_be_required_are_described() -> None:
    screens = SCHEMA["$defs"]["Screen"]["properties"]["require"]["description"]
    assert all(name in screens for name in FILE_OF_SCREEN)


def test_defaults_of_sections_are_no_defaults_of_the_model() -> None:
    """What a section does not give is missing; so the files in config/ say all there is."""
    assert {name for name, field in Validate.model_fields.items() if not field.is_required()} == set()
    assert set(default_settings()) == set(SCHEMA["properties"])


def test_the_model_is_imported_without_what_computes() -> None:
    """It is imported before every plan."""
    program = "import sys, matwheel.configuration.registry, matwheel.configuration.configuration\n"
    program += "print([name for name in ('torch', 'pymatgen', 'ase', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_jobs_do_not_import_the_model() -> None:
    for path in sorted((ROOT / "workflow").rglob("*.smk")):
        main_only = False
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith((" ", "#")):
                main_only = line == "if workflow.is_main_process:"
            line = line.replace("matwheel.configuration.sections", "")  # names only, without pydantic
            assert (
                main_only or "matwheel.configuration" not in line.partition('"""')[0] or "import" not in line
            )
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/scripts").glob("*.py"))
    assert "matwheel.configuration" not in scripts
