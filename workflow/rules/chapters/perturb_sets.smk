"""Perturbed training crystals: which training sets hold them, and for which runs; no rules."""

PERTURBATION = config["perturbation"]

# Real rows, and beside them: thermal or random copies of them; as many generated crystals as thermal copies.
PERTURBED_TRAINING_SETS = {
    "F_T": {"kind": "thermal", "generated": []},
    "F_R": {"kind": "random", "generated": []},
    "F_G": {"kind": "thermal", "generated": ["full"]},
}
PERTURBED_RUNS = [
    (dataset, scheme, run) for dataset in DATASETS for scheme in SCHEMES for run in RUNS
]
NAMED_AT_THE_END.append("results/perturbed_table.csv")
if PERTURBATION["predictors"]:
    HEADLINES += ["results/perturbed_table.csv", "results/perturbed_contrasts.csv"]
    REPORT_FILES["perturbed_table"] = ["results/perturbed_table.csv"]
    REPORT_FILES["perturbed_contrasts"] = ["results/perturbed_contrasts.csv"]


def files_of_runs(pattern, **others):
    """Fill a pattern for all datasets, schemes and runs, in their order."""
    return [
        path
        for dataset, scheme, run in PERTURBED_RUNS
        for path in collect(pattern, dataset=dataset, scheme=scheme, seed=run, **others)
    ]
