"""The chapter of genes on a hundred real crystals, from the mirror's table to validated candidates."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from filelock import FileLock
from tiny_project import PARTS, RESULTS, ROOT, copy_project, pending_outputs, snakemake

from matwheel.crystals.table import read_table
from matwheel.wyckoff.space_group_operations import is_supergroup
from matwheel.wyckoff.wyckoff_genes import fault_of_gene, parse_gene

SET = "results/wycryst/round1/wide/mpvae"
TARGETS = [
    "results/wycryst/candidates.csv",
    "results/wycryst/conditions.csv",
    "results/wycryst/latent_maps.svg",
]
ARMS = ("plain_scratch", "plain_transfer", "augmented_scratch", "augmented_transfer")
SETTINGS = {
    "datasets": ["mp_poly_total"],
    "predictors": ["cgcnn"],
    "judge": "cgcnn",
    "mirror_folders": ["mirror"],
    "funnel": {"runs": []},
    "matgan": {"sets": []},
    "validate": {
        "phonon_potential": "7net-0",
        "relaxation": {"max_steps": 8},
        "reference_shards": 1,
        "phonon_shard_size": 1,
        "phonons": {"shortest_length_angstrom": 3.0, "follow_unstable": False, "max_relaxation_steps": 5},
    },
    "wycryst": {
        "model": {
            "width": 32,
            "embedding_width": 16,
            "latent_width": 8,
            "pretraining_steps": 12,
            "fine_tuning_steps": 8,
            "validate_every": 4,
        },
        "ablation": {"seeds": 1, "settings": {"pretraining_steps": 4, "fine_tuning_steps": 4}},
        "tasks": ["wide", "nowhere"],
        "targets": {
            "wide": {"windows": {"band_gap_ev": [0.0, 9.0]}},
            "nowhere": {"windows": {"band_gap_ev": [11.0, 12.0]}, "space_groups": [143, 230]},
        },
        "samples": 60,
        "largest_atoms": 8,
        "nulls": ["substitution"],
        "judges": {"trees": 10},
        "require": ["gene_validity", "unique_gene"],
        "funnel": ["wide"],
        "build": {"realisations": 2},
        "build_at_most": 2,
        "build_shard_size": 2,
        "phonons_at_most": 1,
    },
}


@pytest.fixture(scope="session")
def wycryst_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that went through the chapter; shared by the test processes, never edited."""
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    project = (shared or tmp_path_factory.mktemp("wycryst")) / "wycryst-run"
    with FileLock(f"{project}.lock"):
        if not (project / "finished").exists():
            copy_project(project)
            (project / "mirror").mkdir()
            shutil.copy(ROOT / "tests" / "data" / "mp20_cut.csv.gz", project / "mirror")
            shutil.copytree(ROOT / "tests" / "data" / "references", project / "results" / "references")
            (project / "results" / "references" / "provenance.json").write_text("{}\n")
            (project / "tiny.yaml").write_text(yaml.safe_dump(SETTINGS))
            done = snakemake(project, *TARGETS)
            assert done.returncode == 0, done.stdout + done.stderr
            (project / "finished").touch()
    return project


