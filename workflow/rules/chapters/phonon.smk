"""Phonon-informed datasets: crystals displaced along their vibrations or at random, and what is learnt from each.

in:  crystal structures of compounds (phonon.files); labels by density-functional theory that came with the
     project (phonon.shipped_labels) or are computed here (phonon.dft.settings.backend: gpaw)
out: results/phonon/{compound}/force_constants.npz, configurations/, configurations.parquet, labelled.parquet;
     results/phonon/displacements.svg, bands.svg, learning_curves.csv, cross_table.csv, explanations.svg
"""


include: "phonon_sets.smk"


localrules:
    displace_crystal,
    collect_configurations,
    take_shipped_labels,
    draw_displacements,
    compare_configurations,


rule compute_force_constants:
    """Crystal at rest and its harmonic force constants in the supercell."""
    input:
        # A clone gives what came with the project new times; its content is a parameter.
        crystal=lambda wildcards: ancient(PHONON["files"][wildcards.compound]),
    output:
        constants="results/phonon/{compound}/force_constants.npz",
        card="results/phonon/{compound}/force_constants.json",
    log:
        "logs/compute_force_constants/{compound}.log",
    benchmark:
        "logs/compute_force_constants/{compound}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=60,
    params:
        code=code("compute_force_constants"),
        crystal_sha256=lambda wildcards: sha256_of_file(
            PHONON["files"][wildcards.compound]
        ),
        potential=potential_params(POTENTIAL),
        lattice=PHONON["lattice"],
        supercell=PHONON["supercell"],
        largest_memory_gb=DISPLACEMENTS.largest_memory_gb,
    message:
        "force constants of {wildcards.compound}"
    script:
        "../../scripts/compute_force_constants.py"


rule find_self_consistent_phonons:
    """Force constants of the harmonic crystal that is closest to the real one at a temperature."""
    input:
        constants="results/phonon/{compound}/force_constants.npz",
    output:
        constants="results/phonon/{compound}/self_consistent_{temperature}.npz",
        card="results/phonon/{compound}/self_consistent_{temperature}.json",
    log:
        "logs/find_self_consistent_phonons/{compound}/{temperature}.log",
    benchmark:
        "logs/find_self_consistent_phonons/{compound}/{temperature}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=60,
    params:
        code=code("find_self_consistent_phonons"),
        potential=potential_params(POTENTIAL),
        settings=PHONON["self_consistent"],
        seed=job_seed("find_self_consistent_phonons"),
    message:
        "self-consistent phonons of {wildcards.compound} at {wildcards.temperature} K"
    script:
        "../../scripts/find_self_consistent_phonons.py"


rule displace_crystal:
    """A shard of the configurations of a family of sets; each depends on the seed and its number only."""
    input:
        constants=lambda wildcards: constants_of(wildcards.compound, wildcards.family),
    output:
        configurations="results/phonon/{compound}/configurations/{family}/shard{shard}.parquet",
    log:
        "logs/displace_crystal/{compound}/{family}/shard{shard}.log",
    benchmark:
        "logs/displace_crystal/{compound}/{family}/shard{shard}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("displace_crystal"),
        settings=PHONON["displacements"],
        shard_size=PHONON["shard_size"],
        sets=lambda wildcards: sets_of_family(wildcards.family),
        block_size=PHONON["block_size"],
        # Of the compound, not of the shard: a set grows without a change to what is there.
        seed=lambda wildcards: derive_seed(
            config["seed"], "displace_crystal", wildcards.compound
        ),
    message:
        "displace {wildcards.compound}: {wildcards.family}, shard {wildcards.shard}"
    script:
        "../../scripts/displace_crystal.py"


rule label_configurations:
    """Energy, forces and stress of a shard of configurations by the potential."""
    input:
        configurations="results/phonon/{compound}/configurations/{family}/shard{shard}.parquet",
    output:
        labels="results/phonon/{compound}/configurations/{family}/labels{shard}.parquet",
    log:
        "logs/label_configurations/{compound}/{family}/shard{shard}.log",
    benchmark:
        "logs/label_configurations/{compound}/{family}/shard{shard}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=120,
    params:
        code=code("label_configurations"),
        potential=potential_params(POTENTIAL),
    message:
        "label {wildcards.compound}: {wildcards.family}, shard {wildcards.shard}"
    script:
        "../../scripts/label_configurations.py"


rule collect_configurations:
    """All configurations of a compound with the potential's labels."""
    input:
        configurations=lambda wildcards: configuration_files(
            wildcards.compound, "shard"
        ),
        labels=lambda wildcards: configuration_files(wildcards.compound, "labels"),
    output:
        configurations="results/phonon/{compound}/configurations.parquet",
    log:
        "logs/collect_configurations/{compound}.log",
    benchmark:
        "logs/collect_configurations/{compound}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("collect_configurations"),
        configurations=PHONON["configurations"],
        block_size=PHONON["block_size"],
    message:
        "collect the configurations of {wildcards.compound}"
    script:
        "../../scripts/collect_configurations.py"


