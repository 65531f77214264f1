"""Real data: fetch and check it, divide it, and say what leaks between the parts.

in:  the sources that config/datasets.yaml names
out: results/data/{dataset}/crystals.parquet, graphs.npz, duplicates.csv, prototypes.csv,
     {scheme}/seed{seed}/split.json and labelled.json, {scheme}/audit.csv and audit.svg
"""


localrules:
    fetch_dataset,
    split_dataset,
    draw_labelled_rows,
    audit_splits,


rule fetch_dataset:
    """Bring a dataset from the first source that answers; refuse what is not as registered."""
    input:
        lambda wildcards: inputs_of_fetch(wildcards.dataset),
    output:
        crystals="results/data/{dataset}/crystals.parquet",
        provenance="results/data/{dataset}/provenance.json",
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "logs/fetch_dataset/{dataset}.tsv"
    # Alone on the machine and first: wrong data ends the run before anything is trained.
    priority: 100
    conda:
        "../../envs/matwheel.yaml"
    threads: 1000
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("fetch_dataset"),
        entry=lambda wildcards: without_words(REGISTRY[wildcards.dataset]),
        content=lambda wildcards: content_beside_inputs(wildcards.dataset),
        expected=not_compared(
            lambda wildcards: REGISTRY[wildcards.dataset].get("expected", {})
        ),
        mirror_folders=not_compared(config["mirror_folders"]),
        command_without=not_compared(COMMAND_WITHOUT),
    message:
        "fetch {wildcards.dataset}"
    script:
        "../scripts/fetch_dataset.py"


rule build_graphs:
    """Neighbour graphs of all crystals of a dataset, built once."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
    output:
        graphs="results/data/{dataset}/graphs.npz",
    log:
        "logs/build_graphs/{dataset}.log",
    benchmark:
        "logs/build_graphs/{dataset}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=15,
    params:
        code=code("build_graphs"),
    message:
        "build neighbour graphs of {wildcards.dataset}"
    script:
        "../scripts/build_graphs.py"


rule find_duplicates:
    """Pairs of rows that are one structure, with their labels."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
    output:
        duplicates="results/data/{dataset}/duplicates.csv",
    log:
        "logs/find_duplicates/{dataset}.log",
    benchmark:
        "logs/find_duplicates/{dataset}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("find_duplicates"),
    message:
        "find duplicate structures in {wildcards.dataset}"
    script:
        "../scripts/find_duplicates.py"


rule label_prototypes:
    """Prototype of every crystal: protostructure and anonymous formula."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
    output:
        prototypes="results/data/{dataset}/prototypes.csv",
    log:
        "logs/label_prototypes/{dataset}.log",
    benchmark:
        "logs/label_prototypes/{dataset}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("label_prototypes"),
    message:
        "label the prototypes of {wildcards.dataset}"
    script:
        "../scripts/label_prototypes.py"


rule split_dataset:
    """Ids of the training, validation and test rows."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        prototypes=branch(
            lambda wildcards: wildcards.scheme == "prototype",
            then="results/data/{dataset}/prototypes.csv",
            otherwise=[],
        ),
    output:
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
    log:
        "logs/split_dataset/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/split_dataset/{dataset}/{scheme}/seed{seed}.tsv"
    priority: 50
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("split_dataset"),
        seed=job_seed("split_dataset"),
        fractions=config["split"]["fractions"],
        mirror_folders=not_compared(config["mirror_folders"]),
        row_order_sha256=not_compared(
            lambda wildcards: (
                REGISTRY[wildcards.dataset].get("expected", {}).get("row_order_sha256")
            )
        ),
    message:
        "split {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../scripts/split_dataset.py"


rule draw_labelled_rows:
    """Ids of the training rows that keep their label in the semi-supervised scenario."""
    input:
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
    output:
        labelled="results/data/{dataset}/{scheme}/seed{seed}/labelled.json",
    log:
        "logs/draw_labelled_rows/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/draw_labelled_rows/{dataset}/{scheme}/seed{seed}.tsv"
    priority: 50
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("draw_labelled_rows"),
        labelled_fraction=config["split"]["labelled_fraction"],
    message:
        "draw the labelled rows of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../scripts/draw_labelled_rows.py"


rule audit_splits:
    """Test rows that share a formula, a structure or a prototype with the training rows."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        duplicates="results/data/{dataset}/duplicates.csv",
        prototypes="results/data/{dataset}/prototypes.csv",
        splits=collect(
            "results/data/{{dataset}}/{{scheme}}/seed{seed}/split.json", seed=RUNS
        ),
        labelled=collect(
            "results/data/{{dataset}}/{{scheme}}/seed{seed}/labelled.json", seed=RUNS
        ),
    output:
        audit="results/data/{dataset}/{scheme}/audit.csv",
        figure=report(
            "results/data/{dataset}/{scheme}/audit.svg",
            caption="../report/audit.rst",
            category="Data",
            labels={"dataset": "{dataset}", "splits": "{scheme}"},
        ),
    log:
        "logs/audit_splits/{dataset}/{scheme}.log",
    benchmark:
        "logs/audit_splits/{dataset}/{scheme}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("audit_splits"),
        target_label=lambda wildcards: target_label(wildcards.dataset),
    message:
        "audit the {wildcards.scheme} splits of {wildcards.dataset}"
    script:
        "../scripts/audit_splits.py"
