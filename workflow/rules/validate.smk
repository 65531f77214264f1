"""Validation: relaxation, energy above the hull, phonons, real DFT; and the verdicts of all screens as one table.

in:  results/{crystal_set}/generated.parquet and verdicts/
out: results/{crystal_set}/relaxed.parquet, hull.parquet, phonons.parquet, verdicts.parquet;
     results/references/
"""

POTENTIAL = VALIDATE["potential"]
PHONON_POTENTIAL = VALIDATE["phonon_potential"]
SECOND_OPINION = VALIDATE["second_opinion"]  # None: the phonon potential alone judges
HULL = VALIDATE["hull"]


localrules:
    collect_relaxed,
    fetch_references,
    collect_phonons,
    join_verdicts,
    rank_candidates,


wildcard_constraints:
    potential="|".join(map(re.escape, POTENTIALS)),


rule relax_candidates:
    """Relax a shard of what passed the required screens; each crystal gets a status, and none ends the shard."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
        verdicts=of_set(lambda one: one.verdict_files()),
    output:
        relaxed="results/{crystal_set}/relaxation/shard{shard}.parquet",
    log:
        "logs/relax_candidates/{crystal_set}/shard{shard}.log",
    benchmark:
        "logs/relax_candidates/{crystal_set}/shard{shard}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=120,
    params:
        code=code("relax_candidates"),
        potential=potential_params(POTENTIAL),
        settings=of_set(lambda one: one.relaxation),
        require=of_set(lambda one: one.required),
        at_most=of_set(lambda one: one.relax_at_most),
        seed=lambda wildcards: derive_seed(
            config["seed"], "select_for_relaxation", wildcards.crystal_set
        ),
        shards=lambda wildcards: len(relaxation_shards(wildcards.crystal_set)),
        device=config["device"],
    message:
        "relax shard {wildcards.shard} of {wildcards.crystal_set}"
    script:
        "../scripts/relax_candidates.py"


rule collect_relaxed:
    """All relaxed crystals of a set, and what the relaxation says of each."""
    input:
        shards=lambda wildcards: [
            f"results/{wildcards.crystal_set}/relaxation/shard{shard}.parquet"
            for shard in relaxation_shards(wildcards.crystal_set)
        ],
    output:
        relaxed="results/{crystal_set}/relaxed.parquet",
        verdicts="results/{crystal_set}/verdicts/relaxation.parquet",
    log:
        "logs/collect_relaxed/{crystal_set}.log",
    benchmark:
        "logs/collect_relaxed/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_relaxed"),
        potential=potential_params(POTENTIAL),
        settings=of_set(lambda one: one.relaxation),
    message:
        "collect the relaxed crystals of {wildcards.crystal_set}"
    script:
        "../scripts/collect_relaxed.py"


rule screen_relaxed:
    """Which crystals relaxed to the same structure, and which to a known one; only converged ones are judged."""
    input:
        unpack(of_set(lambda one: one.references_after)),
        relaxed="results/{crystal_set}/relaxed.parquet",
        verdicts=of_set(lambda one: one.verdict_files()),
    output:
        verdicts="results/{crystal_set}/verdicts/relaxed.parquet",
    log:
        "logs/screen_relaxed/{crystal_set}.log",
    benchmark:
        "logs/screen_relaxed/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("screen_relaxed"),
        # Of several that relaxed to one structure, one that was unique and novel before stands for all.
        prefer=of_set(lambda one: one.before_relaxation),
    message:
        "compare the relaxed crystals of {wildcards.crystal_set}"
    script:
        "../scripts/screen_relaxed.py"


rule fetch_references:
    """Formation energies, elemental energies and structures of known phases, from mirror folders or PyPI."""
    output:
        phases="results/references/archive_phases.csv",
        elements="results/references/elements.csv",
        structures=directory("results/references/archive_structures"),
        provenance="results/references/provenance.json",
    log:
        "logs/fetch_references/references.log",
    benchmark:
        "logs/fetch_references/references.tsv"
    priority: 90
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("fetch_references"),
        mirror_folders=not_compared(config["mirror_folders"]),
    message:
        "fetch reference phases"
    script:
        "../scripts/fetch_references.py"


rule build_reference_phases:
    """Formation energies, on one scale, of known phases in the chemical systems of a set's candidates."""
    input:
        relaxed="results/{crystal_set}/relaxed.parquet",
        archive="results/references/archive_phases.csv",
        elements="results/references/elements.csv",
    output:
        phases="results/{crystal_set}/hull/phases.parquet",
        by_rule="results/{crystal_set}/hull/phases_by_anion_rule.parquet",
    log:
        "logs/build_reference_phases/{crystal_set}.log",
    benchmark:
        "logs/build_reference_phases/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("build_reference_phases"),
        mirror=not_compared(MP_FILES),
        content=contents(MP_FILES),
    message:
        "reference phases of {wildcards.crystal_set}"
    script:
        "../scripts/build_reference_phases.py"