rule draw_displacements:
    """Energy against displacement for every policy and the random sets; phonon bands of the compounds."""
    input:
        configurations=collect(
            "results/phonon/{compound}/configurations.parquet", compound=COMPOUNDS
        ),
        constants=collect(
            "results/phonon/{compound}/force_constants.npz", compound=COMPOUNDS
        ),
        cards=collect(
            "results/phonon/{compound}/force_constants.json", compound=COMPOUNDS
        ),
        born_charges=ancient(inputs_of_snakemake(files_of_born_charges())),
    output:
        figure=report(
            "results/phonon/displacements.svg",
            caption="../../report/displacements.rst",
            category="Phonon-informed datasets",
            labels={"what": "energy against displacement"},
        ),
        bands=report(
            "results/phonon/bands.svg",
            caption="../../report/displacements.rst",
            category="Phonon-informed datasets",
            labels={"what": "phonon bands"},
        ),
        summary="results/phonon/displacements.csv",
    log:
        "logs/draw_displacements/displacements.log",
    benchmark:
        "logs/draw_displacements/displacements.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("draw_displacements"),
        compounds=COMPOUNDS,
        born_charges=VALIDATE["born_charges"],
        born_charges_sha256=lambda wildcards: content_of_born_charges(),
    message:
        "draw energies against displacements"
    script:
        "../../scripts/draw_displacements.py"


if PHONON_DFT["settings"]["backend"] == "none":

    rule take_shipped_labels:
        """Labels by density-functional theory that came with the project."""
        input:
            labelled=lambda wildcards: ancient(
                PHONON["shipped_labels"][wildcards.compound]
            ),
        output:
            labelled="results/phonon/{compound}/labelled.parquet",
        log:
            "logs/take_shipped_labels/{compound}.log",
        benchmark:
            "logs/take_shipped_labels/{compound}.tsv"
        conda:
            "../../../envs/matwheel.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            code=code("take_shipped_labels"),
            labelled_sha256=lambda wildcards: sha256_of_file(
                PHONON["shipped_labels"][wildcards.compound]
            ),
        message:
            "take the labels of {wildcards.compound} that came with the project"
        script:
            "../../scripts/take_shipped_labels.py"

else:

    rule compute_configuration_dft:
        """Energy, forces, stress, band gap and valence-band maximum of a shard by PBE; an own process."""
        input:
            configurations="results/phonon/{compound}/configurations/{family}/shard{shard}.parquet",
            constants="results/phonon/{compound}/force_constants.npz",
        output:
            labels="results/phonon/{compound}/dft/{family}/shard{shard}.parquet",
        log:
            "logs/compute_configuration_dft/{compound}/{family}/shard{shard}.log",
        benchmark:
            "logs/compute_configuration_dft/{compound}/{family}/shard{shard}.tsv"
        conda:
            "../../../envs/matwheel.yaml"
        resources:
            mem_mb=grows(4000),
            runtime=240,
        params:
            code=code("compute_configuration_dft"),
            settings=PHONON_DFT["settings"],
            # Finished calculations stay here by a hash of all they depend on, whatever happens to the shard.
            folder="results/phonon/{compound}/dft/calculations",
            block_size=PHONON["block_size"],
            configurations=lambda wildcards: PHONON_DFT["configurations"][
                kind_of(wildcards.family)
            ],
        message:
            "PBE of {wildcards.compound}: {wildcards.family}, shard {wildcards.shard}"
        script:
            "../../scripts/compute_configuration_dft.py"

    rule collect_dft_labels:
        """All configurations of a compound with labels by density-functional theory, and the crystal at rest."""
        input:
            constants="results/phonon/{compound}/force_constants.npz",
            configurations=lambda wildcards: dft_files(
                wildcards.compound, "configurations"
            ),
            labels=lambda wildcards: dft_files(wildcards.compound, "dft"),
        output:
            labelled="results/phonon/{compound}/labelled.parquet",
            card="results/phonon/{compound}/labelled.json",
        log:
            "logs/collect_dft_labels/{compound}.log",
        benchmark:
            "logs/collect_dft_labels/{compound}.tsv"
        conda:
            "../../../envs/matwheel.yaml"
        resources:
            mem_mb=grows(1000),
            runtime=10,
        params:
            code=code("collect_dft_labels"),
            settings=PHONON_DFT["settings"],
            folder="results/phonon/{compound}/dft/calculations",
        message:
            "collect the labels of {wildcards.compound}"
        script:
            "../../scripts/collect_dft_labels.py"


