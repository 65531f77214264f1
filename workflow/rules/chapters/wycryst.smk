"""WyCryst+: genes with several properties, drawn for a target, screened, built and validated; learnt from again.

in:  crystals of the Materials Project (mirror folders) or of matminer's archive (PyPI)
out: results/references/genes.parquet; results/wycryst/genes.parquet, judges/, round{round}/mpvae.pt,
     round{round}/{task}/{gene_source}/genes.parquet and everything of a candidate set;
     ablation.csv, conditions.csv, latent_maps.svg, funnel.csv, candidates.csv, cifs.zip, parity.svg
"""


include: "wycryst_sets.smk"


localrules:
    select_genes,
    collect_built,
    extend_training_genes,
    collect_gene_funnels,


rule read_archive_crystals:
    """Crystals of matminer's archive with formation energy or band gap, for machines without a mirror."""
    input:
        "results/references/archive_structures",
    output:
        crystals="results/references/archive_crystals.parquet",
    log:
        "logs/read_archive_crystals/archive.log",
    benchmark:
        "logs/read_archive_crystals/archive.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("read_archive_crystals"),
    message:
        "read the crystals of {input}"
    script:
        "../../scripts/read_archive_crystals.py"


rule find_genes:
    """Wyckoff gene of every known crystal, and the key that equal crystals share."""
    input:
        crystals=GENE_CRYSTALS,
    output:
        genes="results/references/genes.parquet",
    log:
        "logs/find_genes/genes.log",
    benchmark:
        "logs/find_genes/genes.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("find_genes"),
        symprec_angstrom=GENE_DATA["symprec_angstrom"],
    message:
        "find the genes of {input}"
    script:
        "../../scripts/find_genes.py"


rule tabulate_genes:
    """Genes with properties that pass the filters, divided by formula."""
    input:
        crystals=GENE_CRYSTALS,
        genes="results/references/genes.parquet",
    output:
        genes="results/wycryst/genes.parquet",
        report="results/wycryst/genes.json",
    log:
        "logs/tabulate_genes/genes.log",
    benchmark:
        "logs/tabulate_genes/genes.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("tabulate_genes"),
        seed=job_seed("tabulate_genes"),
        settings=GENE_DATA,
    message:
        "tabulate the genes that are learnt from"
    script:
        "../../scripts/tabulate_genes.py"


rule train_gene_judges:
    """Formation energy, band gap and metal or not of any gene, by trees that share nothing with the MPVAE."""
    input:
        genes="results/wycryst/genes.parquet",
    output:
        judges=directory("results/wycryst/judges"),
        report="results/wycryst/judges.json",
    log:
        "logs/train_gene_judges/judges.log",
    benchmark:
        "logs/train_gene_judges/judges.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("train_gene_judges"),
        seed=job_seed("train_gene_judges"),
        settings=WYCRYST["judges"],
    message:
        "train the judges of genes"
    script:
        "../../scripts/train_gene_judges.py"


rule fit_cells:
    """Volumes per atom and shapes of cells of the training rows, from which genes become crystals."""
    input:
        crystals=GENE_CRYSTALS,
        genes="results/wycryst/genes.parquet",
    output:
        volumes="results/wycryst/volumes.npz",
        shapes="results/wycryst/shapes.npz",
    log:
        "logs/fit_cells/cells.log",
    benchmark:
        "logs/fit_cells/cells.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("fit_cells"),
    message:
        "fit volumes and shapes of cells"
    script:
        "../../scripts/fit_cells.py"


rule pretrain_mpvae:
    """Learn genes and formation energies of all training rows."""
    input:
        genes=lambda wildcards: training_genes(wildcards.model),
    output:
        model=ensure("results/wycryst/{model}/pretrained.pt", non_empty=True),
        card="results/wycryst/{model}/pretrained.json",
    log:
        "logs/pretrain_mpvae/{model}.log",
    benchmark:
        "logs/pretrain_mpvae/{model}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=240,
        gpu=GPU,
    params:
        code=code("pretrain_mpvae"),
        seed=lambda wildcards: mpvae_seed(wildcards.model),
        settings=lambda wildcards: model_settings(wildcards.model),
        device=config["device"],
    message:
        "pre-train the MPVAE of {wildcards.model}"
    script:
        "../../scripts/pretrain_mpvae.py"


