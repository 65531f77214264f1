"""The dry run of every configuration: its job counts, its time, and Snakemake's own checks."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import pytest
import yaml
from declared_requests import declared_rules
from tiny_project import ROOT, copy_project, snakemake

sys.path.insert(0, str(ROOT / "benchmarks"))
from dag import PLAN, make_project, measure

# Jobs of a run of the flywheel on one dataset, apart from its predictors.
PER_RUN = {
    "split_dataset": 1,
    "draw_labelled_rows": 1,
    "train_baselines": 1,
    "take_real_labels": 1,
    "pseudo_label": 1,
    "sample_conditions": 2,
    "train_generator": 2,
    "generate_crystals": 2,
    "filter_generated": 2,
    "evaluate_generators": 1,
}
PER_DATASET = {
    "fetch_dataset": 1,
    "build_graphs": 1,
    "find_duplicates": 1,
    "label_prototypes": 1,
    "audit_splits": 1,
    "collect_generator_cards": 1,
}
ONCE = {"table2": 1, "draw_table2": 1, "all": 1}
# Of each dataset a set of generated crystals goes through the funnel, and its test rows for the audit.
PER_CANDIDATE_SET = {
    "screen_structures": 1,
    "screen_compositions": 1,
    "screen_uniqueness": 1,
    "screen_novelty": 1,
    "relax_candidates": 20,
    "collect_relaxed": 1,
    "screen_relaxed": 1,
    "build_reference_phases": 1,
    "select_reference_structures": 1,
    "compute_reference_energies": 4,
    "compute_hulls": 1,
    "compute_phonons": 5,
    "collect_phonons": 1,
    "join_verdicts": 1,
}
PER_GENERATED_SET = {"predict_candidates": 1, "rank_candidates": 1}
# Of each formula set, with four shards of samples and four null generators.
PER_FORMULA_SET = {
    "fetch_formula_set": 1,
    "train_composition_generator": 1,
    "generate_compositions": 4,
    "join_compositions": 1,
    "generate_null_compositions": 4,
    "evaluate_compositions": 5,
    "map_compositions": 1,
}
MATGAN_ONCE = {"tabulate_compositions": 1, "draw_compositions": 1, "matgan_report": 1}
DECODABLE = {"train_autoencoder": 1, "compare_decodable": 1}
ENERGIES = {"train_elemnet": 1, "compare_formation_energies": 1}
GAPS = {"compare_band_gaps": 1}
# Without a mirror folder there are three sets: no icsd, nor what is derived from it.
ALL_COMPOSITIONS = {name: 3 * count for name, count in PER_FORMULA_SET.items()}
ALL_COMPOSITIONS |= MATGAN_ONCE | DECODABLE | ENERGIES | GAPS
FEW_COMPOSITIONS = PER_FORMULA_SET | {"generate_compositions": 1} | MATGAN_ONCE | DECODABLE | GAPS
# Of genes: three tasks, each by the model, without condition and by two null generators; one goes through the
# funnel, with the nulls; twenty trainings of the ablation, half of them with a pre-training.
GENES_ONCE = {
    name: 1
    for name in (
        "read_archive_crystals", "find_genes", "tabulate_genes", "train_gene_judges", "fit_cells",
        "map_latents", "compare_conditions", "collect_gene_funnels", "score_ablation",
    )
}  # fmt: skip
ALL_GENES = GENES_ONCE | {
    "pretrain_mpvae": 11,
    "fine_tune_mpvae": 21,
    "generate_genes": 6,
    "generate_null_genes": 6,
    "screen_genes": 12,
}
PER_GENE_SET = {"select_genes": 1, "build_crystals": 3, "collect_built": 1, "screen_relaxed_genes": 1}
QUICK_GENES = GENES_ONCE | {
    "pretrain_mpvae": 1,
    "fine_tune_mpvae": 1,
    "generate_genes": 2,
    "screen_genes": 2,
    "select_genes": 1,
    "build_crystals": 2,
    "collect_built": 1,
    "screen_relaxed_genes": 1,
}
del QUICK_GENES["score_ablation"]
# Stages of candidate sets that crystals built from genes go through.
STAGES_OF_GENES = {
    name
    for name in (
        "screen_structures", "collect_relaxed", "screen_relaxed",
        "build_reference_phases", "select_reference_structures", "compute_hulls",
        "collect_phonons", "join_verdicts", "rank_candidates",
    )
}  # fmt: skip
# Four compounds, each with five policies and three kinds of random sets; four training sets of ten seeds.
ALL_CONFIGURATIONS = {
    "compute_force_constants": 4,
    "find_self_consistent_phonons": 4,
    "displace_crystal": 4 * 8,
    "label_configurations": 4 * 8,
    "collect_configurations": 4,
    "learn_from_configurations": 4 * 10,
}
PHONON_ONCE = dict.fromkeys(
    (
        "take_shipped_labels", "draw_displacements", "compare_potential_with_dft", "compare_configurations",
        "explain_gaps",
    ),
    1,
)  # fmt: skip
FEW_CONFIGURATIONS = {
    "compute_force_constants": 1,
    "displace_crystal": 4,
    "label_configurations": 4,
    "collect_configurations": 1,
    "learn_from_configurations": 2 * 2,
}
# Of each dataset two shards of perturbed crystals; three training sets of five runs learn from them.
PERTURBED = {
    "perturb_crystals": 2 * 2,
    "collect_perturbed": 2,
    "take_perturbed": 2 * 5 * 3,
    "train_on_perturbed": 2 * 5 * 3,
    "table_perturbed": 1,
}
# Of the layers two properties, of which one needs no potential, and of the other dataset one.
PROPERTIES = {"compute_property": 3 + 1 + 5, "collect_property": 3, "score_oracle": 3}
FUNNEL_ONCE = {"fetch_references": 1, "collect_candidates": 1, "audit_false_negatives": 1}


def job_counts(text: str) -> dict[str, int]:
    stats = text.split("Job stats:")[1]
    return {
        name: int(count)
        for name, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)
        if name != "total"
    }


def cpu_seconds_of_children() -> float:
    """Return what all ended child processes took: no other work on the machine adds to it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def expected_counts(datasets: int, runs: int, predictors: int = 2, *, funnel: bool = True) -> dict[str, int]:
    counts = {name: count * datasets * runs for name, count in PER_RUN.items()}
    counts |= {name: count * datasets for name, count in PER_DATASET.items()}
    counts["train_predictor"] = 6 * datasets * runs * predictors
    if predictors == 1:  # the judge of conditions is not among them
        counts["train_predictor"] += datasets * runs
    if funnel:  # latent features of each dataset and each generated set, for the judge at least
        counts["compute_latent_features"] = datasets * (1 + 2 * runs)
    if funnel:
        counts |= {name: 2 * count * datasets for name, count in PER_CANDIDATE_SET.items()}
        counts |= {name: count * datasets for name, count in PER_GENERATED_SET.items()}
        counts |= {"take_test_rows": datasets} | FUNNEL_ONCE
        counts |= ALL_GENES | {name: 3 * count for name, count in PER_GENE_SET.items()}
        counts |= ALL_CONFIGURATIONS | PHONON_ONCE | PERTURBED | PROPERTIES
        later = dict.fromkeys(STAGES_OF_GENES, 3)
        later |= {"relax_candidates": 3 * 6, "compute_reference_energies": 3 * 4, "compute_phonons": 3 * 5}
    else:
        counts |= QUICK_GENES | {"fetch_references": 1} | FEW_CONFIGURATIONS | PHONON_ONCE
        later = dict.fromkeys(STAGES_OF_GENES, 1)
        later |= {"relax_candidates": 1, "compute_reference_energies": 1, "compute_phonons": 2}
    for name, count in later.items():
        counts[name] = counts.get(name, 0) + count
    return counts | ONCE | (ALL_COMPOSITIONS if funnel else FEW_COMPOSITIONS)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", expected_counts(2, 5)),
        ("config/quickstart.yaml", expected_counts(1, 2, 1, funnel=False)),
        ("config/paper.yaml", expected_counts(2, 5, 1)),
    ],
)
def test_dry_run(tmp_path: Path, config: str, expected: dict[str, int]) -> None:
    project = copy_project(tmp_path / "project")
    started = cpu_seconds_of_children()
    done = snakemake(project, "-n", config=config)
    seconds = cpu_seconds_of_children() - started
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr) == expected
    assert seconds < 15, "the plan of the default workflow takes 2-3 CPU-s"