rule compare_potential_with_dft:
    """Energies, forces and stresses of the potential beside those of density-functional theory."""
    input:
        labelled="results/phonon/%s/labelled.parquet" % LEARNT_COMPOUND,
    output:
        agreement="results/phonon/agreement.csv",
    log:
        "logs/compare_potential_with_dft/agreement.log",
    benchmark:
        "logs/compare_potential_with_dft/agreement.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=60,
    params:
        code=code("compare_potential_with_dft"),
        potential=potential_params(POTENTIAL),
    message:
        "compare the potential with density-functional theory"
    script:
        "../../scripts/compare_potential_with_dft.py"


rule learn_from_configurations:
    """Graph network and baselines trained on growing parts of one training set; predictions of all test rows."""
    input:
        labelled="results/phonon/%s/labelled.parquet" % LEARNT_COMPOUND,
    output:
        predictions="results/phonon/learning/{learnt_set}/seed{seed}/predictions.parquet",
        model="results/phonon/learning/{learnt_set}/seed{seed}/model.pt",
        card="results/phonon/learning/{learnt_set}/seed{seed}/model.json",
    log:
        "logs/learn_from_configurations/{learnt_set}/seed{seed}.log",
    benchmark:
        "logs/learn_from_configurations/{learnt_set}/seed{seed}.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=60,
    params:
        code=code("learn_from_configurations"),
        settings=PHONON_LEARNING["network"],
        sizes=PHONON_LEARNING["sizes"],
        targets=PHONON_LEARNING["targets"],
        # The same for all training sets: one division, one initialisation.
        seed=lambda wildcards: derive_seed(
            config["seed"], "learn_from_configurations", wildcards.seed
        ),
    message:
        "learn from {wildcards.learnt_set} configurations (seed {wildcards.seed})"
    script:
        "../../scripts/learn_from_configurations.py"


rule compare_configurations:
    """Who learns more: errors over training size, and of every training set on every test set."""
    input:
        labelled="results/phonon/%s/labelled.parquet" % LEARNT_COMPOUND,
        predictions=collect(
            "results/phonon/learning/{learnt_set}/seed{seed}/predictions.parquet",
            learnt_set=PHONON_LEARNING["training_sets"],
            seed=PHONON_RUNS,
        ),
    output:
        curves="results/phonon/learning_curves.csv",
        figure=report(
            "results/phonon/learning_curves.svg",
            caption="../../report/learning_curves.rst",
            category="Phonon-informed datasets",
            labels={"what": "learning curves"},
        ),
        cross="results/phonon/cross_table.csv",
        cross_figure=report(
            "results/phonon/cross_table.svg",
            caption="../../report/learning_curves.rst",
            category="Phonon-informed datasets",
            labels={"what": "every training set on every test set"},
        ),
        contrasts="results/phonon/contrasts.csv",
    log:
        "logs/compare_configurations/comparison.log",
    benchmark:
        "logs/compare_configurations/comparison.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        code=code("compare_configurations"),
        seed=derive_seed(config["seed"], "compare_configurations"),
        target=PHONON_LEARNING["drawn_target"],
    message:
        "compare what is learnt from each set of configurations"
    script:
        "../../scripts/compare_configurations.py"


rule explain_gaps:
    """Which bonds the networks look at, which ones the gap depends on, and whether altering them matters."""
    input:
        labelled="results/phonon/%s/labelled.parquet" % LEARNT_COMPOUND,
        constants="results/phonon/%s/force_constants.npz" % LEARNT_COMPOUND,
        models=[
            f"results/phonon/learning/{learnt_set}/seed{seed}/model.pt"
            for learnt_set, seed in EXPLAINED_MODELS
        ],
        # They say which rows were test rows of each network; it is explained on no others.
        predictions=[
            f"results/phonon/learning/{learnt_set}/seed{seed}/predictions.parquet"
            for learnt_set, seed in EXPLAINED_MODELS
        ],
    output:
        figure=report(
            "results/phonon/explanations.svg",
            caption="../../report/explanations.rst",
            category="Phonon-informed datasets",
            labels={"what": "importance of bonds"},
        ),
        importance="results/phonon/explanations.csv",
        contrast="results/phonon/explanation_contrasts.csv",
        faithfulness="results/phonon/faithfulness.csv",
        areas="results/phonon/faithfulness_areas.csv",
        sensitivity="results/phonon/sensitivity.csv",
        network_sensitivity="results/phonon/network_sensitivity.csv",
    log:
        "logs/explain_gaps/explanations.log",
    benchmark:
        "logs/explain_gaps/explanations.tsv"
    conda:
        "../../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("explain_gaps"),
        models=EXPLAINED_MODELS,
        pairs=PHONON_LEARNING["explained_pairs"],
        seed=derive_seed(config["seed"], "explain_gaps"),
    message:
        "explain predictions of band gaps"
    script:
        "../../scripts/explain_gaps.py"
