"""One page of what a run found, for people.

in:  what chapters name in REPORT_FILES and SHOWN_SETS, as far as it is there
out: results/report.html
"""


localrules:
    write_report,


# A clone gives them new times; their content is a parameter.
PAGE_PARTS = {
    "template": shipped("workflow/report/page.html.j2"),
    "style": shipped("workflow/report/page.css"),
    "script": shipped("workflow/report/page.js"),
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
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("write_report"),
        page_parts={part: sha256_of_file(path) for part, path in PAGE_PARTS.items()},
        sets=SHOWN_SETS,
        options=REPORT_OPTIONS,
        titles={name: short_title(name) for name in DATASETS},
        units={
            name: REGISTRY[name].get("target", {}).get("units", "")
            for name in DATASETS
        },
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
        project=lambda wildcards: os.path.relpath(ROOT),
        logs="logs",
        stage_of_rule=STAGE_OF_RULE,
        settings=SETTINGS,
        warning=budget_warning(SETTINGS, DEFAULT_SETTINGS),
        configfiles=CONFIG_FILES,
    message:
        "write the report"
    script:
        "../scripts/write_report.py"
