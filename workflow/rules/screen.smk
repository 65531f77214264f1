"""Screens: which generated crystals a predictor may learn from, and how good the set is.

in:  {supervision}/generated.parquet and the training rows
out: {supervision}/manifest.csv, screened.parquet; generators.csv per run
     under results/matwheel/{dataset}/{scheme}/seed{seed}
"""


rule filter_generated:
    """Keep the generated crystals that a predictor may learn from, labelled by their condition."""
    input:
        crystals="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generated.parquet",
        verdicts=branch(
            config["screen"]["synthetic_filter"] != "none",
            then="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/verdicts/%s.parquet"
            % config["screen"]["synthetic_filter"],
            otherwise=[],
        ),
    output:
        screened="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/screened.parquet",
    log:
        "logs/filter_generated/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/filter_generated/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("filter_generated"),
        screens=SCREENS_OF_FILTER[config["screen"]["synthetic_filter"]],
    message:
        "filter crystals for {wildcards.dataset} ({wildcards.supervision}, run {wildcards.seed})"
    script:
        "../scripts/filter_generated.py"


rule evaluate_generators:
    """Card of each generated set and of the null generators, against the training rows."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        generated=collect(
            "results/matwheel/{{dataset}}/{{scheme}}/seed{{seed}}/{supervision}/generated.parquet",
            supervision=SUPERVISIONS,
        ),
        judge="results/matwheel/{dataset}/{scheme}/seed{seed}/%s/F/model.pt"
        % config["judge"],
        prepared=lambda wildcards: prepared_for(
            config["judge"],
            wildcards.dataset,
            *generated_sets(wildcards, SUPERVISIONS),
        ),
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
        code=code("evaluate_generators", PREDICTORS[config["judge"]][0]),
        seed=job_seed("evaluate_generators"),
        generator=GENERATOR["name"],
        supervisions=SUPERVISIONS,
        judge=config["judge"],
        oxidation_table=config["screen"]["oxidation_table"],
        smact=SMACT,
    message:
        "judge the generators of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../scripts/evaluate_generators.py"
