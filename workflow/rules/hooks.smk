"""What happens around a run: one run at a time, and where to look when it has ended."""

from matwheel.core.errors import InputError
from matwheel.runs.run_lock import take_run_lock
from matwheel.runs.slurm_jobs import prefer_commands


onstart:
    # A global name, since the lock lasts as long as this process has it open. Snakemake's own lock file
    # would outlive a killed run and demand `--unlock`, so the profiles switch that one off.
    global run_lock
    try:
        run_lock = take_run_lock(Path("."))
    except InputError as error:
        raise WorkflowError(str(error)) from None
    # SLURM's commands, with patience: see the files there.
    if workflow.executor_plugin.name == "slurm":
        prefer_commands(ROOT / "profiles" / "slurm" / "commands")


onsuccess:
    if Path("results/table2.md").exists():
        print(Path("results/table2.md").read_text(encoding="utf-8"))
    for path in [name for name in NAMED_AT_THE_END if Path(name).exists()]:
        print(f"  {path}")
