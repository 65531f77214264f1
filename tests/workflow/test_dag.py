"""The plan of every configuration: which rules, for what, and once; its cost, and Snakemake's own checks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml
from declared_requests import declared_rules
from plan import SUPERVISIONS, TRAINING_SETS, Plan, each, job_counts, plan_of
from tiny_project import ROOT, copy_project, snakemake

sys.path.insert(0, str(ROOT / "benchmarks"))
from dag import PLAN, make_project, measure

CONFIGS = ["", "config/quickstart.yaml", "config/paper.yaml"]
# What only asking for it by name makes, and what needs a file of a mirror folder, which tests have none of.
NEVER = {
    *("certify", "write_report", "read_known_crystals", "screen_synthesizability", "train_synthesizability"),
}
ICSD = ["icsd", "icsd_filter"]
# Stages of every candidate set, with a file that each makes.
STAGES = {
    "screen_structures": "verdicts/structure.parquet",
    "collect_relaxed": "relaxed.parquet",
    "screen_relaxed": "verdicts/relaxed.parquet",
    "build_reference_phases": "hull/phases.parquet",
    "select_reference_structures": "hull/reference_structures.parquet",
    "compute_hulls": "hull/sensitivity.parquet",
    "collect_phonons": "verdicts/phonons.parquet",
    "join_verdicts": "verdicts.parquet",
}
SCREENS = {
    "screen_compositions": "verdicts/composition.parquet",
    "screen_uniqueness": "verdicts/uniqueness.parquet",
    "screen_novelty": "verdicts/novelty.parquet",
}
BUILDS = {
    "select_genes": "build/selected.parquet",
    "collect_built": "generated.parquet",
    "screen_relaxed_genes": "verdicts/relaxed_genes.parquet",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which nothing is made."""
    return copy_project(tmp_path_factory.mktemp("plans") / "project")


@pytest.fixture(scope="module")
def plans(project: Path) -> Callable[[str], Plan]:
    """The plan of each configuration, made once."""
    return cache(partial(plan_of, project))


@pytest.fixture(params=CONFIGS)
def plan(plans: Callable[[str], Plan], request: pytest.FixtureRequest) -> Plan:
    return plans(request.param)


@pytest.fixture
def default_plan(plans: Callable[[str], Plan]) -> Plan:
    return plans("")


def rules_asked_for(settings: Mapping[str, Any]) -> dict[str, bool]:
    """Return the rules that not every configuration needs, and whether this one does."""
    matgan, phonon, genes = settings["matgan"], settings["phonon"], settings["wycryst"]
    has_energies = matgan["formation_energy"]["set"] in matgan["sets"]
    labels_by_dft = phonon["dft"]["settings"]["backend"] != "none"
    of_perturbation = (
        *("perturb_crystals", "collect_perturbed", "take_perturbed", "train_on_perturbed", "table_perturbed"),
    )
    of_properties = ("compute_property", "collect_property", "score_oracle")
    of_funnel = (
        *("audit_false_negatives", "collect_candidates", "predict_candidates", "screen_compositions"),
        *("screen_novelty", "screen_uniqueness", "take_test_rows"),
    )
    return {
        "apply_screen": bool(settings["screen"]["further"]),
        "import_crystals": bool(settings["imported"]),
        **dict.fromkeys(of_properties, settings["properties"]["oracle_cards"]),
        "compute_dft": settings["validate"]["dft"]["backend"] != "none",
        "compute_second_phonons": settings["validate"]["second_opinion"] is not None,
        "compute_latent_features": "latent" in (*settings["predictors"], settings["judge"]),
        "extend_training_genes": genes["rounds"] > 1,
        "score_ablation": genes["ablation"]["seeds"] > 0,
        "generate_null_genes": bool(genes["nulls"]),
        "train_elemnet": has_energies,
        "compare_formation_energies": has_energies,
        "find_self_consistent_phonons": "self_consistent" in phonon["policies"],
        "collect_dft_labels": labels_by_dft,
        "compute_configuration_dft": labels_by_dft,
        **dict.fromkeys(of_perturbation, bool(settings["perturbation"]["predictors"])),
        **dict.fromkeys(of_funnel, bool(settings["funnel"]["runs"])),
    }


