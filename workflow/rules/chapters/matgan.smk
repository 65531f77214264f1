"""MatGAN: compositions by a Wasserstein GAN, judged beside null generators at the same number of samples.

in:  formula sets that config/datasets.yaml names
out: results/formulas/{formula_set}/formulas.parquet, provenance.json;
     results/matgan/{formula_set}/generator.pt, training.csv, samples.parquet, evaluation.json,
     null/{null}/samples.parquet and evaluation.json;
     autoencoder.pt, decodable.parquet, formation_energies.csv, band_gaps.csv of the sets that have them;
     results/matgan/table1.csv, table2.csv, validity.csv, figures/, report/
"""


include: "matgan_sets.smk"


localrules:
    fetch_formula_set,
    join_compositions,
    tabulate_compositions,
    draw_compositions,
    matgan_report,


rule fetch_formula_set:
    """Bring a formula set from the first source that answers, filtered and divided; count what is left out."""
    input:
        lambda wildcards: inputs_of_snakemake(
            files_of_dataset(REGISTRY[wildcards.formula_set])
        ),
        parent=lambda wildcards: (
            [formulas_of(REGISTRY[wildcards.formula_set]["derived_from"])]
            if "derived_from" in REGISTRY[wildcards.formula_set]
            else []
        ),
    output:
        formulas="results/formulas/{formula_set}/formulas.parquet",
        provenance="results/formulas/{formula_set}/provenance.json",
    log:
        "logs/fetch_formula_set/{formula_set}.log",
    benchmark:
        "logs/fetch_formula_set/{formula_set}.tsv"
    priority: 100
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("fetch_formula_set"),
        seed=job_seed("fetch_formula_set"),
        entry=lambda wildcards: without_words(REGISTRY[wildcards.formula_set]),
        content=lambda wildcards: content_beside_inputs(wildcards.formula_set),
        expected=not_compared(
            lambda wildcards: REGISTRY[wildcards.formula_set].get("expected", {})
        ),
        mirror_folders=not_compared(config["mirror_folders"]),
        elements=SYMBOLS,
    message:
        "fetch the formulas of {wildcards.formula_set}"
    script:
        "../../scripts/fetch_formula_set.py"


rule train_composition_generator:
    """Train the GAN on the training formulas; the validation formulas choose the state that is kept."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
    output:
        model=ensure("results/matgan/{formula_set}/generator.pt", non_empty=True),
        card="results/matgan/{formula_set}/generator.json",
        curve="results/matgan/{formula_set}/training.csv",
    log:
        "logs/train_composition_generator/{formula_set}.log",
    benchmark:
        "logs/train_composition_generator/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=720,
        gpu=GPU,
    params:
        code=code(
            "train_composition_generator", COMPOSITION_GENERATORS[COMPOSER["name"]][0]
        ),
        seed=job_seed("train_composition_generator"),
        generator=COMPOSER["name"],
        settings=lambda wildcards: composer_settings(wildcards.formula_set)[0],
        elements=SYMBOLS,
        device=config["device"],
    message:
        "train {params.generator} on {wildcards.formula_set}"
    script:
        "../../scripts/train_composition_generator.py"


rule generate_compositions:
    """Draw one shard of the compositions."""
    input:
        model="results/matgan/{formula_set}/generator.pt",
    output:
        samples="results/matgan/{formula_set}/samples/{shard}.parquet",
    log:
        "logs/generate_compositions/{formula_set}/{shard}.log",
    benchmark:
        "logs/generate_compositions/{formula_set}/{shard}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=60,
        gpu=GPU,
    params:
        code=code("generate_compositions", COMPOSITION_GENERATORS[COMPOSER["name"]][0]),
        seed=job_seed("generate_compositions"),
        generator=COMPOSER["name"],
        settings=lambda wildcards: composer_settings(wildcards.formula_set)[1],
        # The first shards hold one more where the number does not divide.
        samples=lambda wildcards: (
            (MATGAN["samples"] - int(wildcards.shard) - 1) // len(SAMPLE_SHARDS) + 1
        ),
        device=config["device"],
    message:
        "draw {params.samples} compositions of {wildcards.formula_set} (shard {wildcards.shard})"
    script:
        "../../scripts/generate_compositions.py"


rule join_compositions:
    """All shards in their order."""
    input:
        collect(
            "results/matgan/{{formula_set}}/samples/{shard}.parquet",
            shard=SAMPLE_SHARDS,
        ),
    output:
        samples="results/matgan/{formula_set}/samples.parquet",
    log:
        "logs/join_compositions/{formula_set}.log",
    benchmark:
        "logs/join_compositions/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("join_compositions"),
    message:
        "join the samples of {wildcards.formula_set}"
    script:
        "../../scripts/join_compositions.py"


rule generate_null_compositions:
    """Draw as many compositions without any learning."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
    output:
        samples="results/matgan/{formula_set}/null/{null}/samples.parquet",
    log:
        "logs/generate_null_compositions/{formula_set}/{null}.log",
    benchmark:
        "logs/generate_null_compositions/{formula_set}/{null}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=30,
    params:
        code=code(
            "generate_null_compositions",
            lambda wildcards: COMPOSITION_GENERATORS[wildcards.null][0],
        ),
        seed=job_seed("generate_null_compositions"),
        samples=MATGAN["samples"],
        elements=SYMBOLS,
    message:
        "draw {params.samples} compositions by {wildcards.null} ({wildcards.formula_set})"
    script:
        "../../scripts/generate_null_compositions.py"


