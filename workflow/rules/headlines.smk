"""Headline results of each chapter, and which of them the report and the certificate speak of; no rules."""

import os
import re

import yaml

from matwheel.report.budgets import budget_warning


def of_datasets(file):
    """A file of every dataset and scheme."""
    return [
        file.format(dataset=dataset, scheme=scheme)
        for dataset in DATASETS
        for scheme in SCHEMES
    ]


HEADLINES = [
    "results/table2.csv",
    "results/table2.svg",
    "results/table2_contrasts.csv",
    *CANDIDATES,
    *MATGAN_REPORT,
    *WYCRYST_RESULTS,
    *PHONON_RESULTS,
    *PERTURBED_RESULTS,
    *of_datasets("results/matwheel/{dataset}/{scheme}/generators.svg"),
    *of_datasets("results/data/{dataset}/{scheme}/audit.svg"),
]


def present(paths):
    """Those of some results that are there when the plan is made; all of them with `headlines: planned`."""
    if config["headlines"] == "planned":
        return list(paths)
    return [path for path in paths if Path(path).exists()]


def short_title(dataset):
    """Title of a dataset without its source, which stands in brackets."""
    return REGISTRY[dataset].get("title", dataset).partition(" (")[0]


# Sets of candidates with what the page calls them.
SHOWN_SETS = {
    **{
        name: f"{short_title(run_of(name)[0])}, "
        f"run {run_of(name)[2].removeprefix('seed')}, {Path(name).name}"
        for name in CANDIDATE_SETS
    },
    **{f"imported/{name}": name for name in IMPORTED},
    **{name: title_of(name) for name in GENE_FUNNELS},
}


# What the page shows, by the role that a file has there.
REPORT_FILES = {
    "table2": ["results/table2.csv"],
    "table2_scores": ["results/table2_scores.csv"],
    "table2_contrasts": ["results/table2_contrasts.csv"],
    "table2_figure": ["results/table2.svg"],
    "generator_figures": of_datasets(
        "results/matwheel/{dataset}/{scheme}/generators.svg"
    ),
    "audits": of_datasets("results/data/{dataset}/{scheme}/audit.csv"),
    "audit_figures": of_datasets("results/data/{dataset}/{scheme}/audit.svg"),
    "false_negatives": ["results/false_negatives.csv"] if CANDIDATE_SETS else [],
    "uniqueness": [f"results/{name}/uniqueness.csv" for name in CANDIDATE_SETS],
    "perturbed_table": PERTURBED_RESULTS[:1],
    "perturbed_contrasts": PERTURBED_RESULTS[1:],
    "compositions": ["results/matgan/table1.csv"] if FORMULA_SETS else [],
    "composition_figures": (
        [path for path in COMPOSITION_FIGURES if "distributions" not in path]
        if FORMULA_SETS
        else []
    ),
    "gene_yields": ["results/wycryst/yields.csv"] if FUNNEL_TASKS else [],
    "gene_figures": [
        path
        for path in WYCRYST_RESULTS
        if path.endswith(".svg") and not path.endswith("funnel.svg")
    ],
    "configuration_contrasts": (
        ["results/phonon/contrasts.csv"] if LEARNT_COMPOUND in COMPOUNDS else []
    ),
    "configuration_figures": [
        f"results/phonon/{name}.svg"
        for name in (
            *(("bands", "displacements") if COMPOUNDS else ()),
            *(
                ("cross_table", "learning_curves", "explanations")
                if LEARNT_COMPOUND in COMPOUNDS
                else ()
            ),
        )
    ],
}


def shown_sets():
    """Sets of candidates that the page shows."""
    return [name for name in SHOWN_SETS if present([f"results/{name}/candidates.csv"])]


def files_of_shown(file):
    """A file of every set of candidates that the page shows."""
    return [f"results/{name}/{file}" for name in shown_sets()]


# Stage of each rule: the file that it stands in.
STAGE_OF_RULE = {
    name: path.stem
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for name in re.findall(
        r"^(?:rule|use rule \w+ as) (\w+)",
        path.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}


# The whole configuration but for where mirrors lie on this machine.
SETTINGS = {key: config[key] for key in sorted(config) if key != "mirror_folders"}

# What the budgets of a run are compared with, and the files that its configuration was read from.
DEFAULT_SETTINGS = yaml.safe_load((ROOT / "config" / "config.yaml").read_text("utf-8"))
# Files that a command made for itself have other names each time, and are in the settings anyway.
CONFIG_FILES = [
    path
    for path in (os.path.relpath(path, os.getcwd()) for path in workflow.configfiles)
    if not path.startswith((".snakemake", ".."))
]

# Files that went in, whatever rule reads them; mirror files where there are any.
CERTIFIED_INPUTS = sorted(
    {
        os.path.relpath(path)
        for path in (
            *map(str, workflow.configfiles),
            config["dataset_registry"],
            *(source["path"] for source in IMPORTED.values()),
            *(path for name in DATASETS for path in files_of_dataset(REGISTRY[name])),
            *(PHONON["files"][name] for name in COMPOUNDS),
            *PHONON["shipped_labels"].values(),
            *files_of_born_charges(),
            *MP_FILES,
            *(path for files in SYNTHESIZABILITY_FILES.values() for path in files),
            "resources/published_table2.csv",
        )
        if Path(path).is_file()
    }
)
PROVENANCE_OF_DATA = [
    *(f"results/data/{name}/provenance.json" for name in DATASETS),
    *(f"results/formulas/{name}/provenance.json" for name in FORMULA_SETS),
    "results/references/provenance.json",
]