def test_every_rule_is_planned_that_the_settings_ask_for_and_no_other(plan: Plan) -> None:
    asked = rules_asked_for(plan.settings)
    rules = set(declared_rules(ROOT)) | {"compute_second_phonons"}
    assert rules >= set(asked) | NEVER
    assert set(plan.files) == rules - NEVER - {name for name, is_asked in asked.items() if not is_asked}


def test_the_flywheel_has_one_job_per_dataset_run_and_supervision(plan: Plan) -> None:
    settings = plan.settings
    datasets, schemes = settings["datasets"], settings["split"]["schemes"]
    runs = range(settings["split"]["runs"])
    of_dataset = {
        "fetch_dataset": "crystals.parquet",
        "build_graphs": "graphs.npz",
        "find_duplicates": "duplicates.csv",
        "label_prototypes": "prototypes.csv",
    }
    of_run = {
        "train_baselines": "baselines.parquet",
        "take_real_labels": "full/labels.parquet",
        "pseudo_label": "semi/labels.parquet",
        "evaluate_generators": "generators.csv",
    }
    of_generator = {
        "sample_conditions": "conditions.parquet",
        "train_generator": "generator.pt",
        "generate_crystals": "generated.parquet",
        "filter_generated": "screened.parquet",
    }
    data, run = "results/data/{}", "results/matwheel/{}/{}/seed{}"
    for rule, file in of_dataset.items():
        assert plan.places(rule, f"{data}/{file}") == each(datasets), rule
    labelled = plan.places("draw_labelled_rows", f"{data}/{{}}/seed{{}}/labelled.json")
    assert labelled == each(datasets, schemes, runs)
    assert plan.places("audit_splits", f"{data}/{{}}/audit.csv") == each(datasets, schemes)
    assert plan.places("split_dataset", f"{data}/{{}}/seed{{}}/split.json") == each(datasets, schemes, runs)
    for rule, file in of_run.items():
        assert plan.places(rule, f"{run}/{file}") == each(datasets, schemes, runs), rule
    for rule, file in of_generator.items():
        assert plan.places(rule, f"{run}/{{}}/{file}") == each(datasets, schemes, runs, SUPERVISIONS), rule
    # The judge of what was generated for has learnt all training rows, whether Table 2 asks for it or not.
    learnt = each(datasets, schemes, runs, settings["predictors"], TRAINING_SETS)
    learnt |= each(datasets, schemes, runs, settings["judge"], "F")
    assert plan.places("train_predictor", f"{run}/{{}}/{{}}/model.pt") == learnt


