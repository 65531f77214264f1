"""Sets of genes: which models, tasks and rounds there are, which screens genes go through; no rules."""

from math import ceil

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
NAMED_AT_THE_END.append("results/wycryst/candidates.csv")
if TASKS:
    HEADLINES += [
        f"results/wycryst/{name}"
        for name in (
            "conditions.csv",
            "conditions.svg",
            "latent_maps.svg",
            "judges.json",
        )
    ]
    REPORT_FILES["gene_figures"] = [
        "results/wycryst/conditions.svg",
        "results/wycryst/latent_maps.svg",
    ]
if FUNNEL_TASKS:
    HEADLINES += [
        f"results/wycryst/{name}"
        for name in ("funnel.csv", "funnel.svg", "candidates.csv", "parity.svg")
    ]
    if VALIDATE["dft"]["backend"] != "none":
        HEADLINES.append("results/wycryst/dft.csv")
    REPORT_FILES["gene_yields"] = ["results/wycryst/yields.csv"]
    REPORT_FILES["gene_figures"].append("results/wycryst/parity.svg")
if TASKS and ABLATION_RUNS:
    HEADLINES += [f"results/wycryst/ablation.{kind}" for kind in ("csv", "svg")]
    REPORT_FILES["gene_figures"].append("results/wycryst/ablation.svg")


def gene_set(name):
    """Crystals built from genes: genes were screened before, as genes, and keep their symmetry in relaxations."""
    _, number, task, source = name.split("/")
    further = SCREEN["further"]
    known = {"mp": KNOWN_CRYSTALS} if MP_FILES else {}
    return CandidateSet(
        name,
        f"{task} by {source}, {number}",
        screens=dict.fromkeys(GENE_SCREENS, "genes")
        | {"build": "build", "structure": "structure", "symmetry": "structure"}
        | {screen: screen for screen in further},
        required=[
            *REQUIRED_OF_GENES,
            "build",
            "structure",
            *(screen for screen in further if screen in SCREEN["require"]),
        ],
        unique="unique_gene",
        novel=["novel_gene", *(["novel_relaxed"] if MP_FILES else [])],
        references=known,  # formulas and training rows are compared as genes
        references_after=known,
        relax_at_most=VALIDATE["relax_at_most"],
        size=lambda: WYCRYST["build_at_most"],
        phonons_at_most=WYCRYST["phonons_at_most"],
        relaxation={"keep_symmetry": True} | VALIDATE["relaxation"],
        relaxed_files=["relaxation", "relaxed", "relaxed_genes"],
        required_after=["band_gap"],
    )


SETS.register(
    r"wycryst/round\d+/[a-z0-9_]+/(mpvae|random|substitution)",
    gene_set,
)
SETS_OF_FUNNEL["results/wycryst"] = GENE_FUNNELS
SHOWN_SETS |= {
    name: {"title": SETS[name].title, "from_genes": True} for name in GENE_FUNNELS
}


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