rule evaluate_compositions:
    """Validity, uniqueness, recovery, new compositions and who else knows them, in pieces of the samples."""
    input:
        samples="results/matgan/{composition_set}/samples.parquet",
        formulas=[formulas_of(name) for name in FORMULA_SETS],
    output:
        evaluation="results/matgan/{composition_set}/evaluation.json",
        figures="results/matgan/{composition_set}/evaluation.csv",
    log:
        "logs/evaluate_compositions/{composition_set}.log",
    benchmark:
        "logs/evaluate_compositions/{composition_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("evaluate_compositions"),
        formula_sets=FORMULA_SETS,
        rules=MATGAN["validity_rules"],
        generator=COMPOSER["name"],
        elements=SYMBOLS,
    message:
        "evaluate the compositions of {wildcards.composition_set}"
    script:
        "../../scripts/evaluate_compositions.py"


rule tabulate_compositions:
    """Tables 1 and 2 of the paper and the tables behind its figures, nulls and published numbers beside ours."""
    input:
        evaluations=EVALUATIONS,
    output:
        **{name: f"results/matgan/{name}.csv" for name in TABLES_OF_COMPOSITIONS},
    log:
        "logs/tabulate_compositions/compositions.log",
    benchmark:
        "logs/tabulate_compositions/compositions.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("tabulate_compositions"),
    message:
        "tabulate the compositions of all sets"
    script:
        "../../scripts/tabulate_compositions.py"


rule draw_compositions:
    """Fig. 4a, 5a and 5b of the paper, recovery as samples are drawn, and the distributions of elements."""
    input:
        evaluations=EVALUATIONS,
        validity="results/matgan/validity.csv",
        uniqueness="results/matgan/uniqueness.csv",
        recovery="results/matgan/recovery.csv",
        recovery_curve="results/matgan/recovery_curve.csv",
    output:
        validity=report(
            "results/matgan/figures/fig4a_validity.svg",
            caption="../../report/compositions.rst",
            category="Compositions",
            labels={"what": "validity"},
        ),
        uniqueness=report(
            "results/matgan/figures/fig5a_uniqueness.svg",
            caption="../../report/compositions.rst",
            category="Compositions",
            labels={"what": "uniqueness"},
        ),
        recovery=report(
            "results/matgan/figures/fig5b_recovery.svg",
            caption="../../report/compositions.rst",
            category="Compositions",
            labels={"what": "recovery"},
        ),
        recovery_curve=report(
            "results/matgan/figures/recovery_curve.svg",
            caption="../../report/compositions.rst",
            category="Compositions",
            labels={"what": "recovery curve"},
        ),
        distributions=[
            f"results/matgan/figures/distributions_{name}.svg" for name in FORMULA_SETS
        ],
    log:
        "logs/draw_compositions/compositions.log",
    benchmark:
        "logs/draw_compositions/compositions.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("draw_compositions"),
        formula_sets=FORMULA_SETS,
        rule=next(iter(MATGAN["validity_rules"]), ""),
    message:
        "draw the compositions of all sets"
    script:
        "../../scripts/draw_compositions.py"


rule map_compositions:
    """Fig. 3 of the paper: training, held-out and generated compositions on a plane."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
        samples="results/matgan/{formula_set}/samples.parquet",
    output:
        points="results/matgan/{formula_set}/map.parquet",
        figure="results/matgan/figures/fig3_map_{formula_set}.svg",
    log:
        "logs/map_compositions/{formula_set}.log",
    benchmark:
        "logs/map_compositions/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("map_compositions"),
        seed=job_seed("map_compositions"),
        settings=MATGAN["maps"],
        elements=SYMBOLS,
    message:
        "map the compositions of {wildcards.formula_set}"
    script:
        "../../scripts/map_compositions.py"


rule train_autoencoder:
    """Which compositions an autoencoder can decode, as the paper asks of what its GAN cannot generate."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
    output:
        model=ensure("results/matgan/{formula_set}/autoencoder.pt", non_empty=True),
        card="results/matgan/{formula_set}/autoencoder.json",
        decodable="results/matgan/{formula_set}/decodable.parquet",
    log:
        "logs/train_autoencoder/{formula_set}.log",
    benchmark:
        "logs/train_autoencoder/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=240,
        gpu=GPU,
    params:
        code=code("train_autoencoder"),
        seed=job_seed("train_autoencoder"),
        settings=MATGAN["autoencoder"]["settings"],
        elements=SYMBOLS,
        device=config["device"],
    message:
        "train the autoencoder of {wildcards.formula_set}"
    script:
        "../../scripts/train_autoencoder.py"


