"""Perturbed training crystals: thermal and random copies join the real rows, beside generated crystals.

in:  crystals and splits of the datasets; generated crystals and predictions of the flywheel
out: results/data/{dataset}/perturbed/perturbed.parquet, status.csv;
     results/matwheel/{dataset}/{scheme}/seed{seed}/perturbed/{training_set}.parquet and
     {predictor}/{training_set}/model.pt, model.json, predictions.parquet of F_T, F_R and F_G;
     results/perturbed_table.csv, perturbed_contrasts.csv
"""


include: "perturb_sets.smk"


localrules:
    collect_perturbed,
    take_perturbed,
    table_perturbed,


rule perturb_crystals:
    """Thermal and random copies of a shard of a dataset; each crystal gets a status, and none ends the shard."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
    output:
        perturbed="results/data/{dataset}/perturbed/shard{shard}.parquet",
        status="results/data/{dataset}/perturbed/status{shard}.parquet",
    log:
        "logs/perturb_crystals/{dataset}/shard{shard}.log",
    benchmark:
        "logs/perturb_crystals/{dataset}/shard{shard}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=60,
    params:
        code=code("perturb_crystals"),
        # Of the dataset, not of the shard: a copy does not depend on how the dataset is cut.
        seed=lambda wildcards: derive_seed(
            config["seed"], "perturb_crystals", wildcards.dataset
        ),
        potential=potential_params(PERTURBATION["potential"]),
        settings=PERTURBATION["settings"],
        shards=PERTURBATION["shards"],
        device=config["device"],
    message:
        "perturb shard {wildcards.shard} of {wildcards.dataset}"
    script:
        "../../scripts/perturb_crystals.py"


rule collect_perturbed:
    """All perturbed crystals of a dataset, and what came of each of its crystals."""
    input:
        perturbed=collect(
            "results/data/{{dataset}}/perturbed/shard{shard}.parquet",
            shard=range(PERTURBATION["shards"]),
        ),
        status=collect(
            "results/data/{{dataset}}/perturbed/status{shard}.parquet",
            shard=range(PERTURBATION["shards"]),
        ),
    output:
        perturbed="results/data/{dataset}/perturbed/perturbed.parquet",
        status="results/data/{dataset}/perturbed/status.csv",
    log:
        "logs/collect_perturbed/{dataset}.log",
    benchmark:
        "logs/collect_perturbed/{dataset}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("collect_perturbed"),
    message:
        "collect the perturbed crystals of {wildcards.dataset}"
    script:
        "../../scripts/collect_perturbed.py"


rule take_perturbed:
    """Copies of a split's training crystals, guarded against test parents; for F_G as many generated crystals."""
    input:
        perturbed="results/data/{dataset}/perturbed/perturbed.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        generated=lambda wildcards: collect(
            "results/matwheel/{{dataset}}/{{scheme}}/seed{{seed}}/{supervision}/screened.parquet",
            supervision=PERTURBED_TRAINING_SETS[wildcards.training_set]["generated"],
        ),
    output:
        rows="results/matwheel/{dataset}/{scheme}/seed{seed}/perturbed/{training_set}.parquet",
    log:
        "logs/take_perturbed/{dataset}/{scheme}/seed{seed}/{training_set}.log",
    benchmark:
        "logs/take_perturbed/{dataset}/{scheme}/seed{seed}/{training_set}.tsv"
    wildcard_constraints:
        training_set="|".join(PERTURBED_TRAINING_SETS),
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("take_perturbed"),
        seed=job_seed("take_perturbed"),
        kind=lambda wildcards: PERTURBED_TRAINING_SETS[wildcards.training_set]["kind"],
    message:
        "take the rows that join the real ones in {wildcards.training_set} of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../../scripts/take_perturbed.py"


rule train_on_perturbed:
    """Train the predictor on real rows and their copies, as `train_predictor` does on generated crystals."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        prepared=lambda wildcards: prepared_for(
            wildcards.predictor,
            wildcards.dataset,
            *generated_sets(
                wildcards,
                PERTURBED_TRAINING_SETS[wildcards.training_set]["generated"],
            ),
        ),
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        # A list, as the script has several tables of generated crystals.
        generated=[
            "results/matwheel/{dataset}/{scheme}/seed{seed}/perturbed/{training_set}.parquet"
        ],
    output:
        model=ensure(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/model.pt",
            non_empty=True,
        ),
        card="results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/model.json",
        predictions="results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/predictions.parquet",
    log:
        "logs/train_on_perturbed/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}.log",
    benchmark:
        "logs/train_on_perturbed/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}.tsv"
    wildcard_constraints:
        training_set="|".join(PERTURBED_TRAINING_SETS),
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=120,
        gpu=GPU,
    params:
        code=code(
            "train_predictor", lambda wildcards: PREDICTORS[wildcards.predictor][0]
        ),
        seed=job_seed("train_predictor"),
        real="train",
        settings=lambda wildcards: settings_of_predictor(wildcards.predictor),
        device=config["device"],
    message:
        "train {wildcards.predictor} on {wildcards.training_set} of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../../scripts/train_predictor.py"


rule table_perturbed:
    """What copies of the training crystals do to the test error, with paired contrasts."""
    input:
        predictions=files_of_runs(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/predictions.parquet",
            predictor=PERTURBATION["predictors"],
            training_set=["F", "F_GF", *PERTURBATION["training_sets"]],
        ),
        cards=files_of_runs(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/model.json",
            predictor=PERTURBATION["predictors"],
            training_set=["F", "F_GF", *PERTURBATION["training_sets"]],
        ),
        baselines=files_of_runs(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/baselines.parquet"
        ),
        splits=files_of_runs("results/data/{dataset}/{scheme}/seed{seed}/split.json"),
        thermal=files_of_runs(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/perturbed/F_T.parquet"
        ),
        random=files_of_runs(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/perturbed/F_R.parquet"
        ),
    output:
        table=report(
            "results/perturbed_table.csv",
            caption="../../report/perturbed.rst",
            category="Displaced copies",
            labels={"what": "table"},
        ),
        contrasts=report(
            "results/perturbed_contrasts.csv",
            caption="../../report/contrasts.rst",
            category="Displaced copies",
            labels={"what": "paired contrasts"},
        ),
    log:
        "logs/table_perturbed/table_perturbed.log",
    benchmark:
        "logs/table_perturbed/table_perturbed.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("table_perturbed"),
        seed=config["seed"],
        predictors=PERTURBATION["predictors"],
        runs=[run for _, _, run in PERTURBED_RUNS],
    message:
        "write the table of perturbed training crystals"
    script:
        "../../scripts/table_perturbed.py"
