"""Changing a setting, an input or a module reruns what depends on it, and nothing else does."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import yaml
from tiny_project import (
    ROOT,
    TINY,
    clone_with_results,
    copy_project,
    pending_outputs,
    snakemake,
    write_tiny_dataset,
)

from matwheel.crystals.table import read_table

RUN = "results/matwheel/tiny/random/seed0"
SUMMARIES = {
    "results/table2.csv",
    "results/table2_contrasts.csv",
    "results/table2_scores.csv",
    "results/table2.json",
    "results/table2.md",
    "results/table2.svg",
}
RUNS_CARDS = {f"results/matwheel/tiny/random/generators.{suffix}" for suffix in ("csv", "svg")}
CARDS = {f"{RUN}/generators.csv"} | RUNS_CARDS


def predictor_outputs(*training_sets: str) -> set[str]:
    files = ("model.pt", "model.json", "predictions.parquet")
    return {f"{RUN}/cgcnn/{name}/{file}" for name in training_sets for file in files}


def set_outputs(supervision: str, *files: str) -> set[str]:
    return {f"{RUN}/{supervision}/{file}" for file in files}


FROM_CONDITIONS = ("conditions.parquet", "generated.parquet", "cifs.zip", "screened.parquet")


def edit(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text, f"{pattern} is not in {path}"
    path.write_text(changed)


def upgrade(project: Path, library: str) -> None:
    """Let a copy of the project find another version of a library."""
    edit(
        project / "src/matwheel/runs/code_version.py",
        r"return version\(distribution\)",
        f'return "another" if distribution == "{library}" else version(distribution)',
    )


def set_config(project: Path, **changes: object) -> None:
    (project / "tiny.yaml").write_text(yaml.safe_dump({**TINY, **changes}))


def test_finished_run_has_nothing_to_do(editable: Path) -> None:
    assert pending_outputs(editable) == set()
    assert "Nothing to be done" in snakemake(editable).stderr


def test_predictor_training_loop_reruns_predictors_and_what_follows(editable: Path) -> None:
    path = editable / "src/matwheel/predictors/training.py"
    path.write_text(path.read_text() + "\n\nTRAINING_LOOP_WAS_EDITED = True\n")
    expected = predictor_outputs("F", "GF", "F_GF", "S", "GS", "S_GS") | SUMMARIES | CARDS
    expected |= set_outputs("semi", "labels.parquet", "generator.pt", "generator.json", *FROM_CONDITIONS)
    assert pending_outputs(editable) == expected


def from_samples() -> set[str]:
    """Outputs of generated crystals and of what learns from them."""
    drawn = {"generated.parquet", "cifs.zip", "screened.parquet"}
    expected = predictor_outputs("GF", "F_GF", "GS", "S_GS") | SUMMARIES | CARDS
    return expected | set_outputs("full", *drawn) | set_outputs("semi", *drawn)


def test_how_crystals_are_sampled_trains_no_generator_again(editable: Path) -> None:
    settings = {**TINY["generator"]["settings"], "langevin_steps": 3}
    set_config(editable, generator={**TINY["generator"], "settings": settings})
    assert pending_outputs(editable) == from_samples()
    set_config(editable)
    path = editable / "src/matwheel/generators/con_cdvae/sampling.py"
    path.write_text(path.read_text() + "\n\nSAMPLING_WAS_EDITED = True\n")
    assert pending_outputs(editable) == from_samples()
    done = snakemake(editable, f"{RUN}/full/generated.parquet")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_predictors_network_is_no_matter_of_the_generator(editable: Path) -> None:
    path = editable / "src/matwheel/predictors/cgcnn.py"
    path.write_text(path.read_text() + "\n\nNETWORK_WAS_EDITED = True\n")
    expected = predictor_outputs("F", "GF", "F_GF", "S", "GS", "S_GS") | SUMMARIES | CARDS
    # The semi-supervised generator learns from what the predictor says of unlabelled rows.
    expected |= set_outputs("semi", "labels.parquet", "generator.pt", "generator.json", *FROM_CONDITIONS)
    assert pending_outputs(editable) == expected


def test_how_many_rows_are_labelled_leaves_what_learns_from_all_of_them(editable: Path) -> None:
    set_config(editable, split={**TINY["split"], "labelled_fraction": 0.4})
    expected = predictor_outputs("S", "GS", "S_GS") | SUMMARIES | CARDS | {f"{RUN}/baselines.parquet"}
    expected |= set_outputs("semi", "labels.parquet", "generator.pt", "generator.json", *FROM_CONDITIONS)
    expected |= {f"results/data/tiny/random/audit.{suffix}" for suffix in ("csv", "svg")}
    expected |= {"results/data/tiny/random/seed0/labelled.json"}
    assert pending_outputs(editable) == expected


def test_where_data_lie_and_what_is_checked_of_them_rerun_nothing(editable: Path) -> None:
    set_config(editable, mirror_folders=["elsewhere"])
    assert pending_outputs(editable) == set()
    registry = yaml.safe_load((editable / "tiny_datasets.yaml").read_text())
    registry["tiny"]["expected"] = {"rows": 40}
    (editable / "tiny_datasets.yaml").write_text(yaml.safe_dump(registry))
    assert pending_outputs(editable) == set()


def test_what_a_mirror_holds_counts_and_not_where_it_lies(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    write_tiny_dataset(project)
    known = "results/references/mp_crystals.parquet"

    def planned() -> bool:
        done = snakemake(project, "-n", known)
        assert done.returncode == 0, done.stdout + done.stderr
        return "Nothing to be done" not in done.stdout + done.stderr

    table = gzip.decompress((ROOT / "tests/data/mp20_cut.csv.gz").read_bytes()).decode()
    for folder, rows in (("mirror", table), ("copy", table), ("other", table.replace("mp-5634", "mp-1"))):
        (project / folder).mkdir()
        (project / folder / "mp20_cut.csv.gz").write_bytes(gzip.compress(rows.encode(), mtime=0))
    set_config(project, mirror_folders=["mirror"])
    done = snakemake(project, known)
    assert done.returncode == 0, done.stdout + done.stderr
    set_config(project, mirror_folders=["nowhere", "copy"])
    assert not planned()
    set_config(project, mirror_folders=["other", "mirror"])
    assert planned()


def test_bandwidth_reruns_conditions_and_what_follows(editable: Path) -> None:
    set_config(editable, conditions={"bandwidth": 0.3})
    expected = predictor_outputs("GF", "F_GF", "GS", "S_GS") | SUMMARIES | CARDS
    expected |= set_outputs("full", *FROM_CONDITIONS) | set_outputs("semi", *FROM_CONDITIONS)
    assert pending_outputs(editable) == expected


def test_comments_docstrings_and_formatting_rerun_nothing(editable: Path) -> None:
    for path in sorted([*editable.glob("src/**/*.py"), *editable.glob("workflow/scripts/*.py")]):
        text = path.read_text().replace('"""', '"""Reworded. ', 1)
        path.write_text(f"# a new comment\n{text}\n\n\n# and another\n")
    edit(editable / "src/matwheel/core/seeds.py", r"text = ", "text = (  # reformatted\n    ")
    edit(editable / "src/matwheel/core/seeds.py", r"(for part in \(seed, \*names\)\))", r"\1\n    )")
    (editable / "README.md").write_text("Nothing of the old text.\n")
    for caption in editable.glob("workflow/report/*.rst"):
        caption.write_text("Another caption.\n")
    assert pending_outputs(editable) == set()


def test_touched_files_rerun_nothing(editable: Path) -> None:
    touched = [
        *editable.glob("src/**/*.py"),
        *editable.glob("workflow/**/*.*"),
        *editable.glob("config/**/*.*"),
    ]
    touched += [
        *editable.glob("resources/*"),
        editable / "tiny.csv",
        editable / RUN / "full/conditions.parquet",
    ]
    for path in touched:
        os.utime(path)
    assert pending_outputs(editable) == set()


def test_fresh_clone_with_results_copied_in_has_nothing_to_do(finished: Path, tmp_path: Path) -> None:
    clone = clone_with_results(tmp_path / "clone", finished)
    assert "Nothing to be done" in snakemake(clone).stderr


def test_another_run_adds_only_its_own_jobs(editable: Path) -> None:
    set_config(editable, split={**TINY["split"], "runs": 2})
    pending = pending_outputs(editable)
    own = {path for path in pending if "/seed1/" in path}
    shared = SUMMARIES | RUNS_CARDS
    shared |= {f"results/data/tiny/random/audit.{suffix}" for suffix in ("csv", "svg")}
    assert pending - own == shared
    assert len(own) == len([path for path in all_outputs(editable) if "/seed0/" in path])


def test_changed_data_reruns_everything_that_saw_it(editable: Path) -> None:
    rows = (editable / "tiny.csv").read_text()
    (editable / "tiny.csv").write_text(re.sub(r"([\d.]+)\n\Z", "9.75\n", rows))
    assert pending_outputs(editable) == all_outputs(editable)


def test_scripts_never_read_the_config() -> None:
    scripts = sorted(Path(__file__).parents[2].glob("workflow/scripts/*.py"))
    assert scripts
    for script in scripts:
        # The store says where, and nothing of what is computed.
        text = script.read_text().replace('snakemake.config["store"]', "")
        assert "snakemake.config" not in text, script


def all_outputs(project: Path) -> set[str]:
    done = snakemake(project, "--summary")
    lines = [line.split("\t")[0] for line in done.stdout.splitlines() if "\t" in line]
    return set(lines[1:])


def test_an_upgraded_smact_reruns_what_it_judged(editable: Path) -> None:
    upgrade(editable, "smact")
    assert pending_outputs(editable) == CARDS


def test_an_upgraded_scikit_learn_reruns_the_forest_and_what_shows_it(editable: Path) -> None:
    upgrade(editable, "scikit-learn")
    pending = pending_outputs(editable)
    assert any(path.endswith("baselines.parquet") for path in pending)
    assert not any(path.endswith(("generated.parquet", "cgcnn/F/predictions.parquet")) for path in pending)


def test_words_about_a_dataset_rerun_only_what_shows_them(editable: Path) -> None:
    edit(editable / "tiny_datasets.yaml", "Dielectric constants of 40 crystals", "Another title")
    assert pending_outputs(editable) == set()
    edit(editable / "tiny_datasets.yaml", "name: dielectric constant", "name: permittivity")
    audit = {f"results/data/tiny/random/audit.{suffix}" for suffix in ("csv", "svg")}
    assert pending_outputs(editable) == {"results/table2.svg"} | audit


def test_the_copy_decides_and_not_the_installed_library(editable: Path) -> None:
    """Guard of the tests above."""
    edit(editable / "src/matwheel/runs/code_version.py", r'PACKAGE = "matwheel"', 'PACKAGE = "nothing"')
    assert pending_outputs(editable)


def test_a_filter_of_synthetic_crystals_keeps_those_that_pass(editable: Path) -> None:
    (editable / "tiny.yaml").write_text(
        yaml.safe_dump({**TINY, "screen": {"synthetic_filter": "composition"}})
    )
    unfiltered = read_table(editable / RUN / "full/screened.parquet")
    done = snakemake(editable, f"{RUN}/full/screened.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = read_table(editable / RUN / "full/verdicts/composition.parquet")
    failed = set(verdicts.loc[verdicts["verdict"] != "pass", "candidate_id"])
    filtered = read_table(editable / RUN / "full/screened.parquet")
    assert set(filtered["id"]) == set(unfiltered["id"]) - failed
    assert len(filtered) < len(unfiltered)