rule fine_tune_mpvae:
    """Go on with the rows that have a band gap, for both properties."""
    input:
        genes=lambda wildcards: training_genes(wildcards.model),
        pretrained=branch(
            lambda wildcards: is_pretrained(wildcards.model),
            then="results/wycryst/{model}/pretrained.pt",
            otherwise=[],
        ),
    output:
        model=ensure("results/wycryst/{model}/mpvae.pt", non_empty=True),
        card="results/wycryst/{model}/mpvae.json",
    log:
        "logs/fine_tune_mpvae/{model}.log",
    benchmark:
        "logs/fine_tune_mpvae/{model}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=240,
        gpu=GPU,
    params:
        code=code("fine_tune_mpvae"),
        seed=lambda wildcards: mpvae_seed(wildcards.model),
        settings=lambda wildcards: model_settings(wildcards.model),
        device=config["device"],
    message:
        "fine-tune the MPVAE of {wildcards.model}"
    script:
        "../../scripts/fine_tune_mpvae.py"


rule score_ablation:
    """Errors and reconstruction of every arm and seed on the test rows, and paired differences."""
    input:
        genes="results/wycryst/genes.parquet",
        models=[f"results/wycryst/{run}/mpvae.pt" for run in ABLATION_RUNS],
    output:
        runs="results/wycryst/ablation_runs.csv",
        table="results/wycryst/ablation.csv",
        contrasts="results/wycryst/ablation_contrasts.csv",
        figure=report(
            "results/wycryst/ablation.svg",
            caption="../../report/ablation.rst",
            category="Wyckoff genes",
            labels={"what": "ablation"},
        ),
    log:
        "logs/score_ablation/ablation.log",
    benchmark:
        "logs/score_ablation/ablation.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("score_ablation"),
        runs=ABLATION_RUNS,
        arms=ABLATION_ARMS,
    message:
        "score the arms of the ablation"
    script:
        "../../scripts/score_ablation.py"


rule generate_genes:
    """Draw genes around the training rows that meet the task, or around all of them."""
    input:
        genes=lambda wildcards: training_genes(f"round{wildcards.round}"),
        model="results/wycryst/round{round}/mpvae.pt",
    output:
        genes="results/wycryst/round{round}/{task}/{gene_source}/genes.parquet",
    log:
        "logs/generate_genes/round{round}/{task}/{gene_source}.log",
    benchmark:
        "logs/generate_genes/round{round}/{task}/{gene_source}.tsv"
    wildcard_constraints:
        gene_source="mpvae|unconditional",
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
        gpu=GPU,
    params:
        code=code("generate_genes"),
        seed=job_seed("generate_genes"),
        task=lambda wildcards: WYCRYST["targets"][wildcards.task],
        samples=WYCRYST["samples"],
        settings=WYCRYST["sampling"],
        largest_atoms=WYCRYST["largest_atoms"],
        device=config["device"],
    message:
        "draw genes for {wildcards.task} ({wildcards.gene_source}, round {wildcards.round})"
    script:
        "../../scripts/generate_genes.py"


rule generate_null_genes:
    """Draw genes without any learning, in the space groups of the rows that meet the task."""
    input:
        genes=lambda wildcards: training_genes(f"round{wildcards.round}"),
    output:
        genes="results/wycryst/round{round}/{task}/{gene_null}/genes.parquet",
    log:
        "logs/generate_null_genes/round{round}/{task}/{gene_null}.log",
    benchmark:
        "logs/generate_null_genes/round{round}/{task}/{gene_null}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("generate_null_genes"),
        seed=job_seed("generate_null_genes"),
        task=lambda wildcards: WYCRYST["targets"][wildcards.task],
        samples=WYCRYST["samples"],
    message:
        "draw genes for {wildcards.task} by {wildcards.gene_null}"
    script:
        "../../scripts/generate_null_genes.py"


rule screen_genes:
    """Every screen that a gene can go through before there is a crystal."""
    input:
        genes="results/wycryst/round{round}/{task}/{gene_source}/genes.parquet",
        training=lambda wildcards: training_genes(f"round{wildcards.round}"),
        judges="results/wycryst/judges",
        known="results/references/genes.parquet",
        formulas="results/references/archive_phases.csv",
        score=branch(
            HAS_SYNTHESIZABILITY,
            then="results/references/synthesizability.npz",
            otherwise=[],
        ),
    output:
        verdicts="results/wycryst/round{round}/{task}/{gene_source}/verdicts/genes.parquet",
        judged="results/wycryst/round{round}/{task}/{gene_source}/judged.parquet",
    log:
        "logs/screen_genes/round{round}/{task}/{gene_source}.log",
    benchmark:
        "logs/screen_genes/round{round}/{task}/{gene_source}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("screen_genes"),
        task=lambda wildcards: WYCRYST["targets"][wildcards.task],
        element_numbers=GENE_DATA["element_numbers"],
        largest_atoms=WYCRYST["largest_atoms"],
        composition=SCREEN["composition"],
        thresholds=GENE_THRESHOLDS,
        anions=WYCRYST["anions"],
    message:
        "screen the genes of {wildcards.task} ({wildcards.gene_source}, round {wildcards.round})"
    script:
        "../../scripts/screen_genes.py"


