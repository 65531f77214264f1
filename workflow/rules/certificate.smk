"""What went into the results, what came out, and what they were made with: one file that can be checked.

in:  the headline results that are there and the report on them; config, registry, the user's own files and those of mirror folders
out: results/certificate.json
"""

CERTIFIED_INPUTS = sorted(
    {os.path.relpath(path) for path in INPUT_FILES if Path(path).is_file()}
)


localrules:
    certify,


rule certify:
    """Hashes of all results and inputs, with settings, versions, commit, machine and times, as an RO-Crate."""
    input:
        results=present(HEADLINES),
        report="results/report.html",
        sources=inputs_of_snakemake(CERTIFIED_INPUTS),
        provenance=present(PROVENANCE_OF_DATA),
    output:
        certificate="results/certificate.json",
    log:
        "logs/certify/certificate.log",
    benchmark:
        "logs/certify/certificate.tsv"
    conda:
        "../../envs/matwheel.yaml"
    resources:
        mem_mb=grows(2000),
        runtime=60,
    params:
        code=code("certify"),
        sources=lambda wildcards: CERTIFIED_INPUTS,
        project=lambda wildcards: os.path.relpath(ROOT),
        logs="logs",
        stage_of_rule=STAGE_OF_RULE,
        settings=SETTINGS,
        potentials={
            "relaxation": potential_params(POTENTIAL),
            "phonons": potential_params(PHONON_POTENTIAL),
            **(
                {"second opinion on phonons": potential_params(SECOND_OPINION)}
                if SECOND_OPINION
                else {}
            ),
        },
    message:
        "certify the results"
    script:
        "../scripts/certify.py"
