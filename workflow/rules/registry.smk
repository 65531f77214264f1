"""The registry of datasets and what rules ask of its entries; no rules."""

import yaml

REGISTRY = yaml.safe_load(Path(config["dataset_registry"]).read_text(encoding="utf-8"))
validate(REGISTRY, "../../config/schemas/datasets.schema.yaml", set_default=False)

# One text for all datasets: with their names in it, dropping one dataset would fetch the others again.
COMMAND_WITHOUT = "snakemake --cores 2 --config 'datasets=[names of the others]' -- results/table2.csv"

for unknown in [name for name in DATASETS if name not in REGISTRY]:
    raise WorkflowError(
        f"config: dataset {unknown!r} is not in {config['dataset_registry']}; "
        f"it has {', '.join(sorted(REGISTRY))}. Add an entry there or mend the key `datasets`."
    )
for formulas in [name for name in DATASETS if REGISTRY[name].get("kind") == "formulas"]:
    raise WorkflowError(
        f"config: dataset {formulas!r} holds formulas, no crystals; name it in matgan.sets"
    )


def files_of_dataset(entry):
    """A user's own files are inputs, so that changed data is seen; fetched ones are known by sha256."""
    path = Path(entry["path"]) if "path" in entry else None
    if path is None or not path.exists():
        return []
    return sorted(str(file) for file in path.iterdir()) if path.is_dir() else str(path)


def listed(files):
    """A file or a list of files as a list."""
    return [files] if isinstance(files, str) else files


def without_words(entry):
    """Return what decides the fetched table; titles and units may change without a rerun."""
    entry = {key: value for key, value in entry.items() if key != "title"}
    if "target" in entry or entry.get("kind") != "formulas":
        entry["target"] = {"column": entry.get("target", {}).get("column", "target")}
    return entry


def target_label(dataset):
    """Return the axis label of a dataset's target."""
    target = REGISTRY[dataset].get("target", {})
    units = f" ({target['units']})" if target.get("units") else ""
    return target.get("name", dataset) + units


def generated_sets(wildcards, supervisions):
    """Name the folders of a run's generated sets."""
    run = f"matwheel/{wildcards.dataset}/{wildcards.scheme}/seed{wildcards.seed}"
    return [f"{run}/{supervision}" for supervision in supervisions]


def settings_of_predictor(predictor):
    """Settings of a predictor that the config changes."""
    return config["predictor_settings"].get(predictor, {})


def prepared_for(predictor, dataset, *sets):
    """Files of what a predictor needs computed before: of a dataset, and of generated sets; most need nothing."""
    if predictor == "cgcnn":  # graphs of generated crystals are built faster than read
        return [f"results/data/{dataset}/graphs.npz"]
    if predictor != "latent":
        return []
    folders = [f"data/{dataset}", *sets]
    return [f"results/{folder}/latent_features.npz" for folder in folders]