@pytest.fixture
def wycryst_copy(wycryst_run: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may edit."""
    return copy_project(tmp_path / "project", wycryst_run, (*PARTS, *RESULTS, "mirror", "tiny.yaml"))


def test_every_drawn_gene_is_possible_and_has_all_verdicts(wycryst_run: Path) -> None:
    genes = read_table(wycryst_run / SET / "genes.parquet")
    assert len(genes) == 60
    verdicts = read_table(wycryst_run / SET / "verdicts" / "genes.parquet")
    assert set(verdicts["candidate_id"]) == set(genes["id"])
    # No list of reported formulas is in this mirror, so nothing can score synthesizability.
    assert "synthesizability" not in set(verdicts["screen"])
    counts = verdicts.groupby("candidate_id")["screen"].nunique()
    assert set(counts) == {9}
    possible = verdicts[verdicts["screen"].eq("gene_validity") & verdicts["verdict"].eq("pass")]
    texts = genes.set_index("id").loc[possible["candidate_id"], "gene"]
    assert len(texts) and not any(fault_of_gene(parse_gene(text)) for text in texts)


def test_genes_become_crystals_of_their_symmetry(wycryst_run: Path) -> None:
    selected = read_table(wycryst_run / SET / "build" / "selected.parquet")
    built = read_table(wycryst_run / SET / "generated.parquet")
    assert 1 <= len(built) <= len(selected) <= 2
    wanted = selected.set_index("id")["space_group"]
    for crystal in built.itertuples():
        assert is_supergroup(crystal.space_group, int(wanted[crystal.id]))


def test_the_funnel_counts_every_gene_of_the_model_and_of_the_null(wycryst_run: Path) -> None:
    funnel = pd.read_csv(wycryst_run / "results/wycryst/funnel.csv")
    assert set(funnel["set"]) == {"wide by mpvae, round1", "wide by substitution, round1"}
    assert set(funnel["candidates"]) == {60}
    yields = pd.read_csv(wycryst_run / "results/wycryst/yields.csv").set_index("set")
    assert (yields["genes"] == 60).all()
    assert (yields["relaxed"] <= yields["built"]).all() and (yields["built"] <= 2).all()


def test_rates_of_stable_unique_and_novel_candidates_know_the_screens_of_genes(wycryst_run: Path) -> None:
    rates = pd.read_csv(wycryst_run / SET / "sun.csv")
    assert set(rates["candidates"]) == {60}
    # Each is rejected by a screen, open, not judged (the budget left it out) or measured.
    fates = ["rejected", "undecided", "error", "not_judged", "measured"]
    assert (rates[fates].sum(axis=1) == 60).all()
    assert rates["meaning"].str.contains("unique gene").all()


def test_a_target_that_no_row_meets_is_warned_about_and_drawn_for(wycryst_run: Path) -> None:
    log = (wycryst_run / "logs/generate_genes/round1/nowhere/mpvae.log").read_text()
    assert "WARNING: no training row meets target nowhere" in log
    conditions = pd.read_csv(wycryst_run / "results/wycryst/conditions.csv")
    assert set(conditions["target"]) == {"nowhere", "wide"}


def test_the_ablation_trains_every_arm_and_transfer_only_where_it_is_asked_for(wycryst_copy: Path) -> None:
    done = snakemake(wycryst_copy, "results/wycryst/ablation.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = pd.read_csv(wycryst_copy / "results/wycryst/ablation_runs.csv")
    assert len(runs[["augmentation", "transfer", "seed"]].drop_duplicates()) == 4
    for arm in ARMS:
        pretrained = wycryst_copy / f"results/wycryst/ablation/{arm}/seed0/pretrained.pt"
        assert pretrained.exists() == arm.endswith("transfer")


def test_how_genes_are_drawn_and_judged_is_no_matter_of_the_training(wycryst_copy: Path) -> None:
    changed = SETTINGS | {"wycryst": SETTINGS["wycryst"] | {"sampling": {"temperature": 0.5}}}
    (wycryst_copy / "changed.yaml").write_text(yaml.safe_dump(changed))
    pending = pending_outputs(wycryst_copy, config="changed.yaml", target=TARGETS[1])
    assert f"{SET}/genes.parquet" in pending
    assert not any(path.endswith(("mpvae.pt", "pretrained.pt")) for path in pending)
    for name in ("sampling", "sampling_settings"):
        module = wycryst_copy / f"src/matwheel/generators/mpvae/{name}.py"
        source = module.read_text()
        module.write_text(f"{source}\n\nWAS_EDITED = True\n")
        pending = pending_outputs(wycryst_copy, target=TARGETS[1])
        module.write_text(source)
        assert f"{SET}/genes.parquet" in pending
        assert not any(path.endswith(("mpvae.pt", "pretrained.pt")) for path in pending)
    changed["wycryst"] = SETTINGS["wycryst"] | {"metal_threshold": 0.3}
    (wycryst_copy / "changed.yaml").write_text(yaml.safe_dump(changed))
    pending = pending_outputs(wycryst_copy, config="changed.yaml", target=TARGETS[1])
    assert f"{SET}/verdicts/genes.parquet" in pending
    assert f"{SET}/genes.parquet" not in pending


def test_a_mirror_that_was_moved_reruns_nothing(wycryst_copy: Path) -> None:
    (wycryst_copy / "mirror").rename(wycryst_copy / "moved")
    (wycryst_copy / "changed.yaml").write_text(yaml.safe_dump(SETTINGS | {"mirror_folders": ["moved"]}))
    assert pending_outputs(wycryst_copy, config="changed.yaml", target=TARGETS[0]) == set()


def test_a_second_round_learns_from_the_first(wycryst_copy: Path) -> None:
    changed = SETTINGS | {"wycryst": SETTINGS["wycryst"] | {"rounds": 2}}
    (wycryst_copy / "changed.yaml").write_text(yaml.safe_dump(changed))
    pending = pending_outputs(wycryst_copy, config="changed.yaml", target=TARGETS[0])
    assert "results/wycryst/round2/training.parquet" in pending
    assert "results/wycryst/round2/mpvae.pt" in pending
    assert not any(path.startswith("results/wycryst/round1/wide/mpvae/") for path in pending)


def test_a_funnel_that_no_gene_passes_ends_with_empty_tables(wycryst_copy: Path) -> None:
    nobody = {"metal_threshold": 0.0, "require": ["gene_validity", "metal"], "nulls": []}
    changed = SETTINGS | {"wycryst": SETTINGS["wycryst"] | nobody}
    (wycryst_copy / "changed.yaml").write_text(yaml.safe_dump(changed))
    done = snakemake(wycryst_copy, TARGETS[0], config="changed.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pd.read_csv(wycryst_copy / TARGETS[0]).empty
    yields = pd.read_csv(wycryst_copy / "results/wycryst/yields.csv")
    assert yields[["built", "relaxed", "stable"]].to_numpy().tolist() == [[0, 0, 0]]
