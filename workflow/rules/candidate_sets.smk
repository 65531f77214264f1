"""Sets of candidates: which there are, which screens they go through and what those need; no rules."""

from functools import cache
from math import ceil

from matwheel.errors import InputError
from matwheel.imported_sets import content_sha256, located, other_input
from matwheel.validation.potentials import definition, potential_card

SCREEN, VALIDATE, FUNNEL = config["screen"], config["validate"], config["funnel"]

# Each set is a folder under results/: the flywheel's crystals, a user's own, or a dataset's test rows.
CANDIDATE_SETS = [
    f"matwheel/{dataset}/{scheme}/seed{run}/{supervision}"
    for dataset in DATASETS
    for scheme in SCHEMES
    for run in FUNNEL["runs"]
    for supervision in FUNNEL["supervisions"]
]
REAL_SETS = [
    f"real/{dataset}/{SCHEMES[0]}/seed{run}"
    for dataset in DATASETS
    for run in FUNNEL["runs"]
]

# A user's own crystals: name → path, and the columns of a table where they have unusual names.
IMPORTED = {
    name: given if isinstance(given, dict) else {"path": given}
    for name, given in sorted(config["imported"].items())
}

REFERENCE_SHARDS = range(VALIDATE["reference_shards"])

# What a run shows of them.
CANDIDATES = [f"results/imported/{name}/candidates.csv" for name in IMPORTED]
if CANDIDATE_SETS:
    CANDIDATES += [
        "results/candidates.csv",
        "results/funnel.svg",
        "results/false_negatives.csv",
    ]
    CANDIDATES += ["results/dft.csv"] if VALIDATE["dft"]["backend"] != "none" else []

SYNTHESIZABILITY_MODULES = SCORES.get(SCREEN["synthesizability"]["model"], ())[:1]

# Built-in screen of the config's `require` → file of verdicts that holds it; the order is that of the funnel.
# A screen of `further` has a file of its own name.
FILE_OF_SCREEN = {
    "structure": "structure",
    "symmetry": "structure",
    "charge_neutrality": "composition",
    "electronegativity": "composition",
    "unique": "uniqueness",
    "novel_training": "novelty",
    "novel_mp": "novelty",
    "novel_formula": "novelty",
    "synthesizability": "synthesizability",
}

for unknown in [
    name
    for name in SCREEN["require"]
    if name not in (*FILE_OF_SCREEN, *SCREEN["further"])
]:
    raise WorkflowError(
        f"config: screen.require names {unknown!r}, which is none of {', '.join(FILE_OF_SCREEN)} "
        "nor of screen.further"
    )
for run in [run for run in FUNNEL["runs"] if run not in RUNS]:
    raise WorkflowError(
        f"config: funnel.runs has run {run}, but split.runs makes runs 0 to {RUNS[-1]} only"
    )


def mirror_files(*patterns):
    """Files of the mirror folders that match a pattern; of a name that several have, the first."""
    found = {}
    for folder in config["mirror_folders"]:
        for pattern in patterns:
            for path in sorted(Path(folder).glob(pattern)):
                found.setdefault(path.name, str(path))
    return [found[name] for name in sorted(found)]


# Crystals of the Materials Project, which PyPI does not carry: without a mirror there are none.
MP_FILES = mirror_files("mp20_*.csv.gz", "mpts52_*.csv.gz")
KNOWN_CRYSTALS = ["results/references/mp_crystals.parquet"] if MP_FILES else []


def refuse_other_input(name, path):
    """Refuse to read one user's crystals over the results of others."""
    try:
        other = other_input(name, located(path), Path.cwd())
    except InputError as error:
        raise WorkflowError(f"config: imported.{name}: {error}")
    if other:
        raise WorkflowError(
            f"config: imported.{name} is {path}, but results/imported/{name} was made of {other}, which holds "
            "other crystals; give the set another name, or move that folder away"
        )


# Once per run: jobs, on a cluster each with a process of its own, take it as seen.
if workflow.is_main_process:
    for name, source in IMPORTED.items():
        if Path(source["path"]).exists():
            refuse_other_input(name, source["path"])
        elif not inputs_of_snakemake([source["path"]]):
            raise WorkflowError(
                f"config: imported.{name}: {source['path']} does not exist; correct the path"
            )


