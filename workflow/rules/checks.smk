"""What a run needs where it is started, before anything runs, and what its jobs need to find. No rules."""

from matwheel.core.errors import InputError

for folder in (Path("results"), Path("logs"), Path(".")):
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise WorkflowError(
            f"{folder.resolve()} is not a folder that you may write to; "
            "change its permissions or run in a copy of the project"
        )


def without_comments(path):
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


# On a cluster every job reads both again.
try:
    PLANNED_CODE.refuse_another(
        "the rules in workflow/",
        {
            path.name: without_comments(path)
            for path in (
                ROOT / "workflow" / "Snakefile",
                *ROOT.glob("workflow/rules/**/*.smk"),
            )
        },
    )
    PLANNED_CODE.refuse_another("the settings (config, --configfile)", config)
except InputError as error:
    raise WorkflowError(str(error)) from None
