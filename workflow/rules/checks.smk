"""What a run needs where it is started, before anything runs. No rules."""

for folder in (Path("results"), Path("logs"), Path(".")):
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise WorkflowError(
            f"{folder.resolve()} is not a folder that you may write to; "
            "change its permissions or run in a copy of the project"
        )