# A wrong file ends the run here, not after the relaxations.
if VALIDATE["born_charges"] and workflow.is_main_process:
    from matwheel.validation.born_charges import read_born_charges

    try:
        read_born_charges(VALIDATE["born_charges"])
    except InputError as error:
        raise WorkflowError(f"config: validate.born_charges: {error}") from None


def files_of_born_charges():
    """Files of Born charges, if there are any."""
    if not VALIDATE["born_charges"]:
        return []
    from matwheel.validation.born_charges import born_charge_files

    return [str(path) for path in born_charge_files(VALIDATE["born_charges"])]


def content_of_born_charges():
    """Stand for all of them: what each holds; None where there are none."""
    return {path: sha256_of_file(path) for path in files_of_born_charges()} or None


@cache
def content_of_import(name):
    """Stand for what a user's file or folder holds; hashed where the job that reads it is planned or run."""
    try:
        return content_sha256(Path(IMPORTED[name]["path"]))
    except InputError as error:  # the job refuses it in these words
        return str(error)


def is_gene_set(crystal_set):
    """Whether a set's crystals are built from genes."""
    return crystal_set.startswith("wycryst/")


def run_of(crystal_set):
    """Dataset, scheme and seed of a set of the flywheel or of real crystals; None for others."""
    parts = crystal_set.split("/")
    is_of_run = parts[0] in ("matwheel", "real")
    return (parts[1], parts[2], parts[3]) if is_of_run else None


def phonons_at_most(crystal_set):
    """How many crystals of a set get phonons."""
    return (WYCRYST if is_gene_set(crystal_set) else VALIDATE)["phonons_at_most"]


def phonon_shards(crystal_set):
    """Shards of the phonons of a set."""
    return range(ceil(phonons_at_most(crystal_set) / VALIDATE["phonon_shard_size"]))


def relaxation_shards(crystal_set):
    """Shards of the relaxations of a set."""
    most = VALIDATE["relax_at_most"]
    most = min(most, WYCRYST["build_at_most"]) if is_gene_set(crystal_set) else most
    return range(ceil(most / VALIDATE["shard_size"]))


def references_of(crystal_set):
    """Names of the reference sets that a set's crystals are compared with."""
    without = set() if MP_FILES else {"mp"}
    if is_gene_set(crystal_set):  # formulas and training rows are compared as genes
        return ["mp"] if MP_FILES else []
    if run_of(crystal_set) is None:
        without.add("training")
    return [name for name in SCREEN["novelty"] if name not in without]


def files_of_references(crystal_set):
    """Files of those reference sets, by name."""
    files = {"mp": KNOWN_CRYSTALS, "formula": ["results/references/archive_phases.csv"]}
    if run_of(crystal_set) is not None:
        dataset, scheme, seed = run_of(crystal_set)
        rows = f"results/data/{dataset}/crystals.parquet"
        files["training"] = [rows, f"results/data/{dataset}/{scheme}/{seed}/split.json"]
    return {name: files[name] for name in references_of(crystal_set)}


def screens_of(crystal_set):
    """Screens before any relaxation, in the order of the funnel."""
    if is_gene_set(crystal_set):
        return [*GENE_SCREENS, "build", "structure", "symmetry", *SCREEN["further"]]
    novel = [f"novel_{name}" for name in references_of(crystal_set)]
    scored = (
        ["synthesizability"] if SCREEN["synthesizability"]["model"] != "none" else []
    )
    cheap = [
        "structure",
        "symmetry",
        "charge_neutrality",
        "electronegativity",
        *SCREEN["further"],
        "unique",
    ]
    parsed = ["parse"] if run_of(crystal_set) is None else []
    return [*parsed, *cheap, *novel, *scored]


def required_screens(crystal_set):
    """Screens that a candidate must pass before it is relaxed; real crystals are relaxed for the audit."""
    if crystal_set.startswith("real/"):
        return ["structure"]
    if is_gene_set(crystal_set):
        further = [name for name in SCREEN["further"] if name in SCREEN["require"]]
        return [*REQUIRED_OF_GENES, "build", "structure", *further]
    required = ["parse", *SCREEN["require"]]
    return [name for name in screens_of(crystal_set) if name in required]


