"""The workflow lies in workflow/Snakefile; this file lets `snakemake` find it from here."""


include: "workflow/Snakefile"


workflow.default_target = (
    "all"  # what an included file calls the default does not count
)
