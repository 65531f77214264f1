"""The loop of inorganic-materials discovery: generate, screen, validate, learn again."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/settings.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/checks.smk"
include: "workflow/rules/registry.smk"
include: "workflow/rules/candidate_sets.smk"
include: "workflow/rules/formula_sets.smk"
include: "workflow/rules/gene_sets.smk"
include: "workflow/rules/phonon_sets.smk"
include: "workflow/rules/perturbed_sets.smk"
include: "workflow/rules/headlines.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/screen.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/matwheel.smk"
include: "workflow/rules/perturb.smk"
include: "workflow/rules/matgan.smk"
include: "workflow/rules/wycryst.smk"
include: "workflow/rules/phonon.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/certificate.smk"
include: "workflow/rules/hooks.smk"


rule all:
    """Everything that a run of the default configuration shows."""
    default_target: True
    input:
        HEADLINES,