rule select_genes:
    """Genes that passed the required screens, as many as the budget has."""
    input:
        genes="results/wycryst/round{round}/{task}/{gene_source}/genes.parquet",
        verdicts="results/wycryst/round{round}/{task}/{gene_source}/verdicts/genes.parquet",
    output:
        genes="results/wycryst/round{round}/{task}/{gene_source}/build/selected.parquet",
    log:
        "logs/select_genes/round{round}/{task}/{gene_source}.log",
    benchmark:
        "logs/select_genes/round{round}/{task}/{gene_source}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("select_genes"),
        seed=job_seed("select_genes"),
        require=REQUIRED_OF_GENES,
        at_most=WYCRYST["build_at_most"],
    message:
        "select the genes of {wildcards.task} that become crystals ({wildcards.gene_source})"
    script:
        "../../scripts/select_genes.py"


rule build_crystals:
    """Several crystals of each gene of a shard, ranked by a single point of the potential."""
    input:
        genes="results/wycryst/round{round}/{task}/{gene_source}/build/selected.parquet",
        volumes="results/wycryst/volumes.npz",
        shapes="results/wycryst/shapes.npz",
    output:
        crystals="results/wycryst/round{round}/{task}/{gene_source}/build/shard{shard}.parquet",
        verdicts="results/wycryst/round{round}/{task}/{gene_source}/build/verdicts{shard}.parquet",
    log:
        "logs/build_crystals/round{round}/{task}/{gene_source}/shard{shard}.log",
    benchmark:
        "logs/build_crystals/round{round}/{task}/{gene_source}/shard{shard}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=120,
    params:
        code=code("build_crystals"),
        seed=lambda wildcards: derive_seed(
            config["seed"], "build_crystals", wildcards.round, wildcards.task
        ),
        settings=WYCRYST["build"],
        shard_size=WYCRYST["build_shard_size"],
        potential=potential_params(POTENTIAL),
        device=config["device"],
    message:
        "build the crystals of {wildcards.task} ({wildcards.gene_source}, shard {wildcards.shard})"
    script:
        "../../scripts/build_crystals.py"


rule collect_built:
    """Crystals of all shards, and what building each said."""
    input:
        crystals=collect(
            "results/wycryst/round{{round}}/{{task}}/{{gene_source}}/build/shard{shard}.parquet",
            shard=GENE_SHARDS,
        ),
        verdicts=collect(
            "results/wycryst/round{{round}}/{{task}}/{{gene_source}}/build/verdicts{shard}.parquet",
            shard=GENE_SHARDS,
        ),
    output:
        crystals="results/wycryst/round{round}/{task}/{gene_source}/generated.parquet",
        verdicts="results/wycryst/round{round}/{task}/{gene_source}/verdicts/build.parquet",
    log:
        "logs/collect_built/round{round}/{task}/{gene_source}.log",
    benchmark:
        "logs/collect_built/round{round}/{task}/{gene_source}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_built"),
    message:
        "collect the crystals of {wildcards.task} ({wildcards.gene_source}, round {wildcards.round})"
    script:
        "../../scripts/collect_built.py"


rule screen_relaxed_genes:
    """Whether the relaxed crystal kept the gene it was built from, and its band gap by the judges."""
    input:
        relaxed="results/wycryst/round{round}/{task}/{gene_source}/relaxed.parquet",
        genes="results/wycryst/round{round}/{task}/{gene_source}/build/selected.parquet",
        judges="results/wycryst/judges",
    output:
        verdicts="results/wycryst/round{round}/{task}/{gene_source}/verdicts/relaxed_genes.parquet",
        genes="results/wycryst/round{round}/{task}/{gene_source}/relaxed_genes.parquet",
    log:
        "logs/screen_relaxed_genes/round{round}/{task}/{gene_source}.log",
    benchmark:
        "logs/screen_relaxed_genes/round{round}/{task}/{gene_source}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("screen_relaxed_genes"),
        symprec_angstrom=GENE_DATA["symprec_angstrom"],
        task=lambda wildcards: WYCRYST["targets"][wildcards.task],
    message:
        "symmetry and band gaps of the relaxed crystals of {wildcards.task} ({wildcards.gene_source})"
    script:
        "../../scripts/screen_relaxed_genes.py"


