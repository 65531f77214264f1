"""The code that runs is the code that is recorded: another clone, an edit, a checkout while a run is going.

All runs here find another clone first (PYTHONPATH), whose library ends every process that imports it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_in_slurm import PATIENCE, write_commands
from tiny_project import ROOT, copy_project, environment, write_tiny_dataset

CRYSTALS, GRAPHS = "results/data/tiny/crystals.parquet", "results/data/tiny/graphs.npz"
DUPLICATES = "results/data/tiny/duplicates.csv"
# What a test adds to scripts: their log says where things are from, and a job waits in its middle.
SAYS = """
    import os, sys
    log(sys.modules["matwheel"].__file__)
    log(os.environ["PATH"])
    if gate := os.environ.get("GATE"):
        open(gate).read()
"""
READER = "src/matwheel/datasets/dataset.py"  # of fetch_dataset alone
BUILDER = "src/matwheel/crystals/graphs.py"  # of build_graphs alone
REMEDY = "start snakemake again, which makes anew what that touches, or bring back what was there first"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that can say what it uses, and beside it another clone."""
    project = copy_project(tmp_path / "project")
    write_tiny_dataset(project)
    for name in ("fetch_dataset", "build_graphs", "find_duplicates"):
        script = project / f"workflow/scripts/{name}.py"
        head, line, rest = re.split(r"(with .* as log:\n)", script.read_text())
        script.write_text(head + line + SAYS.lstrip("\n") + rest)
    other = tmp_path / "other clone/src/matwheel/__init__.py"
    other.parent.mkdir(parents=True)
    other.write_text("raise SystemExit('the library of another clone')\n")
    return project


def variables(project: Path, **further: str) -> dict[str, str]:
    other = project.parent / "other clone/src"
    return {**environment(project), "PYTHONPATH": str(other), **further}


def run(project: Path, *arguments: str, **further: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(project / "tiny.yaml")]
    return subprocess.run(
        [*command, *arguments],
        cwd=project,
        env=variables(project, **further),
        capture_output=True,
        text=True,
        check=False,
    )


def run_and_meanwhile(
    project: Path, act: Callable[[], object], *arguments: str, **further: str
) -> tuple[int, str]:
    """Run, act while fetch_dataset is in its middle, and return exit status and output."""
    gate = project / "gate"
    gate.unlink(missing_ok=True)
    os.mkfifo(gate)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", *arguments]
    with subprocess.Popen(
        command,
        cwd=project,
        env=variables(project, GATE=str(gate), **further),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        end = wait_for_reader(gate, process)
        act()
        gate.unlink()  # jobs that come later pass
        os.symlink(os.devnull, gate)
        os.close(end)
        output, _ = process.communicate(timeout=300)
    return process.returncode, output


def wait_for_reader(gate: Path, process: subprocess.Popen) -> int:
    """Return the end to write into, once a job reads from the gate."""
    while True:
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)


def log_of(project: Path, rule: str) -> str:
    return (project / f"logs/{rule}/tiny.log").read_text()


def edited(path: Path) -> None:
    path.write_text(path.read_text() + "\nEDITED = True\n")


def refused(project: Path, rule: str, words: str) -> None:
    pattern = (
        rf"error: {rule}: its code is not what {words} \(planned \w{{16}}, here \w{{16}}; last changed: "
    )
    line = log_of(project, rule).splitlines()[-1]
    assert re.search(pattern + r"src/matwheel/\w+/\w+\.py at [\d:]{8}\); ", line) and REMEDY in line, line


def test_the_library_of_another_clone_is_not_used(project: Path) -> None:
    done = run(project, "--", CRYSTALS)
    assert done.returncode == 0, done.stdout + done.stderr
    said = log_of(project, "fetch_dataset")
    assert f"{project}/src/matwheel/__init__.py" in said
    assert "profiles/slurm/commands" not in said  # SLURM's commands of ours are for the SLURM profile


