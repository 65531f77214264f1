"""The recipes of docs/extending.md, taken from that page: they run as written and rerun nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml
from plan import SUPERVISIONS, TRAINING_SETS, job_counts
from tiny_project import ROOT, TINY, copy_project, environment, pending_outputs, snakemake

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"`([\w/.]+\.(?:py|yaml))`:\n\n```(?:python|yaml)\n(.*?)```\n", re.DOTALL)
CONFORMANCE = [
    "predictors/test_baselines.py::test_every_predictor_keeps_the_contract[nearest]",
    "test_generator_conformance.py::test_fit_sample_save_load[strained]",
    "test_generator_conformance.py::test_wrong_settings_are_refused[strained]",
    "screening/test_screens_of_the_registry.py::test_one_verdict_per_crystal_and_the_same_again[element_number]",
    "screening/test_screens_of_the_registry.py::test_wrong_settings_are_refused[element_number]",
    "potentials/test_potentials.py::test_card_records_version_and_hash_of_the_weights[7net-0:22May2024]",
    "potentials/test_potentials.py::test_every_potential_computes_a_metal_in_silence[7net-0:22May2024]",
]


def follow_the_page(project: Path) -> list[str]:
    """Add what the page adds to a project; return the files that it changed and not made."""
    changed = []
    for name, text in BLOCK.findall(PAGE):
        file = project / name
        if not file.exists():
            file.write_text(text, encoding="utf-8")
            continue
        changed.append(name)
        before = file.read_text(encoding="utf-8")
        if name.endswith(".yaml"):
            file.write_text(f"{before}\n{text}", encoding="utf-8")
        else:  # at the end of the registry, the only dict so annotated
            start = before.index(": Registry[")
            end = before.index("\n}\n", start) + 1
            file.write_text(before[:end] + text + before[end:], encoding="utf-8")
    return changed


def test_the_recipes_of_the_page(editable: Path) -> None:
    assert follow_the_page(editable) == [
        "config/datasets.yaml",
        "src/matwheel/predictors/registry.py",
        "src/matwheel/generators/registry.py",
        "src/matwheel/screening/registry.py",
        "src/matwheel/potentials/potentials.py",
    ], "one line in a registry, and no other file"
    assert pending_outputs(editable) == set(), "a new entry reruns nothing"

    added = {
        **TINY,
        "predictors": ["cgcnn", "nearest"],
        "predictor_settings": {**TINY["predictor_settings"], "nearest": {"neighbours": 3}},
        "teacher": "nearest",
        "judge": "nearest",
        "generator": {"name": "strained", "samples": 12, "settings": {"strain": 0.05}},
        "funnel": {"runs": [0]},
        "screen": {"further": {"element_number": {"at_most": 3}}, "require": ["structure", "element_number"]},
        "validate": {"potential": "7net-0:22May2024"},
    }
    (editable / "added.yaml").write_text(yaml.safe_dump(added))
    done = snakemake(editable, "-n", config="added.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = job_counts(done.stdout + done.stderr)
    # All training sets of the new predictor, and those of cgcnn that hold other generated crystals.
    generated = [name for name in TRAINING_SETS if "G" in name]
    assert counts["train_predictor"] == len(TRAINING_SETS) + len(generated)
    assert counts["train_generator"] == len(SUPERVISIONS)
    # Of the crystals generated for the funnel, and of the real ones beside them.
    assert counts["apply_screen"] == 2 and "compute_latent_features" not in counts


def test_the_recipes_keep_the_promises_of_the_registries(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    follow_the_page(project)
    tests = [str(ROOT / "tests/unit" / name) for name in CONFORMANCE]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", *tests],
        cwd=project, env=environment(project), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CONFORMANCE)} passed" in done.stdout
