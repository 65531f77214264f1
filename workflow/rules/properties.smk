"""Properties that a potential computes, of any crystals, and how far they stand for a dataset's label.

in:  crystals of a dataset, or relaxed crystals of a candidate set
out: results/{folder}/properties/{property}.parquet;
     results/data/{dataset}/{scheme}/oracles/{property}.csv, {property}_outliers.csv and {property}.svg
"""


localrules:
    collect_property,
    score_oracle,


rule compute_property:
    """A property of a shard of crystals; each gets a status, and none ends the shard."""
    input:
        crystals=lambda wildcards: crystals_of_properties(wildcards.folder),
    output:
        table="results/{folder}/properties/{property}/shard{shard}.parquet",
    log:
        "logs/compute_property/{folder}/{property}/shard{shard}.log",
    benchmark:
        "logs/compute_property/{folder}/{property}/shard{shard}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=120,
    params:
        code=code(
            "compute_property",
            lambda wildcards: PROPERTIES[
                chosen_property(wildcards.property)["property"]
            ][0],
        ),
        chosen=lambda wildcards: chosen_property(wildcards.property),
        potential=lambda wildcards: (
            potential_params(chosen_property(wildcards.property)["potential"])
            if chosen_property(wildcards.property)["potential"]
            else None
        ),
        shards=lambda wildcards: len(
            property_shards(wildcards.folder, wildcards.property)
        ),
        device=config["device"],
    message:
        "{wildcards.property} of {wildcards.folder}, shard {wildcards.shard}"
    script:
        "../scripts/compute_property.py"


rule collect_property:
    """A property of all crystals, in their order."""
    input:
        crystals=lambda wildcards: crystals_of_properties(wildcards.folder),
        shards=lambda wildcards: [
            f"results/{wildcards.folder}/properties/{wildcards.property}/shard{shard}.parquet"
            for shard in property_shards(wildcards.folder, wildcards.property)
        ],
    output:
        table="results/{folder}/properties/{property}.parquet",
    log:
        "logs/collect_property/{folder}/{property}.log",
    benchmark:
        "logs/collect_property/{folder}/{property}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_property"),
    message:
        "collect {wildcards.property} of {wildcards.folder}"
    script:
        "../scripts/collect_property.py"


rule score_oracle:
    """How far a property stands for a dataset's label: correlations, errors with and without calibration, outliers."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        table="results/data/{dataset}/properties/{property}.parquet",
        splits=collect(
            "results/data/{{dataset}}/{{scheme}}/seed{seed}/split.json", seed=RUNS
        ),
    output:
        card=report(
            "results/data/{dataset}/{scheme}/oracles/{property}.csv",
            caption="../report/oracles.rst",
            category="Data",
            labels={
                "dataset": "{dataset}",
                "splits": "{scheme}",
                "oracle": "{property}",
            },
        ),
        outliers="results/data/{dataset}/{scheme}/oracles/{property}_outliers.csv",
        figure=report(
            "results/data/{dataset}/{scheme}/oracles/{property}.svg",
            caption="../report/oracles.rst",
            category="Data",
            labels={
                "dataset": "{dataset}",
                "splits": "{scheme}",
                "oracle": "{property}",
            },
        ),
    log:
        "logs/score_oracle/{dataset}/{scheme}/{property}.log",
    benchmark:
        "logs/score_oracle/{dataset}/{scheme}/{property}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("score_oracle"),
        estimates=lambda wildcards: list(
            make_property(chosen_property(wildcards.property)["property"]).estimates
        ),
        target_label=lambda wildcards: target_label(wildcards.dataset),
        title=lambda wildcards: short_title(wildcards.dataset),
    message:
        "compare {wildcards.property} with the label of {wildcards.dataset}"
    script:
        "../scripts/score_oracle.py"
