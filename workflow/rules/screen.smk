"""Screens: which generated crystals a predictor may learn from, and how good the set is.

in:  {supervision}/generated.parquet and the training rows
out: {supervision}/manifest.csv, screened.parquet; generators.csv per run
     under results/matwheel/{dataset}/{scheme}/seed{seed}
"""


rule screen_generated:
    """Check every generated crystal; keep those that pass the required screens."""
    input:
        crystals="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generated.parquet",
    output:
        manifest="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/manifest.csv",
        screened="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/screened.parquet",
    log:
        "logs/screen_generated/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/screen_generated/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("screen_generated"),
        require=config["screen"]["require"],
        oxidation_table=config["screen"]["oxidation_table"],
        smact=SMACT,
    message:
        "screen crystals for {wildcards.dataset} ({wildcards.supervision}, run {wildcards.seed})"
    script:
        "../scripts/screen_generated.py"


rule evaluate_generators:
    """Card of each generated set and of the null generators, against the training rows."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        generated=collect(
            "results/matwheel/{{dataset}}/{{scheme}}/seed{{seed}}/{supervision}/generated.parquet",
            supervision=SUPERVISIONS,
        ),
        judge="results/matwheel/{dataset}/{scheme}/seed{seed}/predictor/F/model.pt",
    output:
        cards="results/matwheel/{dataset}/{scheme}/seed{seed}/generators.csv",
    log:
        "logs/evaluate_generators/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/evaluate_generators/{dataset}/{scheme}/seed{seed}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("evaluate_generators", PREDICTORS[PREDICTOR["name"]][0]),
        seed=job_seed("evaluate_generators"),
        generator=GENERATOR["name"],
        supervisions=SUPERVISIONS,
        predictor=PREDICTOR["name"],
        oxidation_table=config["screen"]["oxidation_table"],
        smact=SMACT,
    message:
        "judge the generators of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../scripts/evaluate_generators.py"
