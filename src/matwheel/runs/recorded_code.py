"""The code that a job runs is the code that its results are recorded with, or the job refuses.

The main process hashes what it read when the run was planned (`PlannedCode`) and gives each job the hash
among its parameters, which Snakemake records. The job's script hashes what lies there when it begins and when
it ends (`recorded`). They differ where a module was edited, another commit checked out or a library upgraded
while the run was going; and the library of another clone is refused.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from matwheel.core.errors import InputError, one_line
from matwheel.core.progress import Log, logged
from matwheel.runs.code_version import SourceTree

PLANNED = "MATWHEEL_PLANNED"
"""The variable by which the main process tells jobs, on other nodes too, what it planned with."""

_PROCESS, _ENVIRONMENT = "process", "environment"
_REMEDY = "start snakemake again, which makes anew what that touches, or bring back what was there first"


class PlannedCode:
    """What a run was planned with: hashes of code, for the parameters of jobs, and of what else they read.

    On a cluster every job reads the workflow again and would find what is there by then; it takes the main
    process's word instead.

    Args:
        source_root: the folder that holds the package.
        scripts: the folder of the rules' scripts.
        is_main_process: whether this process plans; others take its word from `environment`.
        environment: variables that jobs inherit.
    """

    def __init__(
        self,
        source_root: str | Path,
        scripts: str | Path,
        *,
        is_main_process: bool,
        environment: MutableMapping[str, str] = os.environ,
    ) -> None:
        self._tree, self._scripts = SourceTree(source_root), Path(scripts)
        self._is_main_process, self._environment = is_main_process, environment
        self._said = _said(environment)
        if is_main_process:
            self._tree.read_all(scripts)
            if self._said.get(_PROCESS) != str(os.getpid()):  # one process may read the workflow twice
                self._said = {_PROCESS: str(os.getpid()), _ENVIRONMENT: sys.prefix}
            self._hand_on()

    def code(self, script: str, *modules: str) -> str:
        """Return what stands for a script and the code it reaches, followed by the modules that are named."""
        key = " ".join((script, *modules))
        if self._is_main_process or key not in self._said:
            version = self._tree.version(self._scripts / f"{script}.py", *modules)
            code = " ".join((str(version), *modules))
            if self._said.get(key) != code:
                self._said[key] = code
                self._hand_on()
        return self._said[key]

    def refuse_another(self, what: str, content: Any) -> None:
        """Keep a hash of something that jobs on other nodes read again; in such a job, compare it.

        Args:
            what: its name in the message.
            content: anything that JSON can hold.

        Raises:
            InputError: it is not what the run was planned with.
        """
        digest = sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
        planned = self._said.get(what, "").split()  # several where a workflow uses this one as a module twice
        if self._is_main_process:
            self._said[what] = " ".join(sorted({*planned, digest}))
            self._hand_on()
        elif planned and digest not in planned:
            raise InputError(
                f"{what}: not what this run was planned with (planned {', '.join(planned)}, here {digest}); "
                f"{_REMEDY}"
            )

    def _hand_on(self) -> None:
        if self._is_main_process:
            self._environment[PLANNED] = json.dumps(self._said)


def _said(environment: Mapping[str, str]) -> dict[str, str]:
    return dict(json.loads(environment.get(PLANNED, "{}")))


def refuse_another_library(source_root: str | Path) -> None:
    """Refuse to work with the library of another clone than the workflow's.

    Raises:
        InputError: this package does not lie under `source_root`.
    """
    root, package = Path(source_root).resolve(), Path(__file__).resolve().parents[1]
    if package.parent != root:
        raise InputError(
            f"the workflow is that of {root.parent}, but Python took {package.name} from {package}; use one "
            "clone per process, and take the other one out of what comes first in Python's path (PYTHONPATH, "
            f"{sys.prefix})"
        )


@contextmanager
def recorded(script: str | Path, planned: str, log_file: str | Path) -> Iterator[Log]:
    """Run a script's work as `logged` does, if its code is what was planned and still is that at the end.

    Args:
        script: the script's own file.
        planned: what `PlannedCode.code` said of it.
        log_file: where messages go.

    Raises:
        SystemExit: with 1, after a line in the log, where the library is that of another clone or the code
            another one; and as `logged`.
    """
    script = Path(script).resolve()
    root = script.parents[2] / "src"
    version, *modules = planned.split(" ")
    code, libraries = version.split(".")
    with logged(log_file) as log:
        refuse_another_library(root)
        here = _refuse_another_code(script, modules, root, code, "this job was planned with")
        if here != libraries:
            _refuse_or_note_other_libraries(script.stem, libraries, here, log)
        yield log
        _refuse_another_code(script, modules, root, code, "this job began with, so what it wrote is void")


def _refuse_another_code(script: Path, modules: list[str], root: Path, planned: str, what: str) -> str:
    """Return what stands for the libraries of a script whose code is what was planned, else raise."""
    tree = SourceTree(root)
    try:
        version = tree.version(script, *modules)
        if version.code == planned:
            return version.libraries
        changed = max(tree.files(script, *modules), key=_time_of_change)
        when = time.strftime("%H:%M:%S", time.localtime(_time_of_change(changed)))
        here = f"here {version.code}; last changed: {os.path.relpath(changed, root.parent)} at {when}"
    except (ImportError, OSError, SyntaxError, UnicodeError) as error:
        here = f"here {one_line(error)}"
    raise InputError(f"{script.stem}: its code is not what {what} (planned {planned}, {here}); {_REMEDY}")


def _time_of_change(path: Path) -> float:
    return path.stat().st_mtime


def _refuse_or_note_other_libraries(script: str, planned: str, here: str, log: Log) -> None:
    """Refuse libraries that changed under a run; note those of an environment of the jobs' own."""
    said = f"{script}: its libraries have other versions than planned (planned {planned}, here {here})"
    if _said(os.environ).get(_ENVIRONMENT, sys.prefix) == sys.prefix:
        raise InputError(f"{said}: {sys.prefix} was changed since; {_REMEDY}")
    log(f"{said}: this job's environment is {sys.prefix}, and not that of the main process")
