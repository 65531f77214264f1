"""Generation: real or pseudo-labels, conditions from them, a generator, and crystals that answer the conditions.

in:  crystals and split of a dataset; the teacher, which learnt from the labelled rows
out: {supervision}/labels.parquet, conditions.parquet, generator.pt, generator.json, generated.parquet, cifs.zip
     under results/matwheel/{dataset}/{scheme}/seed{seed}
"""

from matwheel.generators.parted_settings import parted_settings
from matwheel.generators.registry import SAMPLERS

GENERATOR = config["generator"]
TRAINING_SETTINGS, SAMPLING_SETTINGS = parted_settings(
    GENERATOR["name"], GENERATOR["settings"]
)


localrules:
    take_real_labels,
    sample_conditions,


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
        labelled="results/data/{dataset}/{scheme}/seed{seed}/labelled.json",
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


rule sample_conditions:
    """Draw the property values that crystals are generated for."""
    input:
        labels="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/labels.parquet",
    output:
        conditions="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/conditions.parquet",
    log:
        "logs/sample_conditions/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/sample_conditions/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        **config["conditions"],
        code=code("sample_conditions"),
        seed=job_seed("sample_conditions"),
        samples=GENERATOR["samples"],
    message:
        "sample conditions for {wildcards.dataset} ({wildcards.supervision}, run {wildcards.seed})"
    script:
        "../scripts/sample_conditions.py"


rule train_generator:
    """Train the conditional generator on the training rows and their real or pseudo-labels."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
        labels="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/labels.parquet",
    output:
        model=ensure(
            "results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generator.pt",
            non_empty=True,
        ),
        card="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generator.json",
    log:
        "logs/train_generator/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/train_generator/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(6000),
        runtime=720,
        gpu=GPU,
    params:
        code=code("train_generator", GENERATORS[GENERATOR["name"]][0]),
        seed=job_seed("train_generator"),
        generator=GENERATOR["name"],
        settings=TRAINING_SETTINGS,
        device=config["device"],
    message:
        "train {params.generator} on {wildcards.dataset} ({wildcards.supervision}, run {wildcards.seed})"
    script:
        "../scripts/train_generator.py"


rule generate_crystals:
    """Generate one crystal for each condition."""
    input:
        model="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generator.pt",
        conditions="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/conditions.parquet",
    output:
        crystals="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generated.parquet",
        cifs="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/cifs.zip",
    log:
        "logs/generate_crystals/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/generate_crystals/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=240,
        gpu=GPU,
    params:
        code=code(
            "generate_crystals",
            GENERATORS[GENERATOR["name"]][0],
            *SAMPLERS.get(GENERATOR["name"], ())[:1],
        ),
        seed=job_seed("generate_crystals"),
        generator=GENERATOR["name"],
        settings=SAMPLING_SETTINGS,
        device=config["device"],
    message:
        "generate crystals for {wildcards.dataset} ({wildcards.supervision}, run {wildcards.seed})"
    script:
        "../scripts/generate_crystals.py"