def candidate_sets(settings: Mapping[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Return the sets that go through the funnel: generated, real test rows, and built from genes."""
    funnel, genes = settings["funnel"], settings["wycryst"]
    datasets, schemes = settings["datasets"], settings["split"]["schemes"]
    generated = each(datasets, schemes, funnel["runs"], funnel["supervisions"])
    real = each(datasets, schemes[0], funnel["runs"])
    built = each(range(1, genes["rounds"] + 1), genes["funnel"], ["mpvae", *genes["nulls"]])
    return (
        {"matwheel/{}/{}/seed{}/{}".format(*one) for one in generated},
        {"real/{}/{}/seed{}".format(*one) for one in real},
        {"wycryst/round{}/{}/{}".format(*one) for one in built},
    )


def test_every_candidate_set_goes_through_each_stage_once_in_as_many_shards_as_it_needs(plan: Plan) -> None:
    generated, real, built = candidate_sets(plan.settings)
    validate, genes = plan.settings["validate"], plan.settings["wycryst"]
    for rule, file in STAGES.items():
        assert plan.sets(rule, file) == generated | real | built, rule
    for rule, file in SCREENS.items():
        assert plan.sets(rule, file) == generated | real, rule
    assert plan.sets("predict_candidates", "predicted.parquet") == generated
    assert plan.sets("rank_candidates", "candidates.csv") == generated | built
    for rule, file in BUILDS.items():
        assert plan.sets(rule, file) == built, rule

    # As many crystals as a set can have; how many test rows there are nobody knows before.
    sizes = dict.fromkeys(generated, plan.settings["generator"]["samples"])
    sizes |= dict.fromkeys(built, genes["build_at_most"])

    def shards(names: set[str], at_most: int, size: int) -> set[tuple[str, ...]]:
        counts = {name: ceil(min(at_most, sizes.get(name, at_most)) / size) for name in names}
        return {one for name in names for one in each({name}, range(max(1, counts[name])))}

    def places(rule: str, pattern: str) -> set[tuple[str, ...]]:
        return plan.places(rule, f"results/{{*}}/{pattern}")

    everything = generated | real | built
    relaxed = shards(everything, validate["relax_at_most"], validate["shard_size"])
    assert places("relax_candidates", "relaxation/shard{}.parquet") == relaxed
    energies = {(name, shard) for name, shard in relaxed if int(shard) < validate["reference_shards"]}
    assert places("compute_reference_energies", "hull/reference_energies{}.parquet") == energies
    size = validate["phonon_shard_size"]
    phonons = shards(generated | real, validate["phonons_at_most"], size)
    phonons |= shards(built, genes["phonons_at_most"], size)
    assert places("compute_phonons", "phonons/shard{}.parquet") == phonons
    assert places("build_crystals", "build/shard{}.parquet") == shards(
        built, genes["build_at_most"], genes["build_shard_size"]
    )


def test_every_formula_set_that_can_be_had_is_learnt_sampled_and_judged_once(plan: Plan) -> None:
    settings = plan.settings["matgan"]
    sets = [name for name in settings["sets"] if name not in ICSD]
    assert plan.places("fetch_formula_set", "results/formulas/{}/formulas.parquet") == each(sets)
    for rule, file in (
        ("train_composition_generator", "generator.pt"),
        ("join_compositions", "samples.parquet"),
        ("map_compositions", "map.parquet"),
    ):
        assert plan.places(rule, f"results/matgan/{{}}/{file}") == each(sets), rule
    shards = range(settings["sample_shards"])
    assert plan.places("generate_compositions", "results/matgan/{}/samples/{}.parquet") == each(sets, shards)
    nulls = each(sets, settings["nulls"])
    assert plan.places("generate_null_compositions", "results/matgan/{}/null/{}/samples.parquet") == nulls
    assert plan.places("evaluate_compositions", "results/matgan/{}/evaluation.json") == each(sets)
    assert plan.places("evaluate_compositions", "results/matgan/{}/null/{}/evaluation.json") == nulls


def test_every_task_has_its_genes_and_the_ablation_its_arms(plan: Plan) -> None:
    settings = plan.settings["wycryst"]
    tasks, learnt, nulls = settings["tasks"], ["mpvae", "unconditional"], settings["nulls"]
    rounds = range(1, settings["rounds"] + 1)
    genes = "results/wycryst/round{}/{}/{}"
    assert plan.places("generate_genes", f"{genes}/genes.parquet") == each(rounds, tasks, learnt)
    assert plan.places("generate_null_genes", f"{genes}/genes.parquet") == each(rounds, tasks, nulls)
    assert plan.places("screen_genes", f"{genes}/judged.parquet") == each(rounds, tasks, [*learnt, *nulls])
    seeds = range(settings["ablation"]["seeds"])
    arms = each(["plain_scratch", "plain_transfer", "augmented_scratch", "augmented_transfer"], seeds)
    transfers = {arm for arm in arms if arm[0].endswith("transfer")}
    trained = "results/wycryst/ablation/{}/seed{}"
    assert plan.places("fine_tune_mpvae", f"{trained}/mpvae.pt") == arms
    assert plan.places("pretrain_mpvae", f"{trained}/pretrained.pt") == transfers
    for rule, file in (("fine_tune_mpvae", "mpvae"), ("pretrain_mpvae", "pretrained")):
        assert plan.places(rule, f"results/wycryst/round{{}}/{file}.pt") == each(rounds), rule


def test_every_compound_is_displaced_in_every_way_and_every_training_set_learnt(plan: Plan) -> None:
    settings, learning = plan.settings["phonon"], plan.settings["phonon"]["learning"]
    # Scaled to the lengths of the thermal ones, here of the default policy.
    random_sets = [name.replace("_scaled", "_scaled_cutoff") for name in settings["random_sets"]]
    ways = [*(f"thermal_{policy}" for policy in settings["policies"]), *random_sets]
    shards = range(ceil(settings["configurations"] / settings["shard_size"]))
    folder = "results/phonon/{}"
    for rule, file in (("displace_crystal", "shard"), ("label_configurations", "labels")):
        pattern = f"{folder}/configurations/{{}}/{file}{{}}.parquet"
        assert plan.places(rule, pattern) == each(settings["compounds"], ways, shards), rule
    for rule, file in (
        ("compute_force_constants", "force_constants.npz"),
        ("collect_configurations", "configurations.parquet"),
    ):
        assert plan.places(rule, f"{folder}/{file}") == each(settings["compounds"]), rule
    assert plan.places("learn_from_configurations", "results/phonon/learning/{}/seed{}/model.pt") == each(
        learning["training_sets"], range(learning["seeds"])
    )


def test_every_training_set_of_perturbed_crystals_is_learnt_by_every_predictor(plan: Plan) -> None:
    settings, datasets = plan.settings["perturbation"], plan.settings["datasets"]
    runs = each(datasets, plan.settings["split"]["schemes"], range(plan.settings["split"]["runs"]))
    names = settings["training_sets"] if settings["predictors"] else []
    shards = range(settings["shards"]) if names else []
    perturbed = plan.places("perturb_crystals", "results/data/{}/perturbed/shard{}.parquet")
    assert perturbed == each(datasets, shards)
    run = "results/matwheel/{}/{}/seed{}"
    taken = {(*one, name) for one in runs for name in names}
    assert plan.places("take_perturbed", f"{run}/perturbed/{{}}.parquet") == taken
    learnt = {(*one[:3], predictor, one[3]) for one in taken for predictor in settings["predictors"]}
    assert plan.places("train_on_perturbed", f"{run}/{{}}/{{}}/model.pt") == learnt


def test_a_second_opinion_adds_a_phonon_job_to_each_and_nothing_else(
    project: Path, default_plan: Plan
) -> None:
    second = plan_of(project, changes={"validate": {"second_opinion": "7net-0"}})
    added = second.places("compute_second_phonons", "results/{*}/phonons/7net-0/shard{}.parquet")
    assert added == default_plan.places("compute_phonons", "results/{*}/phonons/shard{}.parquet")
    del second.files["compute_second_phonons"]
    assert second.files == default_plan.files


def test_dry_run_with_the_slurm_profile(project: Path, default_plan: Plan) -> None:
    done = snakemake(project, "-n", "--workflow-profile", "profiles/slurm", config="")
    assert done.returncode == 0, done.stderr
    counts = job_counts(done.stdout + done.stderr)
    assert counts.pop("all") == 1
    assert set(counts) == set(default_plan.files)
    # Every job of a rule makes as many files, so that none is planned twice.
    assert not {rule for rule, files in default_plan.files.items() if len(files) % counts[rule]}


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


def test_every_scheme_has_its_splits(project: Path) -> None:
    schemes = ["random", "formula", "prototype", "chang2022"]
    plan = plan_of(project, changes={"split": {"schemes": schemes}})
    splits = each(plan.settings["datasets"], schemes, range(plan.settings["split"]["runs"]))
    assert plan.places("split_dataset", "results/data/{}/{}/seed{}/split.json") == splits


def test_lint(project: Path) -> None:
    done = snakemake(project, "--lint", config="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_drawn_rule_graph_is_the_workflow(project: Path) -> None:
    done = snakemake(project, "--rulegraph", "mermaid-js", config="")
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(id\d+)\["?(\w+)"?\]', done.stdout))
    edges = {(names[one], names[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    drawn = re.findall(r"^ +(\w+) --> (\w+)$", (ROOT / "docs/rulegraph.md").read_text(), re.MULTILINE)
    assert edges
    assert set(drawn) == edges


@pytest.mark.parametrize(
    ("chosen", "screens"),
    [("none", []), ("composition", ["screen_compositions"]), ("hull", ["collect_relaxed", "compute_hulls"])],
)
def test_what_filters_synthetic_crystals_is_computed_for_every_set(
    project: Path, chosen: str, screens: list[str]
) -> None:
    changes = {"chapters": ["matwheel"], "screen": {"synthetic_filter": chosen}}
    plan = plan_of(project, "config/quickstart.yaml", changes)
    generated = plan.sets("generate_crystals", "generated.parquet")
    assert generated
    for screen in screens:
        assert plan.sets(screen, (STAGES | SCREENS)[screen]) == generated, screen
    assert ("relax_candidates" in plan.files) == (chosen == "hull")


def test_the_plan_of_a_thousand_jobs_is_quick_and_small(tmp_path: Path) -> None:
    cost = measure(make_project(tmp_path, datasets=5, runs=2), "plan", *PLAN)
    assert cost.jobs >= 1000
    assert cost.cpu_s < 30, "it takes 8 CPU-s on a shared machine, see docs/scaling.md"
    assert cost.peak_mb < 500, "it takes 193 MB"
