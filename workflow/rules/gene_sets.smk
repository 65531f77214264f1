"""Sets of genes: which models, tasks and rounds there are, which screens genes go through; no rules."""

from matwheel.crystals.gene_table import gene_table_settings
from matwheel.errors import InputError
from matwheel.generators.gene_crystals import GeneCrystalSettings
from matwheel.generators.mpvae.settings import SamplingSettings, settings_from_mapping
from matwheel.screening.gene_targets import Target

WYCRYST = config["wycryst"]
TASKS = WYCRYST["tasks"]
FUNNEL_TASKS = [task for task in WYCRYST["funnel"] if task in TASKS]
GENE_ROUNDS = range(1, WYCRYST["rounds"] + 1)
GENE_DATA = WYCRYST["data"]
GENE_CRYSTALS = next(
    iter(KNOWN_CRYSTALS), "results/references/archive_crystals.parquet"
)

# 2 × 2 arms of the ablation; each is trained anew for every seed.
ABLATION_ARMS = {
    f"{augmentation}_{transfer}": {
        "augment": augmentation == "augmented",
        "transfer": transfer == "transfer",
    }
    for augmentation in ("plain", "augmented")
    for transfer in ("scratch", "transfer")
}
ABLATION_RUNS = [
    f"ablation/{arm}/seed{seed}"
    for arm in ABLATION_ARMS
    for seed in range(WYCRYST["ablation"]["seeds"])
]

for task in [task for task in TASKS if task not in WYCRYST["targets"]]:
    raise WorkflowError(
        f"config: wycryst.tasks names {task!r}, of which wycryst.targets says nothing; add it there"
    )

# What is impossible ends the run here, not after an hour of training.
try:
    gene_table_settings(GENE_DATA)
    settings_from_mapping(WYCRYST["model"])
    settings_from_mapping(WYCRYST["model"] | WYCRYST["ablation"]["settings"])
    SamplingSettings(**WYCRYST["sampling"])
    GeneCrystalSettings(**WYCRYST["build"])
    for task in TASKS:
        Target(task, **WYCRYST["targets"][task])
except InputError as error:
    raise WorkflowError(f"config: wycryst: {error}") from None

# Formulas with an ICSD code and the others: what a score of synthesizability is learnt from.
SYNTHESIZABILITY_FILES = {
    name: mirror_files(pattern)
    for name, pattern in {
        "listed": "icsd_listed_mp_formulas.txt*",
        "entries": "mp_e_above_hull.csv*",
    }.items()
}
HAS_SYNTHESIZABILITY = all(SYNTHESIZABILITY_FILES.values())

if SCREEN["synthesizability"]["model"] != "none" and not HAS_SYNTHESIZABILITY:
    raise WorkflowError(
        "config: screen.synthesizability needs icsd_listed_mp_formulas.txt.gz and mp_e_above_hull.csv.gz in a "
        f"mirror folder ({', '.join(config['mirror_folders'])}); put them there or set its model to none"
    )

GENE_THRESHOLDS = {"synthesizability": WYCRYST["synthesizability"]["threshold"]}
# The archive on PyPI has gaps of semiconductors only, so nothing tells metals.
if MP_FILES:
    GENE_THRESHOLDS["metal"] = WYCRYST["metal_threshold"]

# Screens of genes in the order of the funnel; all genes get all of them.
GENE_SCREENS = [
    "gene_validity",
    "unique_gene",
    "charge_neutrality",
    "electronegativity",
    "property_window",
    *(["synthesizability"] if HAS_SYNTHESIZABILITY else []),
    *(["metal"] if MP_FILES else []),
    "one_anion",
    "novel_gene",
    "novel_formula",
]
REQUIRED_OF_GENES = [name for name in GENE_SCREENS if name in WYCRYST["require"]]
GENE_SHARDS = range(ceil(WYCRYST["build_at_most"] / WYCRYST["build_shard_size"]))

# The sets that go through the whole funnel: the model's in every round, the nulls' beside the first.
GENE_FUNNELS = [
    f"wycryst/round{number}/{task}/{source}"
    for task in FUNNEL_TASKS
    for number in GENE_ROUNDS
    for source in ("mpvae", *(WYCRYST["nulls"] if number == 1 else []))
]
WYCRYST_RESULTS = []
if TASKS:
    WYCRYST_RESULTS += [
        f"results/wycryst/{name}"
        for name in (
            "conditions.csv",
            "conditions.svg",
            "latent_maps.svg",
            "judges.json",
        )
    ]
if FUNNEL_TASKS:
    WYCRYST_RESULTS += [
        f"results/wycryst/{name}"
        for name in ("funnel.csv", "funnel.svg", "candidates.csv", "parity.svg")
    ]
    if VALIDATE["dft"]["backend"] != "none":
        WYCRYST_RESULTS.append("results/wycryst/dft.csv")
if TASKS and ABLATION_RUNS:
    WYCRYST_RESULTS += [f"results/wycryst/ablation.{kind}" for kind in ("csv", "svg")]


def model_settings(model):
    """Settings of a model: the config's, and those of its arm of the ablation."""
    if model.startswith("round"):
        return WYCRYST["model"]
    arm = ABLATION_ARMS[model.split("/")[1]]
    return WYCRYST["model"] | WYCRYST["ablation"]["settings"] | arm


def mpvae_seed(model):
    """Seed of both trainings of a model; all arms of the ablation share that of their number."""
    return derive_seed(config["seed"], "mpvae", model.split("/")[-1])


def last_round(number, name):
    """File of the round before: of every task that goes through the funnel."""
    return [
        f"results/wycryst/round{int(number) - 1}/{task}/mpvae/{name}"
        for task in FUNNEL_TASKS
    ]


def training_genes(model):
    """Gene table that a model learns from: that of its round, or the dataset's."""
    if model.startswith("round") and model != "round1":
        return f"results/wycryst/{model}/training.parquet"
    return "results/wycryst/genes.parquet"


def is_pretrained(model):
    """Whether a model starts from pre-trained weights."""
    return model_settings(model).get("transfer", True)


wildcard_constraints:
    model=r"round\d+|ablation/(plain|augmented)_(scratch|transfer)/seed\d+",
    round=r"\d+",
    task="[a-z0-9_]+",
    gene_source="mpvae|unconditional|random|substitution",
    gene_null="random|substitution",
