"""Property predictors: learn from real rows, generated crystals or both, and predict the test rows.

in:  crystals, graphs or latent features, and split of a dataset; labelled generated crystals
out: results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/model.pt, model.json,
     predictions.parquet; and baselines.parquet beside them
"""


rule train_predictor:
    """Train the predictor on one column's training set, chosen on real validation rows only."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        prepared=lambda wildcards: prepared_for(
            wildcards.predictor,
            wildcards.dataset,
            *generated_sets(
                wildcards, TRAINING_SETS[wildcards.training_set]["generated"]
            ),
        ),
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        # Only where they are learnt from: another number of them is no matter of the others.
        labelled=branch(
            lambda wildcards: (
                TRAINING_SETS[wildcards.training_set]["real"] == "labelled"
            ),
            then="results/data/{dataset}/{scheme}/seed{seed}/labelled.json",
            otherwise=[],
        ),
        generated=lambda wildcards: collect(
            "results/matwheel/{{dataset}}/{{scheme}}/seed{{seed}}/{supervision}/screened.parquet",
            supervision=TRAINING_SETS[wildcards.training_set]["generated"],
        ),
    output:
        model=ensure(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/model.pt",
            non_empty=True,
        ),
        card="results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/model.json",
        predictions="results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/predictions.parquet",
    log:
        "logs/train_predictor/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}.log",
    benchmark:
        "logs/train_predictor/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=120,
        gpu=GPU,
    params:
        code=code(
            "train_predictor", lambda wildcards: PREDICTORS[wildcards.predictor][0]
        ),
        seed=job_seed("train_predictor"),
        real=lambda wildcards: TRAINING_SETS[wildcards.training_set]["real"],
        settings=lambda wildcards: settings_of_predictor(wildcards.predictor),
        device=config["device"],
    message:
        "train {wildcards.predictor} on {wildcards.training_set} of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../scripts/train_predictor.py"


rule train_baselines:
    """Constant and forest on the full and the labelled training rows: what any model must beat."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        labelled="results/data/{dataset}/{scheme}/seed{seed}/labelled.json",
    output:
        predictions="results/matwheel/{dataset}/{scheme}/seed{seed}/baselines.parquet",
    log:
        "logs/train_baselines/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/train_baselines/{dataset}/{scheme}/seed{seed}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code(
            "train_baselines", *(PREDICTORS[name][0] for name in config["baselines"])
        ),
        seed=job_seed("train_baselines"),
        baselines=config["baselines"],
    message:
        "train the baselines of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../scripts/train_baselines.py"


rule compute_latent_features:
    """What a potential has learned about each crystal of a table, computed once."""
    input:
        crystals=lambda wildcards: crystals_of_folder(wildcards.folder),
    output:
        features="results/{folder}/latent_features/{potential}.npz",
    log:
        "logs/compute_latent_features/{folder}/{potential}.log",
    benchmark:
        "logs/compute_latent_features/{folder}/{potential}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("compute_latent_features"),
        potential=lambda wildcards: potential_params(wildcards.potential),
    message:
        "latent features of {wildcards.folder} by {wildcards.potential}"
    script:
        "../scripts/compute_latent_features.py"