def verdicts_of_screens(crystal_set, *later):
    """Files of the verdicts of the cheap screens and of `later` stages."""
    files = dict.fromkeys(
        (
            "genes"
            if screen in GENE_SCREENS and is_gene_set(crystal_set)
            else FILE_OF_SCREEN.get(screen, screen)
        )
        for screen in screens_of(crystal_set)
    )
    return [
        f"results/{crystal_set}/verdicts/{name}.parquet" for name in (*files, *later)
    ]


def novelty_reference(crystal_set):
    """Name of the reference set that decides what is novel in S.U.N.: the first of the config that there is."""
    return next(iter(references_of(crystal_set)), "training")


def unique_screen(crystal_set):
    """Screen that says which of several equal candidates stands for all, before relaxation."""
    return "unique_gene" if is_gene_set(crystal_set) else "unique"


def novelty_screens(crystal_set):
    """Screens of novelty that S.U.N. asks for; a formula stays what it is when the crystal relaxes."""
    if is_gene_set(crystal_set):
        return ["novel_gene", *(["novel_relaxed"] if MP_FILES else [])]
    reference = novelty_reference(crystal_set)
    after = [] if reference == "formula" else ["novel_relaxed"]
    return [f"novel_{reference}", *after]


def reference_of_novelty(crystal_set):
    """Files of the structures that decide what is novel after relaxation, by name of their set."""
    files, reference = files_of_references(crystal_set), novelty_reference(crystal_set)
    return {
        name: files[name] for name in files if name == reference and name != "formula"
    }


def screens_before_relaxation(crystal_set):
    """Screens that a candidate must pass before it is relaxed to count in S.U.N."""
    unique = unique_screen(crystal_set)
    asked = [*required_screens(crystal_set), unique, novelty_screens(crystal_set)[0]]
    judged = screens_of(crystal_set)
    return [name for name in dict.fromkeys(asked) if name in judged]


def required_of_relaxed(crystal_set):
    """Screens that a relaxed candidate must pass: what was required before holds after relaxation too."""
    required = required_screens(crystal_set)
    pairs = (
        [unique_screen(crystal_set), "unique_relaxed"],
        novelty_screens(crystal_set),
    )
    names = [name for before, *after in pairs if before in required for name in after]
    return [*names, *(["band_gap"] if is_gene_set(crystal_set) else [])]


def screens_after_relaxation(crystal_set):
    """Files of the verdicts on relaxed crystals, before the hull."""
    return [
        "relaxation",
        "relaxed",
        *(["relaxed_genes"] if is_gene_set(crystal_set) else []),
    ]


def relaxation_settings(crystal_set):
    """Settings of the relaxations of a set; crystals built from genes keep their symmetry unless told otherwise."""
    kept = {"keep_symmetry": True} if is_gene_set(crystal_set) else {}
    return kept | VALIDATE["relaxation"]


def title_of(crystal_set):
    """What tables call a set."""
    parts = crystal_set.split("/")
    return (
        f"{parts[2]} by {parts[3]}, {parts[1]}"
        if is_gene_set(crystal_set)
        else parts[1]
    )


def funnel_screens(crystal_set):
    """The screens that a candidate must pass in turn, from the first to dynamical stability."""
    return [
        *required_screens(crystal_set),
        "single_point",
        "relaxation",
        *required_of_relaxed(crystal_set),
        "hull",
        "phonons",
    ]


def predicted_properties(crystal_set):
    """File of the predicted property, for sets that have a predictor."""
    is_ours = crystal_set.startswith("matwheel/")
    return [f"results/{crystal_set}/predicted.parquet"] if is_ours else []


def crystals_of_folder(folder):
    """Crystal table of a dataset or of a candidate set."""
    name = "crystals" if folder.startswith("data/") else "generated"
    return f"results/{folder}/{name}.parquet"


def potential_params(name):
    """Name, version and entry of a potential, so that other weights or arguments are seen."""
    version = potential_card(name).version
    return {"name": name, "version": version, "definition": definition(name)}


wildcard_constraints:
    crystal_set=r"matwheel/[a-z0-9_]+/[a-z0-9]+/seed\d+/(full|semi)|real/[a-z0-9_]+/[a-z0-9]+/seed\d+|imported/[A-Za-z0-9_-]+|wycryst/round\d+/[a-z0-9_]+/(mpvae|random|substitution)",
    folder=r"data/[a-z0-9_]+|matwheel/[a-z0-9_]+/[a-z0-9]+/seed\d+/(full|semi)",
    name="[A-Za-z0-9_-]+",
    shard=r"\d+",
