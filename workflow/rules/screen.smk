"""Screens: what is wrong, or not new, about each crystal of any set, generated here or elsewhere.

in:  results/{crystal_set}/generated.parquet; reference sets of known crystals and formulas
out: results/{crystal_set}/verdicts/{structure,composition,uniqueness,novelty,synthesizability}.parquet
     and one of each further screen,
     uniqueness.csv; and for the flywheel screened.parquet, generators.csv per run
"""


localrules:
    take_test_rows,
    filter_generated,


rule import_crystals:
    """Read a user's crystals; a row that is no crystal gets a verdict, not an end."""
    input:
        # Its content, in folders too, is a parameter, so that the time of the file does not matter.
        lambda wildcards: [
            ancient(path)
            for path in inputs_of_snakemake([IMPORTED[wildcards.name]["path"]])
        ],
    output:
        crystals="results/imported/{name}/generated.parquet",
        verdicts="results/imported/{name}/verdicts/parse.parquet",
        source="results/imported/{name}/source.json",
    log:
        "logs/import_crystals/{name}.log",
    benchmark:
        "logs/import_crystals/{name}.tsv"
    wildcard_constraints:
        name="|".join(IMPORTED) or "(?!)",
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("import_crystals"),
        given=lambda wildcards: IMPORTED[wildcards.name],
        content=lambda wildcards: content_of_import(wildcards.name),
    message:
        "read the crystals of {wildcards.name}"
    script:
        "../scripts/import_crystals.py"


rule take_test_rows:
    """The test rows of a dataset as if they were candidates: real crystals that no screen should kill."""
    input:
        crystals="results/data/{dataset}/crystals.parquet",
        split="results/data/{dataset}/{scheme}/seed{seed}/split.json",
    output:
        crystals="results/real/{dataset}/{scheme}/seed{seed}/generated.parquet",
    log:
        "logs/take_test_rows/{dataset}/{scheme}/seed{seed}.log",
    benchmark:
        "logs/take_test_rows/{dataset}/{scheme}/seed{seed}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("take_test_rows"),
    message:
        "take the test rows of {wildcards.dataset} (run {wildcards.seed})"
    script:
        "../scripts/take_test_rows.py"


rule screen_structures:
    """Distances, volume, density and space group of each crystal."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
    output:
        verdicts="results/{crystal_set}/verdicts/structure.parquet",
    log:
        "logs/screen_structures/{crystal_set}.log",
    benchmark:
        "logs/screen_structures/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("screen_structures"),
        structure=SCREEN["structure"],
        symmetry=SCREEN["symmetry"],
    message:
        "screen the structures of {wildcards.crystal_set}"
    script:
        "../scripts/screen_structures.py"


rule screen_compositions:
    """Charge neutrality and electronegativity balance of each crystal."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
        # A user's own file of oxidation states is an input, so that an edit of it is seen.
        states=(
            [SCREEN["composition"]["oxidation_table"]]
            if Path(SCREEN["composition"]["oxidation_table"]).is_file()
            else []
        ),
    output:
        verdicts="results/{crystal_set}/verdicts/composition.parquet",
    log:
        "logs/screen_compositions/{crystal_set}.log",
    benchmark:
        "logs/screen_compositions/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("screen_compositions"),
        settings=SCREEN["composition"],
    message:
        "screen the compositions of {wildcards.crystal_set}"
    script:
        "../scripts/screen_compositions.py"


rule apply_screen:
    """Verdict of a further screen on each crystal."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
    output:
        verdicts="results/{crystal_set}/verdicts/{screen}.parquet",
    log:
        "logs/apply_screen/{screen}/{crystal_set}.log",
    benchmark:
        "logs/apply_screen/{screen}/{crystal_set}.tsv"
    wildcard_constraints:
        screen="|".join(SCREENS),
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("apply_screen", lambda wildcards: SCREENS[wildcards.screen][0]),
        settings=lambda wildcards: SCREEN["further"].get(wildcards.screen, {}),
    message:
        "screen {wildcards.crystal_set} by {wildcards.screen}"
    script:
        "../scripts/apply_screen.py"


rule screen_uniqueness:
    """Which crystals repeat another one of the set, and how uniqueness falls as the set grows."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
        verdicts=collect(
            "results/{{crystal_set}}/verdicts/{screens}.parquet",
            screens=["structure", "composition"],
        ),
    output:
        verdicts="results/{crystal_set}/verdicts/uniqueness.parquet",
        curve="results/{crystal_set}/uniqueness.csv",
    log:
        "logs/screen_uniqueness/{crystal_set}.log",
    benchmark:
        "logs/screen_uniqueness/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=60,
    params:
        code=code("screen_uniqueness"),
        require=["structure", "charge_neutrality", "electronegativity"],
    message:
        "find copies in {wildcards.crystal_set}"
    script:
        "../scripts/screen_uniqueness.py"


