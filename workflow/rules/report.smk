"""Figures and tables over all runs, for people.

in:  results/table2*.csv and the generator cards of every run
out: results/table2.svg; results/matwheel/{dataset}/{scheme}/generators.csv, generators.svg
"""


rule draw_table2:
    """Dot-and-interval plot of Table 2."""
    input:
        table="results/table2.csv",
        scores="results/table2_scores.csv",
        contrasts="results/table2_contrasts.csv",
    output:
        figure=report(
            "results/table2.svg",
            caption="../report/table2.rst",
            category="Table 2",
            labels={"what": "figure"},
        ),
    log:
        "logs/draw_table2/table2.log",
    benchmark:
        "logs/draw_table2/table2.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("draw_table2"),
        predictor=config["predictors"][0],
        targets={name: REGISTRY[name].get("target", {}) for name in DATASETS},
    message:
        "draw Table 2"
    script:
        "../scripts/draw_table2.py"


rule collect_generator_cards:
    """Generator cards of all runs of a dataset: one table, one figure of their means."""
    input:
        cards=collect(
            "results/matwheel/{{dataset}}/{{scheme}}/seed{seed}/generators.csv",
            seed=RUNS,
        ),
    output:
        cards=report(
            "results/matwheel/{dataset}/{scheme}/generators.csv",
            caption="../report/generators.rst",
            category="Generators",
            labels={"dataset": "{dataset}", "splits": "{scheme}", "what": "table"},
        ),
        figure=report(
            "results/matwheel/{dataset}/{scheme}/generators.svg",
            caption="../report/generators.rst",
            category="Generators",
            labels={"dataset": "{dataset}", "splits": "{scheme}", "what": "figure"},
        ),
    log:
        "logs/collect_generator_cards/{dataset}/{scheme}.log",
    benchmark:
        "logs/collect_generator_cards/{dataset}/{scheme}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("collect_generator_cards"),
    message:
        "collect the generator cards of {wildcards.dataset} ({wildcards.scheme})"
    script:
        "../scripts/collect_generator_cards.py"
