"""Sets of the flywheel: which there are, and what the chapter shows; no rules."""

FUNNEL = config["funnel"]

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
for run in [run for run in FUNNEL["runs"] if run not in RUNS]:
    raise WorkflowError(
        f"config: funnel.runs has run {run}, but split.runs makes runs 0 to {RUNS[-1]} only"
    )


def flywheel_set(name):
    """Crystals of the flywheel's generator, with a property that the judge predicts."""
    dataset, scheme, seed, _ = name.split("/")[1:]
    return compared_set(
        name,
        dataset,
        training=training_rows(dataset, scheme, seed),
        predicted=[f"results/{name}/predicted.parquet"],
        size=lambda: config["generator"]["samples"],
    )


def title_on_page(name):
    """What the page calls a set of the flywheel."""
    dataset, _, seed, supervision = name.split("/")[1:]
    return f"{short_title(dataset)}, run {seed.removeprefix('seed')}, {supervision}"


SETS.register(
    r"matwheel/[a-z0-9_]+/[a-z0-9]+/seed\d+/(full|semi)",
    flywheel_set,
)
SETS_OF_FUNNEL["results"] = CANDIDATE_SETS
SHOWN_SETS |= {
    name: {"title": title_on_page(name), "from_genes": False} for name in CANDIDATE_SETS
}

CANDIDATES = []
if CANDIDATE_SETS:
    CANDIDATES += [
        "results/candidates.csv",
        "results/funnel.svg",
        "results/false_negatives.csv",
    ]
    CANDIDATES += ["results/dft.csv"] if VALIDATE["dft"]["backend"] != "none" else []
PUBLISHED = shipped("resources/published_table2.csv")
INPUT_FILES.append(PUBLISHED)
NAMED_AT_THE_END.append("results/candidates.csv")
HEADLINES += [
    "results/table2.csv",
    "results/table2.svg",
    "results/table2_contrasts.csv",
    *CANDIDATES,
    *of_datasets("results/matwheel/{dataset}/{scheme}/generators.svg"),
]
REPORT_FILES |= {
    "table2": ["results/table2.csv"],
    "table2_scores": ["results/table2_scores.csv"],
    "table2_contrasts": ["results/table2_contrasts.csv"],
    "table2_figure": ["results/table2.svg"],
    "generator_figures": of_datasets(
        "results/matwheel/{dataset}/{scheme}/generators.svg"
    ),
    "false_negatives": ["results/false_negatives.csv"] if CANDIDATE_SETS else [],
    "uniqueness": [f"results/{name}/uniqueness.csv" for name in CANDIDATE_SETS],
}
