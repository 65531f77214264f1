"""What happens around a run: one run at a time, and where to look when it has ended."""

import fcntl

NAMED_AT_THE_END = (
    "results/report.html",
    "results/candidates.csv",
    "results/matgan/report",
    "results/wycryst/candidates.csv",
    "results/phonon/cross_table.csv",
    "results/perturbed_table.csv",
)


onstart:
    # The kernel frees this lock when its process dies, however it dies; Snakemake's own lock file
    # would outlive a killed run and demand `--unlock`, so the profiles switch that one off.
    Path(".snakemake").mkdir(exist_ok=True)
    run_lock = open(".snakemake/run.lock", "w")
    try:
        fcntl.flock(run_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            "another run is working in this folder; wait for it or stop it first"
        )


onsuccess:
    if Path("results/table2.md").exists():
        print(Path("results/table2.md").read_text(encoding="utf-8"))
    for path in [name for name in NAMED_AT_THE_END if Path(name).exists()]:
        print(f"  {path}")