rule select_reference_structures:
    """Known structures of the chemical systems of a set's relaxed candidates."""
    input:
        relaxed="results/{crystal_set}/relaxed.parquet",
        known=KNOWN_CRYSTALS,
        archives="results/references/archive_structures",
    output:
        structures="results/{crystal_set}/hull/reference_structures.parquet",
    log:
        "logs/select_reference_structures/{crystal_set}.log",
    benchmark:
        "logs/select_reference_structures/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=30,
    params:
        code=code("select_reference_structures"),
    message:
        "select the reference structures of {wildcards.crystal_set}"
    script:
        "../scripts/select_reference_structures.py"


rule compute_reference_energies:
    """Single points of the potential on a shard of the reference structures."""
    input:
        structures="results/{crystal_set}/hull/reference_structures.parquet",
    output:
        energies="results/{crystal_set}/hull/reference_energies{shard}.parquet",
    log:
        "logs/compute_reference_energies/{crystal_set}/shard{shard}.log",
    benchmark:
        "logs/compute_reference_energies/{crystal_set}/shard{shard}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(3000),
        runtime=120,
    params:
        code=code("compute_reference_energies"),
        potential=potential_params(POTENTIAL),
        shards=lambda wildcards: len(reference_shards(wildcards.crystal_set)),
        device=config["device"],
    message:
        "energies of reference structures of {wildcards.crystal_set}, shard {wildcards.shard}"
    script:
        "../scripts/compute_reference_energies.py"


rule compute_hulls:
    """Energy above the reference hull and above the potential's own hull, competitors named.

    Again under each other anion rule and with each part of the reference phases alone, for `sun.csv`.
    """
    input:
        relaxed="results/{crystal_set}/relaxed.parquet",
        phases="results/{crystal_set}/hull/phases.parquet",
        by_rule="results/{crystal_set}/hull/phases_by_anion_rule.parquet",
        elements="results/references/elements.csv",
        structures="results/{crystal_set}/hull/reference_structures.parquet",
        energies=lambda wildcards: [
            f"results/{wildcards.crystal_set}/hull/reference_energies{shard}.parquet"
            for shard in reference_shards(wildcards.crystal_set)
        ],
    output:
        hull="results/{crystal_set}/hull.parquet",
        verdicts="results/{crystal_set}/verdicts/hull.parquet",
        sensitivity="results/{crystal_set}/hull/sensitivity.parquet",
    log:
        "logs/compute_hulls/{crystal_set}.log",
    benchmark:
        "logs/compute_hulls/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("compute_hulls"),
        potential=potential_params(POTENTIAL),
        settings=HULL,
    message:
        "energies above the hull of {wildcards.crystal_set}"
    script:
        "../scripts/compute_hulls.py"


rule compute_phonons:
    """Phonons of a shard of the candidates nearest to the hull: stable, unstable or undecided, and what an unstable
    one falls to.
    """
    input:
        relaxed="results/{crystal_set}/relaxed.parquet",
        hull="results/{crystal_set}/hull.parquet",
        verdicts=of_set(lambda one: one.verdict_files(*one.relaxed_files, "hull")),
        born_charges=ancient(inputs_of_snakemake(files_of_born_charges())),
    output:
        phonons="results/{crystal_set}/phonons/shard{shard}.parquet",
        daughters="results/{crystal_set}/phonons/daughters{shard}.parquet",
        figures="results/{crystal_set}/phonons/figures{shard}.zip",
    log:
        "logs/compute_phonons/{crystal_set}/shard{shard}.log",
    benchmark:
        "logs/compute_phonons/{crystal_set}/shard{shard}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=240,
    params:
        code=code("compute_phonons"),
        potential=potential_params(PHONON_POTENTIAL),
        settings=VALIDATE["phonons"],
        require=of_set(
            lambda one: [*one.required, "relaxation", *one.required_of_relaxed]
        ),
        at_most=of_set(lambda one: one.phonons_at_most),
        hull=HULL,
        born_charges=VALIDATE["born_charges"],
        born_charges_sha256=lambda wildcards: content_of_born_charges(),
        shards=lambda wildcards: len(phonon_shards(wildcards.crystal_set)),
        device=config["device"],
    message:
        "phonons of {wildcards.crystal_set}, shard {wildcards.shard}"
    script:
        "../scripts/compute_phonons.py"


