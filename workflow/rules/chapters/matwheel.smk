"""MatWheel: does a predictor gain from crystals that a generator learnt from the same rows, and which survive?

in:  predictions, generated crystals and their verdicts of every dataset, scheme and run
out: results/table2.csv, table2_contrasts.csv, table2.json, table2.svg;
     results/matwheel/{dataset}/{scheme}/generators.csv, generators.svg, and generators.csv of each run;
     results/candidates.csv, candidates/cifs.zip, funnel.csv, sun.csv, funnel.svg, false_negatives.csv
"""


include: "matwheel_sets.smk"


WHERE_NEXT = """Test MAE, mean (standard deviation over the splits). Where to look next:
  results/table2.svg            the table as a figure
  results/table2_contrasts.csv  are the differences more than noise?
  results/data/                 leakage and duplicates, per dataset
  results/matwheel/             generators.svg per dataset; crystals (cifs.zip) and models per run"""


localrules:
    table2,
    draw_table2,
    collect_generator_cards,
    collect_candidates,
    audit_false_negatives,


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
            caption="../../report/table2.rst",
            category="Table 2",
            labels={"what": "table"},
        ),
        contrasts=report(
            "results/table2_contrasts.csv",
            caption="../../report/contrasts.rst",
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
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("table2"),
        seed=config["seed"],
        published=PUBLISHED,
        published_sha256=sha256_of_file(PUBLISHED),
        settings={key: config[key] for key in sorted(config) if key != "mirror_folders"},
        where_next=WHERE_NEXT,
    message:
        "write Table 2"
    script:
        "../../scripts/table2.py"


rule draw_table2:
    """Dot-and-interval plot of Table 2."""
    input:
        table="results/table2.csv",
        scores="results/table2_scores.csv",
        contrasts="results/table2_contrasts.csv",
    output:
        figure=report(
            "results/table2.svg",
            caption="../../report/table2.rst",
            category="Table 2",
            labels={"what": "figure"},
        ),
    log:
        "logs/draw_table2/table2.log",
    benchmark:
        "logs/draw_table2/table2.tsv"
    conda:
        "../../../envs/matwheel.yaml"
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
        "../../scripts/draw_table2.py"


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
        # How far the judge itself can be trusted: its predictions of the real test rows.
        tested="results/matwheel/{dataset}/{scheme}/seed{seed}/%s/F/predictions.parquet"
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
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("evaluate_generators", PREDICTORS[config["judge"]][0]),
        seed=job_seed("evaluate_generators"),
        generator=GENERATOR["name"],
        supervisions=SUPERVISIONS,
        judge=config["judge"],
        oxidation_table=SCREEN["composition"]["oxidation_table"],
    message:
        "judge the generators of {wildcards.dataset} ({wildcards.scheme}, run {wildcards.seed})"
    script:
        "../../scripts/evaluate_generators.py"


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
            caption="../../report/generators.rst",
            category="Generators",
            labels={"dataset": "{dataset}", "splits": "{scheme}", "what": "table"},
        ),
        figure=report(
            "results/matwheel/{dataset}/{scheme}/generators.svg",
            caption="../../report/generators.rst",
            category="Generators",
            labels={"dataset": "{dataset}", "splits": "{scheme}", "what": "figure"},
        ),
    log:
        "logs/collect_generator_cards/{dataset}/{scheme}.log",
    benchmark:
        "logs/collect_generator_cards/{dataset}/{scheme}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("collect_generator_cards"),
    message:
        "collect the generator cards of {wildcards.dataset} ({wildcards.scheme})"
    script:
        "../../scripts/collect_generator_cards.py"


rule predict_candidates:
    """Property that the judge predicts for each relaxed candidate of the flywheel."""
    input:
        relaxed="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/relaxed.parquet",
        model="results/matwheel/{dataset}/{scheme}/seed{seed}/%s/F/model.pt"
        % config["judge"],
    output:
        predicted="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/predicted.parquet",
    log:
        "logs/predict_candidates/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/predict_candidates/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("predict_candidates", PREDICTORS[config["judge"]][0]),
        judge=config["judge"],
    message:
        "predict the property of the relaxed candidates of {wildcards.dataset}"
    script:
        "../../scripts/predict_candidates.py"


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
            caption="../../report/candidates.rst",
            category="Candidates",
            labels={"what": "table"},
        ),
        cifs="results/candidates/cifs.zip",
        funnel="results/funnel.csv",
        rates=report(
            "results/sun.csv",
            caption="../../report/funnel.rst",
            category="Candidates",
            labels={"what": "rates"},
        ),
        figure=report(
            "results/funnel.svg",
            caption="../../report/funnel.rst",
            category="Candidates",
            labels={"what": "funnel"},
        ),
    log:
        "logs/collect_candidates/candidates.log",
    benchmark:
        "logs/collect_candidates/candidates.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_candidates"),
        sets=CANDIDATE_SETS,
    message:
        "collect the candidates"
    script:
        "../../scripts/collect_candidates.py"


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
            caption="../../report/false_negatives.rst",
            category="Candidates",
            labels={"what": "false negatives"},
        ),
    log:
        "logs/audit_false_negatives/false_negatives.log",
    benchmark:
        "logs/audit_false_negatives/false_negatives.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("audit_false_negatives"),
        sets=REAL_SETS,
    message:
        "audit the screens on real crystals"
    script:
        "../../scripts/audit_false_negatives.py"
