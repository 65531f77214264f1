"""The chapter of displaced configurations: a real compound, its potential, and labels that came with us."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock
from tiny_project import (
    PARTS,
    RESULTS,
    ROOT,
    TINY,
    clone_with_results,
    copy_project,
    snakemake,
    write_tiny_dataset,
)

from matwheel.core.files import read_json
from matwheel.crystals.table import read_table

PHONON = {
    "compounds": ["Ag3SBr"],
    "temperatures_kelvin": [300],
    "self_consistent": {"snapshots": 4, "largest_iterations": 1},
    "policies": ["absolute", "self_consistent"],
    "random_sets": ["uniform_one_sided", "uniform_scaled"],
    "configurations": 2,
    "shard_size": 2,
    "learning": {
        "training_sets": ["thermal", "uniform_one_sided"],
        "sizes": [8],
        "seeds": 2,
        "network": {"steps": 4},
    },
}
TARGETS = [
    "results/phonon/displacements.svg",
    "results/phonon/cross_table.csv",
    "results/phonon/explanations.svg",
]


def write_settings(project: Path, changes: dict | None = None) -> None:
    settings = TINY | {"phonon": PHONON | (changes or {})}
    (project / "tiny.yaml").write_text(yaml.safe_dump(settings))


def planned(project: Path, *targets: str) -> dict[str, int]:
    done = snakemake(project, "-n", *targets)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    if "Nothing to be done" in text:
        return {}
    counts = dict(re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[1], re.MULTILINE))
    return {name: int(count) for name, count in counts.items() if name != "total"}


@pytest.fixture(scope="session")
def phonon_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that went through the chapter; shared by the test processes, never edited."""
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    project = (shared or tmp_path_factory.mktemp("phonon")) / "phonon-run"
    with FileLock(f"{project}.lock"):
        if not (project / "finished").exists():
            copy_project(project)
            write_tiny_dataset(project)
            write_settings(project)
            done = snakemake(project, *TARGETS)
            assert done.returncode == 0, done.stdout + done.stderr
            (project / "finished").touch()
    return project


@pytest.fixture
def phonon_copy(phonon_run: Path, tmp_path: Path) -> Path:
    parts = (*PARTS, *RESULTS, "tiny.csv", "tiny.yaml", "tiny_datasets.yaml")
    return copy_project(tmp_path / "project", phonon_run, parts)


def test_the_shipped_labels_are_enough_and_say_where_they_are_from() -> None:
    labelled = read_table(ROOT / "resources/phonon/Ag3SBr_pbe.parquet")
    fine = labelled[labelled["status"] == "ok"]
    counts = fine["kind"].value_counts()
    assert counts["thermal"] >= 60 <= counts["uniform_one_sided"]
    assert np.isfinite(fine[["energy_ev_per_atom", "stress_gpa", "band_gap_ev"]]).all(axis=None)
    card = read_json(ROOT / "resources/phonon/Ag3SBr_pbe.json")
    assert card["rows"] == len(labelled)
    assert "gpaw" in card["tool_version"]


def test_every_policy_is_displaced_labelled_and_drawn(phonon_run: Path) -> None:
    summary = pd.read_csv(phonon_run / "results/phonon/displacements.csv")
    assert set(summary["policy"].dropna()) >= set(PHONON["policies"])
    assert {"uniform_one_sided", "uniform_scaled"} <= set(summary["set"])
    assert (summary["n"] == 2).all()
    assert (summary["energy_mev_per_atom_mean"] > 0).any()
    card = read_json(phonon_run / "results/phonon/Ag3SBr/self_consistent_300.json")
    assert not card["converged"]
    assert "1 iterations" in card["reason"] or "imaginary" in card["reason"]
    for name in ("displacements.svg", "bands.svg", "learning_curves.svg", "explanations.svg"):
        assert "<svg" in (phonon_run / "results/phonon" / name).read_text()[:600]