def test_a_second_opinion_adds_a_phonon_job_to_each_and_nothing_else(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "-n", "--config", "validate={second_opinion: 7net-0}", config="")
    assert done.returncode == 0, done.stderr
    expected = expected_counts(2, 5)
    expected["compute_second_phonons"] = expected["compute_phonons"]
    assert job_counts(done.stdout + done.stderr) == expected


def test_dry_run_with_the_slurm_profile(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "-n", "--workflow-profile", "profiles/slurm", config="")
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr) == expected_counts(2, 5)


def test_every_submitted_rule_says_what_it_needs() -> None:
    rules = declared_rules(ROOT).values()
    for rule in [rule for rule in rules if not rule.is_local]:
        # Two Snakemake processes around a script take 270 MB.
        assert rule.memory_grows and rule.megabytes >= 500 and rule.minutes >= 5 and rule.cpus == 1, rule
    assert {rule.name for rule in rules if rule.name.startswith("fetch_")} <= {
        rule.name for rule in rules if rule.is_local
    }, "compute nodes have no network"


def test_the_slurm_profile_asks_for_a_gpu_where_something_is_trained_or_generated() -> None:
    rules = declared_rules(ROOT)
    requests = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["set-resources"]
    assert {name for name, rule in rules.items() if rule.uses_gpu} == set(requests)
    assert {name: asked["gpu"] for name, asked in requests.items()} == dict.fromkeys(requests, 1)