rule compare_decodable:
    """Whether what the autoencoder cannot decode is what the GAN does not generate; Fig. 7 of the paper."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
        decodable="results/matgan/{formula_set}/decodable.parquet",
        samples="results/matgan/{formula_set}/samples.parquet",
    output:
        shares="results/matgan/{formula_set}/decodability.csv",
        link="results/matgan/{formula_set}/decodability_link.csv",
        figure="results/matgan/figures/fig7_decodable_{formula_set}.svg",
    log:
        "logs/compare_decodable/{formula_set}.log",
    benchmark:
        "logs/compare_decodable/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("compare_decodable"),
        seed=job_seed("compare_decodable"),
        settings=MATGAN["maps"],
        elements=SYMBOLS,
    message:
        "compare decodable and generated compositions of {wildcards.formula_set}"
    script:
        "../../scripts/compare_decodable.py"


rule train_elemnet:
    """ElemNet on formation energies of compositions."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
    output:
        model=ensure("results/matgan/{formula_set}/elemnet.pt", non_empty=True),
        card="results/matgan/{formula_set}/elemnet.json",
    log:
        "logs/train_elemnet/{formula_set}.log",
    benchmark:
        "logs/train_elemnet/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(6000),
        runtime=720,
        gpu=GPU,
    params:
        code=code("train_elemnet"),
        seed=job_seed("train_elemnet"),
        settings=MATGAN["formation_energy"]["elemnet"],
        elements=SYMBOLS,
        device=config["device"],
    message:
        "train ElemNet on {wildcards.formula_set}"
    script:
        "../../scripts/train_elemnet.py"


rule compare_formation_energies:
    """Errors of ElemNet beside boosted trees and a constant; Fig. 4b of the paper, generated Li compounds."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
        model="results/matgan/{formula_set}/elemnet.pt",
        samples="results/matgan/{formula_set}/samples.parquet",
    output:
        errors="results/matgan/{formula_set}/formation_energy_errors.csv",
        distances="results/matgan/{formula_set}/formation_energy_distances.csv",
        figure="results/matgan/figures/fig4b_formation_energies_{formula_set}.svg",
    log:
        "logs/compare_formation_energies/{formula_set}.log",
    benchmark:
        "logs/compare_formation_energies/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(6000),
        runtime=120,
    params:
        code=code("compare_formation_energies"),
        seed=job_seed("compare_formation_energies"),
        boosting=MATGAN["formation_energy"]["boosting"],
        element="Li",
        elements=SYMBOLS,
    message:
        "formation energies of generated compounds ({wildcards.formula_set})"
    script:
        "../../scripts/compare_formation_energies.py"


rule compare_band_gaps:
    """Errors of boosted trees on band gaps; Fig. 6 of the paper, gaps of generated, known and enumerated."""
    input:
        formulas="results/formulas/{formula_set}/formulas.parquet",
        samples="results/matgan/{formula_set}/samples.parquet",
        enumerated="results/matgan/{formula_set}/null/enumeration/samples.parquet",
    output:
        errors="results/matgan/{formula_set}/band_gap_errors.csv",
        distances="results/matgan/{formula_set}/band_gap_distances.csv",
        figure="results/matgan/figures/fig6_band_gaps_{formula_set}.svg",
    log:
        "logs/compare_band_gaps/{formula_set}.log",
    benchmark:
        "logs/compare_band_gaps/{formula_set}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(6000),
        runtime=120,
    params:
        code=code("compare_band_gaps"),
        seed=job_seed("compare_band_gaps"),
        boosting=MATGAN["band_gap"]["boosting"],
        largest_rows=MATGAN["band_gap"]["largest_rows"],
        elements=SYMBOLS,
    message:
        "band gaps of generated compounds ({wildcards.formula_set})"
    script:
        "../../scripts/compare_band_gaps.py"


rule matgan_report:
    """Tables and figures of the chapter on one page."""
    input:
        tables=COMPOSITION_TABLES,
        figures=COMPOSITION_FIGURES,
        cards=[f"results/matgan/{name}/generator.json" for name in FORMULA_SETS],
        provenance=[f"results/formulas/{name}/provenance.json" for name in FORMULA_SETS],
    output:
        report=directory("results/matgan/report"),
    log:
        "logs/matgan_report/report.log",
    benchmark:
        "logs/matgan_report/report.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=code("matgan_report"),
    message:
        "report on the compositions"
    script:
        "../../scripts/matgan_report.py"
