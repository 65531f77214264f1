"""What a run shows, and what its report and its certificate speak of: chapters add theirs; no rules."""

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


# Headline results, those of `snakemake` without a target.
HEADLINES = [
    *(f"results/imported/{name}/candidates.csv" for name in IMPORTED),
    *of_datasets("results/data/{dataset}/{scheme}/audit.svg"),
    *(oracle_files(".svg") if PROPERTY_SETTINGS["oracle_cards"] else []),
]

# What a run names when it has ended, as far as it is there.
NAMED_AT_THE_END = ["results/report.html"]

# Sets of candidates that the page shows, with what it calls them and whether they were built from genes.
SHOWN_SETS = {
    f"imported/{name}": {"title": name, "from_genes": False} for name in IMPORTED
}

# Folder with a `candidates.csv` of several sets → those sets.
SETS_OF_FUNNEL = {}

# What the page shows, by the role that a file has there, and what else it is told.
REPORT_FILES = {
    "audits": of_datasets("results/data/{dataset}/{scheme}/audit.csv"),
    "audit_figures": of_datasets("results/data/{dataset}/{scheme}/audit.svg"),
    "oracle_cards": oracle_files(".csv"),
    "oracle_outliers": oracle_files("_outliers.csv"),
    "oracle_figures": oracle_files(".svg"),
}
REPORT_OPTIONS = {}

# Files that went in, whatever rule reads them, and what says where fetched data came from.
INPUT_FILES = [
    *map(str, workflow.configfiles),
    *(shipped(f"config/chapters/{chapter}.yaml") for chapter in config["chapters"]),
    shipped(config["dataset_registry"]),
    *(source["path"] for source in IMPORTED.values()),
    *(path for name in DATASETS for path in files_of_dataset(REGISTRY[name])),
    *files_of_born_charges(),
    *MP_FILES,
    *(path for files in SYNTHESIZABILITY_FILES.values() for path in files),
]
PROVENANCE_OF_DATA = [
    *(f"results/data/{name}/provenance.json" for name in DATASETS),
    "results/references/provenance.json",
]


def present(paths):
    """Those of some results that are there when the plan is made; all of them with `headlines: planned`."""
    if config["headlines"] == "planned":
        return list(paths)
    return [path for path in paths if Path(path).exists()]


def short_title(dataset):
    """Title of a dataset without its source, which stands in brackets."""
    return REGISTRY[dataset].get("title", dataset).partition(" (")[0]


def shown_sets():
    """Sets of candidates that the page shows."""
    return [name for name in SHOWN_SETS if present([f"results/{name}/candidates.csv"])]


def files_of_shown(file):
    """A file of every set of candidates that the page shows."""
    return [f"results/{name}/{file}" for name in shown_sets()]


# Stage of each rule: the file that it stands in.
STAGE_OF_RULE = {
    name: path.stem
    for path in sorted((ROOT / "workflow" / "rules").rglob("*.smk"))
    for name in re.findall(
        r"^(?:rule|use rule \w+ as) (\w+)",
        path.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}


# The whole configuration but for where mirrors lie on this machine.
SETTINGS = {key: config[key] for key in sorted(config) if key != "mirror_folders"}

# What the budgets of a run are compared with, and the files that its configuration was read from.
DEFAULT_SETTINGS = {
    key: value
    for name in ("config", *(f"chapters/{chapter}" for chapter in config["chapters"]))
    for key, value in yaml.safe_load(
        (ROOT / "config" / f"{name}.yaml").read_text("utf-8")
    ).items()
}
# Files that a command made for itself have other names each time, and are in the settings anyway.
CONFIG_FILES = [
    path
    for path in (os.path.relpath(path, os.getcwd()) for path in workflow.configfiles)
    if not path.startswith((".snakemake", ".."))
]