def test_nor_where_the_workflow_is_a_module_of_another_folder(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_tiny_dataset(folder)
    (folder / "Snakefile").write_text(
        f"module matwheel:\n    snakefile: '{project}/workflow/Snakefile'\n    config: config\n\n"
        "use rule * from matwheel\n"
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", "--", CRYSTALS]
    done = subprocess.run(
        command, cwd=folder, env=variables(project), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{project}/src/matwheel/__init__.py" in log_of(folder, "fetch_dataset")


# Enough of conda for Snakemake; an environment is a folder with a Python that knows no library of ours.
CONDA = """#!/bin/sh
case "$1 $2" in
"--version "*) echo "conda 24.7.1" ;;
"info --json") echo '{{"conda_prefix": "{folder}", "platform": "linux-64", "envs": []}}' ;;
"config --get") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
"env create")
  for prefix; do :; done
  mkdir -p "$prefix/bin" "$prefix/conda-meta"
  printf '#!/bin/sh\\nexec {python} "$@"\\n' > "$prefix/bin/python"
  chmod +x "$prefix/bin/python" ;;
esac
"""


def test_nor_in_an_environment_that_conda_made(project: Path, tmp_path: Path) -> None:
    """Snakemake takes PYTHONPATH from jobs there."""
    folder = tmp_path / "conda"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/conda").write_text(CONDA.format(folder=folder, python=sys.executable))
    (folder / "bin/activate").write_text('export PATH="$1/bin:$PATH"\n')
    for path in (folder / "bin").iterdir():
        path.chmod(0o755)
    path = f"{folder}/bin{os.pathsep}{environment(project)['PATH']}"
    done = run(project, "--software-deployment-method", "conda", "--", CRYSTALS, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = log_of(project, "fetch_dataset")
    assert f"{project}/src/matwheel/__init__.py" in said and f"{project}/.snakemake/conda/" in said


def test_two_clones_in_one_process_are_refused(project: Path) -> None:
    module = "module {name}:\n    snakefile: '{place}/workflow/Snakefile'\n    config: config\n\n"
    module += "use rule * from {name} as {name}_*\n\n"
    both = (module.format(name="here", place=project), module.format(name="there", place=ROOT))
    (project / "Snakefile").write_text("".join(both))
    done = run(project, "-n")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"the workflow is that of {ROOT}, but Python took matwheel from {project}/src" in said


def test_an_edit_while_a_run_is_going(project: Path) -> None:
    status, output = run_and_meanwhile(project, lambda: edited(project / BUILDER), "--", GRAPHS)
    assert status == 1, output
    refused(project, "build_graphs", "this job was planned with")
    assert "its code is not what" in output  # failed logs are shown
    assert (project / CRYSTALS).exists() and not (project / GRAPHS).exists()
    done = run(project, "--", GRAPHS)
    assert done.returncode == 0 and "fetch_dataset" not in done.stderr, done.stderr
    assert "Nothing to be done" in run(project, "-n", "--", GRAPHS).stdout


def test_an_edit_of_what_is_running(project: Path) -> None:
    status, output = run_and_meanwhile(project, lambda: edited(project / READER), "--", CRYSTALS)
    assert status == 1, output
    refused(project, "fetch_dataset", "this job began with, so what it wrote is void")
    assert not (project / CRYSTALS).exists()


def test_a_comment_while_a_run_is_going_stops_nothing(project: Path) -> None:
    def comment() -> None:
        for path in (project / READER, project / BUILDER):
            path.write_text(f"# A comment.\n{path.read_text()}")

    status, output = run_and_meanwhile(project, comment, "--", GRAPHS)
    assert status == 0, output


def test_a_checkout_while_a_run_is_going(project: Path) -> None:
    def git(*arguments: str) -> None:
        name = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        subprocess.run(["git", *name, *arguments], cwd=project, check=True, capture_output=True)

    git("init", "-q")
    git("add", "src", "workflow")
    git("commit", "-qm", "first")
    edited(project / BUILDER)
    git("commit", "-qam", "second")
    status, output = run_and_meanwhile(project, lambda: git("checkout", "-q", "HEAD~1"), "--", GRAPHS)
    assert status == 1, output
    refused(project, "build_graphs", "this job was planned with")


@pytest.mark.parametrize("what", ["code", "settings", pytest.param("rules", marks=pytest.mark.slow)])
def test_an_edit_while_a_run_is_going_on_a_cluster(project: Path, tmp_path: Path, what: str) -> None:
    """Jobs read the workflow again there, in a process of their own."""
    commands = write_commands(tmp_path / "slurm")
    path = f"{commands}{os.pathsep}{environment(project)['PATH']}"
    profile = ("--workflow-profile", "profiles/slurm", "--retries", "0", "--latency-wait", "2", *PATIENCE)
    other = ("--config", "seed=3", "--", GRAPHS, DUPLICATES)

    def edit() -> None:
        if what == "code":
            edited(project / BUILDER)
        elif what == "rules":
            edited(project / "workflow/rules/screen.smk")
        else:
            settings = (project / "tiny.yaml").read_text().replace("steps: 10", "steps: 11")
            (project / "tiny.yaml").write_text(settings)

    status, output = run_and_meanwhile(project, edit, *profile, *other, PATH=path)
    assert status == 1 and not (project / GRAPHS).exists(), output
    said = log_of(project, "fetch_dataset")
    assert f"{project}/src/matwheel/__init__.py" in said
    assert f"{project}/profiles/slurm/commands{os.pathsep}{commands}" in said
    if what == "code":
        refused(project, "build_graphs", "this job was planned with")
        assert f"{project}/src/matwheel/__init__.py" in log_of(project, "find_duplicates")
        assert "its code is not" not in log_of(project, "find_duplicates")  # it was left as it was
    else:
        job = (tmp_path / "slurm/jobs/1.log").read_text()
        pattern = rf"the {what} .*: not what this run was planned with \(planned \w{{16}}, here \w{{16}}\); "
        assert re.search(pattern + re.escape(REMEDY), job), job
        assert not (project / DUPLICATES).exists()