rule extend_training_genes:
    """Append what the last round validated, with the potential's labels, to what that round learnt from."""
    input:
        genes=lambda wildcards: training_genes(f"round{int(wildcards.round) - 1}"),
        validated=lambda wildcards: last_round(wildcards.round, "relaxed_genes.parquet"),
        hull=lambda wildcards: last_round(wildcards.round, "hull.parquet"),
        verdicts=lambda wildcards: last_round(wildcards.round, "verdicts.parquet"),
    output:
        genes="results/wycryst/round{round}/training.parquet",
    log:
        "logs/extend_training_genes/round{round}.log",
    benchmark:
        "logs/extend_training_genes/round{round}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("extend_training_genes"),
        largest_e_above_hull=HULL["metastable_ev_per_atom"],
    message:
        "training rows of round {wildcards.round}"
    script:
        "../../scripts/extend_training_genes.py"


rule compare_conditions:
    """Properties of conditional, unconditional and training genes by the judges, as in Fig. 2 d-i of the paper."""
    input:
        training="results/wycryst/genes.parquet",
        known="results/references/genes.parquet",
        judges="results/wycryst/judges",
        judged=collect(
            "results/wycryst/round1/{task}/{gene_source}/judged.parquet",
            task=TASKS,
            gene_source=("mpvae", "unconditional", *WYCRYST["nulls"]),
        ),
    output:
        distributions="results/wycryst/conditions.csv",
        diversity="results/wycryst/diversity.csv",
        novelty="results/wycryst/novelty.csv",
        figure=report(
            "results/wycryst/conditions.svg",
            caption="../../report/conditions.rst",
            category="Wyckoff genes",
            labels={"what": "conditions"},
        ),
    log:
        "logs/compare_conditions/conditions.log",
    benchmark:
        "logs/compare_conditions/conditions.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("compare_conditions"),
        targets={task: WYCRYST["targets"][task] for task in TASKS},
        gene_sources=["mpvae", "unconditional", *WYCRYST["nulls"]],
    message:
        "compare what was asked for with what was drawn"
    script:
        "../../scripts/compare_conditions.py"


rule map_latents:
    """Latent vectors of the training rows on a plane, coloured by their properties; Fig. 2 a-c of the paper."""
    input:
        genes="results/wycryst/genes.parquet",
        model="results/wycryst/round1/mpvae.pt",
    output:
        figure=report(
            "results/wycryst/latent_maps.svg",
            caption="../../report/latent_maps.rst",
            category="Wyckoff genes",
            labels={"what": "latent space"},
        ),
        points="results/wycryst/latent_maps.parquet",
    log:
        "logs/map_latents/latents.log",
    benchmark:
        "logs/map_latents/latents.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("map_latents"),
    message:
        "map the latent space"
    script:
        "../../scripts/map_latents.py"


rule collect_gene_funnels:
    """Funnels and candidates of the model and of the nulls, with their yields and what they cost."""
    input:
        candidates=[f"results/{name}/candidates.csv" for name in GENE_FUNNELS],
        funnels=[f"results/{name}/funnel.csv" for name in GENE_FUNNELS],
        rates=[f"results/{name}/sun.csv" for name in GENE_FUNNELS],
        cifs=[f"results/{name}/candidates.zip" for name in GENE_FUNNELS],
        verdicts=[f"results/{name}/verdicts.parquet" for name in GENE_FUNNELS],
        relaxed_genes=[f"results/{name}/relaxed_genes.parquet" for name in GENE_FUNNELS],
        genes=[f"results/{name}/genes.parquet" for name in GENE_FUNNELS],
        hull=[f"results/{name}/hull.parquet" for name in GENE_FUNNELS],
        phonons=[
            f"results/{name}/phonons/figures{shard}.zip"
            for name in GENE_FUNNELS
            for shard in phonon_shards(name)
        ],
    output:
        candidates=report(
            "results/wycryst/candidates.csv",
            caption="../../report/candidates.rst",
            category="Wyckoff genes",
            labels={"what": "table"},
        ),
        funnel="results/wycryst/funnel.csv",
        yields="results/wycryst/yields.csv",
        rates="results/wycryst/sun.csv",
        cifs="results/wycryst/cifs.zip",
        figure=report(
            "results/wycryst/funnel.svg",
            caption="../../report/funnel.rst",
            category="Wyckoff genes",
            labels={"what": "funnel"},
        ),
        parity=report(
            "results/wycryst/parity.svg",
            caption="../../report/parity.rst",
            category="Wyckoff genes",
            labels={"what": "parity"},
        ),
        phonons="results/wycryst/phonons.zip",
    log:
        "logs/collect_gene_funnels/funnels.log",
    benchmark:
        "logs/collect_gene_funnels/funnels.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_gene_funnels"),
        titles=[SETS[name].title for name in GENE_FUNNELS],
        screens=[
            [
                screen
                for screen in SETS[name].funnel
                if screen not in ("hull", "phonons")
            ]
            for name in GENE_FUNNELS
        ],
        largest_e_above_hull=HULL["metastable_ev_per_atom"],
    message:
        "collect the funnels of genes"
    script:
        "../../scripts/collect_gene_funnels.py"
