"""Commands of SLURM's names that run jobs here, where no SLURM is: what the executor and the profile ask for.

They hand on their environment and say which PATH they were called with; nothing waits and nothing is limited.
`tests/slurm` has the real ones.
"""

from __future__ import annotations

from pathlib import Path

# Seconds that the profile waits between two looks at its jobs.
PATIENCE = ("--slurm-init-seconds-before-status-checks", "9", "--max-status-checks-per-second", "2")

_SBATCH = """
for argument; do
  case $argument in --wrap=*) work=${argument#--wrap=};; esac
done
printf %s "$PATH" > "$jobs/path"
job=$(($(ls "$jobs" | grep -c state) + 1))
echo RUNNING > "$jobs/$job.state"
(sh -c "$work" > "$jobs/$job.log" 2>&1 < /dev/null && echo COMPLETED > "$jobs/$job.state" \
  || echo FAILED > "$jobs/$job.state") > /dev/null 2>&1 &
echo "$job"
"""
_SRUN = """
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""
_SQUEUE = """
for state in "$jobs"/*.state; do
  [ -e "$state" ] && echo "$(basename "$state" .state)|$(cat "$state")"
done
exit 0
"""
_SCONTROL = """
[ "$1 $2" = "show config" ] && echo "MinJobAge = 300 sec"
exit 0
"""
_SINFO = "echo 'cpu*'"
_NOT_HERE = "exit 1"  # no accounting
COMMANDS = {
    "sbatch": _SBATCH,
    "srun": _SRUN,
    "squeue": _SQUEUE,
    "scontrol": _SCONTROL,
    "sinfo": _SINFO,
    "sacct": _NOT_HERE,
    "sacctmgr": _NOT_HERE,
    "scancel": "exit 0",
}


def write_commands(folder: Path) -> Path:
    """Write the commands into `folder`/bin, which is returned; `folder`/jobs gets what jobs say."""
    commands, jobs = folder / "bin", folder / "jobs"
    commands.mkdir(parents=True)
    jobs.mkdir()
    for name, text in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/sh\njobs='{jobs}'\n{text}\n")
        (commands / name).chmod(0o755)
    return commands