# Stability only: what an unstable crystal falls to is the first potential's to say, so daughters stay empty.
use rule compute_phonons as compute_second_phonons with:
    output:
        phonons="results/{crystal_set}/phonons/{potential}/shard{shard}.parquet",
        daughters="results/{crystal_set}/phonons/{potential}/daughters{shard}.parquet",
        figures="results/{crystal_set}/phonons/{potential}/figures{shard}.zip",
    log:
        "logs/compute_second_phonons/{crystal_set}/{potential}/shard{shard}.log",
    benchmark:
        "logs/compute_second_phonons/{crystal_set}/{potential}/shard{shard}.tsv"
    params:
        potential=lambda wildcards: potential_params(wildcards.potential),
        settings={**VALIDATE["phonons"], "follow_unstable": False},
    message:
        "phonons of {wildcards.crystal_set} by {wildcards.potential}, shard {wildcards.shard}"


rule collect_phonons:
    """Phonons of all candidates that got them, and the verdict on each, with a second opinion where one is asked."""
    input:
        shards=lambda wildcards: [
            f"results/{wildcards.crystal_set}/phonons/shard{shard}.parquet"
            for shard in phonon_shards(wildcards.crystal_set)
        ],
        second_opinion=lambda wildcards: [
            f"results/{wildcards.crystal_set}/phonons/{SECOND_OPINION}/shard{shard}.parquet"
            for shard in phonon_shards(wildcards.crystal_set)
            if SECOND_OPINION
        ],
    output:
        phonons="results/{crystal_set}/phonons.parquet",
        verdicts="results/{crystal_set}/verdicts/phonons.parquet",
    log:
        "logs/collect_phonons/{crystal_set}.log",
    benchmark:
        "logs/collect_phonons/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("collect_phonons"),
        potential=potential_params(PHONON_POTENTIAL),
        second_opinion=potential_params(SECOND_OPINION) if SECOND_OPINION else None,
    message:
        "collect the phonons of {wildcards.crystal_set}"
    script:
        "../scripts/collect_phonons.py"


rule join_verdicts:
    """All verdicts on a set's candidates, in the order of the funnel; the one table that counts are made of."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
        verdicts=of_set(
            lambda one: one.verdict_files(*one.relaxed_files, "hull", "phonons")
        ),
    output:
        verdicts="results/{crystal_set}/verdicts.parquet",
    log:
        "logs/join_verdicts/{crystal_set}.log",
    benchmark:
        "logs/join_verdicts/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("join_verdicts"),
    message:
        "join the verdicts on {wildcards.crystal_set}"
    script:
        "../scripts/join_verdicts.py"


rule rank_candidates:
    """A set's candidates from best to worst with every figure a chemist needs, its funnel and its rates."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
        relaxed="results/{crystal_set}/relaxed.parquet",
        hull="results/{crystal_set}/hull.parquet",
        sensitivity="results/{crystal_set}/hull/sensitivity.parquet",
        phonons="results/{crystal_set}/phonons.parquet",
        verdicts="results/{crystal_set}/verdicts.parquet",
        predicted=of_set(lambda one: one.predicted),
    output:
        candidates="results/{crystal_set}/candidates.csv",
        cifs="results/{crystal_set}/candidates.zip",
        funnel="results/{crystal_set}/funnel.csv",
        rates="results/{crystal_set}/sun.csv",
    log:
        "logs/rank_candidates/{crystal_set}.log",
    benchmark:
        "logs/rank_candidates/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("rank_candidates"),
        screens=of_set(lambda one: one.funnel),
        unique_screens=of_set(lambda one: [one.unique, "unique_relaxed"]),
        novelty_screens=of_set(lambda one: one.novel),
        title=of_set(lambda one: one.title),
        archive="results/{crystal_set}/candidates.zip",
        stable_ev_per_atom=HULL["stable_ev_per_atom"],
        metastable_ev_per_atom=HULL["metastable_ev_per_atom"],
    message:
        "rank the candidates of {wildcards.crystal_set}"
    script:
        "../scripts/rank_candidates.py"


rule compute_dft:
    """PBE on the best small candidates, beside the potential's figures; an own environment, an own process."""
    input:
        candidates="{funnel}/candidates.csv",
        relaxed=lambda wildcards: [
            f"results/{name}/relaxed.parquet"
            for name in SETS_OF_FUNNEL[wildcards.funnel]
        ],
    output:
        table="{funnel}/dft.csv",
        verdicts="{funnel}/dft/verdicts.parquet",
    log:
        "logs/compute_dft/{funnel}.log",
    benchmark:
        "logs/compute_dft/{funnel}.tsv"
    wildcard_constraints:
        funnel="results(/[a-z]+)?",
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(8000),
        runtime=600,
    params:
        code=code("compute_dft"),
        settings={k: v for k, v in VALIDATE["dft"].items() if k != "at_most"},
        at_most=VALIDATE["dft"]["at_most"],
        device=config["device"],
        potential=potential_params(POTENTIAL),
    message:
        "PBE of the best small candidates of {wildcards.funnel}"
    script:
        "../scripts/compute_dft.py"