def test_all_arms_are_scored_on_the_same_rows_and_never_on_their_blocks(phonon_run: Path) -> None:
    table = pd.read_csv(phonon_run / "results/phonon/cross_table.csv")
    assert set(table["training_set"]) == {"thermal", "uniform_one_sided"}
    assert set(table["method"]) == {"distance_network", "bond_length_ridge", "constant"}
    labelled = read_table(phonon_run / "results/phonon/Ag3SBr/labelled.parquet").set_index("id")
    tested = {
        (learnt, seed): set(
            read_table(phonon_run / f"results/phonon/learning/{learnt}/seed{seed}/predictions.parquet")["id"]
        )
        for learnt in ("thermal", "uniform_one_sided")
        for seed in (0, 1)
    }
    assert tested["thermal", 0] == tested["uniform_one_sided", 0] != tested["thermal", 1]
    blocks = set(labelled.loc[sorted(tested["thermal", 0]), "block"])
    assert 0 < len(blocks) < labelled["block"].nunique() / 2
    importance = pd.read_csv(phonon_run / "results/phonon/explanations.csv")
    shares = importance.groupby("model")["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0)


def test_more_configurations_compute_only_what_is_new(phonon_copy: Path) -> None:
    assert planned(phonon_copy, *TARGETS) == {}
    write_settings(phonon_copy, {"configurations": 4})
    families = len(PHONON["policies"]) + len(PHONON["random_sets"])
    assert planned(phonon_copy, "results/phonon/displacements.svg") == {
        "displace_crystal": families,
        "label_configurations": families,
        "collect_configurations": 1,
        "draw_displacements": 1,
    }


def test_a_fresh_clone_with_the_results_copied_in_has_nothing_to_do(phonon_run: Path, tmp_path: Path) -> None:
    assert planned(clone_with_results(tmp_path / "clone", phonon_run), *TARGETS) == {}


def test_a_shipped_crystal_or_label_that_changed_runs_what_saw_it(phonon_copy: Path) -> None:
    labels = phonon_copy / "resources/phonon/Ag3SBr_pbe.parquet"
    frame = pd.read_parquet(labels)
    frame.iloc[:-1].to_parquet(labels)
    pending = planned(phonon_copy, *TARGETS)
    assert pending.get("take_shipped_labels") == 1 and "compute_force_constants" not in pending
    crystal = phonon_copy / "resources/phonon/Ag3SBr.cif"
    crystal.write_text(crystal.read_text() + "# other\n")
    assert planned(phonon_copy, *TARGETS).get("compute_force_constants") == 1


def test_another_length_of_training_displaces_nothing_again(phonon_copy: Path) -> None:
    write_settings(phonon_copy, {"learning": PHONON["learning"] | {"network": {"steps": 6}}})
    assert planned(phonon_copy, *TARGETS) == {
        "learn_from_configurations": 4,
        "compare_configurations": 1,
        "explain_gaps": 1,
    }


@pytest.mark.parametrize(
    ("changes", "target", "words"),
    [
        ({"supercell": [20, 20, 20]}, "results/phonon/bands.svg", "take a smaller supercell"),
        (
            {"files": {"Ag3SBr": "nowhere.cif"}},
            "results/phonon/bands.svg",
            "phonon.files.Ag3SBr is 'nowhere.cif'; there is no such file",
        ),
        (
            {"dft": {"settings": {"backend": "gpaw", "python": "no/python"}}},
            "results/phonon/Ag3SBr/labelled.parquet",
            "make gpaw",
        ),
    ],
)
def test_bad_settings_end_with_what_to_do(phonon_copy: Path, changes: dict, target: str, words: str) -> None:
    write_settings(phonon_copy, changes)
    done = snakemake(phonon_copy, target)
    assert done.returncode != 0
    logs = "".join(path.read_text() for path in (phonon_copy / "logs").rglob("*.log"))
    assert words in done.stdout + done.stderr + logs