rule screen_novelty:
    """Which crystals are known: to the training rows, to the Materials Project, as a formula."""
    input:
        unpack(of_set(lambda one: one.references)),
        crystals="results/{crystal_set}/generated.parquet",
    output:
        verdicts="results/{crystal_set}/verdicts/novelty.parquet",
    log:
        "logs/screen_novelty/{crystal_set}.log",
    benchmark:
        "logs/screen_novelty/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("screen_novelty"),
        references=of_set(lambda one: list(one.references)),
    message:
        "compare {wildcards.crystal_set} with known crystals"
    script:
        "../scripts/screen_novelty.py"


rule read_known_crystals:
    """Crystals of the Materials Project, from the mirror folders."""
    output:
        crystals="results/references/mp_crystals.parquet",
    log:
        "logs/read_known_crystals/known_crystals.log",
    benchmark:
        "logs/read_known_crystals/known_crystals.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        code=code("read_known_crystals"),
        files=not_compared(MP_FILES),
        content=contents(MP_FILES),
    message:
        "read the known crystals of the mirror folders"
    script:
        "../scripts/read_known_crystals.py"


rule train_synthesizability:
    """Score of a formula: how likely it is to be made; positive-unlabelled, or stability as the public code has it."""
    output:
        score="results/references/synthesizability.npz",
        report="results/references/synthesizability.json",
    log:
        "logs/train_synthesizability/score.log",
    benchmark:
        "logs/train_synthesizability/score.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(4000),
        runtime=60,
    params:
        **{name: not_compared(paths) for name, paths in SYNTHESIZABILITY_FILES.items()},
        code=code("train_synthesizability"),
        content=contents(sum(SYNTHESIZABILITY_FILES.values(), [])),
        seed=job_seed("train_synthesizability"),
        settings=SCREEN["synthesizability"]["settings"],
    message:
        "train the score of synthesizability"
    script:
        "../scripts/train_synthesizability.py"


rule screen_synthesizability:
    """A score of how likely each crystal can be made, by the configured model."""
    input:
        crystals="results/{crystal_set}/generated.parquet",
        score="results/references/synthesizability.npz",
    output:
        verdicts="results/{crystal_set}/verdicts/synthesizability.parquet",
    log:
        "logs/screen_synthesizability/{crystal_set}.log",
    benchmark:
        "logs/screen_synthesizability/{crystal_set}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=30,
    params:
        code=code("screen_synthesizability", *SYNTHESIZABILITY_MODULES),
        settings=SCREEN["synthesizability"],
    message:
        "score the synthesizability of {wildcards.crystal_set}"
    script:
        "../scripts/screen_synthesizability.py"


rule filter_generated:
    """Keep the generated crystals that a predictor may learn from, labelled by their condition."""
    input:
        crystals="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/generated.parquet",
        verdicts=branch(
            SCREEN["synthetic_filter"] != "none",
            then="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/verdicts/%s.parquet"
            % SCREEN["synthetic_filter"],
            otherwise=[],
        ),
    output:
        screened="results/matwheel/{dataset}/{scheme}/seed{seed}/{supervision}/screened.parquet",
    log:
        "logs/filter_generated/{dataset}/{scheme}/seed{seed}/{supervision}.log",
    benchmark:
        "logs/filter_generated/{dataset}/{scheme}/seed{seed}/{supervision}.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("filter_generated"),
        screens=SCREENS_OF_FILTER[SCREEN["synthetic_filter"]],
    message:
        "filter crystals for {wildcards.dataset} ({wildcards.supervision}, run {wildcards.seed})"
    script:
        "../scripts/filter_generated.py"
