"""Figures and tables over all runs, for people.

in:  results/table2*.csv and the generator cards of every run
out: results/table2.svg; results/candidates.csv, candidates/cifs.zip, funnel.csv, sun.csv, funnel.svg;
     results/false_negatives.csv; results/matwheel/{dataset}/{scheme}/generators.csv, generators.svg;
     results/report.html, one page of all that is there
"""


localrules:
    draw_table2,
    collect_generator_cards,
    collect_candidates,
    audit_false_negatives,
    write_report,


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


rule collect_candidates:
    """The candidates of all sets in one table, ranked, with the funnel that they went through."""
    input:
        candidates=collect(
            "results/{crystal_set}/candidates.csv", crystal_set=CANDIDATE_SETS
        ),
        cifs=collect("results/{crystal_set}/candidates.zip", crystal_set=CANDIDATE_SETS),
        funnels=collect("results/{crystal_set}/funnel.csv", crystal_set=CANDIDATE_SETS),
        rates=collect("results/{crystal_set}/sun.csv", crystal_set=CANDIDATE_SETS),
    output:
        candidates=report(
            "results/candidates.csv",
            caption="../report/candidates.rst",
            category="Candidates",
            labels={"what": "table"},
        ),
        cifs="results/candidates/cifs.zip",
        funnel="results/funnel.csv",
        rates=report(
            "results/sun.csv",
            caption="../report/funnel.rst",
            category="Candidates",
            labels={"what": "rates"},
        ),
        figure=report(
            "results/funnel.svg",
            caption="../report/funnel.rst",
            category="Candidates",
            labels={"what": "funnel"},
        ),
    log:
        "logs/collect_candidates/candidates.log",
    benchmark:
        "logs/collect_candidates/candidates.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_candidates"),
        sets=CANDIDATE_SETS,
    message:
        "collect the candidates"
    script:
        "../scripts/collect_candidates.py"


rule audit_false_negatives:
    """How many real crystals, the datasets' own test rows, each screen would have killed."""
    input:
        crystals=collect(
            "results/{crystal_set}/generated.parquet", crystal_set=REAL_SETS
        ),
        verdicts=collect(
            "results/{crystal_set}/verdicts.parquet", crystal_set=REAL_SETS
        ),
    output:
        audit=report(
            "results/false_negatives.csv",
            caption="../report/false_negatives.rst",
            category="Candidates",
            labels={"what": "false negatives"},
        ),
    log:
        "logs/audit_false_negatives/false_negatives.log",
    benchmark:
        "logs/audit_false_negatives/false_negatives.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("audit_false_negatives"),
        sets=REAL_SETS,
    message:
        "audit the screens on real crystals"
    script:
        "../scripts/audit_false_negatives.py"


# A clone gives them new times; their content is a parameter.
PAGE_PARTS = {
    "template": "workflow/report/page.html.j2",
    "style": "workflow/report/page.css",
    "script": "workflow/report/page.js",
}


rule write_report:
    """One page for people, of what is there: verdict, figures, funnels that open to the candidates, times."""
    input:
        **{role: present(files) for role, files in REPORT_FILES.items()},
        **{part: ancient(path) for part, path in PAGE_PARTS.items()},
        candidates=files_of_shown("candidates.csv"),
        funnel=files_of_shown("funnel.csv"),
        rates=files_of_shown("sun.csv"),
        verdicts=files_of_shown("verdicts.parquet"),
        crystals=files_of_shown("generated.parquet"),
        relaxed=files_of_shown("relaxed.parquet"),
        cifs=files_of_shown("candidates.zip"),
        phonon_figures=[
            f"results/{name}/phonons/figures{shard}.zip"
            for name in shown_sets()
            for shard in phonon_shards(name)
        ],
        provenance=present(
            [f"results/data/{dataset}/provenance.json" for dataset in DATASETS]
        ),
    output:
        page="results/report.html",
    log:
        "logs/write_report/report.log",
    benchmark:
        "logs/write_report/report.tsv"
    conda:
        "../../envs/matwheel.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("write_report"),
        page_parts={part: sha256_of_file(path) for part, path in PAGE_PARTS.items()},
        sets=SHOWN_SETS,
        titles={name: short_title(name) for name in DATASETS},
        units={
            name: REGISTRY[name].get("target", {}).get("units", "")
            for name in DATASETS
        },
        drawn_target=PHONON_LEARNING["drawn_target"],
        shown=config["report"],
        facts={
            "seed": str(config["seed"]),
            "potentials": ", ".join(
                dict.fromkeys(
                    filter(None, [POTENTIAL, PHONON_POTENTIAL, SECOND_OPINION])
                )
            ),
            "oxidation states": SCREEN["composition"]["oxidation_table"],
        },
        logs="logs",
        stage_of_rule=STAGE_OF_RULE,
        settings=SETTINGS,
        warning=budget_warning(SETTINGS, DEFAULT_SETTINGS),
        configfiles=CONFIG_FILES,
    message:
        "write the report"
    script:
        "../scripts/write_report.py"
