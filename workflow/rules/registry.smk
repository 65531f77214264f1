"""The registry of datasets and what rules ask of its entries; no rules."""

from functools import cache

from matwheel.core.errors import InputError
from matwheel.datasets.registry import parse_registry
from matwheel.datasets.sources import by_hand, is_in_mirror


def read_registry(path):
    """The entries of the registry."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkflowError(
            f"config: dataset_registry is {path!r}, which cannot be read ({error.strerror}); correct the path"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorkflowError(
            f"{path}: no YAML ({' '.join(str(error).split())})"
        ) from None


REGISTRY = read_registry(shipped(config["dataset_registry"]))
if workflow.is_main_process:
    from matwheel.configuration.registry import fault_of_names, fault_of_registry

    if fault := fault_of_registry(REGISTRY):
        raise WorkflowError(f"{config['dataset_registry']}: {fault}")
    if fault := fault_of_names(
        config, REGISTRY, read_registry(ROOT / "config" / "datasets.yaml")
    ):
        raise WorkflowError(f"config: {fault}")

# One text for all datasets: with their names in it, dropping one dataset would fetch the others again.
COMMAND_WITHOUT = "snakemake --cores 2 --config 'datasets=[names of the others]' -- results/table2.csv"


def look_at_own_dataset(name):
    """Refuse, before anything is planned, what can be seen to be wrong with a user's own data where they lie."""
    path = REGISTRY[name].get("path")
    if path is None:
        return
    if not Path(path).exists():
        raise WorkflowError(
            f"dataset {name}: {path} does not exist; correct `path` of its entry in {config['dataset_registry']} "
            "(relative paths begin where the command is run)"
        )
    # These read crystals, which a plan without own datasets need not wait for.
    from matwheel.datasets.dataset_look import look_at_dataset, look_at_formula_set
    from matwheel.potentials.relaxation import RelaxationSettings

    fractions = config["split"]["fractions"]
    entry = parse_registry({name: REGISTRY[name]})[name]
    try:
        warnings = (
            look_at_formula_set(entry)
            if entry.kind == "formulas"
            else look_at_dataset(
                entry,
                fractions=[fractions[part] for part in ("train", "validation", "test")],
                labelled_fraction=config["split"]["labelled_fraction"],
                relaxed_atoms=RelaxationSettings(
                    **config["validate"]["relaxation"]
                ).max_atoms,
            )
        )
    except InputError as error:
        raise WorkflowError(str(error)) from None
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


# Once per run: jobs, on a cluster each with a process of its own, take it as seen.
if workflow.is_main_process:
    for own in DATASETS:
        look_at_own_dataset(own)


def asks_a_server(name):
    """Whether nothing but the server of matminer's loader, which is often out of reach, can give a dataset."""
    sources = parse_registry({name: REGISTRY[name]})[name].sources
    return bool(sources) and all(
        source.kind in ("mirror", "matminer")
        and not is_in_mirror(source, config["mirror_folders"])
        for source in sources
    )


@cache
def warn_of_servers():
    """Say once, when a plan is made, which of its datasets may not be had from here, and how to go on."""
    missing = [
        name
        for name in DATASETS
        if asks_a_server(name)
        and not Path(f"results/data/{name}/crystals.parquet").exists()
    ]
    if not missing:
        return
    others = ", ".join(name for name in DATASETS if name not in missing)
    files = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    files = f" --configfile {' '.join(files)}" if files else ""
    remedies = [
        by_hand(source, config["mirror_folders"])
        for name in missing
        for source in parse_registry({name: REGISTRY[name]})[name].sources
    ]
    lines = [
        f"{', '.join(missing)} cannot be had from here: no mirror folder "
        f"({', '.join(config['mirror_folders']) or 'none is configured'}) has the file, and a plan does not ask "
        "the server of matminer's loader, which often does not answer.",
        *remedies,
        (
            f"Without: snakemake --cores 2{files} --config 'datasets=[{others}]' -- results/table2.csv"
            if others
            else f"No other dataset is configured; {config['dataset_registry']} has further ones."
        ),
    ]
    # Not by the logger, which writes to standard output in a dry run.
    print("\n  ".join(lines), file=sys.stderr)


def inputs_of_fetch(name):
    """A user's own files as inputs, so that changed data is seen; fetched ones are known by sha256."""
    if workflow.is_main_process:
        warn_of_servers()
    return inputs_of_snakemake(files_of_dataset(REGISTRY[name]))


def content_beside_inputs(name):
    """Hashes of those of a user's own files that Snakemake cannot take as inputs."""
    files = files_of_dataset(REGISTRY[name])
    carried = set(inputs_of_snakemake(files))
    return [sha256_of_file(path) for path in files if path not in carried]


def files_of_dataset(entry):
    """A user's own files: the one that an entry names, or those in its folder."""
    path = Path(entry["path"]) if "path" in entry else None
    if path is None or not path.exists():
        return []
    if not path.is_dir():
        return [str(path)]
    from matwheel.crystals.crystal_files import is_hidden

    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [
        str(file) for file in files if not is_hidden(file.relative_to(path).as_posix())
    ]


@cache
def rows_of_dataset(name):
    """How many crystals a dataset has, as far as its entry or a user's own file says; else 0."""
    entry = REGISTRY[name]
    if "rows" in entry.get("expected", {}):
        return entry["expected"]["rows"]
    if "path" not in entry:
        return 0
    from matwheel.crystals.crystal_files import open_crystal_file

    try:
        opened = open_crystal_file(
            Path(entry["path"]), crystal_column=entry.get("crystal_column")
        )
    except InputError:  # the job that reads it refuses it
        return 0
    return len(opened.entries)


def without_words(entry):
    """Return what decides the fetched table; titles, units, properties and what is only checked rerun nothing."""
    words = ("title", "properties", "expected")
    entry = {key: value for key, value in entry.items() if key not in words}
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
    return [
        f"results/{folder}/latent_features/{potential}.npz"
        for folder in folders
        for potential in LATENT_POTENTIALS
    ]