def test_every_scheme_has_a_plan(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    arguments = ["-n", "--config", "split={schemes: [random, formula, prototype, chang2022]}"]
    done = snakemake(project, *arguments, config="")
    assert done.returncode == 0, done.stderr
    assert job_counts(done.stdout + done.stderr)["split_dataset"] == 2 * 5 * 4


def test_lint(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "--lint", config="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_drawn_rule_graph_is_the_workflow(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    done = snakemake(project, "--rulegraph", "mermaid-js", config="")
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(id\d+)\["?(\w+)"?\]', done.stdout))
    edges = {(names[one], names[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    drawn = re.findall(r"^ +(\w+) --> (\w+)$", (ROOT / "docs/rulegraph.md").read_text(), re.MULTILINE)
    assert edges
    assert set(drawn) == edges


@pytest.mark.parametrize(
    ("chosen", "screens"),
    [("none", []), ("composition", ["screen_compositions"]), ("hull", ["relax_candidates", "compute_hulls"])],
)
def test_what_filters_synthetic_crystals_is_computed_for_every_set(
    tmp_path: Path, chosen: str, screens: list[str]
) -> None:
    project = copy_project(tmp_path / "project")
    changed = [
        "-n",
        "--config",
        f"screen={{synthetic_filter: {chosen}}}",
        "wycryst={tasks: []}",
        "phonon={compounds: []}",
        "perturbation={predictors: []}",
    ]
    done = snakemake(project, *changed, config="config/quickstart.yaml")
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    sets = 4  # one dataset, two runs, generators full and semi
    # A set has 150 crystals at most, and shards of 25.
    jobs_of_set = {"screen_compositions": 1, "relax_candidates": 6, "compute_hulls": 1}
    assert {name: counts.get(name, 0) for name in screens} == {
        name: sets * jobs_of_set[name] for name in screens
    }
    assert ("relax_candidates" in counts) == (chosen == "hull")


def test_the_plan_of_a_thousand_jobs_is_quick_and_small(tmp_path: Path) -> None:
    cost = measure(make_project(tmp_path, datasets=5, runs=2), "plan", *PLAN)
    assert cost.jobs >= 1000
    assert cost.cpu_s < 30, "it takes 8 CPU-s on a shared machine, see docs/scaling.md"
    assert cost.peak_mb < 500, "it takes 193 MB"
