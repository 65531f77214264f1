"""The composition chapter on a user's own formulas, from a CSV file to the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from tiny_project import ROOT, copy_project, pending_outputs, snakemake

from matwheel.crystals.table import read_table

REPORT = "results/matgan/report"
SETTINGS = {
    "dataset_registry": "formulas.yaml",
    "datasets": ["unused"],
    "matgan": {
        "sets": ["mine", "balanced"],
        "generator": {
            "settings": {"steps": 6, "evaluate_every": 3, "evaluation_samples": 200, "width": 16},
            "settings_of_set": {"balanced": {"network": "dense"}},
        },
        "samples": 1001,
        "sample_shards": 2,
        "nulls": ["substitution", "enumeration"],
        "maps": {"largest_points": 60, "iterations": 250, "perplexity": 5},
        "autoencoder": {"set": "mine", "settings": {"steps": 5, "hidden_width": 16}},
        "formation_energy": {
            "set": "mine",
            "elemnet": {"width_factor": 0.02, "epochs": 1},
            "boosting": {"trees": 3},
        },
        "band_gap": {"set": "mine", "boosting": {"trees": 3}, "largest_rows": 300},
    },
}
REGISTRY = {
    "mine": {
        "kind": "formulas",
        "title": "Formulas of two small sets of crystals",
        "path": "mine.csv",
        "target": {"column": "value", "name": "property"},
    },
    "balanced": {
        "kind": "formulas",
        "title": "Those that are balanced",
        "derived_from": "mine",
        "balanced_under": "smact14",
    },
    "unused": {
        "title": "No run of these tests asks for it",
        "sources": [{"kind": "mirror", "name": "nowhere.json.gz"}],
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("matgan") / "project")
    tables = [read_table(ROOT / "tests" / "data" / name) for name in ("poly40.parquet", "jarvis40.parquet")]
    formulas = pd.concat(tables)["formula"].tolist()
    lithium = [f"Li{m}{anion}{n}" for anion in ("O", "S", "F", "Cl") for m, n in ((1, 1), (2, 1), (1, 2))]
    rows = [*formulas, *lithium, "CsPu9", "KrF2", "Xe"]
    values = [float(place % 7) for place in range(len(rows))]
    pd.DataFrame({"formula": rows, "value": values}).to_csv(project / "mine.csv", index=False)
    (project / "formulas.yaml").write_text(yaml.safe_dump(REGISTRY))
    (project / "matgan.yaml").write_text(yaml.safe_dump(SETTINGS))
    done = snakemake(project, REPORT, config="matgan.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_the_report_holds_every_table_and_figure(project: Path) -> None:
    page = (project / REPORT / "README.md").read_text()
    for name in ("table1.csv", "table2.csv", "validity.csv", "mine_decodability.csv"):
        assert f"[{name}]" in page
    for figure in (
        "fig3_map_mine",
        "fig4a_validity",
        "fig5a_uniqueness",
        "fig5b_recovery",
        "recovery_curve",
        "fig7_decodable_mine",
    ):
        assert (project / REPORT / f"{figure}.svg").stat().st_size > 1000
    assert (project / REPORT / "fig4b_formation_energies_mine.svg").exists()
    assert (project / REPORT / "fig6_band_gaps_mine.svg").exists()


def test_what_was_left_out_is_counted(project: Path) -> None:
    provenance = yaml.safe_load((project / "results/formulas/mine/provenance.json").read_text())
    assert provenance["report"]["too_many_atoms"] == 1
    assert provenance["report"]["outside_elements"] == 1
    assert provenance["report"]["one_element"] == 2, "xenon, and one of the crystals"
    assert provenance["report"]["rows_with_outside_element"] == {"Kr": 1}


def test_samples_are_those_of_the_shards(project: Path) -> None:
    folder = project / "results/matgan/mine"
    shards = [pq.read_table(folder / "samples" / f"{shard}.parquet") for shard in (0, 1)]
    assert [len(shard) for shard in shards] == [501, 500]
    joined = pq.read_table(folder / "samples.parquet")
    assert joined["counts"].to_pylist() == shards[0]["counts"].to_pylist() + shards[1]["counts"].to_pylist()
    assert len(pq.read_table(folder / "null/substitution/samples.parquet")) == 1001


def test_every_generator_is_judged_at_the_same_number_of_samples(project: Path) -> None:
    table = pd.read_csv(project / "results/matgan/table1.csv")
    assert set(table["generator"]) == {"matgan", "substitution", "enumeration"}
    assert set(table["formula_set"]) == {"mine", "balanced"}
    evaluations = sorted((project / "results/matgan").glob("**/evaluation.json"))
    assert len(evaluations) == 2 * 3, "of each set those of each generator"
    assert {yaml.safe_load(path.read_text())["n"] for path in evaluations} == {1001}


def test_nothing_is_left_to_do_and_a_lost_shard_is_made_again_alone(project: Path) -> None:
    assert pending_outputs(project, "matgan.yaml", REPORT) == set()
    shard = project / "results/matgan/mine/samples/1.parquet"
    content = shard.read_bytes()
    shard.unlink()
    done = snakemake(project, str(shard.relative_to(project)), config="matgan.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Finished jobid") + done.stderr.count("Finished jobid") == 1
    assert shard.read_bytes() == content


def test_an_edited_network_trains_again_and_draws_no_null_again(project: Path) -> None:
    module = project / "src/matwheel/generators/matgan/networks.py"
    source = module.read_text()
    try:
        module.write_text(source.replace("PLACES = 8", "PLACES = 7"))
        pending = pending_outputs(project, "matgan.yaml", REPORT)
    finally:
        module.write_text(source)
    assert "results/matgan/mine/generator.pt" in pending
    assert "results/matgan/mine/samples/0.parquet" in pending
    assert not [path for path in pending if "/null/" in path or "formulas" in path.split("/")]
    assert "results/matgan/mine/elemnet.pt" not in pending


def test_how_compositions_are_drawn_trains_nothing_again(project: Path) -> None:
    generator = SETTINGS["matgan"]["generator"]
    drawn = generator | {"settings": generator["settings"] | {"refills": 2}}
    settings = SETTINGS | {"matgan": SETTINGS["matgan"] | {"generator": drawn}}
    (project / "drawn.yaml").write_text(yaml.safe_dump(settings))
    pending = pending_outputs(project, "drawn.yaml", REPORT)
    assert {f"results/matgan/{name}/samples.parquet" for name in ("mine", "balanced")} <= pending
    assert not [path for path in pending if path.endswith(".pt") or "/null/" in path]


def test_a_wrong_formula_is_named_before_anything_is_trained(project: Path) -> None:
    good = (project / "mine.csv").read_text()
    lines = good.splitlines()
    lines[4] = "Li0.5CoO2,1.0"
    try:
        (project / "mine.csv").write_text("\n".join(lines) + "\n")
        # A dry run says so already: the file is there.
        done = snakemake(project, "-n", config="matgan.yaml")
    finally:
        (project / "mine.csv").write_text(good)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "mine.csv, row 4" in said


def test_a_set_without_its_mirror_file_is_named_and_left_out(project: Path) -> None:
    registry = REGISTRY | {
        "listed": {
            "kind": "formulas",
            "title": "In a mirror folder only",
            "sources": [{"kind": "mirror", "name": "absent.txt", "columns": ["formula"]}],
        }
    }
    settings = {**SETTINGS, "matgan": {**SETTINGS["matgan"], "sets": ["listed", "mine"]}}
    (project / "listed.yaml").write_text(yaml.safe_dump({**settings, "dataset_registry": "listed_sets.yaml"}))
    (project / "listed_sets.yaml").write_text(yaml.safe_dump(registry))
    done = snakemake(project, "-n", REPORT, config="listed.yaml")
    assert done.returncode == 0, done.stderr
    assert "formula set listed needs a file" in done.stdout + done.stderr
    assert "results/formulas/listed" not in done.stdout + done.stderr
