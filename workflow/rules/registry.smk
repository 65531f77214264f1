"""The registry of datasets and what rules ask of its entries; no rules."""

import yaml

REGISTRY = yaml.safe_load(Path(config["dataset_registry"]).read_text(encoding="utf-8"))
validate(REGISTRY, "../../config/schemas/datasets.schema.yaml")

for unknown in [name for name in DATASETS if name not in REGISTRY]:
    raise WorkflowError(
        f"config: dataset {unknown!r} is not in {config['dataset_registry']}; "
        f"it has {', '.join(sorted(REGISTRY))}. Add an entry there or mend the key `datasets`."
    )


def files_of_dataset(entry):
    """A user's own files are inputs, so that changed data is seen; fetched ones are known by sha256."""
    path = Path(entry["path"]) if "path" in entry else None
    if path is None or not path.exists():
        return []
    return sorted(str(file) for file in path.iterdir()) if path.is_dir() else str(path)


def without_words(entry):
    """Return what decides the fetched table; titles and units may change without a rerun."""
    entry = {key: value for key, value in entry.items() if key != "title"}
    return entry | {
        "target": {"column": entry.get("target", {}).get("column", "target")}
    }


def without(dataset):
    """Return the command that runs the table without a dataset."""
    others = ", ".join(name for name in DATASETS if name != dataset) or "mp_poly_total"
    return f"snakemake --cores 2 --config 'datasets=[{others}]' -- results/table2.csv"


def target_label(dataset):
    """Return the axis label of a dataset's target."""
    target = REGISTRY[dataset].get("target", {})
    units = f" ({target['units']})" if target.get("units") else ""
    return target.get("name", dataset) + units
