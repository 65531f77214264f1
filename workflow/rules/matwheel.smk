"""MatWheel: real labels or pseudo-labels go to the generator, its crystals back to the predictor.

in:  crystals and split of a dataset; the predictor that learned from the labelled rows
out: {supervision}/labels.parquet under results/matwheel/{dataset}/{scheme}/seed{seed};
     results/table2.csv, table2_contrasts.csv, table2.json
"""

WHERE_NEXT = """Test MAE, mean (standard deviation over the splits). Where to look next:
  results/table2.svg            the table as a figure
  results/table2_contrasts.csv  are the differences more than noise?
  results/data/                 leakage and duplicates, per dataset
  results/matwheel/             generators.svg per dataset; crystals (cifs.zip) and models per run"""


localrules:
    take_real_labels,
    table2,


rule take_real_labels:
    """Labels of the fully supervised generator: those of all training rows."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
    output:
        labels="results/matwheel/{dataset}/{scheme}/seed{seed}/full/labels.parquet",
    log:
        "logs/take_real_labels/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/take_real_labels/{dataset}/{scheme}/seed{seed}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("take_real_labels"),
    message:
        "take the real labels of {wildcards.dataset} (run {wildcards.seed})"
    script:
        "../scripts/take_real_labels.py"


rule pseudo_label:
    """Labels of the semi-supervised generator: real ones where known, predicted ones elsewhere."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        model="results/matwheel/{dataset}/{scheme}/seed{seed}/%s/S/model.pt"
        % config["teacher"],
        prepared=lambda wildcards: prepared_for(config["teacher"], wildcards.dataset),
    output:
        labels="results/matwheel/{dataset}/{scheme}/seed{seed}/semi/labels.parquet",
    log:
        "logs/pseudo_label/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/pseudo_label/{dataset}/{scheme}/seed{seed}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("pseudo_label", PREDICTORS[config["teacher"]][0]),
        teacher=config["teacher"],
    message:
        "pseudo-label the training rows of {wildcards.dataset} (run {wildcards.seed})"
    script:
        "../scripts/pseudo_label.py"


rule table2:
    """Table 2 of MatWheel with baselines, skill, published figures and paired contrasts."""
    input:
        predictions=collect(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/{predictor}/{training_set}/predictions.parquet",
            predictor=config["predictors"],
            dataset=DATASETS,
            scheme=SCHEMES,
            seed=RUNS,
            training_set=TRAINING_SETS,
        ),
        baselines=collect(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/baselines.parquet",
            dataset=DATASETS,
            scheme=SCHEMES,
            seed=RUNS,
        ),
        splits=collect(
            "results/data/{dataset}/{scheme}/seed{seed}/split.json",
            dataset=DATASETS,
            scheme=SCHEMES,
            seed=RUNS,
        ),
    output:
        table=report(
            "results/table2.csv",
            caption="../report/table2.rst",
            category="Table 2",
            labels={"what": "table"},
        ),
        contrasts=report(
            "results/table2_contrasts.csv",
            caption="../report/contrasts.rst",
            category="Table 2",
            labels={"what": "paired contrasts"},
        ),
        scores="results/table2_scores.csv",
        provenance="results/table2.json",
        text="results/table2.md",
    log:
        "logs/table2/table2.log",
    benchmark:
        "logs/table2/table2.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("table2"),
        seed=config["seed"],
        published="resources/published_table2.csv",
        published_sha256=sha256_of_file(ROOT / "resources" / "published_table2.csv"),
        settings={key: config[key] for key in sorted(config) if key != "mirror_folders"},
        where_next=WHERE_NEXT,
    message:
        "write Table 2"
    script:
        "../scripts/table2.py"
