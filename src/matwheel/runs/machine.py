"""Where a result was made: the machine, and the state of the code's repository."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def machine_facts() -> dict[str, str]:
    """Return processor, cores, memory, system and GPUs; not the name, since results are passed on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "GPU": _gpus(),
    }


def git_state(folder: Path) -> dict[str, str]:
    """Return the commit of a working tree, its day, and whether files that git tracks differ from it.

    Without git, or outside a working tree, `commit` is 'unknown'.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": "unknown", "date": "unknown", "changes": "unknown"}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    day = _git(folder, "show", "--no-patch", "--format=%cs", commit) or "unknown"
    return {"commit": commit, "date": day, "changes": "none" if changed == "" else "uncommitted"}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _gpus() -> str:
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(names) or "none"
